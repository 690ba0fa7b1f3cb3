"""SIGHUP reads providers and models again, in every worker, and ends nothing (W-04)."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.service import FEATURES, Service, free_port, redis_env, service_env, start_service

READ_AGAIN = "providers and models were read again"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


def hang_up(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)


def test_w04_a_hangup_reads_the_files_again_and_refuses_what_cannot_be_used(upstream: Upstream, tmp_path: Path) -> None:
    models = tmp_path / "models.json"
    entry = {"id": "m", "provider": "mock", "description": "x", "features": FEATURES}
    models.write_text(json.dumps([entry]))
    env = service_env(upstream, tmp_path)
    del env["MODELS"]
    with start_service(env | {"MODELS_FILE": str(models)}, upstream) as service:
        hang_up(service)
        line = json.loads(service.wait_for_log(READ_AGAIN))
        assert "nothing has changed" in str(line)
        assert "SIGHUP" in str(line)
        models.write_text("[{")
        hang_up(service)
        service.wait_for_log("the changed catalog is refused; the previous one goes on")
        models.write_text(json.dumps([entry, {**entry, "id": "n"}]))
        hang_up(service)
        service.wait_for_log("the catalog has changed")
        assert httpx.get(service.url + "/health").status_code == 200
        assert service.stop() == 0


def test_w04_without_a_file_a_hangup_says_so(upstream: Upstream, tmp_path: Path) -> None:
    with start_service(service_env(upstream, tmp_path), upstream) as service:
        hang_up(service)
        assert "no file of them is configured" in service.wait_for_log(READ_AGAIN)
        assert httpx.get(service.url + "/health").status_code == 200


def test_w04_a_hangup_reaches_every_worker(upstream: Upstream) -> None:
    need_server("postgresql")
    need_server("redis")
    with tempfile.TemporaryDirectory() as folder, fresh_database_env("postgres") as database, redis_env() as redis:
        env = service_env(upstream, Path(folder), **database, **redis, WORKERS="2")
        with start_service(env, upstream) as service:
            _until(lambda: _count(service, "Server is listening") == 2)
            hang_up(service)
            _until(lambda: _count(service, READ_AGAIN) == 2)
            assert service.stop() == 0


def test_whoever_closes_the_terminal_ends_the_service(upstream: Upstream, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    env = service_env(upstream, tmp_path, PORT=str(port := free_port()))
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "serve"], env=env, cwd=tmp_path, stdin=theirs, stdout=subprocess.DEVNULL
    )
    try:
        _until(lambda: _is_healthy(port))
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == -signal.SIGHUP
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def _count(service: Service, text: str) -> int:
    return sum(text in line for line in service.lines)


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
