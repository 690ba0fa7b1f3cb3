"""The SQL of what is attached to one conversation: documents, files, web resources."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from sqlalchemy import ColumnElement, CursorResult, Select, delete, func, select, update
from sqlalchemy.orm import defer

from penstock.database.engine import Transaction
from penstock.editor.conversations.attachment_errors import AttachmentNotFound
from penstock.editor.conversations.tables import DocumentContentRow, DocumentRow, FileRow, WebResourceRow
from penstock.storage.doomed import DoomedBlobs

UNUSED_FOR: Final = timedelta(hours=24)
"""How long something is kept that no message refers to (`spec/editor-api.md` 17.6)."""

UPLOADED_WITHIN: Final = timedelta(hours=1)
"""When the bytes of an upload are deleted whose row never came."""

_PIECE_CHARS = 2_000_000
_ID = re.compile(r"[A-Za-z0-9_-]{21}")

KINDS: Final[Mapping[type[Any], str]] = {DocumentRow: "document", FileRow: "file", WebResourceRow: "web resource"}
"""What users call them."""

Row = TypeVar("Row", DocumentRow, FileRow, WebResourceRow)


Readable = TypeVar("Readable", FileRow, WebResourceRow)


class Used(msgspec.Struct, Generic[Readable], frozen=True):
    """Those of `unread` come without their text: it would not have fitted, and may be any number of megabytes."""

    rows: Sequence[Readable]
    unread: frozenset[str]


class Totals(msgspec.Struct, frozen=True):
    """Of all files of a conversation. `pages` are those of PDFs."""

    files: int
    size_bytes: int
    pages: int


class AttachmentRepository:
    """What is attached to one conversation, which its `ConversationRepository` has found to be the caller's.

    Changes are made while the conversation is locked (`ConversationRepository.get(..., to_change=True)`): then what
    was counted stays true, contents are stored once, and nothing is deleted that a message begins to refer to.
    """

    def __init__(self, tx: Transaction, conversation_row_id: str) -> None:
        self._tx = tx
        self._row_id = conversation_row_id

    async def characters(
        self, *, documents: Iterable[str] = (), files: Iterable[str] = (), web_resources: Iterable[str] = ()
    ) -> int:
        """Of the texts of all these together, without reading them."""
        total = select(func.sum(func.char_length(DocumentContentRow.content))).select_from(DocumentRow)
        of_documents = total.join(DocumentContentRow, onclause=self._its_content())
        queries: list[tuple[Select[Any], type[Any], Iterable[str]]] = [
            (of_documents, DocumentRow, documents),
            (select(func.sum(func.char_length(func.coalesce(FileRow.text, "")))), FileRow, files),
            (select(func.sum(func.char_length(WebResourceRow.text))), WebResourceRow, web_resources),
        ]
        found = 0
        for query, kind, ids in queries:
            if wanted := _sound(ids):
                mine = (kind.conversation_row_id == self._row_id, kind.id.in_(wanted))
                found += int(await self._tx.scalar(query.where(*mine)) or 0)
        return found

    # --- documents ---------------------------------------------------------------------------------------------------

    async def documents(self, ids: Iterable[str]) -> dict[str, tuple[DocumentRow, str]]:
        """Those that are there, each with its content."""
        query = select(DocumentRow, DocumentContentRow.content).join(DocumentContentRow, onclause=self._its_content())
        wanted = query.where(*self._of(DocumentRow), DocumentRow.id.in_(_sound(ids)))
        return {row.id: (row, content) for row, content in await self._tx.execute(wanted)}

    async def add_document(self, row: DocumentRow, content: str) -> None:
        """`content` is stored unless this conversation has it already."""
        row.conversation_row_id = self._row_id
        self._tx.add(row)
        kept = select(DocumentContentRow.digest).where(
            DocumentContentRow.conversation_row_id == self._row_id, DocumentContentRow.digest == row.digest
        )
        if await self._tx.scalar(kept) is None:
            await self._add_content(row.digest, content)
        await self._tx.flush()

    async def _add_content(self, digest: str, content: str) -> None:
        # MySQL is sent values with their quotes escaped, so a large text may be twice as large as a packet may be.
        first, *rest = [content[at : at + _PIECE_CHARS] for at in range(0, len(content) or 1, _PIECE_CHARS)]
        self._tx.add(DocumentContentRow(conversation_row_id=self._row_id, digest=digest, content=first))
        await self._tx.flush()
        mine = (DocumentContentRow.conversation_row_id == self._row_id, DocumentContentRow.digest == digest)
        for piece in rest:
            longer = DocumentContentRow.content + piece
            await self._changed(update(DocumentContentRow).where(*mine).values(content=longer))

    async def forget_contents(self) -> int:
        """Delete what no document refers to any more; how many."""
        refers = select(DocumentRow.id).where(
            DocumentRow.conversation_row_id == DocumentContentRow.conversation_row_id,
            DocumentRow.digest == DocumentContentRow.digest,
        )
        mine = DocumentContentRow.conversation_row_id == self._row_id
        return await self._changed(delete(DocumentContentRow).where(mine, ~refers.exists()))

    # --- files -------------------------------------------------------------------------------------------------------

    async def files(self, ids: Iterable[str]) -> dict[str, FileRow]:
        return await self.some(FileRow, ids)

    async def all_files(self) -> Sequence[FileRow]:
        """Oldest first, without their text."""
        query = self._mine(FileRow).options(defer(FileRow.text, raiseload=True))
        query = query.order_by(FileRow.created_at, FileRow.id)
        return list(await self._tx.scalars(query))

    async def used_files(self, most_characters: int) -> "Used[FileRow]":
        """In the order of their first use: they stay in context (`spec/editor-api.md` 6.8.2)."""
        return await self._used(FileRow, most_characters)

    async def totals(self) -> Totals:
        query = select(func.count(FileRow.id), func.sum(FileRow.size_bytes), func.sum(FileRow.pages))
        files, size_bytes, pages = (await self._tx.execute(query.where(*self._of(FileRow)))).one()
        return Totals(int(files), int(size_bytes or 0), int(pages or 0))

    async def add_file(self, row: FileRow) -> None:
        row.conversation_row_id = self._row_id
        self._tx.add(row)
        await self._tx.flush()

    async def blob_keys(self) -> Sequence[str]:
        """Of all files: what a deletion of the conversation dooms."""
        return list(await self._tx.scalars(select(FileRow.blob_key).where(*self._of(FileRow))))

    async def unused_blob_keys(self, ids: Iterable[str]) -> Sequence[str]:
        """Of those of `ids` that no message refers to."""
        unused = select(FileRow.blob_key).where(*self._of(FileRow), FileRow.used_at.is_(None))
        return list(await self._tx.scalars(unused.where(FileRow.id.in_(_sound(ids)))))

    # --- web resources -----------------------------------------------------------------------------------------------

    async def web_resources(self, ids: Iterable[str]) -> dict[str, WebResourceRow]:
        return await self.some(WebResourceRow, ids)

    async def used_web_resources(self, most_characters: int) -> "Used[WebResourceRow]":
        """In the order of their first use: they stay in context (`spec/editor-api.md` 6.8.2)."""
        return await self._used(WebResourceRow, most_characters)

    async def count_web_resources(self) -> int:
        query = select(func.count(WebResourceRow.id)).where(*self._of(WebResourceRow))
        return int(await self._tx.scalar(query) or 0)

    async def add_web_resource(self, row: WebResourceRow) -> None:
        row.conversation_row_id = self._row_id
        self._tx.add(row)
        await self._tx.flush()

    # --- use ---------------------------------------------------------------------------------------------------------

    async def mark_used(
        self,
        now: datetime,
        *,
        documents: Iterable[str] = (),
        files: Iterable[str] = (),
        web_resources: Iterable[str] = (),
    ) -> None:
        """A message refers to these from `now` on. What was used before keeps its first use.

        Raises AttachmentNotFound when one was deleted meanwhile.
        """
        await self._mark(DocumentRow, documents, now)
        await self._mark(FileRow, files, now)
        await self._mark(WebResourceRow, web_resources, now)

    async def delete_unused(self, kind: type[Row], ids: Iterable[str]) -> int:
        """Those of `ids` that no message refers to; how many. Contents and blobs are the caller's to forget."""
        unused = delete(kind).where(*self._of(kind), kind.id.in_(_sound(ids)), kind.used_at.is_(None))
        return await self._changed(unused)

    async def _mark(self, kind: type[Row], ids: Iterable[str], now: datetime) -> None:
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return
        these = (*self._of(kind), kind.id.in_(_sound(wanted)))
        found = set(await self._tx.scalars(select(kind.id).where(*these)))
        missing = next((one for one in wanted if one not in found), None)
        if missing is not None:
            raise AttachmentNotFound(KINDS[kind], missing)
        await self._changed(update(kind).where(*these, kind.used_at.is_(None)).values(used_at=now))

    def _its_content(self) -> ColumnElement[bool]:
        is_mine = DocumentContentRow.conversation_row_id == self._row_id
        return is_mine & (DocumentContentRow.digest == DocumentRow.digest)

    def _of(self, kind: type[Row]) -> Sequence[Any]:
        return (kind.conversation_row_id == self._row_id,)

    def _mine(self, kind: type[Row]) -> Select[Row]:
        return select(kind).where(*self._of(kind))

    async def some(self, kind: type[Row], ids: Iterable[str]) -> dict[str, Row]:
        wanted = _sound(ids)
        if not wanted:
            return {}
        rows = await self._tx.scalars(self._mine(kind).where(kind.id.in_(wanted)))
        return {row.id: row for row in rows}

    async def _used(self, kind: type[Readable], most_characters: int) -> "Used[Readable]":
        mine = (*self._of(kind), kind.used_at.is_not(None))
        oldest_first = (kind.used_at, kind.created_at, kind.id)
        length = func.char_length(func.coalesce(kind.text, ""))
        lengths = (await self._tx.execute(select(kind.id, length).where(*mine).order_by(*oldest_first))).all()
        unread, left = set(), most_characters
        for one, characters in reversed(lengths):
            if characters <= left:
                left -= characters
            else:
                unread.add(one)
        rows = {row.id: row for row in await self._tx.scalars(select(kind).where(*mine, kind.id.not_in(unread)))}
        if unread:
            others = select(kind).options(defer(kind.text, raiseload=True)).where(*mine, kind.id.in_(unread))
            rows |= {row.id: row for row in await self._tx.scalars(others)}
        return Used([rows[one] for one, _ in lengths if one in rows], frozenset(unread))

    async def _changed(self, statement: Any) -> int:
        result = await self._tx.execute(statement, execution_options={"synchronize_session": False})
        return cast(CursorResult[Any], result).rowcount


async def doom_files(tx: Transaction, doomed: DoomedBlobs, conversation_row_id: str, now: datetime) -> None:
    """The blobs of a conversation that this transaction deletes. To be called while its rows are still there."""
    keys = await AttachmentRepository(tx, conversation_row_id).blob_keys()
    if keys:
        await doomed.doom(tx, keys, now)


def _sound(ids: Iterable[str]) -> list[str]:
    """Without those that no attachment can have."""
    return [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]
