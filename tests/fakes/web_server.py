"""Servers of single answers, for whatever is fetched or asked over HTTP: over `WireServer`, and closed at the end."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.wire_server import Script, Wire, WireServer, ok


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[WireServer]:
    server = await WireServer(script, tls).start()
    try:
        yield server
    finally:
        await server.close()


def answering(*answers: bytes) -> Script:
    """One after the other; the last one again and again. Connections are kept until the client closes them."""
    left = list(answers)

    async def script(wire: Wire) -> None:
        while True:
            try:
                await wire.answer(left.pop(0) if len(left) > 1 else left[0])
            except (asyncio.IncompleteReadError, ConnectionError):
                return

    return script


def as_json(value: Any, status: bytes = b"200 OK") -> bytes:
    return ok(json.dumps(value).encode(), b"Content-Type: application/json", status=status)


def page(body: bytes | str, content_type: str = "text/html; charset=utf-8", status: bytes = b"200 OK") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return ok(data, b"Content-Type: " + content_type.encode() if content_type else b"X-None: 1", status=status)


def moved(to: str) -> bytes:
    return ok(b"", b"Location: " + to.encode(), status=b"302 Found")


async def silent(wire: Wire) -> None:
    """Takes a request and says nothing."""
    await wire.request()
    await wire.gone()


async def hanging_up(wire: Wire) -> None:
    await wire.request()
    wire.reset()
