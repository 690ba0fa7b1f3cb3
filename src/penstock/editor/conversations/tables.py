"""Tables of conversations, their messages, and what is attached to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact, Json, LongText

ID_LENGTH = 255
TITLE_LENGTH = 255
GROUP_LENGTH = 255
MODEL_LENGTH = 512
NAME_LENGTH = 255
URL_LENGTH = 4096

WRITING = "writing"
COMPLETE = "complete"
ABORTED = "aborted"
FAILED = "failed"


class ConversationRow(Base):
    """`id` is the client's and unique in its tenant; `row_id` is ours and is never used again after a delete.

    `next_position` is where the next message goes. A turn begins by moving it from the value it has read: of two that
    began from the same value, one fails. `last_message_at` is NULL until the first message.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        Index("ix_conversations_history", "tenant_id", "user_id", "updated_at", "row_id"),
        Index("ix_conversations_updated_at", "updated_at"),
    )

    row_id: Mapped[str] = mapped_column(Exact(26), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    id: Mapped[str] = mapped_column(Exact(ID_LENGTH))
    title: Mapped[str | None] = mapped_column(Exact(TITLE_LENGTH))
    pinned: Mapped[bool] = mapped_column(Boolean())
    group_name: Mapped[str | None] = mapped_column(Exact(GROUP_LENGTH))
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    model: Mapped[str | None] = mapped_column(Exact(MODEL_LENGTH))
    next_position: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    last_visited_at: Mapped[datetime]
    last_message_at: Mapped[datetime | None]


class MessageRow(Base):
    """One message. Users' have `prompt`, `model` and `capabilities`; assistants' have `state`.

    `content` holds the items as the API shows them (`spec/editor-api.md` 6.8.1). An assistant's row is `writing` from
    the beginning of its turn and `touched_at` moves while somebody writes; only a row that is still `writing` may be
    written, so whoever ends it shuts a former writer out.
    """

    __tablename__ = "conversation_messages"
    __table_args__ = (UniqueConstraint("conversation_row_id", "position"),)

    id: Mapped[str] = mapped_column(Exact(21), primary_key=True)
    conversation_row_id: Mapped[str] = mapped_column(ForeignKey("conversations.row_id", ondelete="CASCADE"))
    position: Mapped[int]
    role: Mapped[str] = mapped_column(Exact(16))
    created_at: Mapped[datetime]
    prompt: Mapped[str | None]
    model: Mapped[str | None] = mapped_column(Exact(MODEL_LENGTH))
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    capabilities: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    content: Mapped[list[dict[str, Any]]] = mapped_column(Json(list[dict[str, Any]]))
    state: Mapped[str | None] = mapped_column(Exact(16))
    touched_at: Mapped[datetime | None]


class DocumentContentRow(Base):
    """The text of documents, once per conversation: editors upload the same document again with every message.

    `digest` is the SHA-256 of the text in UTF-8, in hexadecimal.
    """

    __tablename__ = "conversation_document_contents"

    conversation_row_id: Mapped[str] = mapped_column(
        ForeignKey("conversations.row_id", ondelete="CASCADE"), primary_key=True
    )
    digest: Mapped[str] = mapped_column(Exact(64), primary_key=True)
    content: Mapped[str] = mapped_column(LongText())


class DocumentRow(Base):
    """One upload of an editor's content. `used_at`: since when a message refers to it; NULL is collected in time."""

    __tablename__ = "conversation_documents"
    __table_args__ = (Index("ix_conversation_documents_unused", "used_at", "created_at"),)

    id: Mapped[str] = mapped_column(Exact(21), primary_key=True)
    conversation_row_id: Mapped[str] = mapped_column(ForeignKey("conversations.row_id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(Exact(64))
    name: Mapped[str | None] = mapped_column(Exact(NAME_LENGTH))
    description: Mapped[str | None] = mapped_column(LongText())
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    selections: Mapped[list[dict[str, Any]]] = mapped_column(Json(list[dict[str, Any]]))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class FileRow(Base):
    """One attached file. Its bytes are in storage under `blob_key`, what can be read of them is `text`.

    `format` is one of the permission's: `pdf`, `docx`, `png`, `jpeg`, `markdown`, `html`, `text`. `pages` is for PDF.
    `note` is what the model is told of the text, that it was cut for example.
    """

    __tablename__ = "conversation_files"
    __table_args__ = (Index("ix_conversation_files_unused", "used_at", "created_at"),)

    id: Mapped[str] = mapped_column(Exact(21), primary_key=True)
    conversation_row_id: Mapped[str] = mapped_column(ForeignKey("conversations.row_id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Exact(NAME_LENGTH))
    format: Mapped[str] = mapped_column(Exact(16))
    size_bytes: Mapped[int]
    pages: Mapped[int | None]
    blob_key: Mapped[str] = mapped_column(Exact(255))
    text: Mapped[str | None] = mapped_column(LongText())
    note: Mapped[str | None] = mapped_column(LongText())
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class WebResourceRow(Base):
    """One attached web page, as its text was when it was added."""

    __tablename__ = "conversation_web_resources"
    __table_args__ = (Index("ix_conversation_web_resources_unused", "used_at", "created_at"),)

    id: Mapped[str] = mapped_column(Exact(21), primary_key=True)
    conversation_row_id: Mapped[str] = mapped_column(ForeignKey("conversations.row_id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(LongText())
    title: Mapped[str | None] = mapped_column(LongText())
    text: Mapped[str] = mapped_column(LongText())
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json(dict[str, Any]))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
