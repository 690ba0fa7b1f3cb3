"""The service under measurement: `penstock serve` with its embedded defaults, one tenant and one API key."""

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.driver import Target
from bench.process import plain_environment, running, until_ready

_HEALTH = "/health"
_MANAGEMENT_SECRET = "only-for-the-length-of-a-benchmark-run"


class Service(NamedTuple):
    """A running service. `ready_s` is the time from its start to the first 200 of its health check."""

    pid: int
    ready_s: float


def environment(state: Path, port: int, upstream_port: int) -> dict[str, str]:
    """What configures the service: one provider, the mock upstream, with one model."""
    base_url = f"http://127.0.0.1:{upstream_port}/v1"
    provider = {"type": "openai-compatible", "baseUrl": base_url, "apiKeys": ["k"]}
    features = ["conversations", "reviews", "actions"]
    model = {"id": "mock", "provider": "mock", "description": "", "features": features}
    return plain_environment(
        HOST="127.0.0.1",
        PORT=str(port),
        STATE_DIR=str(state),
        LOG_LEVEL="40",
        ENVIRONMENTS_MANAGEMENT_SECRET_KEY=_MANAGEMENT_SECRET,
        PROVIDERS=msgspec.json.encode({"mock": provider}).decode(),
        MODELS=msgspec.json.encode([model]).decode(),
    )


def target(env: dict[str, str]) -> Target:
    """Make a tenant and an API key, and say how to call the service with them."""
    tenant = _command(env, "tenant", "create", "bench", "--json")
    key = _command(env, "api-key", "create", "--tenant", tenant["id"], "--name", "bench", "--json")
    return Target("penstock", int(env["PORT"]), "/oai/v1/chat/completions", "mock/mock", key["key"])


def _command(env: dict[str, str], *words: str) -> dict[str, Any]:
    answer = subprocess.run([sys.executable, "-m", "penstock", *words], env=env, capture_output=True, timeout=60)
    if answer.returncode:
        raise RuntimeError(f"penstock {' '.join(words[:2])} failed: {answer.stderr.decode()[-2000:]}")
    return msgspec.json.decode(answer.stdout, type=dict[str, Any])


@asynccontextmanager
async def service(env: dict[str, str], log: Path) -> AsyncIterator[Service]:
    """Run the service for the length of the block. Its output is in `log`; a start that fails shows its end."""
    started_s = time.monotonic()
    async with running([sys.executable, "-m", "penstock", "serve"], env=env, log=log) as child:
        try:
            ready_s = await until_ready(child, int(env["PORT"]), _HEALTH, started_s=started_s)
        except (RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"the service did not start: {log.read_text()[-3000:]}") from error
        yield Service(child.pid, ready_s)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
