"""Tables of conversations and their messages."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from penstock.database.base import Base
from penstock.database.types import Exact, Json

ID_LENGTH = 255
TITLE_LENGTH = 255
GROUP_LENGTH = 255
MODEL_LENGTH = 512

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
