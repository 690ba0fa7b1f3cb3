"""A process of its own for the SDKs, and their clients.

Besides `mock` it has entries of which each test may spoil one: a key that was refused or told to wait is set aside, and
that must not be the key of another test.
"""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.fakes.openai_upstream import running_upstream
from tests.service import Service, service_env, start_service, with_tenant

_SPARES = 16
_spare_numbers = count()


@pytest.fixture(scope="session")
def running_service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as directory, running_upstream() as upstream:
        env = service_env(upstream, Path(directory), SSE_KEEPALIVE_SECONDS="0.2")
        providers, models = json.loads(env["PROVIDERS"]), json.loads(env["MODELS"])
        for number in range(_SPARES):
            providers[f"spare-{number}"] = providers["mock"]
            models.append({**models[1], "id": f"spare-{number}", "provider": f"spare-{number}"})
        env |= {"PROVIDERS": json.dumps(providers), "MODELS": json.dumps(models)}
        with start_service(env, upstream) as service:
            yield with_tenant(service)


def take_spare_model() -> str:
    """A model whose only key no other test needs."""
    number = next(_spare_numbers)
    assert number < _SPARES, "raise _SPARES"
    return f"spare-{number}/spare-{number}"


@pytest.fixture
def spare_model() -> str:
    return take_spare_model()


def options(service: Service, **more: Any) -> dict[str, Any]:
    """What an application would set, without retries: a test that wants them says so."""
    return {"api_key": service.api_key, "base_url": service.url + "/oai/v1", "max_retries": 0, "timeout": 30, **more}


@pytest.fixture
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(**options(service)) as client:
        yield client


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(**options(service)) as client:
        yield client
