"""The built-in demo provider: an upstream inside this process that answers without a network and without a key.

It is a transport. What it answers are the bytes of the chat completions wire, so that everything above it is what any
other provider meets.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.kit.ids import random_text
from penstock.kit.sse import encode_event
from penstock.providers.demo_edits import edit_of
from penstock.providers.json_text import NotJson, encode_json, lenient_json
from penstock.providers.transport.base import (
    MAX_BODY_BYTES,
    Header,
    Limits,
    Phase,
    Request,
    Response,
    ResponseTooLarge,
    TransportError,
)
from penstock.providers.wires.estimates import estimated

MODEL = "demo"
WORD_DELAY_S = 0.05
"""Slow enough for people to see that it streams, and to stop it."""

_DONE = b"data: [DONE]\n\n"
_WORDS = re.compile(r"\s*\S+|\s+$")
_GREETING = re.compile(
    r"^\s*(hi|hello|hey|good (morning|evening|day)|hallo|hola|bonjour|ciao)\b[\s!.,]*$", re.IGNORECASE
)
_TITLE = re.compile(r"\btitle\b", re.IGNORECASE)
_TITLE_TASK = re.compile(
    r"\b(generate|write|create|suggest|give|propose|summari[sz]e)\b[^.\n]{0,80}\btitle\b", re.IGNORECASE
)
_IN_FIVE_WORDS = re.compile(r"\bin (five|5) words\b", re.IGNORECASE)
_ABOUT_US = re.compile(r"\b(penstock|who are you|what are you|what can you do)\b|^\s*help\W*$", re.IGNORECASE)
_MAX_QUOTE_CHARS = 200


class DemoTransport:
    """Answers `POST …/chat/completions` and `GET …/models`. `word_delay_s`: between two words of a stream."""

    def __init__(self, word_delay_s: float = WORD_DELAY_S) -> None:
        self._word_delay_s = word_delay_s
        self._open: set[_DemoResponse] = set()
        self._closed = False

    async def send(self, request: Request, limits: Limits) -> Response:
        if self._closed:
            raise TransportError("ECONNREFUSED", "the demo provider is closed", "connect")
        status, kind, pieces = self._answer(request)
        return _DemoResponse(status, kind, pieces, self._word_delay_s, self._open)

    async def retire(self) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        self._closed = True
        for response in tuple(self._open):
            response.abort()

    def _answer(self, request: Request) -> tuple[int, bytes, Iterator[bytes]]:
        path = request.target.partition(b"?")[0]
        if request.method == b"GET" and path.endswith(b"/models"):
            return _document(200, _models())
        if request.method != b"POST" or not path.endswith(b"/chat/completions"):
            return _document(404, {"error": {"message": "Not Found", "type": "invalid_request_error", "code": None}})
        try:
            body = lenient_json(request.body)
        except NotJson:
            body = None
        if not isinstance(body, dict):
            return _document(400, {"error": {"message": "The body is no JSON object.", "code": None}})
        answer = _Answer.to(body, len(request.body))
        if body.get("stream") is True:
            return 200, b"text/event-stream; charset=utf-8", answer.stream(_wants_usage(body))
        return _document(200, answer.whole())


def _document(status: int, document: Mapping[str, Any]) -> tuple[int, bytes, Iterator[bytes]]:
    return status, b"application/json", iter([encode_json(document)])


def _models() -> dict[str, Any]:
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "penstock"}]}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


class _DemoResponse:
    """Gives one piece a read, after a pause."""

    complete = False

    def __init__(
        self, status: int, kind: bytes, pieces: Iterator[bytes], delay_s: float, open_ones: set["_DemoResponse"]
    ) -> None:
        self.status = status
        self.headers: list[Header] = [(b"content-type", kind), (b"x-request-id", f"demo-{random_text(12)}".encode())]
        self._pieces = pieces
        self._delay_s = delay_s
        self._first = True
        self._gone = asyncio.Event()
        self._open = open_ones
        open_ones.add(self)

    async def read(self) -> bytes:
        if not self._first and not self._gone.is_set():
            await self._pause()
        self._first = False
        if self._gone.is_set():
            raise _broken("body")
        return next(self._pieces, b"")

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        body = bytearray()
        while piece := await self.read():
            body += piece
            if len(body) > limit:
                self.close()
                raise ResponseTooLarge(f"more than {limit} bytes", "body")
        return bytes(body)

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._gone.set()
        self._open.discard(self)

    async def _pause(self) -> None:
        if self._delay_s <= 0:
            return
        try:
            async with asyncio.timeout(self._delay_s):
                await self._gone.wait()
        except TimeoutError:
            return


def _broken(phase: Phase) -> TransportError:
    return TransportError("ECONNRESET", "the demo provider was closed", phase)


# --- the answer -----------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A finished answer and how it is written down. `created` is 0: the demo has no need of a clock."""

    id: str
    model: str
    text: str
    finish: str
    sent_bytes: int

    @classmethod
    def to(cls, body: Mapping[str, Any], sent_bytes: int) -> "_Answer":
        text, finish = _within(reply_to(body.get("messages")), body)
        model = body.get("model")
        return cls(
            id=f"chatcmpl-{random_text(24)}",
            model=model if isinstance(model, str) else MODEL,
            text=text,
            finish=finish,
            sent_bytes=sent_bytes,
        )

    def whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return self._head("chat.completion") | {"choices": [choice], "usage": self._usage()}

    def stream(self, with_usage: bool) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""}, None)
        for word in _WORDS.findall(self.text):
            yield self._chunk({"content": word}, None)
        # One read brings the end, as a real provider's last packet does.
        end = self._chunk({}, self.finish)
        if with_usage:
            end += encode_event(encode_json(self._head() | {"choices": [], "usage": self._usage()}))
        yield end + _DONE

    def _chunk(self, delta: Mapping[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return encode_event(encode_json(self._head() | {"choices": [choice], "usage": None}))

    def _head(self, kind: str = "chat.completion.chunk") -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": 0, "model": self.model}

    def _usage(self) -> dict[str, int]:
        usage = estimated(self.sent_bytes, len(self.text))
        return {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }


def _within(text: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Cut at the first stop sequence and at the token limit, a token being a word here."""
    stops = body.get("stop")
    for stop in [stops] if isinstance(stops, str) else stops if isinstance(stops, list) else []:
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    words = _WORDS.findall(text)
    if isinstance(limit, int) and 0 < limit < len(words):
        return "".join(words[:limit]), "length"
    return text, "stop"


def reply_to(messages: Any) -> str:
    """What the demo says to a conversation: Markdown, and always the same for the same question."""
    turns = [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    question = next((_text(one) for one in reversed(turns) if one.get("role") == "user"), "")
    rules = " ".join(_text(one) for one in turns if one.get("role") in ("system", "developer"))
    edit = edit_of(rules, question)
    if edit is not None:
        return edit
    if _is_title_task(question, rules):
        return _title(turns, question)
    if _IN_FIVE_WORDS.search(question):
        return "Hi from your own Penstock."
    if not question.strip():
        return "You sent no text. Ask me anything: I am a demo and quote you back."
    if _GREETING.match(question):
        return f"Hello! I am Penstock's built-in demo model, so nothing you write leaves this server.\n\n{_NEXT}"
    if _ABOUT_US.search(question) and len(question) < _MAX_QUOTE_CHARS:
        return f"{_WHAT}\n\n{_NEXT}"
    return f"You asked:\n\n> {_quoted(question)}\n\n{_HONEST}\n\n{_NEXT}"


_WHAT = (
    "**Penstock** is one gateway between your products and every language model: one place for tenants, keys and "
    "fallbacks. Editors and OpenAI clients talk to it as they always did, and it talks to the provider that you choose."
)
_HONEST = (
    "I am the demo model. I do not think; I answer with prepared text, word by word, so that you can see the whole way "
    "from your client through **Penstock** and back work before you spend anything."
)
_NEXT = (
    "What to try next:\n\n"
    "1. Put a real provider into `PROVIDERS` and a model into `MODELS`.\n"
    "2. Ask the same question with that model's id.\n"
    "3. Stop me in the middle of an answer: the stream ends at once."
)


def _is_title_task(question: str, rules: str) -> bool:
    """The task stands at the beginning; a long prompt that mentions titles somewhere is about something else."""
    return any(_TITLE_TASK.search(text[:_MAX_QUOTE_CHARS]) for text in (question, rules))


def _title(turns: Sequence[Mapping[str, Any]], question: str) -> str:
    """A few words of what the conversation is about, without the instruction to name it."""
    asked = [_text(one) for one in turns if one.get("role") == "user"]
    topic = asked[0] if len(asked) > 1 or not _TITLE.search(question) else question.rpartition("\n")[2]
    if _TITLE.search(topic):
        topic = topic.rpartition(":")[2]
    words = re.findall(r"[\w'’-]+", topic)[:5]
    return " ".join(words).capitalize() if words else "A first conversation"


def _quoted(question: str) -> str:
    text = " ".join(question.split())
    return text if len(text) <= _MAX_QUOTE_CHARS else text[: _MAX_QUOTE_CHARS - 1].rstrip() + "…"


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
