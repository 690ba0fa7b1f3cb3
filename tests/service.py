"""The real service, in a process of its own, in front of a fake upstream.

    def test_something(service):                    # one process for the whole run, SQLite, in-process coordination
        service.upstream.plays(Text("Hi"), Finish())
        answer = httpx.post(service.url + "/oai/v1/chat/completions", headers=service.api_key_headers, json=...)

`service.upstream` is emptied before each test. `service.token(...)` mints editor tokens, `service.tenant_id` is the
environment. For other settings or for several replicas use `start_service(env)` as a context manager; replicas share
what their `env` says (`fresh_database_env` of tests/databases.py, REDIS_*).
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import Upstream, running_upstream

MANAGEMENT_SECRET = "management-secret-of-the-tests-0123456789"
FEATURES = ["conversations", "reviews", "actions"]


class Service:
    """A running service. Lines of its standard output are in `lines`, JSON ones decoded in `logs`."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, env: Mapping[str, str], upstream: Upstream) -> None:
        self.process = process
        self.port = port
        self.env = env
        self.upstream = upstream
        self.lines: list[str] = []
        self.tenant_id = ""
        self.api_key = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    @property
    def api_key_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def token(
        self, user: str = "user-1", *, permissions: Sequence[str] = (), tenant_id: str = "", ttl_s: int = 3600
    ) -> str:
        arguments = ["token", "mint", "--tenant", tenant_id or self.tenant_id, "--user", user, "--ttl", str(ttl_s)]
        for permission in permissions:
            arguments += ["--permission", permission]
        return str(self.cli(*arguments)["token"])

    def token_headers(self, user: str = "user-1", **more: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user, **more)}"}

    def cli(self, *arguments: str) -> Any:
        """Run a `penstock` command on the same configuration; its JSON."""
        return run_cli(self.env, *arguments)

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout_s: float = 20) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    def close(self) -> None:
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_for_log(self, text: str, timeout_s: float = 10) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no log line with {text!r} in: {self.lines[-20:]}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


def run_cli(env: Mapping[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments, "--json"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def service_env(upstream: Upstream, state_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a service in front of `upstream`: two models, `mock/one` (recommended) and `mock/two`."""
    models = [
        {"id": "one", "provider": "mock", "description": "First", "recommended": True, "features": FEATURES},
        {"id": "two", "provider": "mock", "description": "Second", "features": FEATURES},
    ]
    provider = {"type": "openai-compatible", "baseUrl": upstream.url, "apiKeys": ["sk-upstream-key-1234"]}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(state_dir),
        "HOST": "127.0.0.1",
        "STATE_DIR": str(state_dir),
        "ENVIRONMENTS_MANAGEMENT_SECRET_KEY": MANAGEMENT_SECRET,
        "PROVIDERS": json.dumps({"mock": provider}),
        "MODELS": json.dumps(models),
        "ALLOWED_ORIGINS": "https://editor.example.com",
        "ENABLE_METRIC_LOGS": "true",
        "LOG_LEVEL": "30",
        **more,
    }


@contextmanager
def redis_env() -> Iterator[dict[str, str]]:
    """The variables of a corner of Redis of its own; its keys are removed at the end."""
    import redis

    prefix = f"penstock-test-{secrets.token_hex(4)}:"
    yield {"REDIS_HOST": "127.0.0.1", "REDIS_DB": "9", "REDIS_KEY_PREFIX": prefix}
    with redis.Redis(db=9) as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def start_service(env: Mapping[str, str], upstream: Upstream, *, arguments: Sequence[str] = ()) -> Iterator[Service]:
    """Start `penstock serve` and wait until it answers. It is stopped when the block is left."""
    port = int(env.get("PORT") or free_port())
    full = {**env, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "serve", *arguments],
        env=full,
        cwd=env["STATE_DIR"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    service = Service(process, port, full, upstream)
    try:
        _wait_until_healthy(service)
        yield service
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        service.close()


def _wait_until_healthy(service: Service, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            time.sleep(0.2)
            raise AssertionError(f"the service ended with {service.process.returncode}: {service.lines}")
        try:
            if httpx.get(service.url + "/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the service did not become healthy: {service.lines}")


def with_tenant(service: Service) -> Service:
    """Give it a tenant with an access key and an API key."""
    service.tenant_id = service.cli("tenant", "create", "Tests")["id"]
    service.cli("access-key", "create", "--tenant", service.tenant_id)
    service.api_key = service.cli("api-key", "create", "--tenant", service.tenant_id, "--name", "tests")["key"]
    return service


@pytest.fixture(scope="session")
def running_service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        start_service(service_env(upstream, Path(directory)), upstream) as service,
    ):
        yield with_tenant(service)


@pytest.fixture
def service(running_service: Service) -> Service:
    """The shared process; its upstream has forgotten what other tests told it."""
    running_service.upstream.reset()
    return running_service
