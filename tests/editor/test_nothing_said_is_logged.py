"""Canaries in all that users, models, pages, searches and tools say: with every line logged, none of them comes out."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.mcp_server import running_mcp
from tests.fakes.openai_upstream import (
    CallsTool,
    CutShort,
    Finish,
    Reset,
    Status,
    Step,
    Text,
    Upstream,
    running_upstream,
)
from tests.service import FEATURES, Service, service_env, start_service

PERMISSIONS = ["ai:conversations:*", "ai:models:*", "ai:actions:*", "ai:reviews:*"]
_CANARY = re.compile(r"canary-[a-z-]+")


class _Neighbour(BaseHTTPRequestHandler):
    """A search service, a scraper and a moderator in one. What says `crash` is answered with a 500 that repeats it."""

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answers: dict[str, Any] = {
            "/search": {"results": [{"url": "https://a.example/?canary-found-url", "text": "canary-found-text"}]},
            "/scrape": {"type": "text/markdown", "data": "# canary-page-title\n\ncanary-page-text"},
            "/moderate": {"flagged": "flagged" in said, "categories": {"hate": True}},
        }
        crashes = "crash" in said
        body = json.dumps({"error": said} if crashes else answers[self.path]).encode()
        self.send_response(500 if crashes else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def neighbour() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Neighbour)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[tuple[Service, EditorClient]]:
    with ExitStack() as stack:
        upstream, url = stack.enter_context(running_upstream()), stack.enter_context(neighbour())
        tools = stack.enter_context(running_mcp())
        model = {"id": "one", "provider": "mock", "description": "", "features": FEATURES, "recommended": True}
        moderator = {"type": "custom", "url": f"{url}/moderate", "headers": {"X-Key": "canary-moderation-key"}}
        env = service_env(
            upstream,
            tmp_path,
            LOG_LEVEL="10",
            MODELS=json.dumps([model | {"capabilities": {"webSearch": True}}]),
            WEBSEARCH_ENABLED="true",
            WEBSEARCH_ENDPOINT=f"{url}/search",
            WEBSEARCH_HEADERS="Authorization: Bearer canary-search-key",
            WEBRESOURCES_ENABLED="true",
            WEBRESOURCES_ENDPOINT=f"{url}/scrape",
            WEBRESOURCES_HEADERS="Authorization: Bearer canary-scraper-key",
            WEBRESOURCES_ALLOW_PRIVATE="true",
            MCP_SERVERS=json.dumps({"sea": {"url": tools.url, "headers": {"X-Key": "canary-mcp-key"}}}),
            MODERATION=json.dumps({"enabled": True, "provider": moderator}),
        )
        service = stack.enter_context(start_service(env, upstream))
        headers = Tenant(service).headers("canary-user", permissions=PERMISSIONS)
        yield service, stack.enter_context(EditorClient(service.url, headers))


def fates() -> Iterator[tuple[Step, ...]]:
    """What a model may answer, and how it may fail."""
    edit = '<edit><p data-id="{}">canary-answer-edit</p></edit>'
    yield Text("canary-answer-text" + edit.format("aaaa")), Finish()
    yield Text(edit.format("canary-unknown-id") + "<edit>canary-loose-text"), Finish()
    yield Text("<script>canary-answer-script</script>"), Finish("length")
    yield (Status(400, {"error": {"message": "Said by the provider itself."}}),)
    yield (Status(500, {"error": {"message": "Said by the provider itself."}}),)
    yield Text("canary-answer-begun"), CutShort()
    yield Text("canary-answer-begun"), Reset()
    yield Text(""), Finish()


def calling(upstream: Upstream, name: str, arguments: dict[str, Any]) -> None:
    upstream.plays(CallsTool(name, json.dumps(arguments)), Finish("tool_calls"))
    upstream.plays(Text("canary-answer-text"), Finish())


def test_nothing_that_anybody_said_is_logged_however_it_ends(talkative: tuple[Service, EditorClient]) -> None:
    service, editor = talkative
    conversation = editor.create(group="canary-group", attributes={"a": "canary-attribute"})
    editor.change(conversation, title="canary-title")
    content = _attached(editor, conversation)
    search: dict[str, Any] = {"capabilities": {"webSearch": {}}}
    for steps in fates():
        service.upstream.always_plays(*steps)
        editor.said(conversation, "canary-prompt", content=content, **search)
        for call in (editor.acted, editor.reviewed):
            _or_refused(
                lambda call=call: call("custom", '<p data-id="aaaa">canary-html</p>', prompt="canary-task", model="one")
            )
    for name, arguments in (("web_search", {"query": "canary-query"}), ("web_search", {"query": "crash canary-query"})):
        calling(service.upstream, name, arguments)
        editor.said(conversation, "canary-prompt", content=content, **search)
    for name in ("sea-echo", "sea-raising", "sea-none"):
        calling(service.upstream, name, {"text": "canary-argument", "message": "canary-argument"})
        editor.said(conversation, "canary-prompt", content=content)
    _refused_by_others(editor, conversation)
    editor.delete(conversation)
    _was_said_and_failed(service)
    assert {name for line in service.lines for name in _CANARY.findall(line)} == set()
    assert not [line for line in service.lines if editor._http.headers["Authorization"].partition(" ")[2] in line]


def _was_said_and_failed(service: Service) -> None:
    """Else nothing was tried."""
    heard = set(_CANARY.findall("".join(chat.body.decode() for chat in service.upstream.chats)))
    assert heard >= {
        *("canary-prompt", "canary-document", "canary-file-text", "canary-page-text", "canary-context", "canary-html"),
        *("canary-task", "canary-found-text", "canary-argument"),
    }
    logged = "\n".join(service.lines)
    for failure in (
        "Said by the provider itself",
        "Web search request failed",
        "had to be thrown away",
        "MCP tool failed",
    ):
        assert failure in logged


def _attached(editor: EditorClient, conversation: str) -> list[dict[str, Any]]:
    document = editor.add_document(conversation, '<p data-id="aaaa">canary-document</p>', name="canary-name")
    file = editor.add_file(conversation, "canary-file-name.txt", b"canary-file-text")
    page = editor.add_web_resource(conversation, "http://127.0.0.1/page?X-Amz-Signature=canary-signature")
    return [
        {"type": "document", "id": document, "selection": [{"start": 0, "end": 5}]},
        {"type": "file", "id": file},
        {"type": "web-resource", "id": page},
        {"type": "text", "content": "canary-context"},
        {"type": "mcp-tool-context", "mcpServerName": "sea", "data": {"a": "canary-tool-context"}},
    ]


def _refused_by_others(editor: EditorClient, conversation: str) -> None:
    """By the moderator, which also crashes, the scraper and the readers of files."""
    for prompt in ("flagged canary-prompt", "crash canary-prompt", "canary-prompt" * 10_000):
        _or_refused(lambda prompt=prompt: editor.said(conversation, prompt))
    for url in (
        "http://127.0.0.1/crash?canary-signature",
        "canary-scheme://x",
        "http://canary-host.invalid/?canary-query",
    ):
        _or_refused(lambda url=url: editor.add_web_resource(conversation, url))
    for name, data in (("canary-name.pdf", b"%PDF-1.7 canary-bytes"), ("canary-name.docx", b"PK\x03\x04canary-bytes")):
        _or_refused(lambda name=name, data=data: editor.add_file(conversation, name, data))


def _or_refused(call: Any) -> None:
    with suppress(Refused, AssertionError, OSError):  # what the client makes of it is of no interest here
        call()
