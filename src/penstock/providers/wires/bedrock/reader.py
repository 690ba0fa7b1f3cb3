"""Reading ConverseStream, and Converse where no stream came (`spec/providers.md` 9.5 and 9.6)."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    Opaque,
    OpaqueDelta,
    ReasoningDelta,
    Source,
    TextDelta,
    Tool,
    Usage,
    Warning_,
)
from penstock.providers.failures import ModelFailed, shape_mismatch, truncated
from penstock.providers.json_text import NotJson, encode_json, lenient_json
from penstock.providers.wires.bedrock import events
from penstock.providers.wires.bedrock.failures import failure_of_error, failure_of_exception, type_in_body
from penstock.providers.wires.bedrock.frames import Frame, FrameReader
from penstock.providers.wires.bedrock.messages import WIRE_NAME
from penstock.providers.wires.bedrock.tools import json_tool_name
from penstock.providers.wires.body_reader import BodyReader
from penstock.providers.wires.estimates import estimated
from penstock.providers.wires.tool_calls import ToolCalls

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})

_delta_of = events.decoder(events.BlockDelta)
_start_of = events.decoder(events.BlockStart)
_stop_of = events.decoder(events.BlockStop)
_end_of = events.decoder(events.MessageStop)
_metadata_of = events.decoder(events.Metadata)


class _Thought:
    """A block of reasoning that is being received."""

    __slots__ = ("redacted", "signature", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.signature = ""
        self.redacted: list[str] = []

    def block(self) -> dict[str, Any] | None:
        """What goes back; None for reasoning that the model has not signed, and would not take back."""
        if self.redacted:
            return {"reasoningContent": {"redactedContent": _joined(self.redacted)}}
        if not self.signature:
            return None
        return {"reasoningContent": {"reasoningText": {"text": "".join(self.text), "signature": self.signature}}}


class ConverseReader(BodyReader):
    """A `Reader` of neutral deltas. Usage and finish come last, at the `metadata` or at the end of the body."""

    def __init__(
        self, *, model: str = "", content_type: str = "", tools: Sequence[Tool] = (), sent_bytes: int = 0
    ) -> None:
        super().__init__(content_type)
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self._model = model
        self._sent_bytes = sent_bytes
        self._received_chars = 0
        self._frames = FrameReader()
        self._raw_finish: str | None = None
        self._counts: events.Counts | None = None
        self._tools = ToolCalls(tools)
        self._json_tool = json_tool_name(tools)
        self._json_block: int | None = None
        self._silent: set[int] = set()
        """Calls whose arguments have not begun."""
        self._thoughts: dict[int, _Thought] = {}
        self._sources: set[str] = set()

    def estimate(self) -> Usage:
        """Tokens so far, for a call that is given up before its usage came."""
        return self.usage or estimated(self._sent_bytes, self._received_chars)

    def _end_stream(self, deltas: list[Delta]) -> None:
        """A frame that was cut off is none."""

    def _read_stream(self, data: bytes, deltas: list[Delta]) -> None:
        self._frames.feed(data)
        while (frame := self._frames.take()) is not None:
            self._read_frame(frame, deltas)
            if self.terminated:
                return

    # --- events -----------------------------------------------------------------------------------------------------

    def _read_frame(self, frame: Frame, deltas: list[Delta]) -> None:
        headers = frame.headers
        if headers.kind != "event":
            if headers.kind == "exception":
                raise failure_of_exception(headers.name, frame.payload)
            raise failure_of_error(headers.name, headers.message)
        match headers.name:
            case "contentBlockDelta":
                self._read_delta(_delta_of(frame.payload), deltas)
            case "contentBlockStart":
                start = _start_of(frame.payload)
                if start.start.toolUse is not None:
                    self._begin_call(start.contentBlockIndex, start.start.toolUse)
            case "contentBlockStop":
                self._end_block(_stop_of(frame.payload).contentBlockIndex, deltas)
            case "messageStop":
                self._stop(_end_of(frame.payload).stopReason)
            case "metadata":
                self._count(_metadata_of(frame.payload).usage)
                if self.complete:
                    self.terminated = True
                    self.close(deltas)
            case _:
                pass  # messageStart says nothing new, and events to come cannot be known

    def _read_delta(self, event: events.BlockDelta, deltas: list[Delta]) -> None:
        piece = event.delta
        if piece.text is not None:
            self._text(piece.text, deltas)
        elif piece.toolUse is not None:
            self._argue(event.contentBlockIndex, piece.toolUse.input, deltas)
        elif piece.reasoningContent is not None:
            self._think(event.contentBlockIndex, piece.reasoningContent, deltas)
        elif isinstance(piece.citation, dict):
            self._cite(piece.citation, deltas)

    def _text(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self._received_chars += len(text)
            self.begun = True
            deltas.append(TextDelta(text))

    def _begin_call(self, index: int, start: events.ToolStart) -> None:
        self._silent.add(index)
        if start.name == self._json_tool and self._json_block is None:
            self._json_block = index
        elif index != self._json_block:
            self._received_chars += len(start.name)
            self._tools.feed([{"index": index, "id": start.toolUseId, "function": {"name": start.name}}])

    def _argue(self, index: int, fragment: str, deltas: list[Delta]) -> None:
        if fragment:
            self._silent.discard(index)
        if index == self._json_block:
            self._text(fragment, deltas)
            return
        self._received_chars += len(fragment)
        if calls := self._tools.feed([{"index": index, "function": {"arguments": fragment}}]):
            self.begun = True
            deltas.extend(calls)

    def _think(self, index: int, piece: events.Reasoning, deltas: list[Delta]) -> None:
        thought = self._thoughts.setdefault(index, _Thought())
        if piece.signature:
            thought.signature += piece.signature
        if piece.redactedContent:
            thought.redacted.append(piece.redactedContent)
        if piece.text:
            thought.text.append(piece.text)
            self._received_chars += len(piece.text)
            self.begun = True
            deltas.append(ReasoningDelta(piece.text))

    def _end_block(self, index: int, deltas: list[Delta]) -> None:
        if index in self._silent:
            self._argue(index, "{}", deltas)  # an empty object streams nothing
        self._end_thought(index, deltas)

    def _end_thought(self, index: int, deltas: list[Delta]) -> None:
        thought = self._thoughts.pop(index, None)
        if thought is not None and (block := thought.block()) is not None:
            deltas.append(OpaqueDelta(Opaque(WIRE_NAME, self._model, block)))

    def _cite(self, citation: Mapping[str, Any], deltas: list[Delta]) -> None:
        """Only of pages: a place in a document that the caller sent has no address."""
        location = citation.get("location")
        page = location.get("web") if isinstance(location, dict) else None
        url = page.get("url") if isinstance(page, dict) else None
        if not isinstance(url, str) or not url or url in self._sources:
            return
        self._sources.add(url)
        title = citation.get("title")
        deltas.append(Source(url, title if isinstance(title, str) else None))

    def _stop(self, reason: str) -> None:
        if reason in _BROKEN:
            failure = ModelFailed(
                "The model broke off its answer with an error.",
                explanation=f"The answer ended with the reason `{reason}`.",
            )
            failure.upstream_code = reason
            raise failure
        self._raw_finish = reason
        self.finish = self._neutral_finish(reason)
        self.complete = True

    def _count(self, counts: events.Counts | None) -> None:
        if counts is not None:
            self._counts = counts
            self.usage = counts.neutral()

    # --- a whole answer ---------------------------------------------------------------------------------------------

    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        try:
            answer = lenient_json(body.strip())
        except NotJson as error:
            raise shape_mismatch("a document that is not JSON", body) from error
        output = answer.get("output") if isinstance(answer, dict) else None
        message = output.get("message") if isinstance(output, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            raise shape_mismatch(_instead(answer), body)
        for index, block in enumerate(content):
            if isinstance(block, dict):
                self._read_block(index, block, deltas)
        if isinstance(reason := answer.get("stopReason"), str) and reason:
            self._stop(reason)
        self._count(events.convert(answer, events.Metadata).usage)

    def _read_block(self, index: int, block: Mapping[str, Any], deltas: list[Delta]) -> None:
        if isinstance(text := block.get("text"), str):
            self._text(text, deltas)
        if isinstance(call := block.get("toolUse"), dict):
            self._begin_call(index, events.convert(call, events.ToolStart))
            self._argue(index, encode_json(call.get("input") or {}).decode(), deltas)
        if isinstance(reasoning := block.get("reasoningContent"), dict):
            self._think(index, events.convert(_flat(reasoning), events.Reasoning), deltas)
            self._end_thought(index, deltas)
        if isinstance(cited := block.get("citationsContent"), dict):
            for part in _objects(cited.get("content")):
                self._read_block(index, part, deltas)
            for citation in _objects(cited.get("citations")):
                self._cite(citation, deltas)

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self, deltas: list[Delta]) -> None:
        """The answer is over: give what was held back, then usage and finish. Raises Truncated."""
        reason = self._raw_finish
        if reason is None:
            raise truncated(empty=not (self.begun or self._tools))
        for index in list(self._thoughts):
            self._end_thought(index, deltas)
        if calls := self._tools.end(cut_short=_FINISHES.get(reason) == "length"):
            self.begun = True
            deltas.extend(calls)
        deltas.extend(self._tools.warnings)
        if self.usage is None:
            self.usage = estimated(self._sent_bytes, self._received_chars)
        elif self._counts is not None and self._counts.is_mismatched():
            deltas.append(Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."))
        self.finish = self._neutral_finish(reason)
        self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(self.finish, reason))

    def _neutral_finish(self, raw: str) -> FinishReason:
        """The tool that carries an answer in JSON is no call of the caller's."""
        reason = _FINISHES.get(raw, "stop")
        if reason == "tool_calls" and not self._tools:
            return "stop" if self._json_block is not None else reason
        return "tool_calls" if reason == "stop" and self._tools else reason


def _joined(fragments: Sequence[str]) -> str:
    """Base64 of the whole. Each fragment is encoded by itself; a single one is kept to the letter."""
    if len(fragments) == 1:
        return fragments[0]
    try:
        return b64encode(b"".join(b64decode(fragment) for fragment in fragments)).decode()
    except ValueError as error:
        raise shape_mismatch("reasoning that is not base64") from error


def _instead(answer: Any) -> str:
    """What a document is that is no answer: a wrong region or a wrong plane says `Output` and a type."""
    inner = answer.get("Output") if isinstance(answer, dict) else None
    named = type_in_body(inner) if isinstance(inner, dict) else ""
    return f"`{named}` instead of an answer" if named else "a document without an answer"


def _flat(reasoning: Mapping[str, Any]) -> Mapping[str, Any]:
    """In whole answers text and signature are one level deeper."""
    inner = reasoning.get("reasoningText")
    return inner if isinstance(inner, dict) else reasoning


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else ()
