"""Files that users attach: recognised, read, measured, and kept with their bytes in storage."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

import msgspec

from penstock.database.engine import Database, Transaction
from penstock.editor.conversations.attached import KINDS, UPLOADED_WITHIN, AttachmentRepository
from penstock.editor.conversations.attachment_errors import AttachmentInUse, AttachmentNotFound, NobodyReadsIt
from penstock.editor.conversations.changes import changed
from penstock.editor.conversations.errors import ConversationNotFound
from penstock.editor.conversations.file_formats import FORMATS, Format, format_of, require_some
from penstock.editor.conversations.file_limits import (
    check_size,
    check_totals,
    largest_limits,
    models_of,
    reads_pdfs,
    sees_pictures,
)
from penstock.editor.conversations.file_reading import FileReader, Read
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.service import READ
from penstock.editor.conversations.tables import FileRow
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import ContextLimits
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.attachments.extraction import Extraction
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.ids import short_id, ulid
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs
from penstock.telemetry.meters import ATTACHMENTS

_KIND = KINDS[FileRow]
_PIECE_BYTES: Final = 256 * 1024


class ImageModeration(Protocol):
    async def check_image(self, mime: str, content: bytes) -> None:
        """Raises when the picture is refused."""


class Upload(msgspec.Struct, frozen=True):
    """A file as it came. `declared` are the MIME types that were given with it, the most trusted first."""

    name: str
    declared: tuple[str, ...]
    content: bytes
    attributes: dict[str, Any] | None = None


class Files:
    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        extraction: Extraction,
        storage: Storage,
        doomed: DoomedBlobs,
        moderation: ImageModeration | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._reader = FileReader(extraction)
        self._storage = storage
        self._doomed = doomed
        self._moderation = moderation
        self._clock = clock or SystemClock()

    async def expect(self, caller: Caller, conversation_id: str) -> ContextLimits:
        """What an upload has to fit into, before it is read. Raises MissingPermission, ConversationNotFound."""
        require_some(caller)
        async with self._database.reading() as tx:
            await ConversationRepository(tx, caller).get(conversation_id)
        return largest_limits(models_of(self._catalog.current, caller))

    async def add(self, caller: Caller, conversation_id: str, upload: Upload) -> str:
        """The id of the file. What is refused leaves nothing behind but bytes that are deleted in the background.

        Raises MissingPermission, ConversationNotFound, FileTypeNotAccepted, FileUnreadable, NobodyReadsIt, OverLimit,
        ReadingTookTooLong, what moderation raises, and what storage raises when it is away.
        """
        require_some(caller)
        models = models_of(self._catalog.current, caller)
        limits = largest_limits(models)
        found = format_of(upload.content, upload.declared, upload.name)
        caller.require(*found.permissions)
        size_bytes = len(upload.content)
        check_size(limits, found, upload.name, size_bytes)
        row_id = await self._check_room(caller, conversation_id, limits, size_bytes)
        if found.kind is None and not sees_pictures(models):
            raise NobodyReadsIt(
                f"“{upload.name}” cannot be used: no model that you may use reads pictures.",
                "Ask for a model that does, or attach a text.",
            )
        read = await self._reader.read(upload.content, found, upload.name, is_pdf_read=reads_pdfs(models))
        if read.pages:
            await self._check_room(caller, conversation_id, limits, size_bytes, read.pages)
        if found.kind is None and self._moderation is not None:
            await self._moderation.check_image(found.mime, upload.content)
        return await self._keep(caller, (conversation_id, row_id), _row(upload, found, read), upload.content, limits)

    async def all(self, caller: Caller, conversation_id: str) -> Sequence[FileRow]:
        """Oldest first, without their text. Raises MissingPermission, ConversationNotFound."""
        caller.require(READ)
        async with self._database.reading() as tx:
            conversation = await ConversationRepository(tx, caller).get(conversation_id)
            return await AttachmentRepository(tx, conversation.row_id).all_files()

    async def get(self, caller: Caller, conversation_id: str, file_id: str) -> FileRow:
        """Raises MissingPermission, ConversationNotFound, AttachmentNotFound."""
        caller.require(READ)
        async with self._database.reading() as tx:
            conversation = await ConversationRepository(tx, caller).get(conversation_id)
            return await _found(AttachmentRepository(tx, conversation.row_id), file_id)

    async def delete(self, caller: Caller, conversation_id: str, file_id: str) -> None:
        """Raises MissingPermission, ConversationNotFound, AttachmentNotFound, AttachmentInUse."""
        require_some(caller)

        async def step(tx: Transaction) -> None:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            attached = AttachmentRepository(tx, conversation.row_id)
            row = await _found(attached, file_id)
            caller.require(*FORMATS[row.format].permissions)
            if row.used_at is not None:
                raise AttachmentInUse(_KIND)
            await self._doomed.doom(tx, [row.blob_key], self._clock.now())
            await attached.delete_unused(FileRow, (file_id,))

        await changed(self._database, step)

    async def _check_room(
        self, caller: Caller, conversation_id: str, limits: ContextLimits, size_bytes: int, pages: int | None = None
    ) -> str:
        """Before work is done for the file; `_keep` has the last word. The conversation's `row_id`."""
        async with self._database.reading() as tx:
            conversation = await ConversationRepository(tx, caller).get(conversation_id)
            totals = await AttachmentRepository(tx, conversation.row_id).totals()
        check_totals(limits, totals, size_bytes, pages)
        return conversation.row_id

    async def _keep(
        self, caller: Caller, place: tuple[str, str], file: dict[str, Any], content: bytes, limits: ContextLimits
    ) -> str:
        """Wherever this ends, the bytes have a row or are deleted in time (`DoomedBlobRow`)."""
        conversation_id, row_id = place
        now, key = self._clock.now(), f"conversations/{row_id}/{ulid()}"

        async def announce(tx: Transaction) -> None:
            await self._doomed.doom(tx, [key], now + UPLOADED_WITHIN)

        async def add(tx: Transaction) -> str:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            if conversation.row_id != row_id:  # it was deleted meanwhile, and another one made under its id
                raise ConversationNotFound
            attached = AttachmentRepository(tx, row_id)
            check_totals(limits, await attached.totals(), file["size_bytes"], file["pages"])
            row = FileRow(id=short_id(), blob_key=key, created_at=now, **file)
            await attached.add_file(row)
            await self._doomed.spare(tx, key)
            return row.id

        await changed(self._database, announce)
        async with aclosing(_pieces(content)) as pieces:
            await self._storage.put(key, pieces)
        stored = await changed(self._database, add)
        ATTACHMENTS.add("file")
        return stored


def _row(upload: Upload, found: Format, read: Read) -> dict[str, Any]:
    """What is kept of a file beside its place."""
    return {
        "name": upload.name,
        "format": found.name,
        "size_bytes": len(upload.content),
        "pages": read.pages,
        "text": read.text,
        "note": read.note,
        "attributes": upload.attributes,
    }


async def _found(attached: AttachmentRepository, file_id: str) -> FileRow:
    row = (await attached.files((file_id,))).get(file_id)
    if row is None:
        raise AttachmentNotFound(_KIND, file_id)
    return row


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    view = memoryview(content)
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])
