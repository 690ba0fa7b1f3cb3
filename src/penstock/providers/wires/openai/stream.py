"""What reading an answer is like on both OpenAI surfaces: events or one document, content, and one orderly end."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from penstock.kit.sse import SseEvent
from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    Quirks,
    ReasoningDelta,
    Source,
    TextDelta,
    Tool,
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.bodies import DONE, stray_failure
from penstock.providers.wires.body_reader import EventStreamReader
from penstock.providers.wires.estimates import estimated
from penstock.providers.wires.stops import StopCutter
from penstock.providers.wires.tool_calls import ToolCalls


class AnswerReader(EventStreamReader):
    """A `Reader` of neutral deltas, but for what one surface calls its events. Usage and finish come last."""

    def __init__(
        self,
        *,
        model: str = "",
        content_type: str = "",
        quirks: Quirks | None = None,
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        stop: Sequence[str] = (),
    ) -> None:
        super().__init__(content_type)
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self._model = model
        self._quirks = quirks or Quirks()
        self._sent_bytes = sent_bytes
        self._received_chars = 0
        self._tools = ToolCalls(tools)
        self._sources: set[str] = set()
        self._warnings: list[Warning_] = []
        self._cutter = StopCutter(stop) if stop else None

    # --- what a surface adds

    @abstractmethod
    def _read_data(self, data: bytes, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        """One event's data, neither empty nor the terminator. Raises UpstreamError."""

    @abstractmethod
    def _read_answer(self, answer: Any, deltas: list[Delta]) -> None:
        """A whole answer although a stream was asked for. Raises UpstreamError."""

    # --- what is common

    def estimate(self) -> Usage:
        """Tokens so far, for a call that is given up before its usage came."""
        return self.usage or estimated(self._sent_bytes, self._received_chars)

    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.stray is not None and (failure := stray_failure(event)) is not None:
            raise failure
        data = event.data.strip() if event.data else b""
        if not data:
            return
        if data == DONE:
            self.terminated = True
            self.close(deltas)
            return
        self._read_data(data, event, deltas, last=last)
        self._end_at_stop(deltas)

    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        try:
            answer = lenient_json(body.strip())
        except NotJson as error:
            raise shape_mismatch("a document that is not JSON", body) from error
        self._read_answer(answer, deltas)
        self._end_at_stop(deltas)

    def _text(self, text: str, deltas: list[Delta]) -> None:
        self._received_chars += len(text)
        self._give_text(text, deltas)

    def _reasoning(self, text: str, deltas: list[Delta]) -> None:
        self._received_chars += len(text)
        self._give_reasoning(text, deltas)

    def _give_text(self, text: str, deltas: list[Delta]) -> None:
        if self._cutter is not None:
            text = self._cutter.feed(text)
        if text:
            self.begun = True
            deltas.append(TextDelta(text))

    def _give_reasoning(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self.begun = True
            deltas.append(ReasoningDelta(text))

    def _end_at_stop(self, deltas: list[Delta]) -> None:
        if self._cutter is not None and self._cutter.hit and not self.terminated:
            self._finish("stop", "stop", deltas)

    def _read_tools(self, pieces: Any, deltas: list[Delta]) -> None:
        """`pieces` are in the form of chat completions."""
        self._give_tools(self._tools.feed(pieces), deltas)

    def _give_tools(self, calls: Sequence[ToolDelta], deltas: list[Delta]) -> None:
        for call in calls:
            self._received_chars += len(call.arguments) + len(call.name or "")
            self.begun = True
            deltas.append(call)

    def _source(self, url: Any, title: Any, deltas: list[Delta]) -> None:
        if isinstance(url, str) and url not in self._sources:
            self._sources.add(url)
            deltas.append(Source(url, title if isinstance(title, str) else None))

    def _finish(
        self, reason: FinishReason, raw_reason: str | None, deltas: list[Delta], detail: str | None = None
    ) -> None:
        """The orderly end."""
        if self._cutter is not None and self._cutter.hit:
            reason, raw_reason = "stop", "stop"
        if self._cutter is not None and (held := self._cutter.end()):
            deltas.append(TextDelta(held))
        self._give_tools(self._tools.end(cut_short=reason == "length"), deltas)
        deltas.extend([*self._tools.warnings, *self._warnings])
        if self.usage is None:
            self.usage = estimated(self._sent_bytes, self._received_chars)
        if reason == "stop" and self._tools:
            reason = "tool_calls"
        self.finish = reason
        self.complete = self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(reason, raw_reason, detail))
