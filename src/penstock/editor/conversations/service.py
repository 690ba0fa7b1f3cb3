"""Conversations of editor users, their messages, and the answers that models give to them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec

from penstock.coordination.base import Broadcast, Leases
from penstock.database.engine import Database
from penstock.database.failures import WriteConflict
from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.answer import Answer
from penstock.editor.conversations.asking import Asked, attached_to, checked
from penstock.editor.conversations.attached import AttachmentRepository, doom_files
from penstock.editor.conversations.composing import Before, Composing
from penstock.editor.conversations.cursors import ListFilter, from_cursor, to_cursor
from penstock.editor.conversations.errors import (
    ConversationInUse,
    ConversationNotFound,
)
from penstock.editor.conversations.locks import Lock, Locks
from penstock.editor.conversations.packing import Said
from penstock.editor.conversations.repository import ConversationRepository, MessageRepository
from penstock.editor.conversations.running import RunningTurns
from penstock.editor.conversations.schemas import (
    ConversationChanges,
    NewConversation,
    NewMessage,
)
from penstock.editor.conversations.tables import COMPLETE, WRITING, ConversationRow, MessageRow
from penstock.editor.conversations.titles import Titles
from penstock.editor.conversations.turns import Turn
from penstock.editor.moderation.service import Moderation
from penstock.errors import PenstockError
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference
from penstock.http.answers import Event
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.ids import short_id, ulid
from penstock.kit.tasks import to_the_end
from penstock.storage.doomed import DoomedBlobs
from penstock.telemetry.logs import log

READ: Final = "ai:conversations:read"
WRITE: Final = ("ai:conversations:write", "ai:conversations:create")
DELETE: Final = ("ai:conversations:delete", "ai:conversations:write")

_HISTORY = 200
_TITLE_WITHIN_S = 20.0


class Page(msgspec.Struct, frozen=True):
    rows: list[ConversationRow]
    next_cursor: str | None
    previous_cursor: str | None


class ConversationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`lock_wait_s`: how long a message waits for the one before it. `searches`: web search is configured."""

    lock_wait_s: float
    searches: bool = False
    legacy_tool_events: bool = False
    error_as_text: bool = False


class Conversations:
    """`moderation` None: nothing is screened. `watch` has to run beside the service."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        inference: Inference,
        leases: Leases,
        broadcast: Broadcast,
        composing: Composing,
        doomed: DoomedBlobs,
        moderation: Moderation | None,
        options: ConversationOptions,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._inference = inference
        self._composing = composing
        self._doomed = doomed
        self._moderation = moderation
        self._options = options
        self._locks = Locks(leases, wait_s=options.lock_wait_s)
        self._clock = clock or SystemClock()
        self._titles = Titles(inference)
        self._running = RunningTurns(self._locks, broadcast)

    # --- conversations -----------------------------------------------------------------------------------------------

    async def create(self, caller: Caller, new: NewConversation) -> ConversationRow:
        """Raises MissingPermission, ConversationExists."""
        caller.require(*WRITE)
        with suppress(WriteConflict):  # on MySQL, when two create what a third one is deleting
            return await self._create(caller, new)
        return await self._create(caller, new)

    async def _create(self, caller: Caller, new: NewConversation) -> ConversationRow:
        now = self._clock.now()
        row = ConversationRow(
            row_id=ulid(),
            id=short_id() if new.id is None else new.id,
            title=new.title or None,
            pinned=bool(new.pinned),
            group_name=new.group,
            attributes=new.attributes,
            next_position=0,
            created_at=now,
            updated_at=now,
            last_visited_at=now,
        )
        async with self._database.transaction() as tx:
            await ConversationRepository(tx, caller).add(row)
        return row

    async def page(self, caller: Caller, list_filter: ListFilter, limit: int, cursor: str | None) -> Page:
        """Raises MissingPermission, BadCursor."""
        caller.require(READ)
        place = None if cursor is None else from_cursor(cursor, list_filter)
        async with self._database.reading() as tx:
            rows, after, before = await ConversationRepository(tx, caller).page(list_filter, place, limit)
        return Page(
            list(rows),
            None if after is None else to_cursor(after, list_filter),
            None if before is None else to_cursor(before, list_filter),
        )

    async def visit(self, caller: Caller, conversation_id: str) -> ConversationRow:
        """Look at one conversation, which moves `last_visited_at`. Raises MissingPermission, ConversationNotFound."""
        caller.require(READ)
        async with self._database.transaction() as tx:
            row = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            row.last_visited_at = self._clock.now()
        return row

    async def change(self, caller: Caller, conversation_id: str, changes: ConversationChanges) -> ConversationRow:
        """`updated_at` stays: the order of the history must not jump.

        Raises MissingPermission, ConversationNotFound.
        """
        caller.require(*WRITE)
        async with self._database.transaction() as tx:
            row = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            for field, name in (("title", "title"), ("pinned", "pinned"), ("group", "group_name")):
                if (value := getattr(changes, field)) is not None:
                    setattr(row, name, value)
            if changes.attributes is not None:
                row.attributes = changes.attributes
        return row

    async def delete(self, caller: Caller, conversation_id: str) -> None:
        """With everything in it; an answer that is being written is stopped first, on whatever replica.

        Raises MissingPermission, ConversationNotFound.
        """
        caller.require(*DELETE)
        async with self._database.reading() as tx:
            row = await ConversationRepository(tx, caller).get(conversation_id)
        await self._running.stop(row.row_id)
        async with self._database.transaction() as tx:
            await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            await doom_files(tx, self._doomed, row.row_id, self._clock.now())
            if not await ConversationRepository(tx, caller).delete(row.row_id):
                raise ConversationNotFound

    # --- messages ----------------------------------------------------------------------------------------------------

    async def messages(self, caller: Caller, conversation_id: str) -> tuple[list[MessageRow], datetime]:
        """Oldest first, and the instant at which that was so. Raises MissingPermission, ConversationNotFound."""
        caller.require(READ)
        async with self._database.reading() as tx:
            row = await ConversationRepository(tx, caller).get(conversation_id)
            return list(await MessageRepository(tx, row.row_id).all()), self._clock.now()

    async def say(
        self, caller: Caller, conversation_id: str, message: NewMessage, records: CallRecords
    ) -> AsyncGenerator[Event, None]:
        """Keep the message and give the events of its answer, `message-metadata` first.

        What is wrong with the message is raised here; what goes wrong at the model is raised by the events. They have
        begun already: close them, whatever happens. `records` is filled in as facts become known.

        Raises MissingPermission, ConversationNotFound, ContentNotFound, SelectionOutside, ModelNotFound,
        ModelLacksFeature, ContextTooLarge, TooManyAttached, ContentModerated, ConversationInUse.
        """
        caller.require(*WRITE)
        async with self._database.reading() as tx:
            row_id = (await ConversationRepository(tx, caller).get(conversation_id)).row_id
            attached = await attached_to(tx, row_id, message)
        asked = checked(self._inference, caller, message, attached, searches=self._options.searches)
        if self._moderation is not None:
            await self._moderation.check_text(asked.shown_text)
        lock = await self._locks.take(row_id, lambda: self._pulse(row_id))
        try:
            turn = await to_the_end(self._begin(caller, conversation_id, row_id, message, asked, lock, records))
        except BaseException:
            await to_the_end(self._locks.release(lock))
            raise
        self._running.add(turn)
        events = turn.events()
        await anext(events)
        return events

    async def _pulse(self, row_id: str) -> datetime | None:
        async with self._database.reading() as tx:
            return await MessageRepository(tx, row_id).touched_at()

    async def _begin(
        self,
        caller: Caller,
        conversation_id: str,
        row_id: str,
        message: NewMessage,
        asked: Asked,
        lock: Lock,
        records: CallRecords,
    ) -> Turn:
        """Commit the message and the place of its answer."""
        answer = self._answer_row()
        async with self._database.transaction() as tx:
            row = await ConversationRepository(tx, caller).get(conversation_id, to_change=True)
            if row.row_id != row_id:
                raise ConversationNotFound
            messages = MessageRepository(tx, row_id)
            attachments = AttachmentRepository(tx, row_id)
            earlier = await messages.latest(row.next_position, _HISTORY) if row.next_position else ()
            before = await _before(attachments, earlier, asked)
            needs_title = row.title is None and not await _is_answered(messages, earlier)
            # The position was read while the lock was ours, or we stood still for so long that it may not be.
            if not lock.was_held_until_now():
                raise ConversationInUse
            user = self._user_row(message, asked, answer.created_at)
            await attachments.mark_used(
                answer.created_at,
                documents=[one.row.id for one in asked.documents],
                files=[file.id for file in asked.files],
                web_resources=[page.id for page in asked.pages],
            )
            if not await messages.begin(row.next_position, asked.model, user, answer):
                raise ConversationInUse
        return Turn(
            database=self._database,
            locks=self._locks,
            clock=self._clock,
            lock=lock,
            conversation_row_id=row_id,
            answer_id=answer.id,
            pieces=self._composing.pieces(caller, asked, before, records),
            answer=Answer([one.row.id for one in asked.documents], legacy_events=self._options.legacy_tool_events),
            make_title=(lambda: self._name(caller, row_id, asked)) if needs_title else None,
            on_close=self._running.forget,
            error_as_text=self._options.error_as_text,
        )

    def _answer_row(self) -> MessageRow:
        now = self._clock.now()
        return MessageRow(id=short_id(), role="assistant", created_at=now, content=[], state=WRITING, touched_at=now)

    def _user_row(self, message: NewMessage, asked: Asked, now: datetime) -> MessageRow:
        return MessageRow(
            id=short_id(),
            role="user",
            created_at=now,
            prompt=message.prompt,
            model=asked.model,
            attributes=message.attributes,
            capabilities=message.capabilities.shown(),
            content=asked.content,
        )

    async def _name(self, caller: Caller, row_id: str, asked: Asked) -> str | None:
        """The title that the conversation was given. None when it got none from us: that never fails a message."""
        try:
            async with asyncio.timeout(_TITLE_WITHIN_S):
                title = await self._titles.make(caller, self._catalog.current, asked.model, asked.shown_text)
            if title is None:
                return None
            return title if await to_the_end(self._store_title(row_id, title)) else None
        except (PenstockError, TimeoutError) as error:
            log.warning("a conversation got no title", reason=str(error) or "no answer in time")
        except Exception as error:
            log.error("unexpected failure while naming a conversation", exc_info=error)
        return None

    async def _store_title(self, row_id: str, title: str) -> bool:
        async with self._database.transaction() as tx:
            return await MessageRepository(tx, row_id).name(title)

    async def watch(self) -> None:
        """Runs beside the service: see `RunningTurns.watch`."""
        await self._running.watch()


async def _before(attachments: AttachmentRepository, earlier: Sequence[MessageRow], asked: Asked) -> Before:
    if not earlier:
        return Before()
    new = {file.id for file in asked.files} | {page.id for page in asked.pages}
    files = await attachments.used_files(asked.limit)
    pages = await attachments.used_web_resources(asked.limit)
    return Before(
        [Said(one.role, one.prompt or "", one.content) for one in earlier],
        [file for file in files.rows if file.id not in new],
        [page for page in pages.rows if page.id not in new],
        files.unread | pages.unread,
    )


async def _is_answered(messages: MessageRepository, earlier: Sequence[MessageRow]) -> bool:
    """A message of the conversation was answered to its end."""
    if any(one.state == COMPLETE for one in earlier):
        return True
    return len(earlier) >= _HISTORY and await messages.has_answer(COMPLETE)
