"""What everything stands on: the database, coordination, storage, and the secrets of the installation."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock import migrations
from penstock.coordination.base import Coordination, CoordinationUnavailable, Leases
from penstock.coordination.drivers import open_coordination
from penstock.coordination.fallback import FallbackLeases
from penstock.coordination.leases_in_sql import SqlLeases
from penstock.database.engine import Database, open_database
from penstock.database.migrate import prepare
from penstock.kit.clock import Clock, SystemClock
from penstock.settings import Settings
from penstock.storage.base import Storage
from penstock.storage.counted import CountedStorage
from penstock.storage.drivers import open_storage
from penstock.telemetry.logs import log


@dataclass(frozen=True, repr=False)
class Ground:
    """`masters` are the installation's secrets: the first seals, every one opens."""

    clock: Clock
    database: Database
    coordination: Coordination
    leases: Leases
    storage: Storage
    masters: tuple[str, ...]


async def open_ground(settings: Settings, stack: AsyncExitStack) -> Ground:
    """Connect and migrate. Raises CannotPrepare, CoordinationUnavailable, StorageUnavailable."""
    database = open_database(settings.database)
    stack.push_async_callback(database.aclose)
    await prepare(
        database,
        scripts=migrations.SCRIPTS,
        head=migrations.HEAD,
        retry_for_s=settings.server.startup_retry_s,
        say=log.warning,
    )
    coordination = await open_coordination(settings.redis)
    stack.push_async_callback(coordination.aclose)
    await _reach(coordination, settings.server.startup_retry_s)
    storage = await open_storage(settings.storage, database)
    stack.push_async_callback(storage.aclose)
    if settings.logs.metrics:
        storage = CountedStorage(storage)
    return Ground(
        clock=SystemClock(),
        database=database,
        coordination=coordination,
        # Within one process there is nothing that could go away.
        leases=FallbackLeases(coordination.leases, SqlLeases(database)) if settings.redis else coordination.leases,
        storage=storage,
        masters=settings.master_secrets(),
    )


async def _reach(coordination: Coordination, retry_for_s: float) -> None:
    """Wait for Redis, as `prepare` waits for the database: both may be starting beside us (S008)."""
    deadline = time.monotonic() + retry_for_s
    while True:
        try:
            return await coordination.ping()
        except CoordinationUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for Redis", reason=error.message, explanation=error.explanation)
        await asyncio.sleep(1)
