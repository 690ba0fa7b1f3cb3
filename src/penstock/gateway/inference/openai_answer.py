"""An answer in no provider's format, collected into one completion. Streams are in `openai_streaming.py`."""

from collections.abc import Iterable, Sequence
from typing import Any

from penstock.errors import UpstreamError
from penstock.gateway.inference.openai_chunks import Envelope, annotations
from penstock.gateway.inference.openai_thoughts import Thoughts
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
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.telemetry.logs import log

NeutralReader = Reader[Sequence[Delta]]


class Translated:
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


class TranslatedWhole(Translated):
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
