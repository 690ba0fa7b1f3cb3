"""A TCP proxy in front of a server, to do to its connections what networks do."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._swallows = False
        self._is_dead: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        return len(self._tasks)

    async def open(self) -> None:
        """Listen, again on the same port after `close`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse new connections and end the present ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._end_connections()
        await self._settle()

    async def reset(self) -> None:
        """End the present connections with RST; new ones are served."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end_connections()
        await self._settle()

    def swallow(self) -> None:
        """Accept and read everything, and pass nothing on."""
        self._swallows = True

    def kill_silently(self) -> None:
        """The present connections stay open and pass nothing on any more; new ones are served."""
        self._is_dead |= self._tasks

    async def resume(self) -> None:
        """Serve again. What was swallowed is gone, and so are its connections."""
        self._end_connections()
        await self._settle()
        self._swallows = False

    def _end_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _settle(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._connect_through(reader, writer, task)
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            self._is_dead.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _connect_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            await asyncio.gather(self._pass_on(reader, back, task), self._pass_on(there, writer, task))
        finally:
            back.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        while data := await reader.read(65536):
            if self._swallows or task in self._is_dead:
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def proxy(target_port: int) -> AsyncIterator[Proxy]:
    found = Proxy(target_port)
    await found.open()
    try:
        yield found
    finally:
        await found.close()
