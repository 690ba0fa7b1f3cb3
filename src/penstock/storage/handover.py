"""From the task that reads a content to the task of obstore that writes it, one piece at a time.

obstore would read the content in tasks of its own: a time limit or a context variable of the caller would not hold
there, and a cancelled upload would leave its parts behind, because only an iterator that raises makes obstore abort.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any


class BrokenOff(Exception):
    """Tells obstore to abort; never leaves the room."""


class Handover:
    """Give pieces, then `end`, or `break_off`. `writing` is what obstore does with them."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(1)
        self._pieces: asyncio.Queue[bytes | BrokenOff | None] = asyncio.Queue()
        self._is_over = False

    def begin(self, writing: Awaitable[Any]) -> asyncio.Future[Any]:
        """`writing` must read from this object."""
        future = asyncio.ensure_future(writing)
        future.add_done_callback(lambda _: self._release())
        return future

    async def give(self, piece: bytes) -> bool:
        """Wait until obstore takes more. False when it takes nothing any more, because it has failed."""
        await self._room.acquire()
        if self._is_over:
            self._room.release()
            return False
        self._pieces.put_nowait(piece)
        return True

    def end(self) -> None:
        self._pieces.put_nowait(None)

    async def break_off(self, writing: asyncio.Future[Any], limit_s: float) -> None:
        """Make obstore abort, and wait for it. What it then says is of no interest."""
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(BrokenOff())
        await asyncio.wait((writing,), timeout=limit_s)
        if not writing.done():
            writing.cancel()
            await asyncio.wait((writing,))
        if not writing.cancelled():
            writing.exception()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._pieces.get()
        self._room.release()
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, BrokenOff):
            raise piece
        return piece

    def _release(self) -> None:
        """Whoever waits on either side goes on."""
        self._is_over = True
        self._room.release()
        self._pieces.put_nowait(None)
