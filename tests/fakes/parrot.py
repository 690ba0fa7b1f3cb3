"""A provider of every format that repeats whatever it was sent, and more: secrets that it cannot know are given to it.

The first segment of a path says what becomes of the call: `ok`, a status, `late` (a failure after the first words),
`stall`, or `reset`. It is a forward proxy for plain addresses too, and gives out tokens and AWS keys.
"""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.dialects import bedrock

_REPEATED = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token", "x-gateway-secret")
_MORE = ("proxy-authorization", "cookie")


class Parrot:
    """`also` is repeated in every refusal, by the name of the entry, which is the second segment of a path."""

    def __init__(self) -> None:
        self.port = 0
        self.also: dict[str, tuple[str, ...]] = {}
        self.repeated: list[str] = []
        """What the refusals said, one text each."""
        self.given_token = "canary-of-a-given-token"
        self.going = threading.Event()
        """Set: calls that stall are let go."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def words(self, entry: str, target: str, headers: Mapping[str, str]) -> str:
        values = [headers[name].removeprefix("Bearer ") for name in (*_REPEATED, *_MORE) if name in headers]
        text = " ".join([*self.also.get(entry, ()), *values, target])
        self.repeated.append(text)
        return text


@contextmanager
def parrot() -> Iterator[Parrot]:
    found = Parrot()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            parts = urlsplit(self.path)
            if "token" in parts.path.split("/")[1:2] or parts.path.endswith("/oauth2/v2.0/token"):
                self._whole(200, {"access_token": found.given_token, "expires_in": 3599})
            elif parts.path == "/" and b"AssumeRole" in body:
                self._keys(body)
            else:
                self._model(parts.path, headers)

        do_GET = do_POST = do_any  # noqa: N815

        def _model(self, path: str, headers: Mapping[str, str]) -> None:
            _, what, entry, *_ = path.split("/")
            if what == "ok" and self.command == "GET":
                self._whole(200, {"data": []})
            elif what in ("ok", "late"):
                kind, first, last, failing = _stream(path)
                failure = failing(found.words(entry, self.path, headers)) if what == "late" else b""
                self._send(200, kind, first + (failure or last))
            elif what == "stall":
                found.going.wait(30)
                self.close_connection = True
            elif what == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
            else:
                said = found.words(entry, self.path, headers)
                error = {"message": said, "code": said, "type": said, "status": said, "param": said}
                self._whole(int(what), {"error": error, "message": said, "__type": said, "code": said})

        def _keys(self, body: bytes) -> None:
            action = parse_qs(body.decode())["Action"][0]
            keys = (
                "<AccessKeyId>ASIAEXAMPLE00001</AccessKeyId><SecretAccessKey>canary-of-a-given-secret</SecretAccessKey>"
                "<SessionToken>canary-of-a-given-session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
            )
            role = "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>"
            result = f"<{action}Result><Credentials>{keys}</Credentials>{role}</{action}Result>"
            said = f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</{action}Response>'
            self._send(200, "text/xml", said.encode())

        def _whole(self, status: int, body: Any) -> None:
            self._send(status, "application/json", json.dumps(body).encode())

        def _send(self, status: int, kind: str, data: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.block_on_close = False
    found.port = server.server_address[1]
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.going.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


# --- streams of each format: their beginning, their end, and how they fail in between --------------------------------


def _stream(path: str) -> tuple[str, bytes, bytes, Any]:
    """Content type, the first words, the rest of a good answer, and what a failure after the first words is."""
    if "/converse-stream" in path:
        return "application/vnd.amazon.eventstream", _BEDROCK[0], _BEDROCK[1], _bedrock_failure
    first, last = _SSE[next(word for word in _SSE if word in path)]
    return "text/event-stream", _sse(first), _sse(last), _sse_failure


def _sse(events: tuple[Any, ...]) -> bytes:
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{name}data: {json.dumps(event)}\n\n")
    return "".join(lines).encode()


def _sse_failure(said: str) -> bytes:
    error = {"type": "error", "code": said, "message": said, "error": {"type": said, "code": said, "message": said}}
    return _sse((error,))


def _bedrock_failure(said: str) -> bytes:
    return bedrock.exception("validationException", {"message": said})


_BEDROCK = (
    bedrock.event("messageStart", {"role": "assistant"})
    + bedrock.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
    bedrock.event("contentBlockStop", {"contentBlockIndex": 0})
    + bedrock.event("messageStop", {"stopReason": "end_turn"})
    + bedrock.event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {}}),
)
_MESSAGES = (
    (
        {"type": "message_start", "message": {"id": "m", "model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    ),
    (
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ),
)
_SSE: Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "/chat/completions": (
        ({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},),
        ({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},),
    ),
    "/responses": (
        (
            {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
            {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "delta": "Hi"},
        ),
        (
            {
                "type": "response.completed",
                "response": {"id": "r", "status": "completed", "output": [], "usage": {"input_tokens": 1}},
            },
        ),
    ),
    "/messages": _MESSAGES,
    "streamRawPredict": _MESSAGES,
    "streamGenerateContent": (
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}]},),
        ({"candidates": [{"finishReason": "STOP", "index": 0}]},),
    ),
}
