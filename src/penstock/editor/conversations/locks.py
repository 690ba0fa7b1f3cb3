"""Who may write in a conversation: one turn at a time, on all replicas together (`spec/editor-api.md` 17.6)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import msgspec

from penstock.coordination.base import CoordinationUnavailable, Lease, Leases
from penstock.editor.conversations.errors import ConversationInUse
from penstock.telemetry.logs import log

TTL_S: Final = 10.0
BEAT_S: Final = 2.0
_ASK_EVERY_S = 0.05

Pulse = Callable[[], Awaitable[datetime | None]]
"""When the holder last touched the answer it writes."""


class Lock(msgspec.Struct, frozen=True):
    """`asked_at` (monotonic) is just before the lease was granted."""

    lease: Lease
    asked_at: float

    def was_held_until_now(self) -> bool:
        """Whether nobody else can have had it since it was taken. False after a long standstill of this process."""
        return time.monotonic() - self.asked_at < TTL_S / 2


class Locks:
    """`wait_s`: how long a message waits for the one before it.

    A holder renews its lock every `BEAT_S`. One that died keeps it for `TTL_S` at most.
    """

    def __init__(self, leases: Leases, *, wait_s: float) -> None:
        self._leases = leases
        self._wait_s = wait_s

    async def take(self, conversation_row_id: str, pulse: Pulse) -> Lock:
        """Raises ConversationInUse when somebody who lives keeps it for `wait_s`.

        A holder without a pulse is dead: then the wait goes on until its lease runs out, because an editor has no use
        for the refusal.
        """
        key = f"conversation:{conversation_row_id}"
        return await self._try(key) or await self._wait(key, pulse)

    async def keep(self, lock: Lock) -> bool:
        """False when the lock was lost. Without coordination it counts as kept: the rows decide then."""
        try:
            return await self._leases.renew(lock.lease, TTL_S)
        except CoordinationUnavailable as error:
            log.warning("a conversation lock could not be renewed", reason=error.message)
            return True

    async def release(self, lock: Lock) -> None:
        try:
            await self._leases.release(lock.lease)
        except CoordinationUnavailable as error:
            log.warning("a conversation lock is left to run out", reason=error.message)

    async def is_free(self, conversation_row_id: str) -> bool:
        return await self._leases.holder(f"conversation:{conversation_row_id}") is None

    async def freed(self, conversation_row_id: str) -> None:
        """Wait, for as long as it takes."""
        while True:
            if await self.is_free(conversation_row_id):
                return
            await asyncio.sleep(_ASK_EVERY_S)

    async def _try(self, key: str) -> Lock | None:
        asked_at = time.monotonic()
        lease = await self._leases.acquire(key, TTL_S)
        return None if lease is None else Lock(lease, asked_at)

    async def _wait(self, key: str, pulse: Pulse) -> Lock:
        began = time.monotonic()
        first = await pulse()
        deadline = began + self._wait_s
        while True:
            await asyncio.sleep(_ASK_EVERY_S)
            lock = await self._try(key)
            if lock is not None:
                return lock
            now = time.monotonic()
            if now < deadline:
                continue
            is_dead = now - began > 2 * BEAT_S and await pulse() == first
            if not is_dead or now - began > TTL_S + BEAT_S:
                raise ConversationInUse
