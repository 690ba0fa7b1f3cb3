"""The wire of attachments: what is accepted and what is shown (`spec/editor-api.md` 6.5 to 6.7)."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel

from penstock.editor.conversations.file_formats import FORMATS
from penstock.editor.conversations.schemas import Range, _Body, _fits, _Given, _Plain
from penstock.editor.conversations.tables import NAME_LENGTH, URL_LENGTH, DocumentRow, FileRow
from penstock.kit.clock import iso

MAX_DOCUMENTS: Final = 100
"""In one batch, written or read."""

_DESCRIPTORS = ("version", "sessionId", "channelId", "rootName")
"""What CKEditor says of a document beside its content; it reads them back as attributes."""

_Attributes = Annotated[dict[str, Any], _fits(64 * 1024)]


# --- what is accepted ------------------------------------------------------------------------------------------------


class Selection(Range):
    """A selected range and what stood there."""

    model_config = ConfigDict(alias_generator=to_camel)

    html_fragment: Annotated[str, Field(max_length=1_000_000), _Plain] = ""


class NewDocument(_Body):
    """How long `content` may be is said by the service: it is no wrong request then, but a large one."""

    content: Annotated[str, _Plain]
    name: Annotated[Annotated[str, Field(max_length=NAME_LENGTH), _Plain] | None, _Given] = None
    description: Annotated[Annotated[str, Field(max_length=10_000), _Plain] | None, _Given] = None
    attributes: Annotated[_Attributes | None, _Given] = None
    selections: Annotated[list[Selection], Field(default_factory=list, max_length=1_000)]

    @model_validator(mode="before")
    @classmethod
    def _collect_descriptors(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        found = {name: body[name] for name in _DESCRIPTORS if name in body}
        given = body.get("attributes", {})
        return {**body, "attributes": found | given} if found and isinstance(given, dict) else body


class _Batch(_Body):
    documents: Annotated[list[NewDocument], Field(min_length=1, max_length=MAX_DOCUMENTS)]


class NewDocuments(_Batch):
    """An array of documents, or an object with it as `documents`."""

    @model_validator(mode="before")
    @classmethod
    def _take_an_array(cls, body: Any) -> Any:
        return {"documents": body} if isinstance(body, list) else body


class NewWebResource(_Body):
    url: Annotated[str, Field(min_length=1, max_length=URL_LENGTH), _Plain]
    attributes: Annotated[_Attributes | None, _Given] = None


attributes_of_a_file: TypeAdapter[dict[str, Any]] = TypeAdapter(_Attributes)


# --- what is shown ---------------------------------------------------------------------------------------------------


class Created(BaseModel):
    id: str


class Document(BaseModel):
    """For the API document. Optional fields are absent, never null."""

    id: str
    conversationId: str  # noqa: N815
    createdAt: str  # noqa: N815
    content: str
    name: str = ""
    description: str = ""
    attributes: dict[str, Any] = {}
    selections: list[dict[str, Any]] = []


class File(BaseModel):
    """For the API document. `used`: a message refers to it, so that it cannot be deleted any more."""

    id: str
    conversationId: str  # noqa: N815
    createdAt: str  # noqa: N815
    name: str
    format: str
    mimeType: str  # noqa: N815
    sizeBytes: int  # noqa: N815
    pages: int = 0
    used: bool
    attributes: dict[str, Any] = {}


class FileList(BaseModel):
    items: list[File]


def document_shown(row: DocumentRow, content: str, conversation_id: str) -> dict[str, Any]:
    return _given(
        id=row.id,
        conversationId=conversation_id,
        createdAt=iso(row.created_at),
        content=content,
        name=row.name,
        description=row.description,
        attributes=row.attributes,
        selections=row.selections or None,
    )


def file_shown(row: FileRow, conversation_id: str) -> dict[str, Any]:
    return _given(
        id=row.id,
        conversationId=conversation_id,
        createdAt=iso(row.created_at),
        name=row.name,
        format=row.format,
        mimeType=FORMATS[row.format].mime,
        sizeBytes=row.size_bytes,
        pages=row.pages,
        used=row.used_at is not None,
        attributes=row.attributes,
    )


def _given(**fields: Any) -> dict[str, Any]:
    """Never with a null (0.3, rule 9)."""
    return {name: value for name, value in fields.items() if value is not None}
