"""nginx in front of replicas, set up as operators are told to (`spec/editor-api.md` 1, "Reverse proxy")."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service import free_port

_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream penstock {{
{servers}
        keepalive 32;
    }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 64m;
        keepalive_timeout 75s;
        location / {{
            proxy_pass http://penstock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering {buffering};
            proxy_cache off;
            proxy_read_timeout {silence_s}s;
            add_header X-Served-By $upstream_addr always;
        }}
    }}
}}
"""


@contextmanager
def running_nginx(
    folder: Path, ports: Sequence[int], *, buffering: bool = False, silence_s: int = 300
) -> Iterator[str]:
    """Its address; answers say in `X-Served-By` which replica they come from.

    Skips the test where nginx is not installed; in CI that is a failure.
    """
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            port=port,
            servers="\n".join(f"        server 127.0.0.1:{one} fail_timeout=1s;" for one in ports),
            # Workers of a master that runs as root become somebody else, who may not write into our folder.
            user=f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else "",
            buffering="on" if buffering else "off",
            silence_s=silence_s,
        )
    )
    command = [_binary(), "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, folder)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _binary() -> str:
    # Debian keeps it where only root's PATH looks.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    return found


def _wait_for(url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url + "/health")
            return
        except httpx.TransportError:
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.02)
