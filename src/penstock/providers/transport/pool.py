"""The connections of one relay: which are open, and which wait for another exchange."""

import asyncio

from penstock.providers.transport import failures
from penstock.providers.transport.base import Origin
from penstock.providers.transport.connection import Connection

IDLE_S = 55.0
"""Below the 60 s after which the load balancers of the large clouds close without a word."""

KEPT_PER_ORIGIN = 256


class Pool:
    """Keeps idle connections per origin, the most recently used on top. There is no cap on busy ones."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._most_idle = KEPT_PER_ORIGIN
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def take(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        return idle.pop() if idle else None

    def keep(self, connection: Connection) -> None:
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        if len(idle) >= self._most_idle:
            connection.abort()
            return
        connection.idle_since = connection.loop.time()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(self._idle_s, self._evict, connection.loop)

    def forget(self, connection: Connection) -> None:
        """It is going away, or gone: nobody gets it any more. May be told twice."""
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)

    def gone(self, connection: Connection) -> None:
        self.forget(connection)
        self._open.discard(connection)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    def retire(self) -> None:
        """Keep nothing any more."""
        self._most_idle = 0
        for idle in self._idle.values():
            while idle:
                idle.pop().abort()

    async def close(self) -> None:
        """Cut everything, and return when the sockets are closed."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in list(self._open):
            connection.fail(failures.closed(connection.phase))
        if self._open:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    def _evict(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        long_ago = loop.time() - self._idle_s
        oldest = loop.time()
        for idle in self._idle.values():
            while idle and idle[0].idle_since <= long_ago:
                idle.pop(0).abort()
            if idle:
                oldest = min(oldest, idle[0].idle_since)
        if any(self._idle.values()):
            self._sweep = loop.call_at(oldest + self._idle_s, self._evict, loop)
