"""Stops, kills, restarts and silence: what is left of a stream, and who may go on (`spec/editor-api.md` 17.6, 7.6)."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import Editor
from tests.acceptance.deployments import Deployment
from tests.acceptance.proxy import running_nginx
from tests.editor.conftest import Tenant, eventually
from tests.editor.test_stop_and_continue import answers, read_until
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import Finish, Hold, Raw, Stall, Text, Wait

THREE = (Text("one "), Wait(0.06), Text("two "), Wait(0.06), Text("three "))
SAID = [{"type": "text", "content": "one two three "}]


# --- stop and continue ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
def test_s083_two_hundred_stops_under_load_lose_nothing_and_refuse_nobody(
    service: Deployment, editors: Editor, request: pytest.FixtureRequest
) -> None:
    """Eight editors stop after the third delta and send again at once, while two others chat."""
    service.upstream.plays_what(lambda asked: (*THREE, Stall()) if asked.last_text == "Count" else (*THREE, Finish()))
    done = threading.Event()

    def stops(number: int) -> None:
        editor = editors(f"{number} of {request.node.name}")
        made = editor.create(title="t")
        for _ in range(25):
            with editor.say(made, "Count") as reply:
                read_until(reply, "three")  # the third, if none were put together on their way
        assert editor.said(made, "Enough").names[-1] == "done"
        said = answers(editor, made)
        assert [one["content"] for one in said] == [SAID] * 26
        assert [one.get("attributes") for one in said] == [{"aborted": True}] * 25 + [None]

    def chats(number: int) -> None:
        editor = editors(f"chatting {number} of {request.node.name}")
        made = editor.create(title="t")
        while not done.is_set():
            assert editor.said(made, "Hi").names[-1] == "done"

    with ThreadPoolExecutor(10) as pool:
        others = [pool.submit(chats, number) for number in range(2)]
        stopped = [pool.submit(stops, number) for number in range(8)]
        try:
            for one in stopped:
                one.result()
        finally:
            done.set()
        for one in others:
            one.result()
    eventually(lambda: service.upstream.cancelled == 200)


def test_t_16_a_second_message_waits_and_is_then_refused(
    service: Deployment, editors: Editor, request: pytest.FixtureRequest
) -> None:
    """Also where another replica is asked."""
    one, other = (editors(request.node.name, at=replica.url) for replica in (service.replicas[0], service.replicas[-1]))
    made = one.create(title="t")
    service.upstream.plays(Text("Slow"), Hold(), Text(" end"), Finish())
    with one.say(made, "First") as reply:
        read_until(reply, "Slow")
        with pytest.raises(Refused) as refused:
            other.said(made, "Second")
        assert (refused.value.status, refused.value.body["message"]) == (409, "conversation in use")
        assert refused.value.headers["retry-after"] == "2"
        service.upstream.go_on()
        assert reply.read().text == "Slow end"
    assert other.said(made, "Third").names[-1] == "done"
    assert [item["prompt"] for item in one.messages(made) if item["role"] == "user"] == ["First", "Third"]


# --- replicas that end ------------------------------------------------------------------------------------------------


@pytest.fixture
def whole_again(deployment: Deployment) -> Iterator[None]:
    """Whatever a test ends, the next one finds running."""
    yield
    for number, replica in enumerate(deployment.replicas):
        if replica.process.poll() is not None:
            deployment.revive(number)


def take_over(service: Deployment, number: int) -> None:
    """Where there is no other replica, the same one comes back."""
    if len(service.replicas) == 1:
        service.revive(number)


@pytest.mark.usefixtures("whole_again")
def test_t_17_s084_a_conversation_outlives_the_replica_that_was_answering(
    service: Deployment, editor: EditorClient, editors: Editor, request: pytest.FixtureRequest
) -> None:
    made = editor.create(title="t")
    service.upstream.plays(*THREE, Stall())
    with editor.say(made, "Count") as reply:
        read_until(reply, "three")
        eventually(lambda: [one["content"] for one in answers(editor, made)] == [SAID])
        number = service.serving(reply)
        service.replicas[number].stop(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            reply.read()
    take_over(service, number)
    assert editor.said(made, "Go on").names[-1] == "done"
    said = answers(editor, made)
    assert [one["content"] for one in said] == [SAID, [{"type": "text", "content": "Hello from the upstream."}]]
    assert said[0]["attributes"] == {"aborted": True}


@pytest.mark.usefixtures("whole_again")
def test_t_18_s084_a_stream_outlasts_sigterm_and_new_connections_are_refused(
    service: Deployment, editor: EditorClient
) -> None:
    made = editor.create(title="t")
    service.upstream.plays(Text("begun, "), Hold(), Text("ended"), Finish())
    with editor.say(made, "Write") as reply:
        read_until(reply, "begun")
        number = service.serving(reply)
        ending = service.replicas[number]
        ending.process.terminate()
        eventually(lambda: is_refused(ending.url))
        assert ending.process.poll() is None
        if len(service.replicas) > 1:
            assert editor.said(editor.create(title="t"), "Hi").names[-1] == "done"
        service.upstream.go_on()
        assert reply.read().names[-1] == "done"
    assert reply.text == "begun, ended"
    assert ending.process.wait(20) == 0
    take_over(service, number)
    assert [one["content"] for one in answers(editor, made)] == [[{"type": "text", "content": "begun, ended"}]]


def is_refused(url: str) -> bool:
    try:
        httpx.get(url + "/health", timeout=2)
    except httpx.ConnectError:
        return True
    return False


# --- silence and proxies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
def test_t_04_s081_silence_is_filled_with_comments_that_keep_proxies_and_clients(
    service: Deployment, tmp_path: Path
) -> None:
    """nginx gives up after a second without a byte; the model says nothing for more than two."""
    with service.beside(SSE_KEEPALIVE_SECONDS="0.2") as quiet:
        headers = Tenant(quiet).headers()
        with running_nginx(tmp_path, [quiet.port], silence_s=1) as url, EditorClient(url, headers) as editor:
            service.upstream.plays(Wait(2.2), Text("After a while."), Wait(1.2), Finish())
            reply = editor.said(editor.create(title="t"), "Hi")
    assert reply.names == ["message-metadata", "text-delta", "done"]
    assert reply.raw.count(b": keep-alive\n") >= 10
    assert b": keep-alive\n\n" not in reply.raw
    assert all(block.count(b"event: ") == 1 for block in reply.raw.removesuffix(b"\n\n").split(b"\n\n"))


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
def test_s081_a_model_that_falls_silent_ends_the_stream_with_its_terminal_event(service: Deployment) -> None:
    with service.editor_beside(LLM_IDLE_TIMEOUT_MS="700") as editor:
        service.upstream.plays(Text("So far"), Stall())
        made = editor.create(title="t")
        reply = editor.said(made, "Hi")
        assert (reply.text, reply.names[-1]) == ("So far", "error")
        assert "LLM_IDLE_TIMEOUT_MS" in str(reply.first("error"))
        assert answers(editor, made)[0]["content"] == [{"type": "text", "content": "So far"}]


@pytest.mark.parametrize("deployment", ["replicated"], indirect=True)
def test_s080_the_first_byte_passes_a_proxy_that_buffers(service: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    service.upstream.plays(Text("First"), Hold(), Text(" and last"), Finish())
    with (
        running_nginx(tmp_path, [service.first.port], buffering=True) as url,
        EditorClient(url, {**tenant.headers("s080"), "Accept-Encoding": "gzip, br"}) as editor,
        editor.say(editor.create(title="t"), "Hi") as reply,
    ):
        read_until(reply, "First")
        service.upstream.go_on()
        assert reply.read().text == "First and last"
        assert "content-encoding" not in reply.headers


def test_s080_replicas_ask_proxies_not_to_buffer(service: Deployment, editors: Editor) -> None:
    editor = editors("s080", at=service.first.url)
    reply = editor.said(editor.create(title="t"), "Hi")
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["cache-control"] == "no-cache"


def test_s082_the_answer_ends_with_done_though_the_upstream_keeps_its_connection_open(service: Deployment) -> None:
    frames = [b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}', b"[DONE]"]
    service.upstream.plays(*(Raw(b"data: " + one + b"\n\n") for one in frames), Stall())
    body: dict[str, Any] = {"model": "mock/one", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with closing(httpx.Client(base_url=service.url, headers=service.api_key_headers, timeout=20)) as client:
        began = time.monotonic()
        text = client.post("/oai/v1/chat/completions", json=body).text
        assert text.endswith("data: [DONE]\n\n")
        assert time.monotonic() - began < 15
        assert client.get("/oai/v1/models").status_code == 200
