"""An HTTP/1.1 upstream that does exactly what its script says, well-behaved or not.

A script is called once per connection, with its `Wire`. It reads requests, writes bytes, resets or waits; when it
returns, the connection is closed in order. A script that fails makes `WireServer.close` fail.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.providers.transport.base import Origin


class Seen(NamedTuple):
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


def ok(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer with its length."""
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines])
    return head + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    return CHUNKED_HEAD + b"".join(map(chunk, pieces)) + LAST_CHUNK


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Wire:
    """The server's end of one connection."""

    def __init__(self, server: "WireServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.sent = 0

    async def head(self) -> Seen:
        """Read a request up to its body."""
        lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        method, target, _ = lines[0].split(b" ")
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines[1:])]
        return Seen(method, target, headers, b"")

    async def request(self) -> Seen:
        seen = await self.head()
        body = await self.reader.readexactly(int(seen.header(b"content-length") or 0))
        self.server.requests.append(seen._replace(body=body))
        return self.server.requests[-1]

    async def send(self, data: bytes) -> None:
        """Return when the socket has taken most of it."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    async def dribble(self, data: bytes, size: int, pause_s: float = 0.0) -> None:
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(pause_s)

    async def answer(self, data: bytes) -> Seen:
        """Take one request and write `data`."""
        seen = await self.request()
        await self.send(data)
        return seen

    def reset(self) -> None:
        """Close with a reset: nothing that is still on its way arrives for certain."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return when the client has closed or reset the connection."""
        try:
            while await self.reader.read(1 << 20):
                pass
        except ConnectionError:
            pass


Script = Callable[[Wire], Awaitable[None]]


class WireServer:
    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.errors: list[BaseException] = []
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", "127.0.0.1", self.port)

    async def start(self) -> "WireServer":
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.errors:
            raise self.errors[0]

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(Wire(self, reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._script(wire)
            wire.writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            wire.writer.transport.abort()
        except asyncio.CancelledError:
            wire.writer.transport.abort()
            raise
        except BaseException as error:
            wire.writer.transport.abort()
            self.errors.append(error)
