"""One service in front of every kind of provider, and the two surfaces through which it is asked.

Keys that were refused stay set aside for minutes, so each way of refusing has an entry of its own.
"""

import base64
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.editor.conftest import Tenant
from tests.fakes.dialects.anthropic import ANTHROPIC, VERTEX_ANTHROPIC
from tests.fakes.dialects.base import Dialect
from tests.fakes.dialects.bedrock import BEDROCK
from tests.fakes.dialects.google import GOOGLE, VERTEX
from tests.fakes.dialects.openai import AZURE, COMPATIBLE, MISTRAL, OPENAI_CHAT, OPENAI_RESPONSES, QWEN
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import running_upstream
from tests.fakes.provider_server import ProviderServer, serving
from tests.service import FEATURES, Service, service_env, start_service, with_tenant

DIALECTS: Sequence[Dialect] = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    ANTHROPIC,
    GOOGLE,
    AZURE,
    BEDROCK,
    VERTEX,
    VERTEX_ANTHROPIC,
    COMPATIBLE,
    MISTRAL,
    QWEN,
)
# Models whose family does not reason, or does not see.
NOT_REASONING = (OPENAI_CHAT, AZURE, COMPATIBLE)
BLIND = (QWEN,)
# What sets a key aside, and what needs its own limits.
USUAL, TWO_KEYS, HASTY, DYING = "usual", "two-keys", "hasty", "dying"
ENTRIES = (USUAL, "auth", "permission", "billing", "rate_limited", "invalid_grant", TWO_KEYS, HASTY)
CHAT = "/oai/v1/chat/completions"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def label(dialect: Dialect) -> str:
    """One type may be spoken to in several formats."""
    return f"{dialect.kind}-{dialect.model.partition(':')[0].replace('/', '-')}"


REASONING = [label(dialect) for dialect in DIALECTS if dialect not in NOT_REASONING]


@dataclass
class Answered:
    """What came back over the OpenAI surface, streamed or not."""

    status: int
    headers: httpx.Headers
    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    reasoning_details: list[Any] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    is_done: bool = False
    """The terminator of a stream came."""

    @property
    def message(self) -> dict[str, Any]:
        """The assistant's turn, as a client keeps it for the next request."""
        turn: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.tool_calls:
            turn["tool_calls"] = self.tool_calls
        if self.reasoning_details:
            turn["reasoning_details"] = self.reasoning_details
        return turn


class Provided:
    """One kind of provider behind the service."""

    def __init__(self, service: Service, tenant: Tenant, server: ProviderServer) -> None:
        self.service = service
        self.server = server
        self._tenant = tenant

    @property
    def dialect(self) -> Dialect:
        return self.server.dialect

    def name(self, entry: str = USUAL) -> str:
        return f"{label(self.dialect)}-{entry}/{self.dialect.model}"

    def ask(
        self, *messages: dict[str, Any], entry: str = USUAL, model: str = "", stream: bool = True, **more: Any
    ) -> Answered:
        """Over the OpenAI surface."""
        turns = list(messages) or [{"role": "user", "content": "Hello"}]
        body = {"model": model or self.name(entry), "messages": turns, "stream": stream, **more}
        if stream:
            body["stream_options"] = {"include_usage": True}
        url, headers = self.service.url + CHAT, self.service.api_key_headers
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
            if response.status_code != 200:
                return Answered(response.status_code, response.headers, error=json.loads(response.read())["error"])
            if not stream:
                return _whole(response)
            return _streamed(response)

    def metric_line(self, answer: Answered) -> dict[str, Any]:
        """What the metric log says of the call."""
        request_id = answer.headers["x-request-id"]
        for _ in range(500):
            for line in self.service.logs:
                if "statusCode" in line and request_id in line.values():
                    return line
            time.sleep(0.02)
        raise AssertionError("the metric log does not speak of the call")

    def edit(self, prompt: str = "Hello", *, entry: str = USUAL) -> list[tuple[str, Any]]:
        """Over the editor surface: the events of a reply, with their data."""
        with EditorClient(self.service.url, self._tenant.headers()) as editor:
            conversation = editor.create()
            reply = editor.said(conversation, prompt, model=self.name(entry))
        return [(event.name, event.data) for event in reply.events]


def _whole(response: httpx.Response) -> Answered:
    answer = json.loads(response.read())
    found = Answered(200, response.headers, usage=answer["usage"], is_done=True)
    message = answer["choices"][0]["message"]
    found.text, found.reasoning = message.get("content") or "", message.get("reasoning_content") or ""
    found.tool_calls = message.get("tool_calls") or []
    found.reasoning_details = message.get("reasoning_details") or []
    found.finish = answer["choices"][0]["finish_reason"]
    return found


def _streamed(response: httpx.Response) -> Answered:
    found = Answered(200, response.headers)
    for line in response.iter_lines():
        if not line.startswith("data: "):
            continue
        if line == "data: [DONE]":
            found.is_done = True
            continue
        _add(found, json.loads(line[6:]))
    return found


def _add(found: Answered, chunk: dict[str, Any]) -> None:
    if "error" in chunk:
        found.error = chunk["error"]
    found.usage = chunk.get("usage") or found.usage
    for choice in chunk.get("choices", ()):
        delta = choice.get("delta") or {}
        found.text += delta.get("content") or ""
        found.reasoning += delta.get("reasoning_content") or ""
        found.reasoning_details += delta.get("reasoning_details") or []
        found.finish = choice.get("finish_reason") or found.finish
        for call in delta.get("tool_calls") or ():
            _add_call(found.tool_calls, call)


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    while len(calls) <= piece["index"]:
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[piece["index"]], piece.get("function", {})
    call["id"] = piece.get("id") or call["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Whom the service trusts beyond its providers: nothing else in this suite speaks TLS."""
    return trustme.CA()


@pytest.fixture(scope="session")
def house(authority: trustme.CA) -> Iterator[dict[str, Provided]]:
    with ExitStack() as stack:
        servers = stack.enter_context(serving(*DIALECTS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        unused = stack.enter_context(running_upstream())
        catalog = _catalog(servers)
        trusted = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        more = {"OUTBOUND_ALLOW": "127.0.0.0/8", "SSL_CERT_FILE": str(trusted)}
        env = service_env(unused, folder, **catalog, **more)
        service = with_tenant(stack.enter_context(start_service(env, unused)))
        tenant = Tenant(service)
        yield {label(server.dialect): Provided(service, tenant, server) for server in servers}


def shared_id(dialect: Dialect) -> str:
    """A model of the dialect's family that stands at a second provider, too."""
    return f"{dialect.model}-shared"


def _model(model_id: str, provider: str) -> dict[str, Any]:
    return {
        "id": model_id,
        "provider": provider,
        "description": "x",
        "features": FEATURES,
        "capabilities": {"reasoning": True},
    }


def _catalog(servers: Sequence[ProviderServer]) -> dict[str, str]:
    providers: dict[str, Any] = {}
    models = []
    for server in servers:
        for entry in ENTRIES:
            key = f"{label(server.dialect)}-{entry}"
            two = (f"sk-first-{key}-aaaa", f"sk-second-{key}-bbbb")
            providers[key] = server.entry(*two) if entry == TWO_KEYS else server.entry()
            if server.dialect is OPENAI_RESPONSES:
                providers[key]["api"] = "responses"
            if entry == HASTY:
                providers[key]["timeouts"] = {"firstTokenMs": 700, "idleMs": 700, "totalMs": 20_000}
            models.append(_model(server.dialect.model, key))
    backup = servers[DIALECTS.index(COMPATIBLE)]
    for server in servers:
        dying, shared = f"{label(server.dialect)}-{DYING}", shared_id(server.dialect)
        entry = server.entry()
        if server.dialect is OPENAI_RESPONSES:
            entry["api"] = "responses"
        providers |= {dying: entry, f"{dying}-backup": backup.entry()}
        models += [_model(shared, dying), _model(shared, f"{dying}-backup")]
    return {"PROVIDERS": json.dumps(providers), "MODELS": json.dumps(models)}


@pytest.fixture(params=[label(dialect) for dialect in DIALECTS])
def provided(request: pytest.FixtureRequest, house: dict[str, Provided]) -> Iterator[Provided]:
    """One after another: every kind of provider. What a vendor would have refused fails the test."""
    found = house[request.param]
    found.server.reset()
    yield found
    assert found.server.faults == []


@pytest.fixture(scope="session")
def picture_url(authority: trustme.CA) -> Iterator[str]:
    """The address of a picture on this machine."""

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 8443), Pictures) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "https://127.0.0.1:8443/picture.png"
        server.shutdown()


@pytest.fixture(scope="session")
def a_pdf() -> bytes:
    """One page with a sentence, written by hand: no library is needed to make it."""
    stream = b"BT /F1 24 Tf 72 700 Td (Penstock in a PDF) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
