"""Providers over real sockets. Generated examples may take their time: no test here measures anything."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import settings

from penstock.kit.clock import SystemClock
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Providers
from tests.fakes.wire_server import Script, WireServer

Serve = Callable[[Script], Awaitable[WireServer]]

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[WireServer] = []

    async def start(script: Script) -> WireServer:
        servers.append(await WireServer(script).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    opened = Providers(open_provider_transport, SystemClock())
    yield opened
    await opened.aclose()
