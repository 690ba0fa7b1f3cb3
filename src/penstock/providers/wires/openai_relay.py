"""The same wire in and out: an OpenAI client in front of an OpenAI-like upstream, byte for byte.

The client's body goes on as it came, but for the model's name. The answer is looked at for usage, finish, errors.
"""

from typing import Any, Literal

import msgspec

from penstock.errors import InvalidRequest, UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge, encode_event
from penstock.providers.base import FinishReason, Quirks, Usage
from penstock.providers.failures import broken_finish, from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, encode_json, lenient_json, repair_escapes
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.openai_reader import (
    DONE,
    is_json_body,
    neutral_finish,
    stray_failure,
    too_deep,
    unreadable,
)
from penstock.providers.wires.openai_usage import PlainUsage, estimated, reported_usage, usage_of

DONE_FRAME = b"data: [DONE]\n\n"

# What comes before the first content (a role, comments) is held, so that a failure can still be a status. Past this
# size it goes out, content or not.
_MAX_PREAMBLE_BYTES = 64 * 1024


# --- the request ----------------------------------------------------------------------------------------------------


class ChatRequest:
    """A client's request. Every field but `model` and `stream_options` keeps its bytes, unknown ones too."""

    __slots__ = ("_fields", "model", "stream", "wants_usage")

    def __init__(self, fields: dict[str, msgspec.Raw], model: str, stream: bool, wants_usage: bool) -> None:
        self._fields = fields
        self.model = model
        self.stream = stream
        self.wants_usage = wants_usage
        """The client asked for the usage chunk of a stream."""

    def encode(self, upstream_model: str, *, add_usage: bool) -> bytes:
        """The body for the provider. `add_usage` asks for the counts of a stream, if the client did not."""
        fields = self._fields.copy()
        fields["model"] = msgspec.Raw(_encode(upstream_model))
        if add_usage and self.stream and not self.wants_usage:
            fields["stream_options"] = _with_usage(fields.get("stream_options"))
        return _encode(fields)


_encode = msgspec.json.Encoder().encode
_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text_of = msgspec.json.Decoder(str).decode
_object_of = msgspec.json.Decoder(dict[str, Any]).decode
_USAGE_ONLY = msgspec.Raw(b'{"include_usage":true}')
_NULL = b"null"


def read_request(body: bytes) -> ChatRequest:
    """Read the body of `POST /chat/completions` as far as the relay needs it. Raises InvalidRequest."""
    if b"\\ud" in body or b"\\uD" in body:
        body = repair_escapes(body)
    try:
        fields = _fields_of(body)
        if not body.isascii():
            body.decode()  # the decoder looks at the keys only; a provider would refuse the rest
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable_body(body, error) from error
    model = fields.get("model")
    if model is None:
        raise InvalidRequest("`model` is missing.", action="Name the model to be used.", param="model")
    stream = _flag(fields, "stream")
    _check_messages(fields.get("messages"))
    options = fields.get("stream_options")
    wants_usage = options is not None and _asks_for_usage(options)
    return ChatRequest(fields, _model_name(model), stream, wants_usage)


def _model_name(raw: msgspec.Raw) -> str:
    try:
        name = _text_of(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("`model` must be a string.", param="model") from error
    if not name:
        raise InvalidRequest("`model` is empty.", action="Name the model to be used.", param="model")
    return name


def _flag(fields: dict[str, msgspec.Raw], name: str) -> bool:
    raw = fields.get(name)
    if raw is None:
        return False
    value = bytes(raw)
    if value == b"true":
        return True
    if value in (b"false", _NULL):
        return False
    raise InvalidRequest(f"`{name}` must be true or false.", param=name)


def _check_messages(raw: msgspec.Raw | None) -> None:
    if raw is None:
        raise InvalidRequest("`messages` is missing.", param="messages")
    beginning = memoryview(raw)[:64].tobytes()
    if beginning[:1] != b"[":
        raise InvalidRequest("`messages` must be an array.", param="messages")
    if beginning[1:].lstrip()[:1] == b"]":
        raise InvalidRequest("`messages` is empty.", action="Send at least one message.", param="messages")


def _asks_for_usage(raw: msgspec.Raw) -> bool:
    if bytes(raw) == _NULL:
        return False
    try:
        return _object_of(raw).get("include_usage") is True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options") from error


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == _NULL:
        return _USAGE_ONLY
    return msgspec.Raw(_encode(_object_of(options) | {"include_usage": True}))


def _unreadable_body(body: bytes, error: Exception) -> InvalidRequest:
    if isinstance(error, RecursionError):
        return InvalidRequest("The request body is too deeply nested.")
    if isinstance(error, msgspec.ValidationError):
        return InvalidRequest("The request body must be a JSON object.")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("The request body is not UTF-8.")
    if not body.strip():
        return InvalidRequest("The request body is empty.", action="Send a JSON object.")
    line, column, what = _place_of(body, error)
    return InvalidRequest(
        f"The request body is not valid JSON: line {line}, column {column}: {what}.",
        action="Mind trailing commas, quotes, and that the body is sent whole.",
        data={"line": line, "column": column},
    )


def _place_of(body: bytes, error: Exception) -> tuple[int, int, str]:
    """Line and column, from 1. The fast decoder names a byte, or says that the text ends too early."""
    text, _, place = str(error).partition(" (byte ")
    offset = int(place[:-1]) if place[:-1].isdigit() else len(body)
    before = body[:offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    what = text.removeprefix("JSON is malformed: ")
    return line, column, "it ends too early" if offset == len(body) else what


# --- the streamed answer --------------------------------------------------------------------------------------------


class _Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw | None = None
    error: msgspec.Raw | None = None
    x_groq: msgspec.Raw | None = None
    object: str | None = None
    type: str | None = None


_chunk_of = msgspec.json.Decoder(_Chunk).decode
_raw_null = (b"null", b"")


class RelayStream:
    """A `Reader` that returns the bytes to forward.

    Only whole events are forwarded, and nothing before there is something to see: as long as `begun` is false no
    byte was returned. `[DONE]` is held until `end`; the usage chunk is left out unless the client asked for it. With
    `add_role` a stream that never says who speaks is opened with a chunk that does.
    """

    __slots__ = (
        "_chars",
        "_content_type",
        "_document",
        "_done",
        "_events",
        "_has_content",
        "_has_role",
        "_is_open",
        "_keep_usage_chunk",
        "_opened",
        "_preamble",
        "_preamble_size",
        "_quirks",
        "_sent_bytes",
        "_sniffed",
        "begun",
        "complete",
        "failure",
        "finish",
        "terminated",
        "usage",
    )

    def __init__(
        self,
        *,
        keep_usage_chunk: bool,
        add_role: bool = False,
        content_type: str = "",
        quirks: Quirks | None = None,
        sent_bytes: int = 0,
    ) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._keep_usage_chunk = keep_usage_chunk
        self._content_type = content_type.lower()
        self._quirks = quirks or Quirks()
        self._sent_bytes = sent_bytes
        self._chars = 0
        self._events = SseReader()
        self._document: bytearray | None = None
        self._sniffed = False
        self._has_content = False
        self._has_role = not add_role
        self._opened: bytes | None = None
        self._is_open = False
        self._done: bytes | None = None
        self._preamble: list[bytes] = []
        self._preamble_size = 0

    def feed(self, data: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return b""
        out: list[bytes] = []
        try:
            if not self._sniffed and not self._sniff(data):
                return b""
            if self._document is not None:
                self._document += data
                if len(self._document) > MAX_BODY_BYTES:
                    raise shape_mismatch("more than 64 MiB")
                return b""
            for event in self._events.feed(data):
                if self._forward(event, last=False):
                    out.append(event.raw)
                if self._done is not None:
                    break
        except SseTooLarge as error:
            self._fail(shape_mismatch("an event of more than 16 MiB"), out, error)
        except UpstreamError as error:
            self._fail(error, out, error.__cause__)
        except RecursionError as error:
            self._fail(too_deep(), out, error)
        if self._is_open:
            return out[0] if len(out) == 1 else b"".join(out)
        return self._release(out)

    def end(self) -> bytes:
        """The `[DONE]` frame, and what came without its blank line. Raises Truncated unless the answer is complete."""
        if self.failure is not None:
            raise self.failure
        try:
            return self._end()
        except UpstreamError as error:
            self.failure = error
            raise
        except RecursionError as error:
            self.failure = too_deep()
            raise self.failure from error

    def estimate(self) -> Usage:
        """Tokens so far, for a call that is given up before its usage came."""
        return self.usage or estimated(self._sent_bytes, self._chars)

    def _end(self) -> bytes:
        out: list[bytes] = []
        if self._document is not None:
            out.append(self._as_stream(bytes(self._document)))
        elif not self.terminated:
            out.extend(event.raw + b"\n\n" for event in self._events.end() if self._forward(event, last=True))
        if self.finish is None and not (self._done and self._quirks.ends_without_finish and self._has_content):
            raise truncated(empty=not self._has_content)
        if self.usage is None:
            self.usage = estimated(self._sent_bytes, self._chars)
        self.begun = self.complete = self.terminated = True
        return self._release(out) + (self._done or DONE_FRAME)

    def _fail(self, error: UpstreamError, out: list[bytes], cause: BaseException | None) -> None:
        """Keep the failure for the next call when there is something to give first."""
        self.failure = error
        if not out or not self.begun:
            raise error from cause

    def _release(self, out: list[bytes]) -> bytes:
        """Before the answer has begun: hold. Afterwards: everything that was held, then `out`."""
        self._preamble.extend(out)
        if not self.begun:
            self._preamble_size += sum(map(len, out))
            if self._preamble_size <= _MAX_PREAMBLE_BYTES:
                return b""
            self.begun = True
        held, self._preamble = self._preamble, []
        if not self._is_open:
            self._is_open = True
            if not self._has_role and self._opened is not None:
                # Some servers never say who speaks, and the stream helpers of the SDKs refuse such an answer.
                held.insert(0, _role_frame(self._opened))
        return b"".join(held)

    def _sniff(self, data: bytes) -> bool:
        is_json = is_json_body(data, self._content_type)
        if is_json is None:
            return False
        self._sniffed = True
        if is_json:
            self._document = bytearray()
        return True

    def _forward(self, event: SseEvent, *, last: bool) -> bool:
        """Look into one event; whether it goes on to the client."""
        data = event.data
        if data is None:
            if event.stray is not None and (failure := stray_failure(event)) is not None:
                raise failure
            return True
        try:
            chunk = _chunk_of(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._forward_odd(event, last=last)
        if (
            event.name is not None
            or chunk.error is not None
            or chunk.object == "error"
            or chunk.type == "error"
            or event.stray is not None
        ):
            self._raise_if_error(event, data)
        if chunk.usage is not None or chunk.x_groq is not None:
            usage = usage_of(reported_usage(lenient_json(data)))
            if usage is not None:
                self.usage = usage
        choices = chunk.choices
        if not choices:
            return self._keep_usage_chunk or chunk.usage is None or choices is None
        if self._opened is None:
            self._opened = data
        for choice in choices:
            delta = choice.delta
            if delta is not None:
                self._look(delta)
            if choice.finish_reason:
                self._finished(choice.finish_reason)
        return True

    def _look(self, delta: _Delta) -> None:
        if delta.role is not None:
            self._has_role = True
        visible = len(delta.content or "") + len(delta.reasoning_content or delta.reasoning or "")
        if delta.refusal:
            visible += len(delta.refusal)
        calls = delta.tool_calls
        if calls is not None and (size := len(memoryview(calls))) > len(b"null"):
            visible += size
        if visible:
            self._chars += visible
            self.begun = self._has_content = True

    def _finished(self, reason: str) -> None:
        if (failure := broken_finish(reason)) is not None:
            raise failure
        self.finish = neutral_finish(reason)
        self.complete = self.begun = True

    def _forward_odd(self, event: SseEvent, *, last: bool) -> bool:
        """An event that is not of the usual types: the terminator, a keep-alive, or a server's own idea of a chunk."""
        data = (event.data or b"").strip()
        if data == DONE:
            self.terminated = True
            self._done = DONE_FRAME
            return False
        if not data:
            return True
        try:
            chunk = lenient_json(data)
        except NotJson as error:
            raise unreadable(event, last=last) from error
        if (failure := from_event(chunk, name=event.name)) is not None:
            raise failure
        if not isinstance(chunk, dict):
            raise shape_mismatch("an event that is no object", data)
        return self._look_at_odd(chunk)

    def _look_at_odd(self, chunk: dict[str, Any]) -> bool:
        if (usage := usage_of(reported_usage(chunk))) is not None:
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return self._keep_usage_chunk or usage is None or choices is None
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            visible = _visible_chars(delta) if isinstance(delta, dict) else 0
            if visible:
                self._chars += visible
                self.begun = self._has_content = True
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                self._finished(reason)
        return True

    def _raise_if_error(self, event: SseEvent, data: bytes) -> None:
        if event.stray is not None and (failure := stray_failure(event)) is not None:
            raise failure
        if (failure := from_event(lenient_json(data), name=event.name)) is not None:
            raise failure

    def _as_stream(self, body: bytes) -> bytes:
        """A whole answer although a stream was asked for, as the events that a stream would have had."""
        try:
            answer = lenient_json(body.strip())
        except NotJson as error:
            raise shape_mismatch("a document that is not JSON", body) from error
        if (failure := from_event(answer)) is not None:
            raise failure
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise shape_mismatch("a document without choices", body)
        usage = answer.pop("usage", None)
        choices = [_as_delta(choice) for choice in answer["choices"] if isinstance(choice, dict)]
        chunk = answer | {"object": "chat.completion.chunk", "choices": choices}
        self._look_at_odd(chunk)
        if self.finish is None and self._has_content:
            self._finished("stop")
        self.usage = usage_of(usage) or self.usage
        out = encode_event(encode_json(chunk))
        if self._keep_usage_chunk and self.usage is not None:
            out += encode_event(encode_json(answer | {"object": chunk["object"], "choices": [], "usage": usage}))
        return out


def _role_frame(opened: bytes) -> bytes:
    """The chunk that a stream opens with, made from the first one that came."""
    chunk = _object_of(opened)
    opening: dict[str, Any] = {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}
    opening["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    return encode_event(encode_json(opening))


def _as_delta(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice.pop("message", None)
    delta = message if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [{"index": at} | call for at, call in enumerate(calls) if isinstance(call, dict)]
    return choice | {"delta": delta}


def _visible_chars(delta: dict[str, Any]) -> int:
    shown = (delta.get("content"), delta.get("refusal"), delta.get("tool_calls"))
    return sum(map(_chars, shown)) + _chars(delta.get("reasoning_content") or delta.get("reasoning"))


def _chars(value: Any) -> int:
    """The size of a text, or about that of the texts inside a list or object."""
    if isinstance(value, str):
        return len(value)
    return len(encode_json(value)) if value and isinstance(value, list | dict) else 0


_ORDINARY_ENDS = frozenset({"stop", "length", "tool_calls", "content_filter"})

# --- the whole answer -----------------------------------------------------------------------------------------------


class _WholeChoice(msgspec.Struct, gc=False):
    message: msgspec.Raw
    finish_reason: str | None = None


class _Whole(msgspec.Struct, gc=False):
    """An answer in which nothing is odd: nearly every one."""

    choices: list[_WholeChoice]
    usage: PlainUsage
    error: None = None
    object: Literal["chat.completion"] | None = None
    type: None = None


_whole_of = msgspec.json.Decoder(_Whole).decode


class RelayWhole:
    """A `Reader` that returns the whole body at the end, byte for byte, once it is known to be an answer."""

    def __init__(self, *, content_type: str = "", sent_bytes: int = 0) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._content_type = content_type.lower()
        self._sent_bytes = sent_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._pieces.clear()
            self.failure = shape_mismatch("more than 64 MiB")
            raise self.failure
        self._pieces.append(data)
        return b""

    def end(self) -> bytes:
        if self.failure is not None:
            raise self.failure
        try:
            body = self._checked(b"".join(self._pieces))
        except UpstreamError as error:
            self.failure = error
            raise
        except RecursionError as error:
            self.failure = too_deep()
            raise self.failure from error
        self.begun = self.complete = self.terminated = True
        return body

    def estimate(self) -> Usage:
        """Tokens of a call that is given up: what was sent is known, what would have come is not."""
        return self.usage or estimated(self._sent_bytes, 0)

    def _checked(self, body: bytes) -> bytes:
        return body if self._is_plain(body) else self._checked_with_care(body)

    def _is_plain(self, body: bytes) -> bool:
        try:
            answer = _whole_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        usage = answer.usage.neutral()
        if usage is None or not answer.choices:
            return False
        for choice in answer.choices:
            if choice.finish_reason not in _ORDINARY_ENDS:
                return False
        self.usage = usage
        self.finish = neutral_finish(str(answer.choices[0].finish_reason))
        return True

    def _checked_with_care(self, body: bytes) -> bytes:
        # Some servers keep the connection alive with blank lines before the document.
        document = body.strip()
        if not document:
            raise truncated(empty=True)
        try:
            answer = lenient_json(document)
        except NotJson as error:
            raise self._unreadable(document) from error
        if (failure := from_event(answer)) is not None:
            raise failure
        if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
            raise shape_mismatch("a document without choices", document)
        visible = self._look(answer["choices"])
        self.usage = usage_of(reported_usage(answer)) or estimated(self._sent_bytes, visible)
        return body

    def _look(self, choices: list[Any]) -> int:
        visible = 0
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            message = choice.get("message")
            visible += _visible_chars(message) if isinstance(message, dict) else 0
            reason = choice.get("finish_reason")
            self.finish = self.finish or neutral_finish(reason if isinstance(reason, str) else "stop")
        return visible

    def _unreadable(self, document: bytes) -> UpstreamError:
        if document[:1] == b"<" or "text/html" in self._content_type:
            return shape_mismatch("an HTML page", document)
        return shape_mismatch("a document that is not JSON", document)
