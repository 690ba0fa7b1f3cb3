"""What users see of a model that is slow or fails: editors show errors of chats without their words (W-17, W-31)."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest

from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.schemas import NewConversation, NewMessage
from tests.editor.conftest import Room, Tenant, caller
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import CutShort, Finish, Hold, Status, Text, Upstream, running_upstream
from tests.service import service_env, start_service

REFUSAL = {"error": {"message": "The deployment is being updated", "code": "deployment_updating"}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def talkative(upstream: Upstream) -> Iterator[EditorClient]:
    """An editor of a service that has CHAT_ERROR_AS_TEXT."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = service_env(upstream, folder, CHAT_ERROR_AS_TEXT="true")
        service = stack.enter_context(start_service(env, upstream))
        yield stack.enter_context(EditorClient(service.url, Tenant(service).headers()))


def test_w31_a_failure_before_the_first_word_is_said_in_the_chat(upstream: Upstream, talkative: EditorClient) -> None:
    upstream.plays(Status(400, REFUSAL))
    made = talkative.create(title="t")
    reply = talkative.said(made, "Hi")
    assert reply.names == ["message-metadata", "text-delta", "error"]
    assert "The deployment is being updated" in reply.text
    assert reply.text == reply.first("error")["message"]
    assert reply.first("error")["cause"]["providerStatusCode"] == 400
    assert [item["role"] for item in talkative.messages(made)] == ["user"]


def test_w31_a_failure_after_the_first_word_is_an_error_only(upstream: Upstream, talkative: EditorClient) -> None:
    upstream.plays(Text("Half an"), CutShort())
    reply = talkative.said(talkative.create(title="t"), "Hi")
    assert reply.names == ["message-metadata", "text-delta", "error"]
    assert reply.text == "Half an"


def test_w31_a_good_answer_is_as_ever(upstream: Upstream, talkative: EditorClient) -> None:
    upstream.plays(Text("Fine."), Finish())
    assert talkative.said(talkative.create(title="t"), "Hi").names == ["message-metadata", "text-delta", "done"]


async def test_w17_waiting_for_the_first_word_is_told_and_then_no_more(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.editor.conversations.turns._PATIENCE_S", 0.05)
    room.upstream.plays(Hold(), Text("At"), Hold(), Text(" last."), Finish())
    ann = caller()
    await room.conversations.create(ann, NewConversation(id="c", title="t"))
    message = NewMessage.model_validate({"prompt": "Hi", "model": "one"})
    events = await room.conversations.say(ann, "c", message, CallRecords())
    names = []
    async with aclosing(events):
        async for event in events:
            names.append(event.name)
            if names == ["message-metadata", "reasoning", "reasoning"]:
                room.upstream.go_on()
            if event.name == "text-delta":
                asyncio.get_running_loop().call_later(0.3, room.upstream.go_on)
    assert names[:3] == ["message-metadata", "reasoning", "reasoning"]
    words = names.index("text-delta")
    assert set(names[1:words]) == {"reasoning"}
    assert "reasoning" not in names[words:]
    assert names[-1] == "done"
