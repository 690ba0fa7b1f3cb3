"""The wire of conversations and messages: what is accepted and what is shown (`spec/editor-api.md` 6.4 and 6.8)."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from penstock.editor.conversations.tables import (
    ABORTED,
    FAILED,
    GROUP_LENGTH,
    ID_LENGTH,
    MODEL_LENGTH,
    TITLE_LENGTH,
    WRITING,
    ConversationRow,
    MessageRow,
)
from penstock.gateway.routing.candidates import AGENT
from penstock.kit.clock import iso

MAX_PROMPT_LENGTH: Final = 100_000
MAX_ITEMS: Final = 200
UNTOUCHED_FOR = timedelta(seconds=6)  # a writer that lives touches its answer every two
_WRONG_IN_ID = re.compile(r"[\s/:@\x00-\x1f\x7f]|;;")


def is_storable_id(conversation_id: str) -> bool:
    """Whether a conversation can have this id; everything else simply does not exist."""
    return (
        1 <= len(conversation_id) <= ID_LENGTH and _without_surrogates(conversation_id) and "\0" not in conversation_id
    )


def _without_surrogates(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


# --- rules of single fields ------------------------------------------------------------------------------------------


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is null; leave the field out instead")
    return value


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds the character U+0000, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a character (a lone surrogate), which cannot be stored") from error
    return text


def _conversation_id(text: str) -> str:
    if _WRONG_IN_ID.search(text):
        raise ValueError("must not contain spaces, control characters, `/`, `:`, `@` or `;;`")
    return text


def _fits(limit_bytes: int) -> AfterValidator:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(msgspec.json.encode(value))
        except (UnicodeEncodeError, RecursionError) as error:
            raise ValueError("holds half of a character (a lone surrogate), or is nested too deeply") from error
        if size > limit_bytes:
            raise ValueError(f"has {size} bytes as JSON; {limit_bytes} are allowed")
        return value

    return AfterValidator(check)


_Given = BeforeValidator(_given)
_Plain = AfterValidator(_storable)
_Id = Annotated[str, Field(min_length=1, max_length=ID_LENGTH), AfterValidator(_conversation_id)]
_Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=TITLE_LENGTH), _Plain]
_NewTitle = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_LENGTH), _Plain]
_Group = Annotated[str, Field(min_length=1, max_length=GROUP_LENGTH), _Plain]
_ConversationAttributes = Annotated[dict[str, Any], _fits(16 * 1024)]
_MessageAttributes = Annotated[dict[str, Any], _fits(64 * 1024)]
_ContentId = Annotated[str, Field(min_length=1, max_length=255)]
_ContentText = Annotated[str, Field(max_length=10_000_000)]


# --- what is accepted ------------------------------------------------------------------------------------------------


class _Body(BaseModel):
    """Unknown fields are ignored, wrong types are refused and never converted, null is a wrong type."""

    model_config = ConfigDict(strict=True, extra="ignore")


class NewConversation(_Body):
    """Without `id` one is made. A title of nothing but spaces is none."""

    id: Annotated[_Id | None, _Given] = None
    title: Annotated[_Title | None, _Given] = None
    group: Annotated[_Group | None, _Given] = None
    pinned: Annotated[bool | None, _Given] = None
    attributes: Annotated[_ConversationAttributes | None, _Given] = None


class ConversationChanges(_Body):
    """Fields that are left out stay as they are."""

    title: Annotated[_NewTitle | None, _Given] = None
    group: Annotated[_Group | None, _Given] = None
    pinned: Annotated[bool | None, _Given] = None
    attributes: Annotated[_ConversationAttributes | None, _Given] = None


class Range(_Body):
    """Offsets into the document in UTF-16 code units."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class DocumentItem(_Body):
    type: Literal["document"]
    id: _ContentId
    attributes: Annotated[_MessageAttributes | None, _Given] = None
    selection: Annotated[list[Range], Field(max_length=1000)] = []


class FileItem(_Body):
    type: Literal["file"]
    id: _ContentId


class WebResourceItem(_Body):
    type: Literal["web-resource"]
    id: _ContentId


class TextItem(_Body):
    type: Literal["text"]
    content: _ContentText


class SelectionItem(_Body):
    """Text that the user has selected in the editor."""

    type: Literal["selection"]
    content: _ContentText


class McpToolContextItem(_Body):
    """What the editor tells a tool's server of itself; models never see it."""

    model_config = ConfigDict(alias_generator=to_camel)

    type: Literal["mcp-tool-context"]
    mcp_server_name: _ContentId
    tool_name: Annotated[_ContentId | None, _Given] = None
    data: Annotated[dict[str, Any], _fits(64 * 1024)] = {}
    id: Annotated[str | None, Field(min_length=1, max_length=21), _Given] = None


ContentItem = Annotated[
    DocumentItem | FileItem | WebResourceItem | TextItem | SelectionItem | McpToolContextItem,
    Field(discriminator="type"),
]


class Switch(BaseModel):
    """On by being there: always an empty object."""

    model_config = ConfigDict(extra="forbid")


class Capabilities(_Body):
    """What a message may use beyond the model itself. Absence means off."""

    model_config = ConfigDict(alias_generator=to_camel)

    web_search: Annotated[Switch | None, _Given] = None
    reasoning: Annotated[Switch | None, _Given] = None

    def shown(self) -> dict[str, Any]:
        switches = {"webSearch": self.web_search, "reasoning": self.reasoning}
        return {name: {} for name, switch in switches.items() if switch is not None}


class NewMessage(_Body):
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_LENGTH), _Plain]
    model: Annotated[str, Field(min_length=1, max_length=MODEL_LENGTH), _Plain] = AGENT
    content: Annotated[list[ContentItem], Field(max_length=MAX_ITEMS)] = []
    capabilities: Capabilities = Capabilities()
    attributes: Annotated[_MessageAttributes | None, _Given] = None


# --- what is shown ---------------------------------------------------------------------------------------------------


class Conversation(BaseModel):
    """For the API document. Optional fields are absent, never null."""

    id: str
    title: str = ""
    pinned: bool
    group: str = ""
    createdAt: str  # noqa: N815
    updatedAt: str  # noqa: N815
    lastVisitedAt: str  # noqa: N815
    lastMessageAt: str = ""  # noqa: N815
    attributes: dict[str, Any] = {}
    model: str = ""


class ConversationPage(BaseModel):
    items: list[Conversation]
    nextCursor: str | None  # noqa: N815
    previousCursor: str | None  # noqa: N815


class MessageList(BaseModel):
    items: list[dict[str, Any]]


def conversation_shown(row: ConversationRow) -> dict[str, Any]:
    """Never with a null: one would make the whole history list fail in the editor (0.3, rule 9)."""
    fields = {
        "id": row.id,
        "title": row.title,
        "pinned": row.pinned,
        "group": row.group_name,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
        "lastVisitedAt": iso(row.last_visited_at),
        "lastMessageAt": iso(row.last_message_at) if row.last_message_at else None,
        "attributes": row.attributes,
        "model": row.model,
    }
    return {name: value for name, value in fields.items() if value is not None}


def message_shown(row: MessageRow, now: datetime) -> dict[str, Any]:
    """The editor drops an item that misses a field it needs, so `capabilities` and `content` are always there."""
    fields: dict[str, Any] = {"id": row.id, "role": row.role, "createdAt": iso(row.created_at)}
    if row.role == "user":
        fields |= {"prompt": row.prompt, "capabilities": row.capabilities or {}, "content": row.content}
        fields |= {"model": row.model} if row.model else {}
        fields |= {"attributes": row.attributes} if row.attributes is not None else {}
    else:
        fields["content"] = row.content
        fields |= _end_shown(row, now)
    return fields


def _end_shown(row: MessageRow, now: datetime) -> dict[str, Any]:
    if row.state == FAILED:
        return {"attributes": {"failed": True}}
    # Whoever wrote it has died with its process when it has not touched it for so long.
    is_left = row.state == WRITING and (row.touched_at is None or now - row.touched_at > UNTOUCHED_FOR)
    return {"attributes": {"aborted": True}} if row.state == ABORTED or is_left else {}
