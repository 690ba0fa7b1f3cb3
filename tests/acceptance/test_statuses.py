"""Every status that the editor's client knows, and no other (`spec/editor-api.md` 2.4.1)."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from tests.acceptance.conftest import EVERYTHING, Editor
from tests.acceptance.deployments import MODELS, Deployment
from tests.acceptance.outside import SITE
from tests.editor.conftest import Tenant
from tests.fakes.editor_client import KNOWN_STATUS, EditorClient
from tests.fakes.frames import frames_of, spoken
from tests.fakes.openai_upstream import Status
from tests.gateway.inference.files import pdf

CONTENT = '<p data-id="aaaa">One.</p>'
TOO_LONG = f'<p data-id="aaaa">{"word " * 60_000}</p>'
JSON = {"Content-Type": "application/json"}


class Sent(NamedTuple):
    path: str
    options: dict[str, Any]


@dataclass
class Stage:
    """One user's editor, and all that a request may need."""

    service: Deployment
    editor: EditorClient
    conversation: str = ""
    used: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conversation = self.editor.create(title="t")

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.conversation}"

    def page(self) -> str:
        return self.service.outside.page("/page", "text/markdown", "# Mills")

    def used_in_a_message(self, kind: str, item_id: str) -> str:
        self.editor.said(self.conversation, "Read it", content=[{"type": kind, "id": item_id}])
        return item_id

    def upstream_says(self, status: int) -> None:
        self.service.upstream.always_plays(Status(status, {"error": {"message": "It will not do."}}))


Make = Callable[[Stage], Sent]


def sent(path: str, **options: Any) -> Sent:
    return Sent(path, options)


def calls(kind: str, name: str, content: str = CONTENT, **body: Any) -> Sent:
    path = f"/v1/{kind}/custom/calls" if name == "custom" else f"/v1/{kind}/system/{name}/calls"
    return sent(path, json={"content": [{"type": "text", "content": content}], **body})


def custom(kind: str, content: str = CONTENT, **body: Any) -> Sent:
    return calls(kind, "custom", content, **{"prompt": "Shorter.", "model": "one", **body})


def upload(stage: Stage, name: str = "a.txt", content: bytes = b"Hello") -> Sent:
    return sent(stage.path + "/files", files={"file": (name, content, "application/octet-stream")})


def web_page(stage: Stage, url: str) -> Sent:
    return sent(stage.path + "/web-resources", json={"url": url})


GOOD: dict[tuple[str, str], Make] = {
    ("GET", "models"): lambda on: sent("/v1/models/1?languageCode=en"),
    ("POST", "conversations"): lambda on: sent("/v1/conversations", json={}),
    ("GET", "conversations"): lambda on: sent("/v1/conversations?limit=30"),
    ("GET", "conversation"): lambda on: sent(on.path),
    ("PATCH", "conversation"): lambda on: sent(on.path, json={"pinned": True}),
    ("DELETE", "conversation"): lambda on: sent(on.path),
    ("GET", "messages"): lambda on: sent(on.path + "/messages"),
    ("POST", "messages"): lambda on: sent(on.path + "/messages", json={"prompt": "Hi", "model": "one"}),
    ("POST", "documents"): lambda on: sent(on.path + "/documents", json={"content": CONTENT}),
    ("GET", "document"): lambda on: sent(f"{on.path}/documents/{on.editor.add_document(on.conversation, CONTENT)}"),
    ("DELETE", "document"): lambda on: sent(f"{on.path}/documents/{on.editor.add_document(on.conversation, CONTENT)}"),
    ("POST", "files"): upload,
    ("DELETE", "file"): lambda on: sent(f"{on.path}/files/{on.editor.add_file(on.conversation, 'a.txt', b'Hello')}"),
    ("POST", "web-resources"): lambda on: web_page(on, on.page()),
    ("DELETE", "web-resource"): lambda on: sent(
        f"{on.path}/web-resources/{on.editor.add_web_resource(on.conversation, on.page())}"
    ),
    ("POST", "actions"): lambda on: custom("actions"),
    ("POST", "reviews"): lambda on: custom("reviews"),
}
WITH_BODY = [row for row in GOOD if row[0] in ("POST", "PATCH")]
IN_CONVERSATION = [row for row in GOOD if row[1] not in ("models", "conversations", "actions", "reviews")]
SUCCESS = {row: min(KNOWN_STATUS[row]) for row in GOOD}

OTHERS: list[tuple[str, str, int, Make]] = [
    ("GET", "models", 404, lambda on: sent("/v1/models/v1")),
    ("POST", "conversations", 409, lambda on: sent("/v1/conversations", json={"id": on.conversation})),
    ("GET", "conversations", 400, lambda on: sent("/v1/conversations?limit=0")),
    ("GET", "document", 404, lambda on: sent(on.path + "/documents/none")),
    ("POST", "messages", 404, lambda on: sent(on.path + "/messages", json={"prompt": "Hi", "model": "none"})),
    (
        "POST",
        "messages",
        413,
        lambda on: sent(
            on.path + "/messages", json={"prompt": "Hi", "content": [{"type": "text", "content": "x" * 256_000}]}
        ),
    ),
    ("POST", "files", 413, lambda on: upload(on, "a.txt", b"x" * 7_340_033)),
    ("POST", "files", 415, lambda on: upload(on, "a.zip", b"PK\5\6" + b"\0" * 18)),
    ("POST", "files", 422, lambda on: upload(on, "cut.pdf", pdf("The plan")[:40])),
    (
        "DELETE",
        "file",
        409,
        lambda on: sent(
            f"{on.path}/files/" + on.used_in_a_message("file", on.editor.add_file(on.conversation, "a.txt", b"Hello"))
        ),
    ),
    ("DELETE", "file", 404, lambda on: sent(on.path + "/files/none")),
    (
        "POST",
        "web-resources",
        413,
        lambda on: web_page(on, on.service.outside.page("/large", "text/markdown", "word " * 60_000)),
    ),
    (
        "POST",
        "web-resources",
        422,
        lambda on: web_page(on, on.service.outside.page("/pdf", "application/pdf", "JVBERi0=")),
    ),
    ("POST", "web-resources", 504, lambda on: web_page(on, SITE + "/silent")),
    (
        "DELETE",
        "web-resource",
        409,
        lambda on: sent(
            f"{on.path}/web-resources/"
            + on.used_in_a_message("web-resource", on.editor.add_web_resource(on.conversation, on.page()))
        ),
    ),
    ("DELETE", "web-resource", 404, lambda on: sent(on.path + "/web-resources/none")),
]
for _kind in ("actions", "reviews"):
    OTHERS += [
        ("POST", _kind, 200, lambda on, kind=_kind: calls(kind, "make-shorter")),  # type: ignore[misc]
        ("POST", _kind, 404, lambda on, kind=_kind: calls(kind, "make-coffee")),  # type: ignore[misc]
        ("POST", _kind, 404, lambda on, kind=_kind: custom(kind, model="none")),  # type: ignore[misc]
        ("POST", _kind, 413, lambda on, kind=_kind: calls(kind, "make-shorter", TOO_LONG)),  # type: ignore[misc]
        ("POST", _kind, 413, lambda on, kind=_kind: custom(kind, TOO_LONG)),  # type: ignore[misc]
    ]


@pytest.fixture
def stage(service: Deployment, editor: EditorClient) -> Stage:
    """With a model that gives back what it is shown."""
    service.upstream.plays_what(lambda asked: spoken(frames_of(asked).get("content", "Hello.")))
    return Stage(service, editor)


def row_id(row: tuple[str, str]) -> str:
    return " ".join(row)


@pytest.mark.parametrize("row", GOOD, ids=row_id)
def test_table_2_4_1_success(stage: Stage, row: tuple[str, str]) -> None:
    path, options = GOOD[row](stage)
    assert stage.editor.status(*row, path, **options) == SUCCESS[row]


@pytest.mark.parametrize("row", GOOD, ids=row_id)
def test_table_2_4_1_401_without_a_token(stage: Stage, row: tuple[str, str]) -> None:
    path, options = GOOD[row](stage)
    with EditorClient(stage.service.url, {}) as nobody:
        assert nobody.status(*row, path, **options) == 401


@pytest.mark.parametrize("row", [row for row in GOOD if row != ("GET", "models")], ids=row_id)
def test_table_2_4_1_403_without_a_permission(stage: Stage, editors: Editor, row: tuple[str, str]) -> None:
    path, options = GOOD[row](stage)
    powerless = editors("powerless", permissions=["ai:models:*"])
    assert powerless.status(*row, path, **options) == 403


@pytest.mark.parametrize("row", IN_CONVERSATION, ids=row_id)
def test_table_2_4_1_404_in_no_conversation(stage: Stage, row: tuple[str, str]) -> None:
    path, options = GOOD[row](stage)
    assert stage.editor.status(*row, path.replace(stage.conversation, "none"), **options) == 404


@pytest.mark.parametrize("row", WITH_BODY, ids=row_id)
def test_table_2_4_1_400_without_a_usable_body(stage: Stage, row: tuple[str, str]) -> None:
    for path in {GOOD[row](stage).path, GOOD[row](stage).path.replace("custom", "system/make-shorter")}:
        assert stage.editor.status(*row, path, content=b"{", headers=JSON) == 400


@pytest.mark.parametrize(
    ("method", "kind", "status", "make"), OTHERS, ids=[f"{one[0]} {one[1]} {one[2]}" for one in OTHERS]
)
def test_table_2_4_1_other_errors(stage: Stage, method: str, kind: str, status: int, make: Make) -> None:
    path, options = make(stage)
    assert stage.editor.status(method, kind, path, **options) == status


# --- what needs a replica of its own ----------------------------------------------------------------------------------


def test_table_2_4_1_422_without_a_model_that_can_and_502_without_a_provider_that_answers(service: Deployment) -> None:
    chat = [{**MODELS[0], "features": ["conversations"]}, {**MODELS[1], "features": ["actions", "reviews"]}]
    with ExitStack() as stack:
        beside = stack.enter_context(service.beside(MODELS=json.dumps(chat)))
        editor = stack.enter_context(EditorClient(beside.url, Tenant(beside).headers(permissions=EVERYTHING)))
        stage = Stage(service, editor)
        messages = sent(stage.path + "/messages", json={"prompt": "Hi", "model": "two"})
        assert editor.status("POST", "messages", messages.path, **messages.options) == 422
        for kind in ("actions", "reviews"):
            path, options = custom(kind, model="one")
            assert editor.status("POST", kind, path, **options) == 422
        for code in (400, 401, 429, 500, 503):
            stage.upstream_says(code)
            for kind in ("actions", "reviews"):
                for call in (calls(kind, "make-shorter"), custom(kind, model="two")):
                    assert editor.status("POST", kind, call.path, **call.options) == 502, (kind, code)


# --- and no other -----------------------------------------------------------------------------------------------------

BODIES = [
    b"",
    b"[]",
    b"null",
    b'"x"',
    b"1e999",
    b"[" * 2_000,
    b'{"id":{"a":1},"content":{"a":1},"url":1,"prompt":[],"title":0}',
    b'{"content":[{}],"prompt":"x","url":"","id":"","title":""}',
    b'{"content":[{"type":"text","content":null}],"prompt":"x","model":7}',
    b'{"prompt":"x","content":[null],"capabilities":7,"attributes":[[]]}',
    b'{"url":"file:///etc/passwd","id":"\\u0000","content":"\\ud83d"}',
    b"\xff\xfe{}",
]
IDS = ["%00", "a%2Fb", "..%2f..", "%F0%9F%98%80", "%ff", "x" * 300, "a%3B%3Bb", "%20", "a%40b", "'%20OR%201=1--"]
TYPES = ["text/plain", "application/json; charset=utf-16", "multipart/form-data", "multipart/form-data; boundary=b", ""]


def hostile(good: Sent, conversation: str) -> Iterator[Sent]:
    for body in BODIES:
        yield sent(good.path, content=body, headers=JSON)
    for kind in TYPES:
        yield sent(good.path, content=b'{"prompt":"x"}', headers={"Content-Type": kind})
    for one in IDS:
        yield Sent(good.path.replace(conversation, one).replace("custom", f"system/{one}"), good.options)
    for query in ("?limit=x&cursor=%00&pinned=1", "?" + "a=b&" * 2_000):
        yield Sent(good.path.partition("?")[0] + query, good.options)


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
@pytest.mark.parametrize("row", WITH_BODY, ids=row_id)
def test_table_2_4_1_no_other_status_whatever_is_sent(stage: Stage, row: tuple[str, str]) -> None:
    """To a replica: nginx answers some of these by itself."""
    with EditorClient(stage.service.first.url, stage.editor.headers) as editor:
        for path, options in hostile(GOOD[row](stage), stage.conversation):
            assert editor.status(*row, path, **options) in KNOWN_STATUS[row]
