"""The fifteen things that break a real editor, one by one (`spec/editor-api.md` 0.3)."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import EVERYTHING
from tests.acceptance.deployments import Deployment
from tests.editor.actions.test_action_failures import _read_to_the_cut as read_to_the_cut
from tests.editor.test_chat_edits import DOCUMENT, EDIT, about
from tests.editor.test_stop_and_continue import read_until
from tests.fakes.editor_client import EditorClient, Refused, Reply
from tests.fakes.frames import model, spoken
from tests.fakes.markup import Element, parse
from tests.fakes.openai_upstream import CallsTool, CutShort, Finish, Hold, Stall, Status, Text, Thinks, Wait

CONTENT = '<p data-id="aaaa">One.</p><p data-id="bbbb">Two.</p>'
ORIGIN = {"Origin": "https://editor.example.com"}
STREAM, JSON = ["text/event-stream"], ["application/json"]


@pytest.fixture
def http(service: Deployment, editor: EditorClient) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers={**editor.headers, **ORIGIN}, timeout=60) as client:
        yield client


def every_stream(service: Deployment, editor: EditorClient, conversation: str) -> list[Reply]:
    """A chat, one with an edit, one that fails, an action and a review."""
    service.upstream.plays(Thinks("Hm."), Text("Line\r\nnext"), Text("\u2028\x85\0"), Finish())
    service.upstream.plays(Text("Now:\n" + EDIT.replace("June", "June\r\n")), Finish())
    service.upstream.plays(Text("So far"), CutShort())
    service.upstream.plays_what(model(lambda content: content.replace("One", "1\r\n")))
    document = editor.add_document(conversation, DOCUMENT)
    return [
        editor.said(conversation, "Hi"),
        editor.said(conversation, "Make it June", content=[about(document)]),
        editor.said(conversation, "And on"),
        editor.acted("make-shorter", CONTENT),
        editor.reviewed("clarity", CONTENT),
    ]


def test_rule_01_streams_have_exactly_one_content_type(service: Deployment, http: httpx.Client) -> None:
    service.upstream.plays_what(lambda asked: spoken('<p data-id="aaaa">1.</p><p data-id="bbbb">2.</p>'))
    made = http.post("/v1/conversations", json={}).json()["id"]
    content = [{"type": "text", "content": CONTENT}]
    for path, body in (
        (f"/v1/conversations/{made}/messages", {"prompt": "Hi"}),
        ("/v1/actions/system/make-shorter/calls", {"content": content}),
        ("/v1/actions/custom/calls", {"content": content, "prompt": "Shorter.", "model": "one"}),
        ("/v1/actions/make-shorter", {"content": content}),
        ("/v1/reviews/system/clarity/calls", {"content": content}),
        ("/v1/reviews/custom/calls", {"content": content, "prompt": "Shorter.", "model": "one"}),
    ):
        for accept in ("*/*", "text/event-stream", "application/json"):
            answer = http.post(path, json=body, headers={"Accept": accept})
            assert (answer.status_code, answer.headers.get_list("content-type")) == (200, STREAM), path
    service.upstream.plays(Text("So far"), CutShort())
    failing = http.post(f"/v1/conversations/{made}/messages", json={"prompt": "Hi"})
    assert failing.headers.get_list("content-type") == STREAM


def test_rule_02_json_has_exactly_one_content_type(service: Deployment, http: httpx.Client) -> None:
    page = service.outside.page("/page", "text/markdown", "# Mills")
    made = http.post("/v1/conversations", json={})
    path = f"/v1/conversations/{made.json()['id']}"
    good = [
        made,
        http.patch(path, json={"title": "New"}),
        http.post(path + "/documents", json={"content": CONTENT}),
        http.post(path + "/documents/batch", json=[{"content": CONTENT}]),
        http.post(path + "/files", files={"file": ("a.txt", b"Hello")}),
        http.post(path + "/web-resources", json={"url": page}),
    ]
    assert [one.status_code for one in good] == [201, 200, 201, 201, 201, 201]
    bad = [
        http.post("/v1/conversations", json={"id": "a b"}),
        http.post(path + "/messages", json={"prompt": "x" * 100_001}),
        http.post(path + "/files", content=b"none"),
        http.post(path + "/files", files={"file": ("a.zip", b"PK\5\6" + b"\0" * 18)}),
        http.get("/v1/conversations/none"),
        http.delete("/v1/conversations/none"),
        http.get("/v1/models/1", headers={"Authorization": "Bearer x"}),
        http.put(path),
        http.get("/v1/nothing"),
    ]
    assert [one.status_code for one in bad] == [400, 400, 400, 415, 404, 404, 401, 405, 404]
    for answer in (*good, *bad):
        assert answer.headers.get_list("content-type") == JSON, answer.url


def test_rule_03_lines_end_with_lf_only(service: Deployment, editor: EditorClient, conversation: str) -> None:
    replies = every_stream(service, editor, conversation)
    assert not any(b"\r" in one.raw for one in replies)
    assert replies[0].text == "Line\r\nnext\u2028\x85\0"


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
def test_rule_04_keep_alives_never_make_an_empty_event(service: Deployment) -> None:
    with service.editor_beside(EVERYTHING, SSE_KEEPALIVE_SECONDS="0.1") as editor:
        service.upstream.plays(Wait(0.5), Text("After"), Wait(0.5), Text(" a while."), Wait(0.3), Finish())
        chat = editor.said(editor.create(title="t"), "Hi")
        service.upstream.plays(Text('<p data-id="aaaa">1.</p>'), Wait(0.5), *spoken('<p data-id="bbbb">2.</p>'))
        action = editor.acted("make-shorter", CONTENT)
    for reply in (chat, action):
        assert reply.raw.count(b"\n: keep-alive\n") >= 2
        assert re.search(rb"^: .*\n\n", reply.raw, re.MULTILINE) is None
        assert reply.names[-1] == "done"
        assert len(reply.events) == reply.raw.count(b"\n\n")


def test_rule_05_the_data_of_every_event_is_one_json_value(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    service.upstream.plays(CallsTool("desk-chatty", '{"who":"line\\nnext"}'), Finish("tool_calls"))
    tooled = editor.said(conversation, "Ask")
    assert {"mcp-tool-notification", "mcp-tool-result"} <= set(tooled.names)
    for reply in (tooled, *every_stream(service, editor, conversation)):
        for block in reply.raw.decode().removesuffix("\n\n").split("\n\n"):
            name, data = (line for line in block.split("\n") if not line.startswith(":"))
            assert re.fullmatch(r"event: [a-z-]+", name)
            json.loads(data.removeprefix("data: "))


def test_rule_06_the_last_event_ends_with_a_blank_line(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    replies = every_stream(service, editor, conversation)
    assert [one.names[-1] for one in replies] == ["done", "done", "error", "done", "done"]
    assert all(one.raw.endswith(b"}\n\n") for one in replies)


def test_rule_07_preflights_allow_what_the_client_sends(service: Deployment) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Headers": "authorization,content-type,x-editor-version"}
    for method in ("GET", "POST", "PATCH", "DELETE"):
        for path in ("/v1/conversations/tiny-1", "/v1/actions/custom/calls", "/v1/models/1"):
            answer = httpx.options(service.url + path, headers={**asked, "Access-Control-Request-Method": method})
            assert answer.is_success
            allowed = {name: answer.headers[f"access-control-allow-{name}"] for name in ("methods", "headers")}
            assert method in re.split(r",\s*", allowed["methods"])
            assert {"authorization", "content-type", "x-editor-version"} <= set(
                re.split(r",\s*", allowed["headers"].lower())
            )


@pytest.mark.parametrize("permissions", [EVERYTHING, [], "ai:models:*"])
def test_rule_08_every_model_has_what_the_client_reads(service: Deployment, editors: Any, permissions: object) -> None:
    items = editors("rule-08", permissions=permissions).models()["items"]
    assert len(items) == 3
    for item in items:
        assert all(isinstance(item[name], str) for name in ("id", "name", "provider", "description"))
        assert isinstance(item["capabilities"]["webSearch"]["enabled"], bool)


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from nulls(one, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from nulls(one, path)


def test_rule_09_what_is_not_there_is_left_out(service: Deployment, editor: EditorClient, http: httpx.Client) -> None:
    used, empty = editor.create(), editor.create()
    document = editor.add_document(used, CONTENT)
    editor.said(used, "Hi", content=[about(document)])
    path = f"/v1/conversations/{used}"
    for one in (path, f"/v1/conversations/{empty}", path + "/messages", f"{path}/documents/{document}", "/v1/models/1"):
        assert list(nulls(http.get(one).json())) == []
    page = http.get("/v1/conversations").json()
    assert {item["id"] for item in page["items"]} == {used, empty}
    assert sorted(nulls(page)) == [".nextCursor", ".previousCursor"]


def test_rule_10_conversations_have_their_five_fields(editor: EditorClient) -> None:
    made = editor.create()
    seen = [editor.conversation(made), editor.change(made, pinned=True), *editor.page()["items"]]
    assert len(seen) == 3
    for one in seen:
        assert {"id", "pinned", "createdAt", "updatedAt", "lastVisitedAt"} <= set(one)
        for name in ("createdAt", "updatedAt", "lastVisitedAt"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one[name])


def test_rule_11_errors_have_a_number_and_a_sentence(service: Deployment, http: httpx.Client) -> None:
    path = f"/v1/conversations/{http.post('/v1/conversations', json={}).json()['id']}"
    kind = {"Content-Type": "application/json"}
    answers = [
        http.get("/v1/models/latest"),
        http.get("/v1/models/1", headers={"Authorization": ""}),
        http.post("/v1/conversations", content=b"\xff", headers=kind),
        http.post(path + "/messages", json={"prompt": "Hi", "model": "none"}),
        http.post(path + "/messages", json={"prompt": "Hi", "content": [{"type": "text", "content": "x" * 256_000}]}),
        http.post(path + "/files", files={"file": ("a.txt", b"")}),
        http.post(path + "/files", files={"file": ("a.zip", b"PK\5\6" + b"\0" * 18)}),
        http.post(path + "/web-resources", json={"url": "http://127.0.0.1/"}),
        http.post("/v1/actions/system/nothing/calls", json={"content": [{"type": "text", "content": "x"}]}),
        http.put(path),
        http.get("/"),
    ]
    assert [one.status_code for one in answers[:-1]] == [404, 401, 400, 404, 413, 422, 415, 422, 404, 405]
    for answer in answers[:-1]:
        body = answer.json()
        assert body["statusCode"] == answer.status_code
        assert isinstance(body["message"], str)
        assert body["message"]


def test_rule_12_tool_results_and_reviews_have_their_fields(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    service.upstream.plays(CallsTool("desk-echo"), CallsTool("desk-raising", id="b", index=1), Finish("tool_calls"))
    reply = editor.said(conversation, "Ask")
    results = [one.data for one in reply.events if one.name == "mcp-tool-result"]
    assert [one["success"] for one in results] == [True, False]
    assert all(isinstance(one["result"], str) for one in results)
    service.upstream.plays_what(model(lambda content: content.replace("One", "1")))
    review = editor.reviewed("clarity", "".join(f'<p data-id="b{number}">One {number}.</p>' for number in range(40)))
    told = [one.data for one in review.events if one.name == "review-metadata"]
    assert all(isinstance(one["pendingElements"], int) and isinstance(one["callId"], str) for one in told)


def test_rule_13_a_stop_is_followed_by_an_answer_and_not_by_a_409(
    service: Deployment, editor: EditorClient, conversation: str
) -> None:
    for number in range(5):
        service.upstream.plays(Text(f"Begun {number}"), Stall())
        with editor.say(conversation, "Write") as reply:
            read_until(reply, f"Begun {number}")
        assert editor.said(conversation, "Go on").names[-1] == "done"
    assert len(editor.messages(conversation)) == 20


def test_rule_14_an_edit_of_a_review_is_one_whole_element(service: Deployment, editor: EditorClient) -> None:
    content = '<p data-id="aaaa">One <b>bold</b>.</p><ul data-id="cccc"><li data-id="dddd">One</li></ul>'
    service.upstream.plays_what(model(lambda shown: shown.replace("One", "1")))
    answers = editor.reviewed("clarity", content).answers
    assert [data_id for data_id, html in answers if html] == ["aaaa", "dddd"]
    for data_id, html in answers:
        if html:
            (element,) = parse(html).children
            assert isinstance(element, Element)
            assert element.data_id == data_id
    assert dict(answers)["aaaa"] == '<p data-id="aaaa">1 <b>bold</b>.</p>'


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
def test_rule_15_an_action_that_fails_never_ends_in_good_order(service: Deployment) -> None:
    with service.editor_beside(EVERYTHING) as editor:
        service.upstream.plays(Text('<p data-id="aaaa">1.</p><p data-id="bbbb">An'), Hold(), CutShort())
        with editor.act("make-shorter", CONTENT) as reply:
            read_to_the_cut(reply, service.upstream)
        assert reply.names[-1] == "error"
        service.upstream.always_plays(Status(500, {"error": {"message": "It broke."}}))
        with pytest.raises(Refused) as refused:
            editor.acted("make-shorter", CONTENT)
        assert refused.value.status == 502
