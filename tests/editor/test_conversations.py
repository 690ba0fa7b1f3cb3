"""Conversations without HTTP around them, on every database."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import timedelta

import pytest
from sqlalchemy import update

from penstock.coordination.base import Lease
from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.cursors import ListFilter
from penstock.editor.conversations.errors import (
    ConversationDeleted,
    ConversationExists,
    ConversationInUse,
    ConversationNotFound,
    Stopping,
    TakenOver,
)
from penstock.editor.conversations.locks import TTL_S, Lock
from penstock.editor.conversations.repository import MessageRepository
from penstock.editor.conversations.schemas import ConversationChanges, NewConversation, NewMessage, message_shown
from penstock.editor.conversations.service import Conversations
from penstock.editor.conversations.tables import ConversationRow, MessageRow
from penstock.http.answers import Event
from penstock.kit.clock import SystemClock
from penstock.kit.ids import short_id
from tests.editor.conftest import Room, caller
from tests.fakes.openai_upstream import Finish, Hold, Stall, Text

ANN = caller()
NAMED = {"title": "Named"}


def new(**fields: object) -> NewConversation:
    return NewConversation.model_validate(fields)


def message(prompt: str = "Hi", **fields: object) -> NewMessage:
    return NewMessage.model_validate({"prompt": prompt, **fields})


async def say(conversations: Conversations, prompt: str = "Hi", to: str = "c") -> AsyncGenerator[Event, None]:
    return await conversations.say(ANN, to, message(prompt), CallRecords())


async def until(events: AsyncGenerator[Event, None], name: str) -> Event:
    async for event in events:
        if event.name == name:
            return event
    raise AssertionError(f"no {name}")


async def said(conversations: Conversations, prompt: str = "Hi") -> list[str]:
    async with aclosing(await say(conversations, prompt)) as events:
        return [event.name async for event in events]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_id_is_taken_in_its_tenant_and_free_in_another(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c"))
    for one in (ANN, caller("bob")):
        with pytest.raises(ConversationExists):
            await room.conversations.create(one, new(id="c"))
    await room.conversations.create(caller("zoe", "other"), new(id="c"))
    await room.conversations.create(ANN, new(id="C"))
    for stranger in (caller("bob"), caller("ann", "other")):
        with pytest.raises(ConversationNotFound):
            await room.conversations.visit(stranger, "c")


@pytest.mark.parametrize("conversation_id", ["none", "", "x" * 300, "a\0b", "\ud83d"])
async def test_what_cannot_be_an_id_is_not_found(room: Room, conversation_id: str) -> None:
    with pytest.raises(ConversationNotFound):
        await room.conversations.visit(ANN, conversation_id)


async def test_fields_come_back_as_they_were_given(room: Room) -> None:
    attributes = {"😀": [None, 1.5, {"deep": "\0"}]}
    await room.conversations.create(ANN, new(id="😀", title="Ünïcode 😀", group="g" * 255, attributes=attributes))
    row = await room.conversations.change(ANN, "😀", ConversationChanges(pinned=True))
    assert (row.title, row.group_name, row.attributes, row.pinned) == ("Ünïcode 😀", "g" * 255, attributes, True)


@pytest.mark.parametrize("sort_by", ["updatedAt", "createdAt"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_neither_repeat_nor_lose_rows_that_share_an_instant(room: Room, sort_by: str, order: str) -> None:
    for number in range(7):
        await room.conversations.create(ANN, new(id=f"c{number}"))
    instant = SystemClock().now()
    async with room.database.transaction() as tx:
        await tx.execute(update(ConversationRow).values(created_at=instant, updated_at=instant))
    list_filter = ListFilter(sort_by=sort_by, order=order)  # type: ignore[arg-type]
    forwards: list[list[str]] = []
    backwards: list[list[str]] = []
    cursor = None
    while True:
        page = await room.conversations.page(ANN, list_filter, 3, cursor)
        forwards.append([row.id for row in page.rows])
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        await room.conversations.create(ANN, new())  # newer: it belongs before or behind all of these
        async with room.database.transaction() as tx:
            newer = instant + (timedelta(days=1) if order == "desc" else timedelta(days=-1))
            moved = update(ConversationRow).where(ConversationRow.id.not_like("c_"))
            await tx.execute(moved.values(created_at=newer, updated_at=newer))
    assert [len(ids) for ids in forwards] == [3, 3, 1]
    assert len({one for ids in forwards for one in ids}) == 7
    while page.previous_cursor is not None and len(backwards) < 2:
        page = await room.conversations.page(ANN, list_filter, 3, page.previous_cursor)
        backwards.append([row.id for row in page.rows])
    assert backwards == [forwards[1], forwards[0]]


async def test_what_is_told_was_kept_before(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Hold(), Text("The \0 answer 😀"), Finish())
    async with aclosing(await say(room.conversations, "Question 😀")) as events:
        assert (await anext(events)).name == "message-metadata"
        await eventually(lambda: len(room.upstream.chats) == 1)
        assert [(row.prompt, row.state) for row in await room.rows()] == [("Question 😀", None), (None, "writing")]
        room.upstream.go_on()
        await until(events, "done")
        answer = (await room.rows())[1]
        assert (answer.state, answer.content) == ("complete", [{"type": "text", "content": "The \0 answer 😀"}])


async def test_closing_the_events_keeps_the_answer_and_frees_everything(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("Half"), Stall())
    events = await say(room.conversations)
    await until(events, "text-delta")
    await events.aclose()
    assert [(row.state, row.content) for row in await room.rows()][1] == (
        "aborted",
        [{"type": "text", "content": "Half"}],
    )
    await eventually(lambda: room.upstream.cancelled == 1)
    assert (await said(room.another()))[-1] == "done"


async def test_events_that_nobody_takes_are_cleaned_up_all_the_same(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c"))
    await (await say(room.conversations)).aclose()
    assert [row.state for row in await room.rows()] == [None, "aborted"]
    rows, _ = await room.conversations.messages(ANN, "c")
    assert [row.role for row in rows] == ["user"]
    assert (await said(room.conversations))[-1] == "done"


async def test_a_partial_answer_is_kept_while_it_is_written(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("So far"), Stall())
    async with aclosing(await say(room.conversations)) as events:
        await until(events, "text-delta")
        async with asyncio.timeout(15):
            while not (await room.rows())[1].content:
                await asyncio.sleep(0.05)
        answer = (await room.rows())[1]
    assert answer.state == "writing"
    assert answer.touched_at is not None
    fresh, later = answer.touched_at, answer.touched_at + timedelta(seconds=30)
    assert "attributes" not in message_shown(answer, fresh)
    assert message_shown(answer, later)["attributes"] == {"aborted": True}


async def test_one_turn_at_a_time(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("Long"), Hold(), Finish())
    async with aclosing(await say(room.conversations)) as events:
        await until(events, "text-delta")
        for replica in (room.conversations, room.another()):
            with pytest.raises(ConversationInUse):
                await say(replica)
        room.upstream.go_on()
        await until(events, "done")
    assert len(await room.rows()) == 2


async def test_of_two_turns_from_the_same_place_one_begins(room: Room) -> None:
    conversation = await room.conversations.create(ANN, new(id="c"))
    begun = []
    for _ in range(2):
        async with room.database.transaction() as tx:
            begun.append(await MessageRepository(tx, conversation.row_id).begin(0, "m", *_pair()))
    assert begun == [True, False]
    assert len(await room.rows()) == 2


async def test_a_writer_that_was_overtaken_writes_nothing_more(room: Room) -> None:
    conversation = await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("Mine"), Hold(), Text(" too late"), Finish())
    events = await say(room.conversations)
    await until(events, "text-delta")
    async with room.database.transaction() as tx:
        assert await MessageRepository(tx, conversation.row_id).begin(2, "m", *_pair())
    room.upstream.go_on()
    with pytest.raises(TakenOver):
        await until(events, "done")
    states = [(row.state, row.content) for row in await room.rows() if row.role == "assistant"]
    assert states[0][0] == "aborted"
    assert all("too late" not in str(content) for _, content in states)
    assert states[1] == ("writing", [])


def test_a_lock_is_not_trusted_after_a_long_standstill() -> None:
    lease = Lease("k", "t", 1)
    assert Lock(lease, time.monotonic()).was_held_until_now()
    assert not Lock(lease, time.monotonic() - TTL_S / 2 - 1).was_held_until_now()


async def test_deleting_takes_the_messages_along_and_stops_the_answer(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("Begun"), Stall())
    events = await say(room.conversations)
    await until(events, "text-delta")

    async def delete_elsewhere() -> None:
        replica, watching = room.another(), asyncio.create_task(room.conversations.watch())
        await asyncio.sleep(0)
        try:
            await replica.delete(ANN, "c")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    deleting = asyncio.create_task(delete_elsewhere())
    with pytest.raises(ConversationDeleted):
        await until(events, "done")
    await deleting
    assert await room.rows() == []
    with pytest.raises(ConversationNotFound):
        await room.conversations.delete(ANN, "c")


async def test_at_the_end_of_the_process_answers_are_kept(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c", **NAMED))
    room.upstream.plays(Text("Begun"), Stall())
    watching = asyncio.create_task(room.conversations.watch())
    events = await say(room.conversations)
    await until(events, "text-delta")
    watching.cancel()
    with pytest.raises(Stopping):
        await until(events, "done")
    await asyncio.gather(watching, return_exceptions=True)
    assert [(row.state, row.content) for row in await room.rows()][1] == (
        "aborted",
        [{"type": "text", "content": "Begun"}],
    )


async def test_a_title_of_the_user_wins_over_one_that_is_on_its_way(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c"))
    room.upstream.title_steps = (Hold(), Text("Generated"), Finish())
    room.upstream.plays(Hold(), Text("Answer"), Finish())
    async with aclosing(await say(room.conversations)) as events:
        await anext(events)
        await room.conversations.change(ANN, "c", ConversationChanges(title="Chosen"))
        room.upstream.go_on()
        assert "conversation-title" not in [event.name async for event in events]
    assert (await room.conversations.visit(ANN, "c")).title == "Chosen"


async def test_after_a_first_message_that_was_stopped_the_second_brings_the_title(room: Room) -> None:
    await room.conversations.create(ANN, new(id="c"))
    room.upstream.title = None
    room.upstream.plays(Stall())
    async with aclosing(await say(room.conversations)):
        await eventually(lambda: len(room.upstream.chats) == 1)
    room.upstream.title = "Second try"
    assert "conversation-title" in await said(room.conversations)


async def test_many_conversations_are_answered_at_once(room: Room) -> None:
    names = [f"c{number}" for number in range(12)]
    for name in names:
        await room.conversations.create(ANN, new(id=name, **NAMED))

    async def whole(name: str) -> str:
        async with aclosing(await say(room.conversations, to=name)) as events:
            return [event.name async for event in events][-1]

    assert await asyncio.gather(*(whole(name) for name in names)) == ["done"] * 12


@pytest.mark.parametrize("conversations", [1, 3])
async def test_whatever_meets_on_three_replicas_every_answer_is_ended(room: Room, conversations: int) -> None:
    replicas = [room.another() for _ in range(3)]
    watching = [asyncio.create_task(replica.watch()) for replica in replicas]
    expected = (ConversationNotFound, ConversationExists, ConversationInUse, ConversationDeleted)

    async def user(number: int) -> None:
        chance = random.Random(number)
        for _ in range(30):
            with suppress(*expected):
                await _something(chance, chance.choice(replicas), f"c{chance.randrange(conversations)}")

    await asyncio.gather(*(user(number) for number in range(10)))
    for one in watching:
        one.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    assert "writing" not in {row.state for row in await room.rows()}


async def _something(chance: random.Random, replica: Conversations, conversation_id: str) -> None:
    match chance.randrange(8):
        case 0:
            await replica.delete(ANN, conversation_id)
        case 1 | 2:
            await replica.create(ANN, new(id=conversation_id))
        case 3:
            await replica.change(ANN, conversation_id, ConversationChanges(pinned=True))
        case 4:
            await replica.visit(ANN, conversation_id)
        case _:
            patience = chance.randrange(6)
            async with aclosing(await say(replica, to=conversation_id)) as events:
                async for _ in events:
                    patience -= 1
                    if patience < 0:
                        break


def _pair() -> tuple[MessageRow, MessageRow]:
    now = SystemClock().now()
    user = MessageRow(id=short_id(), role="user", created_at=now, prompt="p", content=[])
    answer = MessageRow(id=short_id(), role="assistant", created_at=now, content=[], state="writing", touched_at=now)
    return user, answer
