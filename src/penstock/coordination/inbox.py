"""What waits for one subscriber."""

import asyncio
from collections import deque

MAX_WAITING = 1024


class Inbox:
    """Messages in the order of their arrival, as an async iterator that ends after `close`.

    A subscriber that falls behind loses the oldest: broadcasts are at most once, and memory has a bound.
    """

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._changed = asyncio.Event()
        self._is_closed = False

    def put(self, message: bytes) -> None:
        self._messages.append(message)
        self._changed.set()

    def close(self) -> None:
        """What has arrived can still be read."""
        self._is_closed = True
        self._changed.set()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            if self._is_closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._messages.popleft()
