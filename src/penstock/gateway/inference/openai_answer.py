"""An answer in no provider's format, read on for an OpenAI client: as chunks of a stream, or as one completion."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

from penstock.errors import UpstreamError
from penstock.gateway.inference.openai_chunks import DONE_FRAME, Envelope, annotations
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.kit.ids import random_text
from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    OpaqueDelta,
    Reader,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import shape_mismatch, truncated
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.telemetry.logs import log

_NULL = b"null"

NeutralReader = Reader[Sequence[Delta]]


class _Translated:
    """What a stream and a whole answer have in common: the wire's own reader, and its state for the provider."""

    def __init__(self, inner: NeutralReader, thoughts: Thoughts, *, shows_reasoning: bool, is_legacy: bool) -> None:
        self.failure: UpstreamError | None = None
        self.terminated = False
        self.begun = False
        self.complete = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self._inner = inner
        self._shows_reasoning = shows_reasoning
        self._is_legacy = is_legacy
        self._sources: list[Source] = []
        self._thoughts = thoughts
        self._packed = 0
        self._has_text = False
        self._end: Finish | None = None

    def estimate(self) -> Usage:
        return self._inner.estimate()

    def _fed(self, data: bytes) -> Sequence[Delta]:
        inner = self._inner
        try:
            return inner.feed(data)
        finally:
            self.failure = inner.failure
            self.terminated = inner.terminated
            self.complete = inner.complete
            self.begun = inner.begun

    def _ended(self) -> Sequence[Delta]:
        inner = self._inner
        try:
            return inner.end()
        finally:
            self.failure = inner.failure
            self.finish, self.usage = inner.finish, inner.usage

    def _check_end(self) -> None:
        """A wire that forgets to say that the answer is complete must not make it look so."""
        if self._end is None:
            self.failure = truncated(empty=not self.begun)
            raise self.failure
        self.begun = self.complete = self.terminated = True

    def _finish_reason(self, finish: Finish) -> str:
        return "function_call" if self._is_legacy and finish.reason == "tool_calls" else finish.reason

    def _refusal(self, finish: Finish) -> str | None:
        """Why nothing was said, where the provider says why."""
        return finish.detail if finish.reason == "content_filter" and not self._has_text else None


class TranslatedStream(_Translated):
    """A `Reader` that returns frames for the client.

    Nothing is returned before the answer has begun. What one read brought goes out as few frames: texts that follow
    each other are one. With `is_alone` false the answer is one choice among several, and whoever puts them together
    writes usage and terminator.
    """

    def __init__(
        self,
        inner: NeutralReader,
        envelope: Envelope,
        thoughts: Thoughts,
        *,
        keep_usage: bool,
        shows_reasoning: bool = True,
        is_legacy: bool = False,
        index: int = 0,
        is_alone: bool = True,
    ) -> None:
        super().__init__(inner, thoughts, shows_reasoning=shows_reasoning, is_legacy=is_legacy)
        self._envelope = envelope
        self._keep_usage = keep_usage
        self._is_alone = is_alone
        self._before, self._between, self._after = envelope.around(index, keep_usage=keep_usage)
        self._tail = self._between + _NULL + self._after
        self._held: list[bytes] = [self._frame({"role": "assistant", "content": ""})]
        self._is_open = False

    def feed(self, data: bytes) -> bytes:
        deltas = self._fed(data)
        if self._is_open and len(deltas) == 1 and type(delta := deltas[0]) is TextDelta:
            self._has_text = True
            return self._before + encode_json({"content": delta.text}) + self._tail
        return self._release(self._frames(deltas))

    def end(self) -> bytes:
        """What is left, and the terminator. Raises Truncated unless the answer is complete."""
        frames = self._frames(self._ended())
        self._check_end()
        if self._is_alone:
            frames.append(DONE_FRAME)
        return self._release(frames)

    def _release(self, frames: list[bytes]) -> bytes:
        if self._is_open:
            return b"".join(frames)
        self._held += frames
        if not self.begun:
            return b""
        self._is_open = True
        held, self._held = self._held, []
        return b"".join(held)

    def _frames(self, deltas: Iterable[Delta]) -> list[bytes]:
        frames: list[bytes] = []
        for kind, group in groupby(deltas, type):
            if kind is TextDelta:
                self._has_text = True
                frames.append(self._frame({"content": _joined(group)}))
            elif kind is ReasoningDelta:
                if self._shows_reasoning:
                    frames.append(self._frame({"reasoning_content": _joined(group)}))
            elif kind is ToolDelta:
                frames.extend(self._tool_frames(cast(Iterable[ToolDelta], group)))
            else:
                for delta in group:
                    self._other(delta, frames)
        return frames

    def _other(self, delta: Delta, frames: list[bytes]) -> None:
        match delta:
            case OpaqueDelta():
                detail = self._thoughts.packed(delta.opaque, self._packed)
                self._packed += 1
                frames.append(self._frame({"reasoning_details": [detail]}))
            case Source():
                self._sources.append(delta)
            case Warning_():
                log_warning(delta)
            case Usage():
                self.usage = delta
            case Finish():
                frames.extend(self._last_frames(delta))

    def _tool_frames(self, deltas: Iterable[ToolDelta]) -> Iterable[bytes]:
        """One call to a frame: not every client looks behind the first."""
        for delta in _merged(deltas):
            if not self._is_legacy:
                yield self._frame({"tool_calls": [_tool_piece(delta)]})
            elif delta.index == 0:
                named = {} if delta.name is None else {"name": delta.name}
                yield self._frame({"function_call": named | {"arguments": delta.arguments}})

    def _last_frames(self, finish: Finish) -> Iterable[bytes]:
        self._end, self.finish = finish, finish.reason
        delta: dict[str, Any] = {}
        if self._sources:
            delta["annotations"] = annotations(self._sources)
        if refusal := self._refusal(finish):
            delta["refusal"] = refusal
        reason = encode_json(self._finish_reason(finish))
        yield self._before + encode_json(delta) + self._between + reason + self._after
        if self._keep_usage and self._is_alone:
            yield self._envelope.usage_frame(self.usage or self.estimate())

    def _frame(self, delta: Mapping[str, Any]) -> bytes:
        return self._before + encode_json(delta) + self._tail


class TranslatedWhole(_Translated):
    """A `Reader` that collects a streamed answer, and returns the completion at its end."""

    def __init__(
        self,
        inner: NeutralReader,
        envelope: Envelope,
        thoughts: Thoughts,
        *,
        shows_reasoning: bool = True,
        is_legacy: bool = False,
        index: int = 0,
    ) -> None:
        super().__init__(inner, thoughts, shows_reasoning=shows_reasoning, is_legacy=is_legacy)
        self._envelope = envelope
        self.index = index
        self._size = 0
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._tools: dict[int, _CollectedCall] = {}
        self._details: list[dict[str, Any]] = []

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self.failure = shape_mismatch("more than 64 MiB")
            raise self.failure
        self._collect(self._fed(data))
        return b""

    def end(self) -> bytes:
        """The completion. Raises Truncated unless the answer is complete."""
        if self.failure is not None:
            raise self.failure
        self._collect(self._ended())
        self._check_end()
        return self._envelope.whole([self.choice()], self.usage or self.estimate())

    def choice(self) -> dict[str, Any]:
        """The answer as one of `choices`; after its end only."""
        assert self._end is not None
        return {
            "index": self.index,
            "message": self._message(self._end),
            "logprobs": None,
            "finish_reason": self._finish_reason(self._end),
        }

    def _collect(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            match delta:
                case TextDelta():
                    self._has_text = True
                    self._texts.append(delta.text)
                case ReasoningDelta():
                    self._reasoning.append(delta.text)
                case ToolDelta():
                    self._tools.setdefault(delta.index, _CollectedCall()).add(delta)
                case OpaqueDelta():
                    self._details.append(self._thoughts.packed(delta.opaque, len(self._details)))
                case Source():
                    self._sources.append(delta)
                case Warning_():
                    log_warning(delta)
                case Usage():
                    self.usage = delta
                case Finish():
                    self._end = delta

    def _message(self, finish: Finish) -> dict[str, Any]:
        refusal = self._refusal(finish)
        text = "".join(self._texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if not text and (self._tools or refusal) else text,
            "refusal": refusal,
        }
        if self._tools:
            calls = [self._tools[index] for index in sorted(self._tools)]
            if self._is_legacy:
                message["function_call"] = calls[0].function()
            else:
                message["tool_calls"] = [
                    {"id": call.id, "type": "function", "function": call.function()} for call in calls
                ]
        if self._reasoning and self._shows_reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._details:
            message["reasoning_details"] = self._details
        if self._sources:
            message["annotations"] = annotations(self._sources)
        return message


class _CollectedCall:
    def __init__(self) -> None:
        self.id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, delta: ToolDelta) -> None:
        self.id = self.id or delta.id or ""
        self._name = self._name or delta.name or ""
        self._arguments.append(delta.arguments)

    def function(self) -> dict[str, str]:
        return {"name": self._name, "arguments": "".join(self._arguments) or "{}"}


def log_warning(warning: Warning_) -> None:
    log.info("an answer was not quite what was asked for", code=warning.code, reason=warning.message)


def _joined(deltas: Iterable[Delta]) -> str:
    return "".join([cast(TextDelta | ReasoningDelta, delta).text for delta in deltas])


def _merged(deltas: Iterable[ToolDelta]) -> Iterable[ToolDelta]:
    """Pieces of one call that follow each other, as one piece."""
    last: ToolDelta | None = None
    for delta in deltas:
        if last is not None and delta.index == last.index and delta.name is None:
            last = ToolDelta(last.index, last.arguments + delta.arguments, last.id, last.name)
            continue
        if last is not None:
            yield last
        last = delta
    if last is not None:
        yield last


def _tool_piece(delta: ToolDelta) -> dict[str, Any]:
    if delta.name is None:
        return {"index": delta.index, "function": {"arguments": delta.arguments}}
    return {
        "index": delta.index,
        "id": delta.id or f"call_{random_text(24)}",
        "type": "function",
        "function": {"name": delta.name, "arguments": delta.arguments},
    }
