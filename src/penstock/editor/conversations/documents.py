"""The editor's content, as it was uploaded with each message."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from penstock.database.engine import Database, Transaction
from penstock.editor.conversations.attached import KINDS, AttachmentRepository
from penstock.editor.conversations.attachment_errors import AttachmentInUse, AttachmentNotFound, OverLimit
from penstock.editor.conversations.attachment_schemas import NewDocument
from penstock.editor.conversations.changes import changed
from penstock.editor.conversations.repository import ConversationRepository
from penstock.editor.conversations.service import READ, WRITE
from penstock.editor.conversations.tables import DocumentRow
from penstock.gateway.identity.caller import Caller
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.ids import short_id
from penstock.telemetry.meters import ATTACHMENTS

MAX_CONTENT_BYTES: Final = 10 * 1024 * 1024
"""Of one document, in UTF-8 (`spec/editor-api.md` 6.5.1)."""

MAX_READ: Final = 20 * 1024 * 1024
"""Of all documents that are read at once, in characters."""

_KIND = KINDS[DocumentRow]
_AT_ONCE_BYTES = 64 * 1024


class Content(msgspec.Struct, frozen=True):
    """`digest` is the SHA-256 of the text in UTF-8, in hexadecimal."""

    text: str
    digest: str


class Documents:
    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def add(self, caller: Caller, conversation_id: str, documents: Sequence[NewDocument]) -> list[str]:
        """All of them or none; their ids, in the same order.

        Raises MissingPermission, ConversationNotFound, OverLimit.
        """
        caller.require(*WRITE)
        contents = [await _content(one.content) for one in documents]

        async def step(tx: Transaction) -> list[str]:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            attached = AttachmentRepository(tx, conversation.row_id)
            rows = [self._row(new, content) for new, content in zip(documents, contents, strict=True)]
            for row, content in zip(rows, contents, strict=True):
                await attached.add_document(row, content.text)
            return [row.id for row in rows]

        stored = await changed(self._database, step)
        ATTACHMENTS.add("document", by=len(stored))
        return stored

    async def get(self, caller: Caller, conversation_id: str, ids: Sequence[str]) -> list[tuple[DocumentRow, str]]:
        """Each with its content, in the order of `ids`.

        Raises MissingPermission, ConversationNotFound, AttachmentNotFound when one is missing, OverLimit.
        """
        caller.require(READ)
        async with self._database.reading() as tx:
            conversation = await ConversationRepository(tx, caller).get(conversation_id)
            attached = AttachmentRepository(tx, conversation.row_id)
            if len(ids) > 1:
                _check_read(await attached.characters(documents=ids))
            found = await attached.documents(ids)
        missing = next((one for one in ids if one not in found), None)
        if missing is not None:
            raise AttachmentNotFound(_KIND, missing)
        return [found[one] for one in ids]

    async def delete(self, caller: Caller, conversation_id: str, document_id: str) -> None:
        """Raises MissingPermission, ConversationNotFound, AttachmentNotFound, AttachmentInUse."""
        caller.require(*WRITE)

        async def step(tx: Transaction) -> None:
            conversation = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            attached = AttachmentRepository(tx, conversation.row_id)
            row = (await attached.some(DocumentRow, (document_id,))).get(document_id)
            if row is None:
                raise AttachmentNotFound(_KIND, document_id)
            if row.used_at is not None:
                raise AttachmentInUse(_KIND)
            await attached.delete_unused(DocumentRow, (document_id,))
            await attached.forget_contents()

        await changed(self._database, step)

    def _row(self, new: NewDocument, content: Content) -> DocumentRow:
        return DocumentRow(
            id=short_id(),
            digest=content.digest,
            name=new.name,
            description=new.description,
            attributes=new.attributes,
            selections=[one.model_dump(by_alias=True) for one in new.selections],
            created_at=self._clock.now(),
        )


async def _content(text: str) -> Content:
    raw = text.encode()
    if len(raw) > MAX_CONTENT_BYTES:
        raise OverLimit(
            f"The document has {len(raw)} bytes; {MAX_CONTENT_BYTES} are allowed.",
            len(raw),
            MAX_CONTENT_BYTES,
            explanation="One document may have 10 MiB of text. Pictures that are written into the HTML count too.",
            action="Shorten the document, or link its pictures.",
        )
    is_small = len(raw) <= _AT_ONCE_BYTES
    digest = hashlib.sha256(raw) if is_small else await asyncio.to_thread(hashlib.sha256, raw)
    return Content(text, digest.hexdigest())


def _check_read(length: int) -> None:
    if length > MAX_READ:
        raise OverLimit(
            f"These documents have {length} characters together; {MAX_READ} can be read at once.",
            length,
            MAX_READ,
            explanation="The answer would be too large.",
            action="Ask for fewer at a time.",
        )
