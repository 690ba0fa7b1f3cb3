"""The services, opened for one command: on the configured database, whether or not the service runs."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from penstock.cli.terminal import remark
from penstock.coordination.drivers import open_coordination
from penstock.database.engine import open_database
from penstock.database.migrate import prepare
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.migrations import HEAD, SCRIPTS
from penstock.settings import load_settings


@asynccontextmanager
async def open_identity() -> AsyncIterator[Identity]:
    """Creates the tables of an empty database first. Raises SettingsError or CannotPrepare."""
    settings = load_settings()
    async with (
        aclosing(open_database(settings.database)) as database,
        # Not the configured coordination: the service notices changes by polling too, and a command should not wait
        # for a Redis that is down.
        aclosing(await open_coordination(None)) as coordination,
    ):
        retry_for_s = settings.server.startup_retry_s
        await prepare(database, scripts=SCRIPTS, head=HEAD, say=remark, retry_for_s=retry_for_s)
        masters = MasterSecrets(settings.master_secrets())
        yield Identity(database, coordination.broadcast, masters, settings.management_secret)
