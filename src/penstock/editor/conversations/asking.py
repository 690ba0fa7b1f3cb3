"""What a message asks for, with everything that it refers to, checked against its model before anything is kept."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from penstock.database.engine import Transaction
from penstock.editor.conversations.attached import AttachmentRepository
from penstock.editor.conversations.errors import (
    ContentNotFound,
    ContextTooLarge,
    MoreThanAnyModelTakes,
    TooManyAttached,
)
from penstock.editor.conversations.schemas import (
    ContentItem,
    DocumentItem,
    FileItem,
    McpToolContextItem,
    NewMessage,
    Range,
    SelectionItem,
    TextItem,
    WebResourceItem,
)
from penstock.editor.conversations.selections import selected
from penstock.editor.conversations.tables import DocumentRow, FileRow, WebResourceRow
from penstock.gateway.catalog.snapshot import ContextLimits, Model
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference
from penstock.gateway.routing.agent import Needs
from penstock.gateway.routing.candidates import AGENT, AGENT_NAMES, Candidate
from penstock.kit.ids import short_id
from penstock.telemetry.logs import log

FEATURE: Final = "conversations"
REASONING: Final = "ai:conversations:reasoning"
WEB_SEARCH: Final = "ai:conversations:webSearch"
MOST_CHARACTERS: Final = 20 * 1024 * 1024
"""Of all that one message brings: it is read whole before its model's own limit is asked for."""
PICTURES: Final = frozenset({"png", "jpeg"})


class AttachedDocument(msgspec.Struct, frozen=True):
    """`selected` are the passages that the user has selected in it."""

    row: DocumentRow
    content: str
    selected: Sequence[str] = ()


class Attached(msgspec.Struct, frozen=True):
    """What a message refers to, by id."""

    documents: Mapping[str, tuple[DocumentRow, str]]
    files: Mapping[str, FileRow]
    pages: Mapping[str, WebResourceRow]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A message that may be sent: it was checked against the models that may answer it, which are `found`."""

    model: str
    found: Sequence[Candidate]
    prompt: str
    content: list[dict[str, Any]]
    texts: Sequence[TextItem | SelectionItem] = ()
    documents: Sequence[AttachedDocument] = ()
    files: Sequence[FileRow] = ()
    pages: Sequence[WebResourceRow] = ()
    contexts: Sequence[McpToolContextItem] = ()
    reasoning: bool = False
    web_search: bool = False

    @property
    def limit(self) -> int:
        """Characters that every model which may answer can take."""
        return min(one.model.limits.max_context_length for one in self.found)

    @property
    def shown_text(self) -> str:
        """What the user wrote or selected, for moderation and titles."""
        return "\n\n".join((self.prompt, *(one.content for one in self.texts)))


async def attached_to(tx: Transaction, conversation_row_id: str, message: NewMessage) -> Attached:
    """Raises ContentNotFound for what this conversation does not have, and MoreThanAnyModelTakes."""
    repository = AttachmentRepository(tx, conversation_row_id)
    items = message.content
    documents = [one.id for one in items if isinstance(one, DocumentItem)]
    files = [one.id for one in items if isinstance(one, FileItem)]
    pages = [one.id for one in items if isinstance(one, WebResourceItem)]
    characters = await repository.characters(documents=documents, files=files, web_resources=pages)
    if characters > MOST_CHARACTERS:
        raise MoreThanAnyModelTakes(characters, MOST_CHARACTERS)
    found = Attached(
        await repository.documents(documents), await repository.files(files), await repository.web_resources(pages)
    )
    for place, item in enumerate(items):
        _require(item, found, f"content.{place}.id")
    return found


def _require(item: ContentItem, found: Attached, place: str) -> None:
    match item:
        case DocumentItem() if item.id not in found.documents:
            raise ContentNotFound("document", item.id, place)
        case FileItem() if item.id not in found.files:
            raise ContentNotFound("file", item.id, place)
        case WebResourceItem() if item.id not in found.pages:
            raise ContentNotFound("web resource", item.id, place)


def checked(inference: Inference, caller: Caller, message: NewMessage, attached: Attached, *, searches: bool) -> Asked:
    """Raises MissingPermission, SelectionOutside, ModelNotFound, ModelLacksFeature, ContextTooLarge, TooManyAttached.

    `searches`: a service for web search is configured.
    """
    wants_search, wants_reasoning = _wishes(caller, message)
    asked = Asked(
        model=AGENT if message.model in AGENT_NAMES else message.model,
        found=(),
        prompt=message.prompt,
        content=[_stored(item, attached) for item in message.content],
        texts=[item for item in message.content if isinstance(item, TextItem | SelectionItem)],
        documents=_documents(message, attached),
        files=list({one.id: attached.files[one.id] for one in message.content if isinstance(one, FileItem)}.values()),
        pages=list(
            {one.id: attached.pages[one.id] for one in message.content if isinstance(one, WebResourceItem)}.values()
        ),
        contexts=[item for item in message.content if isinstance(item, McpToolContextItem)],
    )
    needs = Needs(
        reasoning=wants_reasoning,
        web_search=wants_search and searches,
        images=any(file.format in PICTURES for file in asked.files),
        documents=any(file.format == "pdf" and not file.text for file in asked.files),
        characters=_length(asked),
    )
    found = _that_fit(inference.candidates(caller, message.model, FEATURE, needs), asked, message.model)
    can_reason = all(one.model.reasons for one in found[:1])
    can_search = searches and all(one.model.web_search for one in found[:1])
    _warn_of_lost_wishes(message.model, wants_reasoning and not can_reason, wants_search and not can_search)
    return msgspec.structs.replace(
        asked, found=found, reasoning=wants_reasoning and can_reason, web_search=wants_search and can_search
    )


def _wishes(caller: Caller, message: NewMessage) -> tuple[bool, bool]:
    wants_search = message.capabilities.web_search is not None
    wants_reasoning = message.capabilities.reasoning is not None
    if wants_search:
        caller.require(WEB_SEARCH)
    if wants_reasoning:
        caller.require(REASONING)
    return wants_search, wants_reasoning


def _warn_of_lost_wishes(model: str, reasoning: bool, search: bool) -> None:
    """A stale switch in the editor must not kill the chat (`spec/editor-api.md` 6.8.2)."""
    for name, is_lost in (("reasoning", reasoning), ("web search", search)):
        if is_lost:
            log.warning(f"{name} was asked for and is not enabled", model=model)


def _documents(message: NewMessage, attached: Attached) -> list[AttachedDocument]:
    """Each once, in the order of the message; a document that stands twice keeps all its selections."""
    ranges: dict[str, list[Range]] = {}
    places: dict[str, list[str]] = {}
    for place, item in enumerate(message.content):
        if isinstance(item, DocumentItem):
            ranges.setdefault(item.id, []).extend(item.selection)
            names = (f"content.{place}.selection.{number}" for number in range(len(item.selection)))
            places.setdefault(item.id, []).extend(names)
    found = []
    for document_id, its_ranges in ranges.items():
        row, content = attached.documents[document_id]
        found.append(AttachedDocument(row, content, selected(content, its_ranges, places[document_id])))
    return found


# --- limits ----------------------------------------------------------------------------------------------------------


def _length(asked: Asked) -> int:
    """Characters of the texts of this message, without its history (`spec/editor-api.md` O-36)."""
    texts = (asked.prompt, *(one.content for one in asked.texts), *(one.content for one in asked.documents))
    passages = (passage for one in asked.documents for passage in one.selected)
    attached = (*(file.text or "" for file in asked.files), *(page.text for page in asked.pages))
    return sum(map(len, (*texts, *passages, *attached)))


def _that_fit(found: Sequence[Candidate], asked: Asked, name: str) -> Sequence[Candidate]:
    """Those of `found` that can take the message. Raises ContextTooLarge or TooManyAttached when none can."""
    length = _length(asked)
    fitting = [one for one in found if length <= one.model.limits.max_context_length and not _over(asked, one.model)]
    if fitting:
        return fitting
    best = max(found, key=lambda one: one.model.limits.max_context_length).model
    if length > best.limits.max_context_length:
        raise ContextTooLarge(length, best.limits.max_context_length, name)
    raise TooManyAttached(_over(asked, found[0].model), name)


def _over(asked: Asked, model: Model) -> list[tuple[str, int, int]]:
    """Each limit of the model that the message's files exceed: what is too large, how large, and the limit."""
    limits = model.limits
    over = [
        (f"“{file.name}” has {file.size_bytes} bytes", file.size_bytes, limit)
        for file in asked.files
        if file.size_bytes > (limit := _size_limit(file, limits))
    ]
    total = sum(file.size_bytes for file in asked.files)
    pages = sum(file.pages or 0 for file in asked.files)
    sums = (
        (f"the message has {len(asked.files)} files", len(asked.files), limits.max_files),
        (f"its files have {total} bytes together", total, limits.max_total_file_size),
        (f"its PDF files have {pages} pages together", pages, limits.max_total_pdf_file_pages),
    )
    return over + [one for one in sums if one[1] > one[2]]


def _size_limit(file: FileRow, limits: ContextLimits) -> int:
    is_picture = file.format in PICTURES
    return min(limits.max_file_size, limits.max_image_size) if is_picture else limits.max_file_size


# --- as it is kept ---------------------------------------------------------------------------------------------------


def _stored(item: ContentItem, attached: Attached) -> dict[str, Any]:
    """A content item as the history shows it (`spec/editor-api.md` 6.8.1)."""
    match item:
        case DocumentItem():
            selection = [{"start": one.start, "end": one.end} for one in item.selection]
            attributes = item.attributes or attached.documents[item.id][0].attributes
            return {"type": "document", "id": item.id, "selection": selection} | _given(attributes)
        case FileItem():
            file = attached.files[item.id]
            return {"type": "file", "id": item.id, "name": file.name} | _given(file.attributes)
        case WebResourceItem():
            page = attached.pages[item.id]
            return {"type": "web-resource", "id": item.id, "url": page.url} | _given(page.attributes)
        case McpToolContextItem():
            tool = {"toolName": item.tool_name} if item.tool_name else {}
            return {"type": item.type, "id": item.id or short_id(), "mcpServerName": item.mcp_server_name} | tool
        case TextItem() | SelectionItem():
            return {"type": item.type, "content": item.content}


def _given(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if attributes is None else {"attributes": dict(attributes)}
