"""From a checked message to the stream of its answer: what the model is told, given and offered."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.answering import Answering, Piece
from penstock.editor.conversations.asking import Asked
from penstock.editor.conversations.context import (
    Material,
    document_texts,
    file_material,
    goes_as_it_is,
    labelled,
    left_out,
    page_material,
)
from penstock.editor.conversations.loads import Loads
from penstock.editor.conversations.packing import Said, packed
from penstock.editor.conversations.prompts import prompt
from penstock.editor.conversations.tables import FileRow, WebResourceRow
from penstock.editor.conversations.tools import Tools
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.instructions import edit_instructions
from penstock.editor.mcp.service import Mcp
from penstock.editor.mcp.toolbox import Toolbox, ToolContext
from penstock.editor.web.search import WebSearch
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference
from penstock.kit.ids import short_id
from penstock.providers.base import Message, Part, Text
from penstock.storage.base import Storage


class Before(msgspec.Struct, frozen=True):
    """What earlier messages of the conversation brought: their words, files and pages, each oldest first.

    `unread` are the ids of files and pages that come without their text.
    """

    history: Sequence[Said] = ()
    files: Sequence[FileRow] = ()
    pages: Sequence[WebResourceRow] = ()
    unread: frozenset[str] = frozenset()


class Composing:
    """`search` and `mcp` None: there is no such thing here."""

    def __init__(
        self,
        inference: Inference,
        storage: Storage,
        search: WebSearch | None,
        mcp: Mcp | None,
        loads: Loads | None = None,
    ) -> None:
        self._inference = inference
        self._storage = storage
        self._search = search
        self._mcp = mcp
        self._loads = loads or Loads()

    async def pieces(
        self, caller: Caller, asked: Asked, before: Before, records: CallRecords
    ) -> AsyncGenerator[Piece, None]:
        """The answer. Raises what inference and storage raise, and TooManyFilesAtOnce. Close it, whatever happens."""
        facts = asked.found[0].backend.facts
        carried = [file for file in (*before.files, *asked.files) if goes_as_it_is(file, facts)]
        size_bytes = sum(file.size_bytes for file in carried)
        async with self._loads.carrying(size_bytes), aclosing(self._answered(caller, asked, before, records)) as pieces:
            async for piece in pieces:
                yield piece

    async def _answered(
        self, caller: Caller, asked: Asked, before: Before, records: CallRecords
    ) -> AsyncGenerator[Piece, None]:
        documents = [SentDocument(one.content) for one in asked.documents]
        tools = Tools(self._search if asked.web_search else None, await self._toolbox(caller, asked))
        answering = Answering(
            inference=self._inference,
            caller=caller,
            asked=asked,
            messages=await self._messages(asked, before, documents, tools),
            documents=documents,
            tools=tools,
            records=records,
        )
        async with aclosing(answering.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def _toolbox(self, caller: Caller, asked: Asked) -> Toolbox | None:
        if self._mcp is None:
            return None
        contexts = [
            ToolContext(server=one.mcp_server_name, tool=one.tool_name, data=one.data, id=one.id or short_id())
            for one in asked.contexts
        ]
        return await self._mcp.toolbox(caller, contexts)

    async def _messages(
        self, asked: Asked, before: Before, documents: Sequence[SentDocument], tools: Tools
    ) -> list[Message]:
        earlier = await self._files(before.files, asked, before.unread)
        earlier += [
            left_out(one.title or one.url) if one.id in before.unread else page_material(one) for one in before.pages
        ]
        new = [*await self._files(asked.files, asked), *map(page_material, asked.pages)]
        now: list[Part] = [part for material in new for part in material.parts]
        now += [Text(text) for text in document_texts(asked, documents)]
        now += [Text(labelled(item.type, item.content)) for item in asked.texts]
        now.append(Text(asked.prompt))
        return packed(_instructions(asked, tools), earlier, before.history, now, asked.limit)

    async def _files(
        self, files: Sequence[FileRow], asked: Asked, unread: frozenset[str] = frozenset()
    ) -> list[Material]:
        facts = asked.found[0].backend.facts
        return [await file_material(file, facts, self._read, has_text=file.id not in unread) for file in files]

    async def _read(self, key: str) -> bytes:
        async with self._storage.open(key) as pieces:
            return b"".join([piece async for piece in pieces])


def _instructions(asked: Asked, tools: Tools) -> str:
    """What stays the same comes first: providers charge less for a beginning that they have seen before."""
    parts = [prompt("assistant")]
    parts.append(edit_instructions(len(asked.documents)) if asked.documents else prompt("no_document"))
    if asked.web_search:
        parts.append(prompt("web_search"))
    if tools.notes:
        parts.append("\n".join(f"- {note}" for note in tools.notes))
    return "\n\n".join(parts)
