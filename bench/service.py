"""The service under measurement: `penstock serve` with its embedded defaults, one tenant and one API key.

All its providers are the mock upstream: one whose answers are relayed, and one for each wire that is translated.
"""

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.driver import Target
from bench.process import plain_environment, running, until_ready

_HEALTH = "/health"
_MANAGEMENT_SECRET = "only-for-the-length-of-a-benchmark-run"
_RELAYED = "mock"
TRANSLATED = ("openai_responses", "anthropic", "gemini", "bedrock")
"""Names of wires, and of the providers that speak them."""


class Service(NamedTuple):
    """A running service. `ready_s` is the time from its start to the first 200 of its health check."""

    pid: int
    ready_s: float


def environment(state: Path, port: int, upstream_port: int) -> dict[str, str]:
    """What configures the service: providers that all are the mock upstream, with one model each."""
    features = ["conversations", "reviews", "actions"]
    providers = _providers(f"http://127.0.0.1:{upstream_port}")
    models = [{"id": "mock", "provider": key, "description": "", "features": features} for key in providers]
    return plain_environment(
        HOST="127.0.0.1",
        PORT=str(port),
        STATE_DIR=str(state),
        LOG_LEVEL="40",
        ENVIRONMENTS_MANAGEMENT_SECRET_KEY=_MANAGEMENT_SECRET,
        PROVIDERS=msgspec.json.encode(providers).decode(),
        MODELS=msgspec.json.encode(models).decode(),
    )


def _providers(address: str) -> dict[str, dict[str, Any]]:
    """Nothing is sent to anybody else, and the mock checks no key and no signature."""
    aws = {"accessKeyId": "AKIABENCHBENCHBENCH0", "secretAccessKey": "bench"}
    return {
        _RELAYED: {"type": "openai-compatible", "baseUrl": f"{address}/v1", "apiKeys": ["k"]},
        "openai_responses": {"type": "openai", "api": "responses", "baseUrl": f"{address}/v1", "apiKeys": ["k"]},
        "anthropic": {"type": "anthropic", "baseUrl": address, "apiKeys": ["k"]},
        "gemini": {"type": "google", "baseUrl": f"{address}/v1beta", "apiKeys": ["k"]},
        "bedrock": {"type": "bedrock", "region": "eu-central-1", "baseUrl": address, "credentials": aws},
    }


def targets(env: dict[str, str]) -> tuple[Target, Sequence[Target]]:
    """Make a tenant and an API key; how to call the relay with them, and each translated wire."""
    tenant = command(env, "tenant", "create", "bench", "--json")
    key = command(env, "api-key", "create", "--tenant", tenant["id"], "--name", "bench", "--json")
    relay = Target("penstock", int(env["PORT"]), "/oai/v1/chat/completions", f"{_RELAYED}/mock", key["key"])
    return relay, [relay._replace(name=wire, model=f"{wire}/mock") for wire in TRANSLATED]


def command(env: dict[str, str], *words: str) -> dict[str, Any]:
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
