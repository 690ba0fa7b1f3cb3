"""What only the database driver of leases has: the server's clock, several processes, an outage."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from penstock.coordination import leases_in_sql
from penstock.coordination.base import CoordinationUnavailable, Lease
from penstock.coordination.leases_in_sql import SqlLeases
from penstock.coordination.tables import LeaseRow
from penstock.database.engine import Database, DatabaseOptions, open_database
from penstock.kit.clock import SystemClock
from tests.coordination.databases import leases_database
from tests.coordination.servers import free_ports

HOUR_MS = 3_600_000


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with leases_database(request.param, tmp_path) as found:
        yield found


async def test_the_clock_is_the_servers_in_utc(database: Database) -> None:
    async with database.transaction() as tx:
        if database.dialect != "sqlite":
            zone = "SET time_zone = '+05:30'" if database.dialect == "mysql" else "SET LOCAL TIME ZONE 'Asia/Kolkata'"
            await tx.execute(text(zone))
        now_ms = await tx.scalar(select(leases_in_sql._now_ms()))
    assert now_ms is not None
    # The servers of the tests share our clock; a wrong zone or unit would be far off.
    assert abs(now_ms - SystemClock().now().timestamp() * 1000) < HOUR_MS / 4


async def test_rows_of_keys_that_were_free_for_a_day_are_removed(database: Database) -> None:
    leases = SqlLeases(database)
    for key in ("old", "young"):
        lease = await leases.acquire(key, 60)
        assert lease is not None
        await leases.release(lease)
    async with database.transaction() as tx:
        aged = LeaseRow.expires_at_ms - 25 * HOUR_MS
        await tx.execute(update(LeaseRow).where(LeaseRow.key == "old").values(expires_at_ms=aged))
    leases._sweep_at = 0.0
    assert await leases.acquire("new", 60) is not None
    async with database.reading() as tx:
        assert await tx.scalar(select(func.count()).select_from(LeaseRow)) == 2


async def test_a_database_that_is_away_makes_locks_unavailable() -> None:
    (nobody,) = free_ports(1)
    database = open_database(DatabaseOptions(driver="postgres", port=nobody, user="postgres", database="nothing"))
    leases = SqlLeases(database)
    lease = Lease("k", "token", 1)
    for attempt in (leases.acquire("k", 1), leases.renew(lease, 1), leases.release(lease), leases.holder("k")):
        with pytest.raises(CoordinationUnavailable):
            await attempt
    await database.aclose()
