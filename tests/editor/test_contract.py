"""The wire of conversations through the front door, as strictly as the editor's client reads it."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.editor.framing import framed
from tests.editor.conftest import Editor, Tenant, eventually
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import CutShort, Finish, Hold, Raw, Status, Step, Text, running_upstream
from tests.service import Service, service_env, start_service

THOUGHT = Raw(b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]}\n\n')


def test_t_01_an_allowed_origin_is_echoed_and_another_gets_nothing(service: Service) -> None:
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-editor-version",
    }
    url = f"{service.url}/v1/conversations/tiny-1/messages"
    good = httpx.options(url, headers={"Origin": "https://editor.example.com", **asks})
    assert good.is_success
    assert good.headers["access-control-allow-origin"] == "https://editor.example.com"
    assert good.headers["access-control-allow-credentials"] == "true"
    allowed = good.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "x-editor-version"} <= {one.strip() for one in allowed.split(",")}
    bad = httpx.options(url, headers={"Origin": "https://evil.example.com", **asks})
    assert "access-control-allow-origin" not in bad.headers


def test_t_02_content_types_are_byte_equal(service: Service, editors: Editor, tenant: Tenant) -> None:
    headers = {**tenant.headers("t-02"), "Origin": "https://editor.example.com"}
    ask = httpx.Client(base_url=service.url, headers=headers)
    made = ask.post("/v1/conversations", json={"id": "t-02"})
    answers = [
        (made, 201),
        (ask.get("/v1/conversations/t-02"), 200),
        (ask.post("/v1/conversations", json={"id": "t-02"}), 409),
        (ask.post("/v1/conversations", json={"id": "a b"}), 400),
        (ask.post("/v1/conversations", content=b"{", headers={"Content-Type": "application/json"}), 400),
        (ask.get("/v1/conversations/none"), 404),
        (ask.get("/v1/conversations", headers={"Authorization": "Bearer eyX"}), 401),
        (ask.put("/v1/conversations/t-02"), 405),
    ]
    for answer, status in answers:
        assert answer.status_code == status, answer.text
        assert answer.headers.get_list("content-type") == ["application/json"]
        assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]
        assert answer.headers["access-control-allow-origin"] == "https://editor.example.com"
    stream = ask.post("/v1/conversations/t-02/messages", json={"prompt": "Hi"})
    assert stream.headers.get_list("content-type") == ["text/event-stream"]
    assert stream.headers["cache-control"] == "no-cache"
    assert stream.headers["access-control-allow-origin"] == "https://editor.example.com"
    assert len(stream.headers.get_list("x-request-id")) == 1
    assert ask.delete("/v1/conversations/t-02").content == b""
    ask.close()


def test_t_03_every_event_is_a_name_line_a_data_line_and_a_blank_line(service: Service, editor: EditorClient) -> None:
    service.upstream.plays(Text("Line\r\nnext "), Text("\u2028 😀 \0 \x85"), Finish())
    reply = editor.said(editor.create(), "Hi")
    assert reply.is_complete
    assert reply.text == "Line\r\nnext \u2028 😀 \0 \x85"
    assert b"\r" not in reply.raw
    assert reply.raw.endswith(b"\n\n")
    blocks = reply.raw.decode().removesuffix("\n\n").split("\n\n")
    for block in blocks:
        name, data = block.split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        json.loads(data.removeprefix("data: "))


def test_t_08_conversations_are_created_once(editor: EditorClient) -> None:
    made = editor.create(group="docs", title="  Plan  ", pinned=True, attributes={"a": [None]}, unknown=1)
    with pytest.raises(Refused, match="409"):
        editor.create(made)
    for bad in ("a b", "a:b", "a@b", "a;;b", "", "x" * 256, "a\0b"):
        with pytest.raises(Refused) as refused:
            editor.ask("POST", "conversations", "/v1/conversations", {"id": bad})
        assert (refused.value.status, refused.value.body["code"]) == (400, "invalid-request-data")
    with pytest.raises(Refused, match="id: must not contain spaces"):
        editor.create("a b")
    generated = editor.ask("POST", "conversations", "/v1/conversations", {})["id"]
    assert editor.conversation(generated)["id"] == generated
    seen = editor.conversation(made)
    assert (seen["title"], seen["group"], seen["pinned"]) == ("Plan", "docs", True)
    assert seen["attributes"] == {"a": [None]}
    assert "lastMessageAt" not in seen


@pytest.mark.parametrize(
    "body",
    [
        {"id": 5},
        {"title": 1},
        {"title": None},
        {"title": "x" * 256},
        {"title": "a\0b"},
        {"group": ""},
        {"group": "x" * 256},
        {"pinned": "true"},
        {"attributes": []},
        {"attributes": {"a": "x" * 16_384}},
        [],
    ],
)
def test_wrong_fields_of_a_conversation_are_refused(editor: EditorClient, body: Any) -> None:
    with pytest.raises(Refused, match="400"):
        editor.ask("POST", "conversations", "/v1/conversations", body)


def test_half_a_character_is_refused_wherever_it_stands(service: Service, tenant: Tenant) -> None:
    with httpx.Client(base_url=service.url, headers=tenant.headers("halves")) as ask:
        ask.post("/v1/conversations", json={"id": "halves"})
        kind = {"Content-Type": "application/json"}
        for path, body in (
            ("/v1/conversations", rb'{"title":"\ud83d"}'),
            ("/v1/conversations", rb'{"attributes":{"a":"\ud83d"}}'),
            ("/v1/conversations/halves/messages", rb'{"prompt":"\ud83d"}'),
            ("/v1/conversations/halves/messages", rb'{"prompt":"x","model":"\ud83d"}'),
            ("/v1/conversations/halves/messages", rb'{"prompt":"x","attributes":{"\ud83d":1}}'),
            ("/v1/conversations/halves/messages", rb'{"prompt":"x","content":[{"type":"text","content":"\ud83d"}]}'),
            ("/v1/conversations/halves/messages", rb'{"prompt":"a\u0000b"}'),
        ):
            answer = ask.post(path, content=body, headers=kind)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request-data"), body


def test_t_09_the_history_pages_filters_and_has_no_nulls(editor: EditorClient) -> None:
    talked = [editor.create(title="t", group="mine" if number % 2 else "yours") for number in range(65)]
    empty = editor.create(group="mine")
    for number, one in enumerate(talked):
        editor.said(one, f"Message {number}")
    pinned = talked[3]
    editor.change(pinned, pinned=True)
    expected = [pinned] + [one for one in reversed(talked) if one != pinned]
    assert [item["id"] for item in editor.history()] == expected
    mine = editor.history(group="mine")
    assert {item["group"] for item in mine} == {"mine"}
    assert len(mine) == 32
    assert empty not in {item["id"] for item in mine}
    assert empty in {item["id"] for item in editor.page(group="mine", limit="100")["items"]}
    first = editor.page(limit="30", sortBy="createdAt", order="asc", excludeEmpty="true")
    second = editor.page(limit="30", sortBy="createdAt", order="asc", excludeEmpty="true", cursor=first["nextCursor"])
    assert [item["id"] for item in first["items"] + second["items"]] == talked[:60]
    back = editor.page(
        limit="30", sortBy="createdAt", order="asc", excludeEmpty="true", cursor=second["previousCursor"]
    )
    assert [item["id"] for item in back["items"]] == talked[:30]
    assert (first["previousCursor"], back["previousCursor"]) == (None, None)


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"sortBy": "title"}, {"order": "up"}, {"pinned": "maybe"}],
)
def test_a_list_out_of_range_is_refused(editor: EditorClient, query: dict[str, str]) -> None:
    with pytest.raises(Refused, match="400"):
        editor.page(**query)


def test_a_cursor_is_good_for_its_own_list_only(editor: EditorClient) -> None:
    for _ in range(3):
        editor.create()
    cursor = editor.page(limit="2")["nextCursor"]
    assert editor.page(limit="1", cursor=cursor)["items"]
    for wrong in (
        {"cursor": cursor, "order": "asc"},
        {"cursor": cursor, "group": "g"},
        {"cursor": "x" + cursor},
        {"cursor": "é"},
    ):
        with pytest.raises(Refused, match="400"):
            editor.page(limit="2", **wrong)


def test_t_10_renaming_gives_the_whole_conversation_and_keeps_the_order(editor: EditorClient) -> None:
    older, newer = editor.create(), editor.create()
    before = editor.conversation(older)
    changed = editor.change(older, title="  New name ")
    assert changed["title"] == "New name"
    assert changed["updatedAt"] == before["updatedAt"]
    assert editor.change(older, pinned=True) == {**changed, "pinned": True}
    assert editor.change(older, attributes={"k": 1}, group="g")["attributes"] == {"k": 1}
    assert [item["id"] for item in editor.page()["items"]] == [newer, older]
    for wrong in ({"title": "  "}, {"title": None}, {"title": "x" * 256}, {"pinned": 1}, {"group": ""}):
        with pytest.raises(Refused, match="400"):
            editor.change(older, **wrong)
    with pytest.raises(Refused, match="404"):
        editor.change("none", title="x")


def test_visiting_moves_last_visited_and_messages_move_updated(editor: EditorClient) -> None:
    made = editor.create()
    first = editor.conversation(made)
    editor.said(made, "Hi")
    second = editor.conversation(made)
    assert second["lastVisitedAt"] > first["lastVisitedAt"]
    assert second["updatedAt"] > first["updatedAt"]
    assert second["lastMessageAt"] >= second["createdAt"]
    assert second["model"] == "agent-1"


def test_a_deleted_conversation_is_gone(editor: EditorClient) -> None:
    made = editor.create()
    editor.said(made, "Hi")
    editor.delete(made)
    for again in (lambda: editor.delete(made), lambda: editor.conversation(made), lambda: editor.messages(made)):
        with pytest.raises(Refused, match="404: conversation does not exist"):
            again()
    with pytest.raises(Refused, match="404: conversation does not exist"):
        editor.said(made, "Hi")
    assert editor.history() == []
    assert editor.create(made) == made
    assert editor.messages(made) == []


def test_t_11_the_title_comes_once_and_the_stream_ends_once(service: Service, editor: EditorClient) -> None:
    made = editor.create()
    first, second = editor.said(made, "Hi"), editor.said(made, "And?")
    assert first.names[0] == second.names[0] == "message-metadata"
    assert first.names[-1] == second.names[-1] == "done"
    for reply in (first, second):
        assert sum(name in ("done", "error") for name in reply.names) == 1
    assert first.names.count("conversation-title") == 1
    assert "conversation-title" not in second.names
    assert sum(one.is_title_call for one in service.upstream.requests) == 1
    assert editor.conversation(made)["title"] == "A short title"
    ids = [item["id"] for item in editor.messages(made) if item["role"] == "assistant"]
    assert ids == [first.first("message-metadata")["messageId"], second.first("message-metadata")["messageId"]]


def test_a_conversation_with_a_title_gets_no_other(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="Mine")
    assert "conversation-title" not in editor.said(made, "Hi").names
    assert editor.conversation(made)["title"] == "Mine"
    assert not any(one.is_title_call for one in service.upstream.requests)


def test_a_title_that_fails_does_not_fail_the_message(service: Service, editor: EditorClient) -> None:
    service.upstream.title = None
    made = editor.create()
    reply = editor.said(made, "Hi")
    assert reply.names[-1] == "done"
    assert "conversation-title" not in reply.names
    assert "title" not in editor.conversation(made)


def test_a_title_that_comes_late_is_stored_without_a_word(service: Service, editor: EditorClient) -> None:
    service.upstream.title_steps = (Hold(), Text('"A late title."'), Finish())
    made = editor.create()
    assert editor.said(made, "Hi").names == ["message-metadata", "text-delta", "done"]
    assert "title" not in editor.conversation(made)
    service.upstream.go_on()
    eventually(lambda: editor.conversation(made).get("title") == "A late title")


def test_t_13_without_a_document_nothing_is_modified(service: Service, editor: EditorClient) -> None:
    service.upstream.plays(Text('<p data-id="abcd">Edited</p>'), Finish())
    reply = editor.said(editor.create(), "Rewrite my document")
    assert "modification-delta" not in reply.names
    assert reply.text.strip() == "Edited"


def test_t_16_a_second_message_that_waits_long_enough_is_answered(service: Service, editors: Editor) -> None:
    one, other = editors("t-16b"), editors("t-16b")
    made = one.create()
    service.upstream.plays(Text("Slow"), Hold(), Finish())
    with one.say(made, "First") as reply:
        assert next(event for event in reply if event.name == "text-delta")
        threading.Timer(0.5, service.upstream.go_on).start()
        waited = threading.Thread(target=reply.read)
        waited.start()
        assert other.said(made, "Second").names[-1] == "done"
        waited.join(10)
    assert len(one.messages(made)) == 4


def test_t_19_an_upstream_failure_travels_in_the_stream(service: Service, editor: EditorClient) -> None:
    body = {"error": {"message": "Incorrect API key provided: sk-up*1234", "code": "invalid_api_key"}}
    service.upstream.plays(Status(401, body))
    made = editor.create()
    reply = editor.said(made, "Hi")
    assert [name for name in reply.names if name != "conversation-title"] == ["message-metadata", "error"]
    assert reply.first("error")["cause"]["providerStatusCode"] == 401
    assert "Incorrect API key provided" in reply.first("error")["message"]
    assert [item["role"] for item in editor.messages(made)] == ["user"]


def test_s045_a_busy_provider_is_quoted_also_when_the_agent_tried_another_of_its_models(tmp_path: Path) -> None:
    busy = {"error": {"message": "Requests per minute: 3 of 3 used", "code": "rate_limit_exceeded"}}
    with running_upstream() as upstream, start_service(service_env(upstream, tmp_path), upstream) as own:
        with EditorClient(own.url, Tenant(own).headers()) as editor:
            upstream.plays(Status(429, busy, (("retry-after", "30"),)))
            error = editor.said(editor.create(title="t"), "Hi").first("error")
        assert error["cause"]["providerStatusCode"] == 429
        assert error["message"] == "Requests per minute: 3 of 3 used"
        assert len(upstream.chats) == 1


def test_a_failure_in_mid_answer_keeps_what_was_said(service: Service, editor: EditorClient) -> None:
    service.upstream.plays(Text("Half an"), CutShort())
    made = editor.create()
    reply = editor.said(made, "Hi")
    assert reply.text == "Half an"
    assert reply.names[-1] == "error"
    assert "done" not in reply.names
    answer = editor.messages(made)[1]
    assert answer["content"] == [{"type": "text", "content": "Half an"}]
    assert answer["attributes"] == {"failed": True}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((Text(""), Finish()), "in good order without writing any text."),
        ((Text(" \n\n"), Finish()), "in good order without writing any text."),
        ((THOUGHT, Finish()), "after some reasoning"),
        ((THOUGHT, Finish("length")), "limit of its length while it was still reasoning"),
        ((Text(""), Finish("length")), "before it had written a word"),
        ((Text(""), Finish("content_filter")), "(content_filter)"),
    ],
)
def test_an_empty_answer_is_an_error_that_says_why(
    service: Service, editor: EditorClient, steps: Sequence[Step], said: str
) -> None:
    service.upstream.plays(*steps)
    made = editor.create(title="t")
    reply = editor.said(made, "Hi")
    assert reply.names[-1] == "error"
    assert "done" not in reply.names
    error = reply.first("error")
    assert error["message"].endswith(".")
    assert said in f"{error['message']} {error['cause']['explanation']}"
    assert [item["role"] for item in editor.messages(made)] == ["user"]


def test_t_26_a_prompt_that_is_too_long_says_how_long_it_is(editor: EditorClient) -> None:
    made = editor.create()
    with pytest.raises(Refused) as refused:
        editor.said(made, "x" * 100_001)
    assert (refused.value.status, refused.value.body["code"]) == (400, "invalid-request-data")
    issue = refused.value.body["data"]["issues"][0]
    assert (issue["type"], issue["length"], issue["maxLength"]) == ("too-long", 100_001, 100_000)
    assert editor.messages(made) == []
    assert editor.said(made, "x" * 100_000).names[-1] == "done"


def test_a_context_that_is_too_large_is_refused_before_anything_is_kept(editor: EditorClient) -> None:
    made = editor.create()
    with pytest.raises(Refused) as refused:
        editor.said(made, "Summarise", content=[{"type": "text", "content": "x" * 256_000}])
    assert (refused.value.status, refused.value.body["code"]) == (413, "content-too-large")
    assert refused.value.body["data"]["issues"][0]["maxLength"] == 256_000
    assert editor.messages(made) == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"prompt": ""}, 400, "invalid-request-data"),
        ({"prompt": 5}, 400, "invalid-request-data"),
        ({"model": "none-such"}, 404, "MODEL_NOT_FOUND"),
        ({"model": None}, 400, "invalid-request-data"),
        ({"capabilities": {"webSearch": True}}, 400, "invalid-request-data"),
        ({"capabilities": {"reasoning": {"enabled": True}}}, 400, "invalid-request-data"),
        ({"capabilities": []}, 400, "invalid-request-data"),
        ({"content": [{"type": "zip"}]}, 400, "invalid-request-data"),
        ({"content": [{"type": "text"}]}, 400, "invalid-request-data"),
        ({"content": [{"type": "document", "id": "d5Fg7h9J1k3L5z7X9c1Vb", "selection": []}]}, 404, "not-found"),
        ({"content": [{"type": "file", "id": "d5Fg7h9J1k3L5z7X9c1Vb"}]}, 404, "not-found"),
        ({"content": [{"type": "web-resource", "id": "d5Fg7h9J1k3L5z7X9c1Vb"}]}, 404, "not-found"),
        ({"attributes": "x"}, 400, "invalid-request-data"),
    ],
)
def test_a_message_that_cannot_be_sent_is_an_http_error(
    service: Service, editor: EditorClient, fields: dict[str, Any], status: int, code: str
) -> None:
    made = editor.create()
    with pytest.raises(Refused) as refused:
        editor.said(made, **{"prompt": "Hi", **fields})
    assert (refused.value.status, refused.value.body["code"]) == (status, code)
    if code == "not-found":
        assert "d5Fg7h9J1k3L5z7X9c1Vb" in refused.value.body["message"]
    assert editor.messages(made) == []
    assert service.upstream.requests == []


def test_what_a_token_may_not_do_is_refused_with_the_permission_it_needs(editors: Editor) -> None:
    full = editors("limited")
    made = full.create()
    reader = editors("limited", permissions=["ai:conversations:read"])
    assert reader.messages(made) == []
    for forbidden in (
        lambda: reader.create(),
        lambda: reader.change(made, title="x"),
        lambda: reader.delete(made),
        lambda: reader.said(made, "Hi"),
    ):
        with pytest.raises(Refused) as refused:
            forbidden()
        assert (refused.value.status, refused.value.body["code"]) == (403, "missing-permissions")
        assert "ai:conversations:" in refused.value.body["explanation"]
    writer = editors("limited", permissions=["ai:conversations:write", "ai:models:mock:two"])
    assert writer.said(made, "Hi", model="two").names[-1] == "done"
    for fields in ({"model": "one"}, {"model": "agent-1"}, {"model": "two", "capabilities": {"reasoning": {}}}):
        with pytest.raises(Refused, match="403"):
            writer.said(made, "Hi", **fields)
    with pytest.raises(Refused, match="403"):
        writer.messages(made)


def test_a_capability_that_is_not_enabled_does_not_kill_the_chat(service: Service, editor: EditorClient) -> None:
    made = editor.create()
    reply = editor.said(made, "Hi", capabilities={"webSearch": {}, "reasoning": {}, "telepathy": 1})
    assert reply.names[-1] == "done"
    assert editor.messages(made)[0]["capabilities"] == {"webSearch": {}, "reasoning": {}}
    service.wait_for_log("web search was asked for")


def test_t_34_another_user_and_another_environment_see_nothing(
    editors: Editor, tenant: Tenant, other_tenant: Tenant
) -> None:
    owner = editors("owner")
    made = owner.create()
    owner.said(made, "Secret")
    for stranger in (editors("stranger"), editors("owner", of=other_tenant)):
        assert stranger.history() == []
        attempts: list[Callable[[str], object]] = [stranger.conversation, stranger.messages, stranger.change]
        attempts += [stranger.delete, partial(stranger.said, prompt="Hi")]
        for attempt in attempts:
            with pytest.raises(Refused, match="404: conversation does not exist"):
                attempt(made)
    with pytest.raises(Refused, match="409"):
        editors("stranger").create(made)
    assert editors("owner", of=other_tenant).create(made) == made
    assert len(owner.messages(made)) == 2
    assert owner.conversation(made)["title"] == "A short title"


def test_t_35_five_hundred_deltas_become_at_most_a_hundred_events_a_second(
    service: Service, editor: EditorClient
) -> None:
    pieces = [f"{number} " for number in range(500)]
    steps = [Text(piece) for piece in pieces]
    service.upstream.plays(*steps, Finish())
    began = time.monotonic()
    reply = editor.said(editor.create(title="t"), "Count")
    assert reply.text == "".join(pieces)
    # One batch at once and one every 40 ms; a batch is one event of text here.
    assert len(reply.events) <= 3 + (time.monotonic() - began) / 0.04


def test_reasoning_is_told_but_never_shown(service: Service, editor: EditorClient) -> None:
    thoughts = [
        {"choices": [{"index": 0, "delta": {"reasoning_content": f"secret thought {number}"}}]} for number in range(5)
    ]
    frames = [Raw(b"data: " + json.dumps(thought).encode() + b"\n\n") for thought in thoughts]
    service.upstream.plays(*frames, Text("Done thinking."), Finish())
    made = editor.create(title="t")
    reply = editor.said(made, "Think")
    assert reply.names == ["message-metadata", "reasoning", "text-delta", "done"]
    assert reply.first("reasoning") == {}
    assert b"secret thought" not in reply.raw
    assert editor.messages(made)[1]["content"] == [{"type": "text", "content": "Done thinking."}]


def test_selected_text_reaches_the_model_and_the_history(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="t")
    content = [{"type": "text", "content": "Background."}, {"type": "selection", "content": "These words."}]
    editor.said(made, "Shorten", content=content)
    sent = service.upstream.chats[-1].json["messages"]
    assert sent[0]["role"] == "system"
    frames = (framed("context", "Background."), framed("selected-text", "These words."))
    assert sent[-1]["content"] == "\n\n".join((*frames, "Shorten"))
    assert editor.messages(made)[0]["content"] == content


def test_what_was_said_before_is_sent_along(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="t")
    service.upstream.plays(Text("Paris."), Finish())
    editor.said(made, "Capital of France?")
    editor.said(made, "And of Italy?")
    sent = service.upstream.chats[-1].json["messages"]
    assert [(one["role"], one["content"]) for one in sent[1:]] == [
        ("user", "Capital of France?"),
        ("assistant", "Paris."),
        ("user", "And of Italy?"),
    ]


def test_the_metric_line_of_a_stream_names_model_tokens_and_user(service: Service, editor: EditorClient) -> None:
    made = editor.create(title="t")
    editor.said(made, "Hi")
    line = json.loads(service.wait_for_log(f'"path":"/v1/conversations/{made}/messages"'))
    assert (line["method"], line["statusCode"], line["outcome"]) == ("POST", 200, "ok")
    assert (line["model"], line["provider"], line["inputTokens"], line["outputTokens"]) == ("mock/one", "mock", 7, 5)
    assert line["environmentId"]
    assert line["sub"]
