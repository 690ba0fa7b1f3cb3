"""The SQL of conversations and messages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, and_, delete, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from penstock.database.engine import Transaction, locks_rows
from penstock.database.failures import AlreadyExists
from penstock.editor.conversations.cursors import ListFilter, Place
from penstock.editor.conversations.errors import ConversationExists, ConversationNotFound
from penstock.editor.conversations.schemas import is_storable_id
from penstock.editor.conversations.tables import ABORTED, WRITING, ConversationRow, MessageRow
from penstock.gateway.identity.caller import Caller


class ConversationRepository:
    """The conversations of one user. Nothing here can see those of another."""

    def __init__(self, tx: Transaction, caller: Caller) -> None:
        self._tx = tx
        self._caller = caller

    async def add(self, row: ConversationRow) -> None:
        """Raises ConversationExists, also when another user of the tenant has that id."""
        row.tenant_id, row.user_id = self._caller.tenant_id, self._caller.user_id
        self._tx.add(row)
        try:
            await self._tx.flush()
        except AlreadyExists as error:
            raise ConversationExists from error

    async def get(self, conversation_id: str, *, to_change: bool = False) -> ConversationRow:
        """`to_change` locks the row until the transaction ends: nobody deletes it in between.

        Raises ConversationNotFound, also for another user's.
        """
        found = None
        if is_storable_id(conversation_id):
            query = self._mine().where(ConversationRow.id == conversation_id)
            found = await (self._locked(query) if to_change else self._tx.scalar(query))
        if found is None:
            raise ConversationNotFound
        return found

    async def _locked(self, query: Select[ConversationRow]) -> ConversationRow | None:
        if not locks_rows(self._tx):
            return await self._tx.scalar(query)
        # Found first and locked by its own key: MySQL locks what a look-up by another index has passed, in the order
        # opposite to that of a change, so that the two would wait for each other.
        row_id = await self._tx.scalar(query.with_only_columns(ConversationRow.row_id))
        mine = self._mine().where(ConversationRow.row_id == row_id)
        return await self._tx.scalar(mine.with_for_update()) if row_id is not None else None

    async def page(
        self, list_filter: ListFilter, place: Place | None, limit: int
    ) -> tuple[Sequence[ConversationRow], Place | None, Place | None]:
        """Rows in the list's order, and where the next and the previous page begin."""
        backwards = place is not None and place.backwards
        descending = (list_filter.order == "desc") != backwards
        column = ConversationRow.updated_at if list_filter.sort_by == "updatedAt" else ConversationRow.created_at
        query = _filtered(self._mine(), list_filter)
        if place is not None:
            query = query.where(_beyond(column, place, descending=descending))
        order = (column.desc(), ConversationRow.row_id.desc()) if descending else (column, ConversationRow.row_id)
        found = list(await self._tx.scalars(query.order_by(*order).limit(limit + 1)))
        has_more = len(found) > limit
        rows = found[:limit][::-1] if backwards else found[:limit]
        has_next, has_previous = (True, has_more) if backwards else (has_more, place is not None)
        after = _place(rows[-1], list_filter, backwards=False) if rows and has_next else None
        before = _place(rows[0], list_filter, backwards=True) if rows and has_previous else None
        return rows, after, before

    async def delete(self, row_id: str) -> bool:
        """With its messages. False when somebody else has deleted it meanwhile."""
        return await _changed(self._tx, delete(ConversationRow).where(ConversationRow.row_id == row_id)) == 1

    def _mine(self) -> Select[ConversationRow]:
        return select(ConversationRow).where(
            ConversationRow.tenant_id == self._caller.tenant_id, ConversationRow.user_id == self._caller.user_id
        )


class MessageRepository:
    """The messages of one conversation, which its `ConversationRepository` has found to be the caller's."""

    def __init__(self, tx: Transaction, conversation_row_id: str) -> None:
        self._tx = tx
        self._row_id = conversation_row_id

    async def all(self) -> Sequence[MessageRow]:
        """Oldest first. Answers that were cut off before their first word are left out."""
        rows = await self._tx.scalars(self._mine().order_by(MessageRow.position))
        return [row for row in rows if row.role == "user" or row.content]

    async def latest(self, before: int, limit: int) -> Sequence[MessageRow]:
        """Oldest first, those before the position `before`."""
        query = self._mine().where(MessageRow.position < before)
        return list(await self._tx.scalars(query.order_by(MessageRow.position.desc()).limit(limit)))[::-1]

    async def has_answer(self, state: str) -> bool:
        query = self._mine().where(MessageRow.state == state).with_only_columns(MessageRow.id)
        return await self._tx.scalar(query.limit(1)) is not None

    async def touched_at(self) -> datetime | None:
        """When the answer that is being written was last touched; None when there is none."""
        query = select(MessageRow.touched_at).where(
            MessageRow.conversation_row_id == self._row_id, MessageRow.state == WRITING
        )
        return await self._tx.scalar(query.order_by(MessageRow.position.desc()).limit(1))

    async def begin(self, position: int, model: str, user: MessageRow, answer: MessageRow) -> bool:
        """Add a user's message and the answer that will be written. False when another turn began meanwhile, or the
        conversation is gone: then nothing was added.

        Answers that nobody ended are ended, so that their writers, should they live, can write no more.
        """
        moved = update(ConversationRow).where(
            ConversationRow.row_id == self._row_id, ConversationRow.next_position == position
        )
        now = user.created_at
        values = {"next_position": position + 2, "model": model, "updated_at": now, "last_message_at": now}
        if await _changed(self._tx, moved.values(**values)) != 1:
            return False
        if position:
            unended = (MessageRow.conversation_row_id == self._row_id, MessageRow.state == WRITING)
            await self._tx.execute(update(MessageRow).where(*unended).values(state=ABORTED))
        user.position, answer.position = position, position + 1
        user.conversation_row_id = answer.conversation_row_id = self._row_id
        self._tx.add_all((user, answer))
        return True

    async def write(self, answer_id: str, now: datetime, content: list[dict[str, Any]], state: str) -> bool:
        """What an answer says so far. False when it was ended by somebody else, or deleted: nothing is written."""
        # Everybody locks the conversation before its messages, so nobody waits in a circle.
        if state != WRITING and locks_rows(self._tx):
            conversation = select(ConversationRow.row_id).where(ConversationRow.row_id == self._row_id)
            await self._tx.execute(conversation.with_for_update())
        mine = update(MessageRow).where(MessageRow.id == answer_id, MessageRow.state == WRITING)
        if await _changed(self._tx, mine.values(content=content, state=state, touched_at=now)) != 1:
            return False
        if state != WRITING:
            await self._tx.execute(
                update(ConversationRow)
                .where(ConversationRow.row_id == self._row_id)
                .values(updated_at=now, last_message_at=now)
            )
        return True

    async def name(self, title: str) -> bool:
        """Give the conversation a title. False when it has one already, or is gone."""
        unnamed = update(ConversationRow).where(ConversationRow.row_id == self._row_id, ConversationRow.title.is_(None))
        return await _changed(self._tx, unnamed.values(title=title)) == 1

    async def conversation_exists(self) -> bool:
        query = select(ConversationRow.row_id).where(ConversationRow.row_id == self._row_id)
        return await self._tx.scalar(query) is not None

    def _mine(self) -> Select[MessageRow]:
        return select(MessageRow).where(MessageRow.conversation_row_id == self._row_id)


def _filtered(query: Select[ConversationRow], list_filter: ListFilter) -> Select[ConversationRow]:
    if list_filter.pinned is not None:
        query = query.where(ConversationRow.pinned.is_(list_filter.pinned))
    if list_filter.exclude_empty:
        query = query.where(ConversationRow.last_message_at.is_not(None))
    if list_filter.group is not None:
        query = query.where(ConversationRow.group_name == list_filter.group)
    return query


def _beyond(column: InstrumentedAttribute[datetime], place: Place, *, descending: bool) -> ColumnElement[bool]:
    row_id = ConversationRow.row_id
    if descending:
        return and_(column <= place.at, or_(column < place.at, row_id < place.row_id))
    return and_(column >= place.at, or_(column > place.at, row_id > place.row_id))


def _place(row: ConversationRow, list_filter: ListFilter, *, backwards: bool) -> Place:
    return Place(row.updated_at if list_filter.sort_by == "updatedAt" else row.created_at, row.row_id, backwards)


async def _changed(tx: Transaction, statement: Any) -> int:
    result = await tx.execute(statement, execution_options={"synchronize_session": False})
    return cast(CursorResult[Any], result).rowcount
