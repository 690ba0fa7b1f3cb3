"""What is attached to conversations, without HTTP around it: on one database, with files in a directory."""

import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from penstock.coordination.memory import Memory
from penstock.database.base import Base
from penstock.database.engine import Database, Transaction
from penstock.editor.conversations.attached import AttachmentRepository
from penstock.editor.conversations.documents import Documents
from penstock.editor.conversations.files import Files, ImageModeration, Upload
from penstock.editor.conversations.janitor import Janitor
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.tables import ConversationRow
from penstock.editor.conversations.web_resources import WebResources
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.attachments.extraction import Extraction
from penstock.kit.clock import SystemClock
from penstock.kit.ids import ulid
from penstock.settings import load_settings
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs
from penstock.storage.drivers import open_storage
from penstock.storage.options import StorageOptions
from tests.editor.conftest import _add_people, caller
from tests.fakes.openai_upstream import Upstream
from tests.service import service_env

ANN = caller()
PICTURE = b"\x89PNG\r\n\x1a\n"


def png(*, padding: int = 0) -> bytes:
    """One grey pixel, and `padding` bytes that say nothing."""
    rows = zlib.compress(b"\0\x80")
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), _chunk(b"IDAT", rows)]
    if padding:
        chunks.append(_chunk(b"teXt", b"\0" * (padding - 12)))
    return PICTURE + b"".join((*chunks, _chunk(b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg() -> bytes:
    """The frame of a picture of 1 by 1, with little in it."""
    frame = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
    return (
        b"\xff\xd8\xff\xe0\x00\x04ab" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x7f" * 9 + b"\xff\xd9"
    )


class Clock(SystemClock):
    """The real one, moved by `later`."""

    def __init__(self) -> None:
        self.later = timedelta()

    def now(self) -> datetime:
        return super().now() + self.later


@dataclass
class Page:
    text: str
    title: str | None = None


@dataclass
class Shelf:
    """Pages that are there to be read, by their address."""

    pages: dict[str, Page] = field(default_factory=dict)

    async def read(self, url: str) -> Page:
        return self.pages[url]


@dataclass
class Attaching:
    database: Database
    clock: Clock
    catalog: Catalog
    storage: Storage
    doomed: DoomedBlobs
    documents: Documents
    files: Files
    web: WebResources
    shelf: Shelf
    coordination: Memory
    janitor: Callable[..., Janitor]

    async def conversation(self, conversation_id: str = "c", of: Caller = ANN) -> str:
        """Its `row_id`."""
        now = self.clock.now()
        row = ConversationRow(row_id=ulid(), id=conversation_id, pinned=False, next_position=0)
        row.created_at = row.updated_at = row.last_visited_at = now
        async with self.database.transaction() as tx:
            await ConversationRepository(tx, of).add(row)
        return row.row_id

    async def add_file(self, content: bytes = b"text", name: str = "a.txt", **more: Any) -> str:
        to = more.pop("to", "c")
        return await self.files.add(more.pop("of", ANN), to, Upload(name, ("", ""), content, **more))

    async def use(self, row_id: str, **ids: Any) -> None:
        async with self.attached(row_id) as attached:
            await attached.mark_used(self.clock.now(), **ids)

    @asynccontextmanager
    async def attached(self, row_id: str) -> AsyncIterator[AttachmentRepository]:
        async with self.database.transaction() as tx:
            yield AttachmentRepository(tx, row_id)

    async def count(self, kind: type[Base]) -> int:
        async with self.database.reading() as tx:
            return int(await tx.scalar(select(func.count()).select_from(kind)) or 0)

    async def stored(self) -> list[str]:
        """The keys of all blobs."""
        return sorted([key async for key in self.storage.keys()])  # noqa: SIM118 - no dict

    def files_with(self, *, storage: Storage | None = None, moderation: ImageModeration | None = None) -> Files:
        return Files(
            database=self.database,
            catalog=self.catalog,
            extraction=Extraction(),
            storage=storage or self.storage,
            doomed=self.doomed,
            moderation=moderation,
            clock=self.clock,
        )


SMALL = {
    "maxFiles": 3,
    "maxFileSize": 40_000,
    "maxImageSize": 1_000,
    "maxTotalFileSize": 100_000,
    "maxTotalPdfFilePages": 5,
    "maxContextLength": 1_000,
}
"""Limits of the models in these tests."""


@pytest.fixture
async def attaching(database: Database, tmp_path: Path) -> AsyncIterator[Attaching]:
    await _add_people(database)
    clock = Clock()
    models = [{"id": "one", "provider": "mock", "features": ["conversations"], "contextLimits": SMALL}]
    settings = load_settings(service_env(Upstream(port=9), tmp_path, MODELS=_json(models)), tmp_path)
    catalog = Catalog(settings.catalog, settings.snapshot)
    storage = await open_storage(StorageOptions(driver="filesystem", location=tmp_path / "files"), database)
    doomed = DoomedBlobs(database, storage, clock)
    shelf, coordination = Shelf(), Memory()

    def janitor(**more: Any) -> Janitor:
        given = {"retention_days": None, "leases": coordination.leases, "clock": clock} | more
        return Janitor(database=database, doomed=doomed, **given)

    yield Attaching(
        database,
        clock,
        catalog,
        storage,
        doomed,
        Documents(database, clock),
        Files(
            database=database,
            catalog=catalog,
            extraction=Extraction(),
            storage=storage,
            doomed=doomed,
            clock=clock,
        ),
        WebResources(database=database, catalog=catalog, pages=shelf, clock=clock),
        shelf,
        coordination,
        janitor,
    )
    await storage.aclose()
    await coordination.aclose()


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


async def rows(tx: Transaction, kind: type[Base]) -> list[Any]:
    return list(await tx.scalars(select(kind)))
