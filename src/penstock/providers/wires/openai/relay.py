"""A streamed answer between an OpenAI client and an OpenAI-like upstream: forwarded byte for byte.

It is looked at for content, usage, finish and errors only. What has no stream is read by `whole.py`.
"""

from typing import Any, Literal

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge, encode_event
from penstock.providers.base import FinishReason, Quirks, Usage
from penstock.providers.failures import broken_finish, from_event, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, encode_json, lenient_json
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.bodies import DONE, is_json_body, stray_failure, too_deep, unreadable
from penstock.providers.wires.estimates import estimated
from penstock.providers.wires.openai.reader import neutral_finish
from penstock.providers.wires.openai.usage import reported_usage, usage_of, visible_chars

DONE_FRAME = b"data: [DONE]\n\n"

# What comes before the first content (a role, comments) is held, so that a failure can still be a status. Past this
# size it goes out, content or not.
_MAX_PREAMBLE_BYTES = 64 * 1024

_object_of = msgspec.json.Decoder(dict[str, Any]).decode


# `Raw | None` would take nothing but null.
_ABSENT = msgspec.Raw()
_NOTHING = (b"", b"null")


def _holds(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in _NOTHING


class _Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    x_groq: msgspec.Raw = _ABSENT
    object: str | None = None
    type: str | None = None


class _PlainDelta(msgspec.Struct, gc=False):
    content: str
    reasoning_content: None = None
    reasoning: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] = 0
    finish_reason: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """A chunk that brings text. One that brings anything else that we look at does not decode as this."""

    choices: list[_PlainChoice]
    usage: None = None
    error: None = None
    x_groq: None = None
    object: Literal["chat.completion.chunk"] | None = None
    type: None = None


_chunk_of = msgspec.json.Decoder(_Chunk).decode
_plain_of = msgspec.json.Decoder(_PlainChunk).decode


class RelayStream:
    """A `Reader` that returns the bytes to forward.

    Only whole events are forwarded, and nothing before there is something to see: as long as `begun` is false no
    byte was returned. `[DONE]` is held until `end`; the usage chunk is left out unless the client asked for it. With
    `add_role` a stream that never says who speaks is opened with a chunk that does. `choices` is how many answers were
    asked for (`n`).
    """

    __slots__ = (
        "_chars",
        "_choices",
        "_content_type",
        "_document",
        "_done",
        "_ended_choices",
        "_events",
        "_has_content",
        "_has_role",
        "_is_open",
        "_keep_usage_chunk",
        "_opened",
        "_preamble",
        "_preamble_size",
        "_quirks",
        "_seen_choices",
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
        choices: int = 1,
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
        self._choices = choices
        self._seen_choices: set[int] = set()
        self._ended_choices: set[int] = set()
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
        if self._is_open and self._is_plain(data):
            return data
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

    def _is_plain(self, data: bytes) -> bool:
        """One whole event with some text and nothing else to notice: nearly every read of a stream of tokens.

        Whatever is not exactly that changes nothing here, and takes the long way.
        """
        if (
            data[:7] != b"data: {"
            or data[-3:] != b"}\n\n"
            or data.find(b"\n") != len(data) - 2
            or self.terminated
            or self.failure is not None
            or not self._events.is_between
            or self._choices != 1
        ):
            return False
        try:
            chunk = _plain_of(data[6:-2])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        choices = chunk.choices
        if len(choices) != 1:
            return False
        choice = choices[0]
        content = choice.delta.content
        if not content or b"\r" in data:
            return False
        self._chars += len(content)
        return True

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
        if self._done is None and not self._seen_choices <= self._ended_choices:
            raise truncated(empty=False)
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
            return self._forward_usual(event, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, NotJson):
            return self._forward_odd(event, last=last)

    def _forward_usual(self, event: SseEvent, data: bytes) -> bool:
        """A chunk of the usual types. Raises what decoding raises; nothing has been noted then."""
        chunk = _chunk_of(data)
        if (
            event.name is not None
            or _holds(chunk.error)
            or chunk.object == "error"
            or chunk.type == "error"
            or event.stray is not None
        ):
            self._raise_if_error(event, data)
        has_usage = _holds(chunk.usage)
        if has_usage or _holds(chunk.x_groq):
            usage = usage_of(reported_usage(lenient_json(data)))
            if usage is not None:
                self.usage = usage
        choices = chunk.choices
        if not choices:
            return self._keep_usage_chunk or not has_usage or choices is None
        if self._opened is None:
            self._opened = data
        for choice in choices:
            delta = choice.delta
            if delta is not None:
                self._look(delta)
            if choice.finish_reason:
                self._finished(choice.finish_reason)
            if self._choices > 1:
                self._count(choice.index, ended=bool(choice.finish_reason))
        return True

    def _look(self, delta: _Delta) -> None:
        if delta.role is not None:
            self._has_role = True
        visible = len(delta.content or "") + len(delta.reasoning_content or delta.reasoning or "")
        if delta.refusal:
            visible += len(delta.refusal)
        for calls in (delta.tool_calls, delta.function_call):
            if _holds(calls):
                visible += len(memoryview(calls))
        if visible:
            self._chars += visible
            self.begun = self._has_content = True

    def _finished(self, reason: str) -> None:
        if (failure := broken_finish(reason)) is not None:
            raise failure
        self.finish = neutral_finish(reason)
        self.complete = self.begun = True

    def _count(self, index: object, *, ended: bool) -> None:
        """The first finish reason ends the answer only if nothing else was asked for."""
        number = index if isinstance(index, int) else 0
        self._seen_choices.add(number)
        if ended:
            self._ended_choices.add(number)
        self.complete = len(self._ended_choices) >= self._choices

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
        if self._opened is None:
            self._opened = encode_json(chunk)
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            delta = delta if isinstance(delta, dict) else {}
            self._has_role = self._has_role or isinstance(delta.get("role"), str)
            visible = visible_chars(delta)
            if visible:
                self._chars += visible
                self.begun = self._has_content = True
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason:
                self._finished(reason)
            if self._choices > 1:
                self._count(choice.get("index"), ended=bool(reason))
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
