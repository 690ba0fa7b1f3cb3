"""A stop frees the conversation at once, nothing that was said is lost, and a crash costs seconds of text at most."""

import json
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.editor.conftest import Editor, Tenant, eventually
from tests.fakes.editor_client import EditorClient, Refused, Reply
from tests.fakes.openai_upstream import Finish, Hold, Stall, Text, Upstream, Wait, running_upstream
from tests.service import Service, service_env, start_service

THREE = (Text("one "), Wait(0.06), Text("two "), Wait(0.06), Text("three "))


def read_until(reply: Reply, text: str) -> None:
    for _ in reply:
        if text in reply.text:
            return
    raise AssertionError(f"the stream ended before {text!r}: {reply.raw!r}")


def stop_after_three(editor: EditorClient, conversation_id: str) -> None:
    with editor.say(conversation_id, "Count") as reply:
        read_until(reply, "three")


def answers(editor: EditorClient, conversation_id: str) -> list[Any]:
    return [item for item in editor.messages(conversation_id) if item["role"] == "assistant"]


def test_t_15_s083_a_stopped_conversation_goes_on_with_the_next_message(service: Service, editors: Editor) -> None:
    service.upstream.always_plays(*THREE, Stall())

    def stop_and_send_again(number: int) -> None:
        editor = editors(f"t-15 {number}")
        made = editor.create(title="t")
        for _ in range(5):
            stop_after_three(editor, made)
            time.sleep(0.2)  # what a quick user takes
        said = answers(editor, made)
        assert [item["content"] for item in said] == [[{"type": "text", "content": "one two three "}]] * 5
        assert all(item["attributes"] == {"aborted": True} for item in said)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stop_and_send_again, range(4)))
    eventually(lambda: service.upstream.cancelled == 20)


def test_s083_a_message_right_after_the_stop_is_answered(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="t")
    service.upstream.plays(*THREE, Stall())
    stop_after_three(editor, made)
    assert editor.said(made, "And now?").names[-1] == "done"
    sent = service.upstream.chats[-1].json["messages"]
    assert [one["content"] for one in sent[1:]] == ["Count", "one two three ", "And now?"]


def test_stopping_before_the_first_word_leaves_the_message_alone(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="t")
    service.upstream.plays(Stall())
    with editor.say(made, "Hello?") as reply:
        assert next(iter(reply)).name == "message-metadata"
    assert editor.said(made, "Are you there?").names[-1] == "done"
    roles = [item["role"] for item in editor.messages(made)]
    assert roles == ["user", "user", "assistant"]
    # Some models insist on taking turns: what two messages said in a row becomes one.
    assert service.upstream.chats[-1].json["messages"][-1]["content"] == "Hello?\n\nAre you there?"


def test_deleting_stops_the_answer_that_is_being_written(service: Service, editors: Editor) -> None:
    one, other = editors("deletes"), editors("deletes")
    made = one.create(title="t")
    service.upstream.plays(*THREE, Stall())
    with one.say(made, "Count") as reply:
        read_until(reply, "three")
        other.delete(made)
        reply.read()
        assert reply.names[-1] == "error"
        assert "deleted" in reply.first("error")["message"]
    eventually(lambda: service.upstream.cancelled == 1)
    with pytest.raises(Refused, match="404"):
        other.messages(made)


def test_an_answer_that_is_being_written_can_be_read_elsewhere(service: Service, editors: Editor) -> None:
    one, other = editors("reads"), editors("reads")
    made = one.create(title="t")
    service.upstream.plays(Text("Begun"), Hold(), Finish())
    with one.say(made, "Write") as reply:
        read_until(reply, "Begun")
        eventually(lambda: len(answers(other, made)) == 1)
        assert answers(other, made)[0] == {
            **answers(other, made)[0],
            "content": [{"type": "text", "content": "Begun"}],
        }
        assert "attributes" not in answers(other, made)[0]
        service.upstream.go_on()
        reply.read()


# --- processes that end ----------------------------------------------------------------------------------------------


class Own:
    """A service of these tests' own, which they may end and start again on the same data."""

    def __init__(self, env: dict[str, str], upstream: Upstream, stack: ExitStack) -> None:
        self.env = env
        self.upstream = upstream
        self._stack = stack
        self.service = self.start()
        self.tenant = Tenant(self.service)

    def start(self) -> Service:
        self.service = self._stack.enter_context(start_service(self.env, self.upstream))
        return self.service

    def editor(self) -> EditorClient:
        return self._stack.enter_context(EditorClient(self.service.url, self.tenant.headers()))

    def stored(self) -> list[tuple[str, str]]:
        """State and text of the answers, oldest first, read past the service."""
        uri = f"file:{self.env['STATE_DIR']}/penstock.db?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            query = "SELECT state, content FROM conversation_messages WHERE role = 'assistant' ORDER BY created_at"
            rows = database.execute(query).fetchall()
        return [(state, "".join(item["content"] for item in json.loads(content))) for state, content in rows]


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        env = service_env(
            upstream, folder, SHUTDOWN_GRACE_SECONDS="1", SSE_KEEPALIVE_SECONDS="0.1", CONVERSATION_LOCK_WAIT_MS="600"
        )
        yield Own(env, upstream, stack)


def test_t_04_silence_is_filled_with_comments_that_no_client_notices(own: Own) -> None:
    own.upstream.plays(Wait(1), Text("After a while."), Wait(0.5), Finish())
    editor = own.editor()
    reply = editor.said(editor.create(title="t"), "Hi")
    assert reply.names == ["message-metadata", "text-delta", "done"]
    assert reply.raw.count(b": keep-alive\n") >= 5
    assert b"\n\n:" in reply.raw
    assert b": keep-alive\n\n" not in reply.raw


def test_t_16_a_second_message_waits_and_is_then_refused(own: Own) -> None:
    one, other = own.editor(), own.editor()
    made = one.create()
    own.upstream.plays(Text("Slow"), Hold(), Text(" end"), Finish())
    with one.say(made, "First") as reply:
        assert next(event for event in reply if event.name == "text-delta")
        with pytest.raises(Refused) as refused:
            other.said(made, "Second")
        assert (refused.value.status, refused.value.body["message"]) == (409, "conversation in use")
        assert refused.value.headers["retry-after"] == "2"
        own.upstream.go_on()
        assert reply.read().text == "Slow end"
    assert other.said(made, "Third").names[-1] == "done"
    assert [item["prompt"] for item in one.messages(made) if item["role"] == "user"] == ["First", "Third"]


def test_a_killed_process_has_kept_the_message_and_most_of_the_answer(own: Own) -> None:
    own.upstream.plays(*THREE, Stall())
    editor = own.editor()
    made = editor.create(title="t")
    with editor.say(made, "Count") as reply:
        read_until(reply, "three")
        eventually(lambda: own.stored()[-1] == ("writing", "one two three "))
        own.service.stop(signal.SIGKILL)
    own.start()
    editor = own.editor()
    seen = editor.messages(made)
    assert (seen[0]["prompt"], seen[1]["content"]) == ("Count", [{"type": "text", "content": "one two three "}])
    assert editor.said(made, "Go on").names[-1] == "done"
    assert answers(editor, made)[0]["attributes"] == {"aborted": True}


def test_a_process_that_is_told_to_stop_keeps_what_was_said(own: Own) -> None:
    own.upstream.plays(Text("Until the end"), Stall())
    editor = own.editor()
    with editor.say(editor.create(title="t"), "Write") as reply:
        read_until(reply, "Until the end")
        assert own.service.stop() == 0
    assert own.stored()[-1] == ("aborted", "Until the end")


def test_t_18_an_answer_that_goes_on_long_after_sigterm_is_finished_and_kept(tmp_path: Path) -> None:
    with running_upstream() as upstream, start_service(service_env(upstream, tmp_path), upstream) as service:
        upstream.plays(Text("begun, "), Hold(), Text("ended"), Finish())
        headers = Tenant(service).headers()
        with EditorClient(service.url, headers) as editor:
            with editor.say(editor.create(title="t"), "Write") as reply:
                read_until(reply, "begun")
                service.process.terminate()
                time.sleep(1)  # the server looks at its connections ten times a second
                assert service.process.poll() is None
                upstream.go_on()
                assert reply.read().names[-1] == "done"
            assert reply.text == "begun, ended"
        assert service.stop() == 0
        with start_service(service.env, upstream) as again, EditorClient(again.url, headers) as reader:
            (conversation,) = reader.history()
            assert reader.messages(conversation["id"])[1]["content"] == [{"type": "text", "content": "begun, ended"}]
