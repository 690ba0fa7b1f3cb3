"""Storage on every driver, each behind what a test needs to look at or to break."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
from sqlalchemy import func, select

from penstock.database.engine import Database, DatabaseOptions, open_database
from penstock.kit.secret import Secret
from penstock.storage.base import Storage
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions
from penstock.storage.tables import BlobPieceRow, BlobRow
from penstock.tables import metadata
from tests.coordination.proxy import Proxy, proxy
from tests.databases import KINDS, Prepared, empty_database
from tests.fakes.stores import azure_blobs, running_azurite, running_s3, s3_unfinished
from tests.settings.reports import load

BUCKETS = ("s3", "azure")
ALL = (*KINDS, "filesystem", *BUCKETS)
MIB = 1024 * 1024


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """`unfinished` counts what an upload has stored and nobody sees yet; `options` and `database` open it again."""

    storage: Storage
    options: StorageOptions
    database: Database
    unfinished: Callable[[], Awaitable[int]]


class Clouds:
    """Starts what is asked for, once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._known: dict[str, Mapping[str, str]] = {}

    def env(self, name: str) -> Mapping[str, str]:
        running: dict[str, Callable[[], AbstractContextManager[dict[str, str]]]] = {
            "s3": running_s3,
            "azure": running_azurite,
        }
        if name not in self._known:
            self._known[name] = self._stack.enter_context(running[name]())
        return self._known[name]

    def options(self, name: str) -> StorageOptions:
        """With a prefix of its own, so that what others left is not seen."""
        found = load(**self.env(name)).storage
        return msgspec.structs.replace(found, prefix=secrets.token_hex(8), limit_s=5.0)


@asynccontextmanager
async def opened(name: str, clouds: Clouds, prepared: Prepared, folder: Path) -> AsyncIterator[Store]:
    kind = name if name in KINDS else "sqlite"
    options = StorageOptions(driver="database")
    if name == "filesystem":
        options = StorageOptions(driver="filesystem", location=folder / "files")
    elif name in BUCKETS:
        options = clouds.options(name)
    async with (
        empty_database(prepared, kind, metadata, folder) as database,
        aclosing(await open_storage(options, database)) as storage,
    ):
        unfinished = _unfinished(name, options, database, clouds)
        yield Store(storage=storage, options=options, database=database, unfinished=unfinished)


@asynccontextmanager
async def opened_behind_a_proxy(
    name: str, clouds: Clouds, prepared: Prepared, folder: Path, limit_s: float
) -> AsyncIterator[tuple[Storage, Proxy]]:
    """On the servers only: a bucket, or a database. `limit_s` is how long it may say nothing."""
    async with AsyncExitStack() as stack:
        if name in BUCKETS:
            options = clouds.options(name)
            address = urlsplit(options.endpoint or "")
            between = await stack.enter_async_context(proxy(address.port or 80))
            endpoint = urlunsplit(address._replace(netloc=f"127.0.0.1:{between.port}"))
            options = msgspec.structs.replace(options, endpoint=endpoint, limit_s=limit_s)
            database = await stack.enter_async_context(empty_database(prepared, "sqlite", metadata, folder))
        else:
            there = await stack.enter_async_context(empty_database(prepared, name, metadata, folder))
            between = await stack.enter_async_context(proxy(_port(there.options)))
            mine = msgspec.structs.replace(there.options, port=between.port, connect_timeout_s=limit_s)
            database = await stack.enter_async_context(aclosing(open_database(mine)))
            options = StorageOptions(driver="database")
        yield await stack.enter_async_context(aclosing(await open_storage(options, database))), between


def with_secret(options: StorageOptions, secret: str) -> StorageOptions:
    return msgspec.structs.replace(options, secret=Secret(secret))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def content_of(storage: Storage, key: str) -> bytes:
    async with storage.open(key) as found:
        return b"".join([piece async for piece in found])


async def listed(storage: Storage, prefix: str = "") -> list[str]:
    return sorted([key async for key in storage.keys(prefix)])


def _port(options: DatabaseOptions) -> int:
    return options.port or {"mysql": 3306, "postgres": 5432}[options.driver]


def _unfinished(name: str, options: StorageOptions, database: Database, clouds: Clouds) -> Callable[[], Awaitable[int]]:
    async def in_database() -> int:
        shown = select(BlobRow.upload)
        async with database.reading() as tx:
            return (
                await tx.scalar(select(func.count()).select_from(BlobPieceRow).where(BlobPieceRow.upload.not_in(shown)))
            ) or 0

    async def in_directory() -> int:
        return sum("#" in path.name for path in options.location.rglob("*"))

    async def in_s3() -> int:
        return sum(key.startswith(options.prefix) for key in s3_unfinished(clouds.env("s3")))

    async def in_azure() -> int:
        found = azure_blobs(clouds.env("azure"))
        return sum(blob.startswith(options.prefix) and not is_there for blob, is_there in found.items())

    return {"filesystem": in_directory, "s3": in_s3, "azure": in_azure}.get(name, in_database)
