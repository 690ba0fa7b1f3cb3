"""A change of what credentials depend on: one transaction that counts the revision up, then word to every process."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from penstock.database.engine import Database, Transaction
from penstock.database.failures import AlreadyExists, WriteConflict
from penstock.gateway.identity.repository import Installation
from penstock.gateway.identity.revisions import Revisions
from penstock.kit.clock import Clock

T = TypeVar("T")

_ATTEMPTS = 4


class Changes:
    def __init__(self, database: Database, revisions: Revisions, clock: Clock) -> None:
        self._database, self._revisions, self._clock = database, revisions, clock
        self._is_seeded = False

    async def make(self, step: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `step` in a transaction. It may run more than once: another process may have been in the way."""
        await self._seed()
        result = await self._committed(step)
        await self._revisions.announce()
        return result

    async def _committed(self, step: Callable[[Transaction], Awaitable[T]]) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(WriteConflict):
                return await self._once(step)
        return await self._once(step)

    async def _once(self, step: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._database.transaction() as tx:
            result = await step(tx)
            await tx.flush()
            await Installation(tx).next_revision()
        return result

    async def _seed(self) -> None:
        """The rows that every installation has. Apart from the change itself: a lost race ends its transaction."""
        if self._is_seeded:
            return
        for add in (self._seed_partner, self._seed_revision):
            with suppress(AlreadyExists):
                async with self._database.transaction() as tx:
                    await add(tx)
        self._is_seeded = True

    async def _seed_partner(self, tx: Transaction) -> None:
        await Installation(tx).add_partner(self._clock.now())

    @staticmethod
    async def _seed_revision(tx: Transaction) -> None:
        await Installation(tx).add_revision()
