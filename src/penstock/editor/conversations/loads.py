"""How many bytes of files are on their way to models at once in this process.

A message carries the files of its whole conversation, up to 30 MiB of them, and a provider's request holds them as
text, a third longer: a hundred such messages at a time would be gigabytes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from penstock.errors import Unavailable

MOST_BYTES: Final = 384 * 1024 * 1024
_WITHIN_S: Final = 30.0


class TooManyFilesAtOnce(Unavailable):
    code = "too_many_files_at_once"

    def __init__(self) -> None:
        super().__init__(
            "The service is busy with the files of other messages.",
            explanation="As many bytes of files are on their way to models as may be at once.",
            action="Send the message again in a moment, or with fewer files.",
            retry_after_s=5,
        )


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    size_bytes: int
    may_go: "asyncio.Future[None]"


class Loads:
    """Whoever comes first goes first. Who alone carries more than there is room for goes when nobody else is there."""

    def __init__(self, most_bytes: int = MOST_BYTES, within_s: float = _WITHIN_S) -> None:
        self._most_bytes, self._within_s = most_bytes, within_s
        self._carried_bytes = 0
        self._queue: deque[_Waiting] = deque()

    @asynccontextmanager
    async def carrying(self, size_bytes: int) -> AsyncGenerator[None, None]:
        """Room for `size_bytes` until the block is left. Raises TooManyFilesAtOnce when there is none in time."""
        if size_bytes == 0:
            yield
            return
        size_bytes = min(size_bytes, self._most_bytes)
        await self._wait(size_bytes)
        try:
            yield
        finally:
            self._carried_bytes -= size_bytes
            self._let_go()

    async def _wait(self, size_bytes: int) -> None:
        mine = _Waiting(size_bytes, asyncio.get_running_loop().create_future())
        self._queue.append(mine)
        self._let_go()
        try:
            await asyncio.wait_for(asyncio.shield(mine.may_go), self._within_s)
        except BaseException as error:
            if mine.may_go.done():
                self._carried_bytes -= size_bytes
            else:
                self._queue.remove(mine)
            self._let_go()
            if isinstance(error, TimeoutError):
                raise TooManyFilesAtOnce from error
            raise

    def _let_go(self) -> None:
        while self._queue and self._carried_bytes + self._queue[0].size_bytes <= self._most_bytes:
            first = self._queue.popleft()
            self._carried_bytes += first.size_bytes
            first.may_go.set_result(None)
