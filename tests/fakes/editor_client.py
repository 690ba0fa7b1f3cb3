"""A scripted editor: it asks in the order in which the TinyMCE client asks, and is exactly as strict.

What would make that client fail raises BrokenContract here (`spec/editor-api.md` 0.3): a content type that is not
byte-equal, a CR in a stream, an event without data, data that is not JSON, a null where a field should be absent.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

KNOWN_STATUS = {
    ("GET", "models"): {200, 400, 401, 403, 404, 500},
    ("POST", "conversations"): {201, 400, 401, 403, 409, 500},
    ("GET", "conversations"): {200, 400, 401, 403, 500},
    ("GET", "conversation"): {200, 400, 401, 403, 404, 500},
    ("PATCH", "conversation"): {200, 400, 401, 403, 404, 500},
    ("DELETE", "conversation"): {204, 400, 401, 403, 404, 500},
    ("GET", "messages"): {200, 400, 401, 403, 404, 500},
    ("POST", "messages"): {200, 400, 401, 403, 404, 413, 422, 429, 500, 502},
    ("POST", "actions"): {200, 400, 401, 403, 404, 413, 422, 500, 502},
    ("POST", "reviews"): {200, 400, 401, 403, 404, 413, 422, 500, 502},
    ("POST", "documents"): {201, 400, 401, 403, 404, 500},
    ("GET", "document"): {200, 400, 401, 403, 404, 500},
    ("DELETE", "document"): {204, 400, 401, 403, 404, 409, 500},
    ("POST", "files"): {201, 400, 401, 403, 404, 413, 415, 422, 500, 502, 504},
    ("DELETE", "file"): {204, 400, 401, 403, 404, 409, 500},
    ("POST", "web-resources"): {201, 400, 401, 403, 404, 413, 422, 429, 500, 504},
    ("DELETE", "web-resource"): {204, 400, 401, 403, 404, 409, 500},
}
"""Any other is "Unexpected status code" to the client. Tests that expect one say so."""

_FIELDS: dict[str, dict[str, type]] = {
    "action-metadata": {"callId": str},
    "modification-delta": {"id": str, "textDelta": str},
    "review-metadata": {"callId": str, "pendingElements": int},
    "review-delta": {"dataId": str, "operation": str},
    "error": {"message": str},
}
"""What the client needs in an event; without it the whole stream fails."""


class BrokenContract(AssertionError):
    """A real editor would have failed here."""


class Refused(Exception):
    """An error answer that the client understands."""

    def __init__(self, status: int, body: dict[str, Any], headers: httpx.Headers) -> None:
        super().__init__(f"{status}: {body.get('message')}")
        self.status = status
        self.body = body
        self.headers = headers


class Event(msgspec.Struct, frozen=True):
    name: str
    data: Any


class Parser:
    """Splits on LF; an empty line dispatches whatever has been collected, even nothing."""

    def __init__(self) -> None:
        self.raw = b""
        self._rest = b""
        self._name = "message"
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        if b"\r" in chunk:
            raise BrokenContract(f"a CR in the stream: {chunk!r}")
        self.raw += chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line:
                self._field(line.decode())
            else:
                yield self._dispatch()

    def end(self) -> None:
        if self._rest or self._data or self._name != "message":
            raise BrokenContract(f"the stream ended within an event: {self.raw[-200:]!r}")

    def _field(self, line: str) -> None:
        if line.startswith(":"):
            return
        name, colon, value = line.partition(":")
        if not colon:
            raise BrokenContract(f"a line that is no field: {line!r}")
        if name == "event":
            self._name = value.strip()
        elif name == "data":
            if self._data:
                raise BrokenContract("an event with two data lines")
            self._data.append(value.strip())

    def _dispatch(self) -> Event:
        text = "\n".join(self._data).strip()
        try:
            event = Event(self._name, json.loads(text))
        except ValueError as error:
            raise BrokenContract(f"an event whose data is not JSON: {self._name}: {text!r}") from error
        self._name, self._data = "message", []
        return event


class Reply:
    """A streamed answer. Iterate over it; leave the block to abort it."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_raw()
        self._parser = Parser()
        self.headers = response.headers
        self.events: list[Event] = []
        self.is_complete = False

    def __iter__(self) -> Iterator[Event]:
        for chunk in self._chunks:
            for event in self._parser.feed(chunk):
                _need(event.data, **_FIELDS.get(event.name, {}))
                self.events.append(event)
                yield event
        self._parser.end()
        self.is_complete = True

    def read(self) -> "Reply":
        for _ in self:
            pass
        return self

    @property
    def raw(self) -> bytes:
        return self._parser.raw

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    @property
    def text(self) -> str:
        return "".join(event.data["textDelta"] for event in self.events if event.name == "text-delta")

    @property
    def edit(self) -> str:
        """What the joined modifications say; the client takes all of them for one."""
        return "".join(event.data["textDelta"] for event in self.events if event.name == "modification-delta")

    @property
    def answers(self) -> list[tuple[str, str | None]]:
        """Of a review: the ids in the order in which they were answered, with the new HTML of those to be changed."""
        told = [event.data for event in self.events if event.name == "review-delta"]
        for one in told:
            if one["operation"] not in ("edit", "unmodified") or (one["operation"] == "edit") != ("textDelta" in one):
                raise BrokenContract(f"Failed to decode response: {one}")
        return [(one["dataId"], one.get("textDelta")) for one in told]

    def first(self, name: str) -> Any:
        return next(event.data for event in self.events if event.name == name)


class EditorClient:
    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.headers = headers
        self._http = httpx.Client(base_url=url, headers={**headers, "x-editor-version": "8.8.0"}, timeout=60)

    def __enter__(self) -> "EditorClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # --- what the client does ---------------------------------------------------------------------------------------

    def start(self) -> str:
        """Load the models; the model that the client would choose."""
        items = self.models()["items"]
        if not items:
            raise BrokenContract("No model selected")
        return str(items[0]["id"])

    def models(self) -> Any:
        answer = self.ask("GET", "models", "/v1/models/1?languageCode=en")
        for item in answer["items"]:
            _need(item, id=str, name=str, provider=str, description=str, capabilities=dict)
            _need(item["capabilities"]["webSearch"], enabled=bool)
        return answer

    def create(self, conversation_id: str | None = None, **fields: Any) -> str:
        """Under an id of the kind that the client makes, unless told otherwise."""
        body = {"id": conversation_id or f"tiny-{uuid.uuid4()}", **fields}
        return str(self.ask("POST", "conversations", "/v1/conversations", body)["id"])

    def history(self, **query: Any) -> list[Any]:
        """All pages, pinned ones first, as opening the history and scrolling to its end does."""
        found = []
        for pinned in ("true", "false"):
            cursor: dict[str, str] = {}
            while True:
                page = self.page(excludeEmpty="true", pinned=pinned, sortBy="updatedAt", limit="30", **query, **cursor)
                found += page["items"]
                if page["nextCursor"] is None:
                    break
                cursor = {"cursor": page["nextCursor"]}
        return found

    def page(self, **query: str) -> Any:
        answer = self.ask("GET", "conversations", f"/v1/conversations?{httpx.QueryParams(query)}")
        for name in ("nextCursor", "previousCursor"):
            if not (answer[name] is None or isinstance(answer[name], str)):
                raise BrokenContract(f"{name} is {answer[name]!r}")
        for item in answer["items"]:
            _check_conversation(item)
        return answer

    def open(self, conversation_id: str) -> tuple[Any, list[Any]]:
        return self.conversation(conversation_id), self.messages(conversation_id)

    def conversation(self, conversation_id: str) -> Any:
        return _check_conversation(self.ask("GET", "conversation", f"/v1/conversations/{_quoted(conversation_id)}"))

    def change(self, conversation_id: str, **fields: Any) -> Any:
        path = f"/v1/conversations/{_quoted(conversation_id)}"
        return _check_conversation(self.ask("PATCH", "conversation", path, fields))

    def delete(self, conversation_id: str) -> None:
        self.ask("DELETE", "conversation", f"/v1/conversations/{_quoted(conversation_id)}")

    def messages(self, conversation_id: str) -> list[Any]:
        path = f"/v1/conversations/{_quoted(conversation_id)}/messages"
        items: list[Any] = self.ask("GET", "messages", path)["items"]
        for item in items:
            _check_message(item)
        return items

    def add_document(self, conversation_id: str, content: str, **fields: Any) -> str:
        path = f"/v1/conversations/{_quoted(conversation_id)}/documents"
        return str(self.ask("POST", "documents", path, {"content": content, **fields})["id"])

    def document(self, conversation_id: str, document_id: str) -> Any:
        found = self.ask("GET", "document", f"/v1/conversations/{_quoted(conversation_id)}/documents/{document_id}")
        _need(found, id=str, content=str, createdAt=str, conversationId=str)
        return found

    def add_file(self, conversation_id: str, name: str, content: bytes, mime: str = "", attributes: Any = None) -> str:
        """As a browser sends it: without a type of its own the part says `application/octet-stream`."""
        form = {} if attributes is None else {"attributes": json.dumps(attributes)}
        file = {"file": (name, content, mime or "application/octet-stream")}
        path = f"/v1/conversations/{_quoted(conversation_id)}/files"
        return str(_json("POST", "files", self._http.post(path, files=file, data=form))["id"])

    def remove_file(self, conversation_id: str, file_id: str) -> None:
        self.ask("DELETE", "file", f"/v1/conversations/{_quoted(conversation_id)}/files/{file_id}")

    def add_web_resource(self, conversation_id: str, url: str, **attributes: str) -> str:
        path = f"/v1/conversations/{_quoted(conversation_id)}/web-resources"
        return str(self.ask("POST", "web-resources", path, {"url": url, "attributes": attributes})["id"])

    def remove_web_resource(self, conversation_id: str, web_resource_id: str) -> None:
        path = f"/v1/conversations/{_quoted(conversation_id)}/web-resources/{web_resource_id}"
        self.ask("DELETE", "web-resource", path)

    @contextmanager
    def say(self, conversation_id: str, prompt: str, **fields: Any) -> Iterator[Reply]:
        """Raises Refused. Leaving the block before the reply is read aborts it, as the stop button does."""
        body = {"prompt": prompt, "content": [], "capabilities": {}, "model": "agent-1", "attributes": {}, **fields}
        with self._streamed("messages", f"/v1/conversations/{_quoted(conversation_id)}/messages", body) as reply:
            yield reply

    def said(self, conversation_id: str, prompt: str, **fields: Any) -> Reply:
        """The whole reply."""
        with self.say(conversation_id, prompt, **fields) as reply:
            return reply.read()

    @contextmanager
    def act(self, name: str, html: str, path: str = "", **fields: Any) -> Iterator[Reply]:
        """A quick action, or with a prompt one of the user's own (17.7). Raises Refused."""
        with self._called("actions", name, html, path, fields) as reply:
            yield reply

    def acted(self, name: str, html: str, path: str = "", **fields: Any) -> Reply:
        with self.act(name, html, path, **fields) as reply:
            return reply.read()

    @contextmanager
    def review(self, name: str, html: str, path: str = "", **fields: Any) -> Iterator[Reply]:
        """A review of a whole document (17.8). Raises Refused."""
        with self._called("reviews", name, html, path, fields) as reply:
            yield reply

    def reviewed(self, name: str, html: str, path: str = "", **fields: Any) -> Reply:
        with self.review(name, html, path, **fields) as reply:
            return reply.read()

    @contextmanager
    def _called(self, kind: str, name: str, html: str, path: str, fields: dict[str, Any]) -> Iterator[Reply]:
        usual = f"/v1/{kind}/custom/calls" if name == "custom" else f"/v1/{kind}/system/{_quoted(name)}/calls"
        body = {"content": [{"type": "text", "content": html}], **fields}
        with self._streamed(kind, path or usual, body) as reply:
            yield reply

    @contextmanager
    def _streamed(self, kind: str, path: str, body: Any) -> Iterator[Reply]:
        with self._http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                response.read()
                _json("POST", kind, response)
                raise AssertionError("unreachable")
            _equal(response, "text/event-stream")
            yield Reply(response)

    def status(self, method: str, kind: str, path: str, **sent: Any) -> int:
        """Of one answer, read to its end, that a client understands: JSON, an error, a stream, or nothing."""
        response = self._http.request(method, path, **sent)
        if response.status_code == 200 and "event-stream" in response.headers["content-type"]:
            _equal(response, "text/event-stream")
            parser = Parser()
            assert list(parser.feed(response.content))
            parser.end()
            return 200
        try:
            _json(method, kind, response)
        except Refused as refused:
            return refused.status
        return response.status_code

    def ask(self, method: str, kind: str, path: str, body: Any = None) -> Any:
        """One request and its JSON. Raises Refused for errors that the client knows."""
        response = self._http.request(method, path, **({} if body is None else {"json": body}))
        return _json(method, kind, response)


def _json(method: str, kind: str, response: httpx.Response) -> Any:
    # 409 is none that the client knows there; the contract gives it all the same where two tabs speak at once (17.6).
    two_tabs = response.status_code == 409 and (method, kind) == ("POST", "messages")
    if response.status_code not in KNOWN_STATUS[method, kind] and not two_tabs:
        raise BrokenContract(f"Unexpected status code: {response.status_code}: {response.text[:500]}")
    if response.status_code == 204:
        if response.content:
            raise BrokenContract("a 204 with a body")
        return None
    _equal(response, "application/json")
    body = response.json()
    if response.status_code < 400:
        return body
    _need(body, statusCode=int, message=str, code=str, traceId=str)
    if body["statusCode"] != response.status_code or body["traceId"] != response.headers["x-request-id"]:
        raise BrokenContract(f"the error contradicts its own answer: {body}")
    raise Refused(response.status_code, body, response.headers)


def _equal(response: httpx.Response, content_type: str) -> None:
    if response.headers.get("content-type") != content_type:
        raise BrokenContract(f"Invalid response type: {response.headers.get('content-type')}: {response.status_code}")


def _check_conversation(item: Any) -> Any:
    _need(item, id=str, pinned=bool, createdAt=str, updatedAt=str, lastVisitedAt=str)
    nulls = [name for name, value in item.items() if value is None]
    if nulls:
        raise BrokenContract(f"null in a conversation: {nulls}")
    return item


def _check_message(item: Any) -> None:
    _need(item, id=str, role=str, createdAt=str)
    if item["role"] == "user":
        _need(item, prompt=str, capabilities=dict)
    else:
        _need(item, content=list)
    if any(value is None for value in item.values()):
        raise BrokenContract(f"null in a message: {item}")


def _need(item: Any, **fields: type) -> None:
    for name, kind in fields.items():
        if not isinstance(item.get(name), kind):
            raise BrokenContract(f"{name} should be {kind.__name__}: {item}")


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
