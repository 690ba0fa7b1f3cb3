"""Node packages of the tests: installed once, by `npm ci`, and again only when `package-lock.json` has changed."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

WITHIN_S = 60


def install(folder: Path, within_s: float = WITHIN_S) -> None:
    """Skip the test, with the reason, where Node or the packages cannot be had; in CI that is a failure."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            _unavailable(f"{program} is not installed")
    with _alone(folder):
        if _installed(folder) != _locked(folder):
            _install(folder, within_s)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Tests that run side by side install one after the other."""
    with (Path(tempfile.gettempdir()) / f"penstock-node-{sha256(bytes(folder.resolve())).hexdigest()[:16]}.lock").open(
        "w"
    ) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(folder: Path, within_s: float) -> None:
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=within_s,
    )
    if done.returncode != 0:
        said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error ")]
        _unavailable(f"npm ci failed: {' '.join(said)[:300]}")


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _locked(folder: Path) -> Mapping[str, Any]:
    packages = _packages_in(folder / "package-lock.json")
    return {path: package for path, package in packages.items() if path}


def _installed(folder: Path) -> Mapping[str, Any]:
    """npm writes this file last, so it is missing or old after an installation that was broken off."""
    try:
        return _packages_in(folder / "node_modules" / ".package-lock.json")
    except FileNotFoundError:
        return {}


def _packages_in(lock: Path) -> Mapping[str, Any]:
    packages = json.loads(lock.read_text())["packages"]
    return {path: package.get("integrity") for path, package in packages.items()}
