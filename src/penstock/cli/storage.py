"""`penstock storage`: can files be kept where STORAGE_DRIVER says? Tried with a small file that is removed again."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import typer

from penstock.cli.terminal import remark, run
from penstock.database.engine import open_database
from penstock.database.migrate import prepare
from penstock.errors import PenstockError
from penstock.kit.ids import ulid
from penstock.migrations import HEAD, SCRIPTS
from penstock.settings import Settings, load_settings
from penstock.storage.base import BlobNotFound, Storage, StorageUnavailable
from penstock.storage.drivers import identity_of, open_storage
from penstock.telemetry.logs import configure_logs

app = typer.Typer(no_args_is_help=True)

_SILENT = 60
_CONTENT = b"penstock storage check"
_PLACE = "storage-check"


@app.callback()
def storage() -> None:
    """Check where the files that users attach are kept."""


@app.command()
def check() -> None:
    """Write, read, list and delete a small file. Exits with 1 when one of them fails, and says what to mend."""
    settings = load_settings()
    configure_logs(_SILENT)  # what goes wrong is the result
    status = 0
    try:
        run(_check(settings))
    except (SystemExit, typer.Exit) as ended:
        status = int(getattr(ended, "exit_code", None) or getattr(ended, "code", None) or 0)
    # Threads of obstore may still be at work on a refused request; an interpreter that ends under them is aborted.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _check(settings: Settings) -> None:
    options = settings.storage
    where = options.where()
    print(f"STORAGE_DRIVER is {options.driver}: {where if options.driver != 'database' else settings.database.where()}")
    if (who := identity_of(options)) is not None:
        print(f"  identity: {who}")
    async with aclosing(open_database(settings.database)) as database:
        if options.driver == "database":
            retry_for_s = settings.server.startup_retry_s
            await prepare(database, scripts=SCRIPTS, head=HEAD, say=remark, retry_for_s=retry_for_s)
        async with aclosing(await open_storage(options, database)) as opened:
            await _try(opened)


async def _try(storage: Storage) -> None:
    key = f"{_PLACE}/{ulid()}"
    step = "write"
    try:
        await storage.put(key, _content())
        print("  written")
        step = "read"
        await _read(storage, key)
        print("  read")
        step = "list"
        if key not in [found async for found in storage.keys(_PLACE)]:
            raise StorageUnavailable("A file that was just written is not listed.")
        print("  listed")
        step = "delete"
        await storage.delete(key)
        print("  deleted")
    except PenstockError:
        print(f"  failed to {step}")
        if step in {"read", "list"}:
            await _remove(storage, key)
        raise


async def _read(storage: Storage, key: str) -> None:
    try:
        async with storage.open(key) as pieces:
            found = b"".join([piece async for piece in pieces])
    except BlobNotFound as error:
        raise StorageUnavailable("A file that was just written is not found.") from error
    if found != _CONTENT:
        raise StorageUnavailable("A file that was just written has another content.")


async def _remove(storage: Storage, key: str) -> None:
    try:
        await storage.delete(key)
    except StorageUnavailable:
        remark(f"The file {key} stays behind.")


async def _content() -> AsyncIterator[bytes]:
    yield _CONTENT
