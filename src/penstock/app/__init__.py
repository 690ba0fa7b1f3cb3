"""Builds and wires everything, bottom up, on one exit stack. The only room that knows every other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.app.background import Work, background
from penstock.app.editor import open_editor
from penstock.app.gateway import open_gateway
from penstock.app.ground import open_ground
from penstock.app.routes import door
from penstock.coordination.base import Coordination
from penstock.database.engine import Database
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.identity.service import Identity
from penstock.http.door import Door
from penstock.settings import Settings
from penstock.telemetry.loop_lag import watch_loop_lag

if TYPE_CHECKING:
    from penstock.telemetry.prometheus import Prometheus


@dataclass(frozen=True)
class House:
    """What stands behind the door, for those who start it."""

    door: Door
    identity: Identity
    catalog: Catalog
    database: Database
    coordination: Coordination


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """Connect, migrate and wire; everything is closed in reverse order.

    Raises CannotPrepare when the database cannot be used, StorageUnavailable when files cannot be kept,
    CoordinationUnavailable when Redis stays out of reach for STARTUP_RETRY_SECONDS, and SecretsUnreadable.
    """
    async with AsyncExitStack() as stack:
        metrics = _metrics(settings, stack)
        ground = await open_ground(settings, stack)
        gateway = await open_gateway(settings, ground, stack)
        editor = open_editor(settings, ground, gateway, stack)
        await stack.enter_async_context(background(*gateway.works, *editor.works, *_watches(metrics)))
        yield House(
            door(settings, ground, gateway, editor, metrics),
            gateway.identity,
            gateway.catalog,
            ground.database,
            ground.coordination,
        )


def _metrics(settings: Settings, stack: AsyncExitStack) -> "Prometheus | None":
    if not settings.logs.metrics:
        return None
    from penstock.telemetry.prometheus import counting

    return stack.enter_context(counting())


def _watches(metrics: "Prometheus | None") -> tuple[Work, ...]:
    return () if metrics is None else (watch_loop_lag,)
