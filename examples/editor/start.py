"""One command: the service, an environment with an access key, and the page. Ctrl+C ends all of it.

    python examples/editor/start.py [--port 8080] [--service-port 8000] [--state-dir data/editor-example]

Variables of the service (`PROVIDERS`, `MODELS`, …) count as they always do; without them the built-in demo answers.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

FOLDER = Path(__file__).resolve().parent
ENVIRONMENT = "editor-example"
STARTS_WITHIN_S = 60


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    _install_packages()
    service_url = f"http://127.0.0.1:{options.service_port}"
    page_url = f"http://127.0.0.1:{options.port}"
    key = secrets.token_urlsafe(32)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_start_service(options, page_url, key))
        _wait_for(f"{service_url}/health", processes)
        processes.append(_start_page(options.port, service_url, key))
        _wait_for(f"{page_url}/settings.json", processes)
        print(f"\nThe editor is ready: {page_url}\nCtrl+C stops it.\n", flush=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
        sys.exit("One of the two servers has ended; its last words are above.")
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
    finally:
        _stop(processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start Penstock with an editor in front of it.")
    parser.add_argument("--port", type=int, help="where the page is; unset: 8080, or a free one")
    parser.add_argument("--service-port", type=int, help="where the service is; unset: 8000, or a free one")
    parser.add_argument("--state-dir", type=Path, default=FOLDER.parents[1] / "data" / "editor-example")
    options = parser.parse_args()
    options.port = options.port or _free_port(8080)
    options.service_port = options.service_port or _free_port(8000)
    return options


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port of 127.0.0.1 is free")


def _install_packages() -> None:
    if (FOLDER / "node_modules" / "tinymce" / "tinymce.min.js").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is missing: install Node.js 20 or newer, and start again. TinyMCE comes from the npm registry.")
    print("Installing TinyMCE …", flush=True)
    done = subprocess.run([npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FOLDER)
    if done.returncode != 0:
        sys.exit("TinyMCE could not be installed; npm says above why.")


def _start_service(options: argparse.Namespace, page_url: str, key: str) -> "subprocess.Popen[bytes]":
    """The environment is declared: it is made at the first start, and each start gives its key a new secret."""
    options.state_dir.mkdir(parents=True, exist_ok=True)
    access_key = {"id": ENVIRONMENT, "name": "Editor example", "secret": key}
    environment = {"id": ENVIRONMENT, "name": "Editor example", "accessKeys": [access_key]}
    variables = {
        "HOST": "127.0.0.1",
        "PORT": str(options.service_port),
        "STATE_DIR": str(options.state_dir),
        "ALLOWED_ORIGINS": page_url,
        "BOOTSTRAP_ENVIRONMENTS": json.dumps([environment]),
    }
    return subprocess.Popen([sys.executable, "-m", "penstock", "serve"], env={**os.environ, **variables})


def _start_page(port: int, service_url: str, key: str) -> "subprocess.Popen[bytes]":
    variables = {
        "PORT": str(port),
        "PENSTOCK_URL": service_url,
        "PENSTOCK_ENVIRONMENT_ID": ENVIRONMENT,
        "PENSTOCK_ACCESS_KEY": key,
    }
    return subprocess.Popen([sys.executable, str(FOLDER / "server.py")], env={**os.environ, **variables})


def _wait_for(url: str, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in processes):
            sys.exit("It did not start; its last words are above.")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"{url} did not answer within {STARTS_WITHIN_S} seconds.")


def _stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        process.wait()


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
