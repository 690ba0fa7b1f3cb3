"""An answer of a provider, as far as it has come."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from penstock.errors import UpstreamError
from penstock.providers.base import Reader
from penstock.providers.transport.base import MAX_ERROR_BYTES, Response, TransportError

Output = TypeVar("Output")

Explain = Callable[[UpstreamError | TransportError], UpstreamError]
"""Puts a failure into the names of this installation."""

_DRAIN_S = 1.0
_FINISHING_S = 5.0


class Answer(Generic[Output]):
    """An answer of which something can be shown, or all of it. Whoever holds it must `close` it."""

    __slots__ = ("_drained", "_ended", "_explain", "_response", "has_failed", "is_expired", "reader", "ready")

    def __init__(self, response: Response, reader: Reader[Output], explain: Explain) -> None:
        self.reader = reader
        self.ready: list[Output] = []
        """What was read until the answer had begun; `next` gives what follows."""
        self._response = response
        self._explain = explain
        self.is_expired = False
        self.has_failed = False
        self._drained = False
        self._ended = False

    @property
    def is_here(self) -> bool:
        """All of it: reading waits for nothing."""
        return self._response.complete

    @property
    def is_whole(self) -> bool:
        """It was read to its end, and lacks nothing."""
        return self._ended and not self.has_failed

    async def begin(self) -> None:
        """Read until there is something to show. Raises UpstreamError: then another attempt is allowed."""
        while not self.reader.begun:
            output = await self.next()
            if output is None:
                return
            self.ready.append(output)

    async def next(self) -> Output | None:
        """What the next read brought, None after the end. Raises UpstreamError."""
        reader = self.reader
        if self._ended:
            if not self._drained:
                await self._drain()
            return None
        try:
            if not reader.terminated and reader.failure is None:
                data = await (self._last_words() if reader.complete else self._response.read())
                if data:
                    return reader.feed(data)
                self._drained = True
            self._ended = True
            return reader.end()
        except TransportError as error:
            self.has_failed = True
            raise self._explain(error) from error
        except UpstreamError as error:
            self.has_failed = True
            raise self._explain(error) from error.__cause__

    async def _last_words(self) -> bytes:
        """After its finish reason an answer lacks usage and terminator only; some servers send neither, and stay."""
        is_quiet = False

        def give_up() -> None:
            nonlocal is_quiet
            is_quiet = True
            self._response.close()

        timer = asyncio.get_running_loop().call_later(_FINISHING_S, give_up)
        try:
            return await self._response.read()
        except TransportError:
            if not is_quiet:
                raise
            return b""
        finally:
            timer.cancel()

    async def _drain(self) -> None:
        """After its terminator a body has nothing more to say; its orderly end lets the connection be used again."""
        self._drained = True
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self._response.read():
                    pass
        except (TransportError, TimeoutError):
            pass

    def expire(self) -> None:
        """Give up waiting: a read under way fails."""
        self.is_expired = True
        self._response.close()

    def close(self) -> None:
        """At once: an answer that was not read to its end costs its connection."""
        self._response.close()


async def error_body(response: Response) -> bytes:
    """What a refusal says, as far as it comes soon: the status alone says enough to go on."""
    said = bytearray()
    try:
        async with asyncio.timeout(_FINISHING_S):
            while len(said) < MAX_ERROR_BYTES and (piece := await response.read()):
                said += piece
    except (TransportError, TimeoutError):
        pass
    return bytes(said[:MAX_ERROR_BYTES])
