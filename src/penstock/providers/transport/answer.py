"""What one exchange of the relay has received and nobody has read yet."""

import asyncio
from typing import Protocol

from penstock.providers.transport import failures
from penstock.providers.transport.base import (
    MAX_BODY_BYTES,
    Header,
    LimitName,
    Limits,
    ResponseTooLarge,
    TransportError,
)


class Source(Protocol):
    """What an answer needs of its connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def fail(self, error: TransportError) -> None: ...


class Answer:
    """The relay's `Response`. `connection` is None once the body has arrived whole, or the exchange has failed."""

    __slots__ = (
        "begun_at",
        "complete",
        "connection",
        "error",
        "headers",
        "limits",
        "paused",
        "pieces",
        "since",
        "size",
        "status",
        "unheard",
        "waiter",
    )

    def __init__(self, connection: Source, limits: Limits, begun_at: float, since: float) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.connection: Source | None = connection
        self.limits = limits
        self.begun_at = begun_at
        self.since = since
        self.pieces: list[bytes] = []
        self.size = 0
        self.paused = False
        self.complete = False
        self.unheard = False
        self.error: TransportError | None = None
        self.waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        pieces = self.pieces
        if not pieces:
            connection = self.connection
            if connection is None:
                return self._end()
            if self.waiter is not None:
                raise RuntimeError("an answer has one reader at a time")
            loop = connection.loop
            self.since = loop.time()
            self.waiter = waiter = loop.create_future()
            try:
                await waiter
            except BaseException:
                self.close()
                raise
            if not pieces:
                return self._end()
        data = b"".join(pieces)  # does not copy a single piece
        pieces.clear()
        self.size = 0
        if self.paused:
            self._resume()
        return data

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        if self.complete and self.size <= limit:
            data = b"".join(self.pieces)
            self.pieces.clear()
            return data
        taken: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.close()
                raise ResponseTooLarge(f"the body is longer than {limit} bytes", "body")
            taken.append(data)
        return b"".join(taken)

    def close(self) -> None:
        if self.connection is not None:
            self.pieces.clear()
            self.connection.fail(failures.closed("body" if self.status else "headers"))

    def wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def due(self) -> tuple[float, LimitName, float]:
        """The instant at which a limit strikes, its name and its value. Silence counts only while somebody waits."""
        limits = self.limits
        at = self.begun_at + limits.total_s
        if not self.status and self.since + limits.first_byte_s < at:
            return self.since + limits.first_byte_s, "first_byte", limits.first_byte_s
        if self.status and self.waiter is not None and self.since + limits.idle_s < at:
            return self.since + limits.idle_s, "idle", limits.idle_s
        return at, "total", limits.total_s

    def _end(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b""

    def _resume(self) -> None:
        self.paused = False
        if self.connection is not None:
            self.connection.transport.resume_reading()
