"""Transactions that are worth a second try."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from penstock.database.engine import Database, Transaction
from penstock.database.failures import WriteConflict

T = TypeVar("T")

_ATTEMPTS = 4


async def changed(database: Database, step: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run `step` in a transaction of its own, again when the database resolved a deadlock at its expense.

    `step` must make its rows anew each time. Raises what it raises, and WriteConflict when it never got through.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(WriteConflict):
            return await _once(database, step)
    return await _once(database, step)


async def _once(database: Database, step: Callable[[Transaction], Awaitable[T]]) -> T:
    async with database.transaction() as tx:
        result = await step(tx)
        await tx.flush()
    return result
