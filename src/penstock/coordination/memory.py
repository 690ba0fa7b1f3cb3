"""The driver for one process: everything is in its memory, and ends with it."""

import math
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from penstock.coordination.base import Broadcast, Cache, Coordination, Count, Counters, Lease, Leases
from penstock.coordination.inbox import Inbox
from penstock.coordination.shelf import Shelf
from penstock.kit.clock import Clock, SystemClock

MAX_CACHED = 10_000


class Memory(Coordination):
    def __init__(self, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._broadcast = _Broadcast()
        self.counters: Counters = _Counters(clock)
        self.leases: Leases = _Leases(clock)
        self.cache: Cache = _Cache(clock)
        self.broadcast: Broadcast = self._broadcast

    async def ping(self) -> None:
        return None

    async def aclose(self) -> None:
        """Subscriptions end."""
        self._broadcast.close()


class _Window(NamedTuple):
    number: int
    total: int


class _Counters:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: Shelf[_Window] = Shelf(clock)

    async def add(self, key: str, amount: int, window_s: float) -> Count:
        number, resets_in_s = self._present(window_s)
        total = self._total(key, window_s, number) + amount
        self._windows.put(_name(key, window_s), _Window(number, total), resets_in_s)
        return Count(total, resets_in_s)

    async def peek(self, key: str, window_s: float) -> Count:
        number, resets_in_s = self._present(window_s)
        return Count(self._total(key, window_s, number), resets_in_s)

    def _total(self, key: str, window_s: float, number: int) -> int:
        window = self._windows.get(_name(key, window_s))
        # The wall clock decides the window, the monotonic one when memory is freed; the two may drift apart.
        return window.total if window is not None and window.number == number else 0

    def _present(self, window_s: float) -> tuple[int, float]:
        now_s = self._clock.now().timestamp()
        number = math.floor(now_s / window_s)
        return number, (number + 1) * window_s - now_s


def _name(key: str, window_s: float) -> str:
    return f"{window_s}:{key}"


class _Leases:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: Shelf[Lease] = Shelf(clock)
        self._last_fence = 0

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        if self._held.get(key) is not None:
            return None
        lease = Lease(key, secrets.token_urlsafe(16), self._fence(), holder)
        self._held.put(key, lease, ttl_s)
        return lease

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        held = self._ours(lease)
        if held is None:
            return False
        self._held.put(lease.key, held, ttl_s)
        return True

    async def release(self, lease: Lease) -> bool:
        if self._ours(lease) is None:
            return False
        self._held.drop(lease.key)
        return True

    async def holder(self, key: str) -> bytes | None:
        held = self._held.get(key)
        return None if held is None else held.holder

    def _ours(self, lease: Lease) -> Lease | None:
        held = self._held.get(lease.key)
        return held if held is not None and held.token == lease.token else None

    def _fence(self) -> int:
        # Milliseconds, as in every driver of leases: fences stay in order when one takes over from another.
        self._last_fence = max(self._last_fence + 1, int(self._clock.now().timestamp() * 1000))
        return self._last_fence


class _Cache:
    def __init__(self, clock: Clock) -> None:
        self._values: Shelf[bytes] = Shelf(clock, capacity=MAX_CACHED)

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self._values.put(key, value, ttl_s)

    async def delete(self, key: str) -> None:
        self._values.drop(key)


class _Broadcast:
    def __init__(self) -> None:
        self._inboxes: dict[str, set[Inbox]] = {}

    async def publish(self, channel: str, message: bytes) -> None:
        for inbox in self._inboxes.get(channel, ()):
            inbox.put(message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._subscribed(channel)

    @asynccontextmanager
    async def _subscribed(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        inbox = Inbox()
        self._inboxes.setdefault(channel, set()).add(inbox)
        try:
            yield inbox
        finally:
            inbox.close()
            self._inboxes[channel].discard(inbox)
            if not self._inboxes[channel]:
                del self._inboxes[channel]

    def close(self) -> None:
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.close()
