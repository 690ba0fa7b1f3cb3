"""Contents that nobody will ask for any more, deleted in the background.

Forgetting a key and deleting its content are two systems: only a list that is written with the first survives what
can happen between them. An upload is on the list, too, until its own row is there:

    async with database.transaction() as tx:
        await doomed.doom(tx, [key], now + an hour)
    await storage.put(key, content)
    async with database.transaction() as tx:
        tx.add(the row that names the key)
        await doomed.spare(tx, key)

A key that is due is deleted whatever happens, so a key is never used a second time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Insert, delete, insert, select, update

from penstock.database.engine import Database, Transaction
from penstock.database.failures import Dialect
from penstock.errors import Unavailable
from penstock.kit.clock import Clock
from penstock.storage.base import Storage, checked
from penstock.storage.tables import DoomedBlobRow
from penstock.telemetry.logs import log

_KEYS_AT_ONCE = 50
# The clocks of replicas differ: nobody spares what another may take for due already.
_CLOCKS_DIFFER = timedelta(minutes=1)


class UploadTooSlow(Unavailable):
    """The key was due before the upload was complete; its content is deleted, or soon will be."""

    code, retryable = "upload_too_slow", True


class DoomedBlobs:
    def __init__(self, database: Database, storage: Storage, clock: Clock) -> None:
        self._database = database
        self._storage = storage
        self._clock = clock

    async def doom(self, tx: Transaction, keys: Iterable[str], due_at: datetime) -> None:
        """From `due_at` on the contents of `keys` are deleted, if `tx` is committed. A key that is doomed already
        keeps the earlier instant. Raises ValueError for what is no key."""
        wanted = sorted({checked(key) for key in keys})
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            some = wanted[start : start + _KEYS_AT_ONCE]
            await tx.execute(_unless_there(self._database.dialect), [{"key": key, "due_at": due_at} for key in some])
            later = (DoomedBlobRow.key.in_(some), DoomedBlobRow.due_at > due_at)
            await tx.execute(update(DoomedBlobRow).where(*later).values(due_at=due_at))

    async def spare(self, tx: Transaction, key: str) -> None:
        """The row that names `key` is written in this transaction. Raises UploadTooSlow: then it must not be."""
        alive = DoomedBlobRow.due_at > self._clock.now() + _CLOCKS_DIFFER
        result = await tx.execute(delete(DoomedBlobRow).where(DoomedBlobRow.key == key, alive))
        if cast(CursorResult[Any], result).rowcount != 1:
            raise UploadTooSlow(
                "The upload took too long.",
                explanation="What was uploaded so far has been given up.",
                action="Upload the file again, over a faster connection if you can.",
            )

    async def sweep(self) -> int:
        """Delete what is due; how many keys. Several replicas may do this at once. It ends early when the storage or
        the database cannot be used: what is left is due the next time."""
        swept = 0
        try:
            while keys := await self._due():
                for key in keys:
                    await self._storage.delete(key)
                    swept += 1
                await self._forget(keys)
        except Unavailable as error:
            log.warning("deleting contents goes on later", reason=error.message, explanation=error.explanation)
        return swept

    async def _due(self) -> Sequence[str]:
        due = select(DoomedBlobRow.key).where(DoomedBlobRow.due_at <= self._clock.now())
        async with self._database.reading() as tx:
            return list(await tx.scalars(due.order_by(DoomedBlobRow.due_at).limit(_KEYS_AT_ONCE)))

    async def _forget(self, keys: Sequence[str]) -> None:
        async with self._database.transaction() as tx:
            await tx.execute(delete(DoomedBlobRow).where(DoomedBlobRow.key.in_(keys)))


def _unless_there(dialect: Dialect) -> Insert:
    """Insert, and leave a row alone that another transaction may be writing at this moment."""
    if dialect == "mysql":
        return insert(DoomedBlobRow).prefix_with("IGNORE")
    if dialect == "postgres":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(DoomedBlobRow).on_conflict_do_nothing()
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(DoomedBlobRow).on_conflict_do_nothing()
