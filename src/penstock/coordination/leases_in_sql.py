"""Leases kept by the database: slower than Redis, and there when Redis is not.

The clock is the database server's, read inside the statement that decides. Replicas whose clocks differ would
otherwise take each other's leases for expired; the database is the one clock that all of them already share.
"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from sqlalchemy import BigInteger, CursorResult, case, delete, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from penstock.coordination.base import CoordinationUnavailable, Lease, Leases
from penstock.coordination.tables import LeaseRow
from penstock.database.engine import Database, Transaction
from penstock.database.failures import AlreadyExists, DatabaseUnavailable, WriteConflict

_DAY_MS = 24 * 60 * 60 * 1000
_SWEEP_EVERY_S = 3600.0


class SqlLeases(Leases):
    """Keys have at most 255 characters. How promptly an outage is noticed is up to the database's own limits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sweep_at = time.monotonic() + _SWEEP_EVERY_S

    async def acquire(self, key: str, ttl_s: float, holder: bytes = b"") -> Lease | None:
        lease = Lease(key, secrets.token_urlsafe(16), 0, holder)
        try:
            async with self._transaction() as tx:
                await self._sweep(tx)
                if not await _take(tx, lease, ttl_s):
                    return None
                fence = await tx.scalar(select(LeaseRow.fence).where(LeaseRow.key == key))
        except (AlreadyExists, WriteConflict):  # somebody else was faster
            return None
        return Lease(key, lease.token, fence or 0, holder)

    async def renew(self, lease: Lease, ttl_s: float) -> bool:
        return await self._change(lease, expires_at_ms=_now_ms() + _milliseconds(ttl_s))

    async def release(self, lease: Lease) -> bool:
        return await self._change(lease, expires_at_ms=_now_ms(), holder=b"")

    async def holder(self, key: str) -> bytes | None:
        held = select(LeaseRow.holder).where(LeaseRow.key == key, LeaseRow.expires_at_ms > _now_ms())
        async with self._reading() as tx:
            return await tx.scalar(held)

    async def _change(self, lease: Lease, **values: Any) -> bool:
        ours = (LeaseRow.key == lease.key, LeaseRow.token == lease.token, LeaseRow.expires_at_ms > _now_ms())
        try:
            async with self._transaction() as tx:
                return await _rows(tx, update(LeaseRow).where(*ours).values(**values)) == 1
        except WriteConflict as error:
            raise _unavailable() from error

    async def _sweep(self, tx: Transaction) -> None:
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_EVERY_S
        await tx.execute(delete(LeaseRow).where(LeaseRow.expires_at_ms < _now_ms() - _DAY_MS))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        try:
            async with self._database.transaction() as tx:
                yield tx
        except DatabaseUnavailable as error:
            raise _unavailable() from error

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Transaction]:
        try:
            async with self._database.reading() as tx:
                yield tx
        except (DatabaseUnavailable, WriteConflict) as error:
            raise _unavailable() from error


async def _take(tx: Transaction, lease: Lease, ttl_s: float) -> bool:
    """Raises AlreadyExists when another process inserts the same new key first."""
    now = _now_ms()
    values: dict[str, Any] = {
        "token": lease.token,
        "holder": lease.holder,
        "expires_at_ms": now + _milliseconds(ttl_s),
    }
    # The fence is the time in milliseconds, as in Redis, or one more than the last.
    fence = case((LeaseRow.fence >= now, LeaseRow.fence + 1), else_=now)
    free = update(LeaseRow).where(LeaseRow.key == lease.key, LeaseRow.expires_at_ms <= now)
    if await _rows(tx, free.values(**values, fence=fence)):
        return True
    if await tx.scalar(select(LeaseRow.key).where(LeaseRow.key == lease.key)) is not None:
        return False
    await tx.execute(insert(LeaseRow).values(**values, key=lease.key, fence=now))
    return True


async def _rows(tx: Transaction, statement: Any) -> int:
    result = await tx.execute(statement, execution_options={"synchronize_session": False})
    return cast(CursorResult[Any], result).rowcount


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _unavailable() -> CoordinationUnavailable:
    return CoordinationUnavailable(
        "Locks are not available.",
        explanation="The database that keeps them cannot be used at present.",
        action="Try again in a moment. If it lasts, look at the database server and its log.",
    )


# --- the server's clock ----------------------------------------------------------------------------------------------


class _Now(FunctionElement[int]):
    """Milliseconds since 1970 in UTC, by the server's clock."""

    type = BigInteger()
    inherit_cache = True


def _now_ms() -> ColumnElement[int]:
    return _Now()


@compiles(_Now, "sqlite")
def _sqlite_now(_element: _Now, _compiler: Any, **_options: Any) -> str:
    # 2440587.5 is the Julian day of 1970-01-01; a double keeps a Julian day to less than a millisecond.
    return "CAST(ROUND((JULIANDAY('now') - 2440587.5) * 86400000.0) AS INTEGER)"


@compiles(_Now, "postgresql")
def _postgres_now(_element: _Now, _compiler: Any, **_options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000 AS BIGINT)"


@compiles(_Now, "mysql", "mariadb")
def _mysql_now(_element: _Now, _compiler: Any, **_options: Any) -> str:
    # Not UNIX_TIMESTAMP: it reads its argument in the session's time zone, where one hour a year comes twice.
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)"
