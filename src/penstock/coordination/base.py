"""The coordination port: what processes agree on while they run. Nothing here outlives its time to live.

Drivers: `memory` (one process) and `redis`. Both pass `tests/contracts/test_coordination.py`. Keys are plain text,
`room:thing:id`; the driver adds the installation's prefix. Values are bytes. Every key has a time to live.

When the driver cannot reach its server every method raises `CoordinationUnavailable`, promptly (within a second);
the next call tries again, so recovery needs nobody. What to do without coordination is the caller's decision.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from penstock.errors import Unavailable


class CoordinationUnavailable(Unavailable):
    code = "coordination_unavailable"


class Count(msgspec.Struct, frozen=True):
    """`total` in the current window after the addition; `resets_in_s` until that window ends."""

    total: int
    resets_in_s: float


class Lease(msgspec.Struct, frozen=True):
    """A lock that runs out by itself.

    `fence` grows with every grant of the same key (until the key has been free for a day), so that a late write by
    a former holder can be told apart. `holder` is what the holder wrote about itself.
    """

    key: str
    token: str
    fence: int
    holder: bytes = b""


class Counters(Protocol):
    async def add(self, key: str, amount: int, window_s: float) -> Count:
        """Add in the current fixed window (aligned to the epoch, so that processes agree). Atomic."""

    async def peek(self, key: str, window_s: float) -> Count: ...


class Leases(Protocol):
    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        """The lease, or None while somebody else has it."""

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        """Extend it. False when it is no longer ours: then it was lost, and stays lost."""

    async def release(self, lease: Lease) -> bool:
        """Free the key if it is still ours; never frees another's."""

    async def holder(self, key: str) -> bytes | None:
        """What the present holder wrote, None when the key is free."""


class Cache(Protocol):
    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None: ...

    async def delete(self, key: str) -> None: ...


class Broadcast(Protocol):
    async def publish(self, channel: str, message: bytes) -> None:
        """At most once, to whoever listens now, this process included."""

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages published after the block was entered.

        The iterator survives the loss of the server: it goes on when the server is back, without what was
        published meanwhile. Callers that must not miss anything poll a version beside it.
        """


class Coordination(Protocol):
    counters: Counters
    leases: Leases
    cache: Cache
    broadcast: Broadcast

    async def ping(self) -> None:
        """Raises CoordinationUnavailable."""

    async def aclose(self) -> None: ...
