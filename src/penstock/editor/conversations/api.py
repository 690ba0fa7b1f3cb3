"""Conversations over HTTP (`spec/editor-api.md` 6.4 and 6.8)."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from penstock.editor.access import authentication
from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.cursors import ListFilter, Order, SortKey
from penstock.editor.conversations.schemas import (
    Conversation,
    ConversationChanges,
    ConversationPage,
    MessageList,
    NewConversation,
    NewMessage,
    conversation_shown,
    message_shown,
)
from penstock.editor.conversations.service import Conversations
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.http.answers import Event, EventStream
from penstock.http.incoming import Receive, Scope, Send, incoming_of

_STREAM = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def conversation_routes(
    identity: Identity, conversations: Conversations, *, keep_alive_s: float, max_s: float, done_event: bool = True
) -> APIRouter:
    """`keep_alive_s` and `max_s` bound the silence and the length of a stream."""
    router = APIRouter(prefix="/v1/conversations")
    authenticated = Depends(authentication(identity))
    _add_conversations(router, conversations, authenticated)
    _add_messages(router, conversations, authenticated, keep_alive_s, max_s, done_event)
    return router


def _add_conversations(router: APIRouter, conversations: Conversations, authenticated: Any) -> None:
    tags: list[Any] = ["Conversations"]

    @router.post("", status_code=201, response_model=Conversation, tags=tags, operation_id="create_conversation")
    async def create(body: NewConversation, caller: Caller = authenticated) -> Response:
        """Begin a conversation, under an id of the client's own or a new one."""
        return _json(conversation_shown(await conversations.create(caller, body)), 201)

    @router.get("", response_model=ConversationPage, tags=tags, operation_id="list_conversations")
    async def page(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
        sort_by: Annotated[SortKey, Query(alias="sortBy")] = "updatedAt",
        order: Order = "desc",
        pinned: bool | None = None,
        exclude_empty: Annotated[bool, Query(alias="excludeEmpty")] = False,
        group: Annotated[str | None, Query(max_length=255)] = None,
        caller: Caller = authenticated,
    ) -> Response:
        """The caller's own conversations, page by page."""
        list_filter = ListFilter(sort_by=sort_by, order=order, pinned=pinned, exclude_empty=exclude_empty, group=group)
        found = await conversations.page(caller, list_filter, limit, cursor)
        return _json(
            {
                "items": [conversation_shown(row) for row in found.rows],
                "nextCursor": found.next_cursor,
                "previousCursor": found.previous_cursor,
            }
        )

    @router.get("/{conversation_id}", response_model=Conversation, tags=tags, operation_id="get_conversation")
    async def get(conversation_id: str, caller: Caller = authenticated) -> Response:
        return _json(conversation_shown(await conversations.visit(caller, conversation_id)))

    @router.patch("/{conversation_id}", response_model=Conversation, tags=tags, operation_id="change_conversation")
    async def change(conversation_id: str, body: ConversationChanges, caller: Caller = authenticated) -> Response:
        return _json(conversation_shown(await conversations.change(caller, conversation_id, body)))

    @router.delete("/{conversation_id}", status_code=204, tags=tags, operation_id="delete_conversation")
    async def delete(conversation_id: str, caller: Caller = authenticated) -> Response:
        """Delete a conversation with everything in it; an answer that is being written is stopped first."""
        await conversations.delete(caller, conversation_id)
        return Response(status_code=204)


def _add_messages(
    router: APIRouter,
    conversations: Conversations,
    authenticated: Any,
    keep_alive_s: float,
    max_s: float,
    done_event: bool,
) -> None:
    tags: list[Any] = ["Conversation Messages"]
    path = "/{conversation_id}/messages"

    @router.get(path, response_model=MessageList, tags=tags, operation_id="list_messages")
    async def messages(conversation_id: str, caller: Caller = authenticated) -> Response:
        """All messages, oldest first."""
        rows, now = await conversations.messages(caller, conversation_id)
        return _json({"items": [message_shown(row, now) for row in rows]})

    @router.post(path, response_class=Response, responses=_STREAM, tags=tags, operation_id="send_message")  # type: ignore[arg-type]
    async def say(conversation_id: str, body: NewMessage, caller: Caller = authenticated) -> Response:
        """Send a message and stream the answer as server-sent events."""
        records = CallRecords()
        events = await conversations.say(caller, conversation_id, body, records)
        return _Answer(events, records, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)


class _Answer(EventStream):
    """What became known of the model call is put on the metric log line when the stream is over."""

    def __init__(
        self, events: Any, records: CallRecords, *, keep_alive_s: float, max_s: float, done_event: bool
    ) -> None:
        super().__init__(events, merge=merged, keep_alive_s=keep_alive_s, max_s=max_s, done_event=done_event)
        self._records = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            incoming_of(scope).note(**self._records.log_fields())


def merged(one: Event, other: Event) -> Event | None:
    """Two pieces of text, or of one edit, as one. Everything else stays apart and in its place."""
    if one.name != other.name or one.name not in ("text-delta", "modification-delta"):
        return None
    if one.data.get("id") != other.data.get("id"):
        return None
    return Event(one.name, one.data | {"textDelta": one.data["textDelta"] + other.data["textDelta"]})


def _json(value: Any, status: int = 200) -> Response:
    # The editor compares the content type for equality, and some answers hold what users chose to store.
    return Response(msgspec.json.encode(value), status, media_type="application/json")
