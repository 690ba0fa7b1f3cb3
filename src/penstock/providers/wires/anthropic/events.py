"""The events of the Messages format, one JSON object each, however they are framed (`spec/providers.md` 6.5 and 6.6).

Server-sent events are taken apart by `reader.py`; Bedrock's chunks carry the same objects.
"""

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
)
from penstock.providers.failures import shape_mismatch, truncated
from penstock.providers.json_text import encode_json, lenient_json
from penstock.providers.wires.anthropic.frames import Frame, FrameDelta, decoded, failure_in, frame_of, text_in
from penstock.providers.wires.anthropic.tools import ANSWER_TOOL, is_answer_tool_taken
from penstock.providers.wires.anthropic.usage import Counts
from penstock.providers.wires.tool_calls import ToolCalls

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Block:
    """A block that is open. `kind` is `text`, `thinking`, `tool_use`, `answer`, or what the vendor calls it."""

    __slots__ = ("has_input", "id", "kind", "name", "number", "pieces", "signature", "start_input")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        """Of a thought."""
        self.signature = ""
        self.number = 0
        self.id = ""
        self.name = ""
        self.start_input: Any = None
        self.has_input = False


class MessageEvents:
    """Turns events into deltas. Usage and finish are given by `close`, when nothing more can come.

    `model` stamps the thoughts that must come back, `tools` give back the names that had to be changed.
    """

    def __init__(self, *, model: str = "", tools: Sequence[Tool] = (), sent_bytes: int = 0, wire: str = "anthropic"):
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self._stamp = (wire, model)
        self._sent_bytes = sent_bytes
        self._received_chars = 0
        self._tools = ToolCalls(tools)
        self._answer_name = None if is_answer_tool_taken(tools) else ANSWER_TOOL
        self._calls = 0
        self._blocks: dict[int, _Block] = {}
        self._counts = Counts()
        self._raw_finish: str | None = None
        self._detail: str | None = None
        self._sources: set[str] = set()

    def read(self, data: bytes, deltas: list[Delta], *, name: bytes | None = None) -> None:
        """Read one event; `name` is that of its frame. Raises UpstreamError for an error, NotJson, RecursionError."""
        frame = frame_of(data, name)
        if frame.type != "content_block_delta":
            self._read_frame(frame, deltas)
        elif frame.delta is not None:
            self._read_delta(frame.index, frame.delta, deltas)

    def read_whole(self, body: bytes, deltas: list[Delta]) -> None:
        """Read an answer that was not streamed. Raises UpstreamError, NotJson, RecursionError."""
        answer = lenient_json(body)
        if (failure := failure_in(answer)) is not None:
            raise failure
        content = answer.get("content") if isinstance(answer, dict) else None
        if not isinstance(content, list):
            raise shape_mismatch("a document that is no message", body)
        for index, block in enumerate(content):
            if isinstance(block, dict):
                self._start(index, block, deltas)
                self._stop(index, deltas)
        self._counts.add(answer.get("usage"), final=True)
        # Whoever imitates the format forgets the reason; a whole document has ended in any case.
        self._finished(answer.get("stop_reason") or "end_turn", answer.get("stop_details"))

    def estimate(self) -> Usage:
        """Tokens so far, for an answer that is given up."""
        return self.usage or self._counts.usage(self._sent_bytes, self._received_chars)

    def close(self, deltas: list[Delta]) -> None:
        """The stream is over: give what was held back, then usage and finish. Raises Truncated."""
        for index in list(self._blocks):
            self._stop(index, deltas)
        if self._raw_finish is None:
            raise truncated(empty=not self.begun)
        self._give_all(self._tools.end(cut_short=_FINISHES.get(self._raw_finish) == "length"), deltas)
        deltas.extend(self._tools.warnings)
        self.usage = self._counts.usage(self._sent_bytes, self._received_chars)
        self.finish = self._neutral_finish()
        self.complete = self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(self.finish, self._raw_finish, self._detail))

    # --- events ---------------------------------------------------------------------------------------------------

    def _read_frame(self, frame: Frame, deltas: list[Delta]) -> None:
        match frame.type:
            case "content_block_start":
                block = decoded(frame.content_block)
                if isinstance(block, dict):
                    self._start(frame.index, block, deltas)
            case "content_block_stop":
                self._stop(frame.index, deltas)
            case "message_start":
                message = decoded(frame.message)
                if isinstance(message, dict):
                    self._counts.add(message.get("usage"), final=False)
            case "message_delta":
                self._counts.add(decoded(frame.usage), final=True)
                if frame.delta is not None:
                    self._finished(frame.delta.stop_reason, decoded(frame.delta.stop_details))
            case "message_stop":
                self.terminated = True
                self.close(deltas)

    def _read_delta(self, index: int, delta: FrameDelta, deltas: list[Delta]) -> None:
        match delta.type:
            case "text_delta":
                self._text(delta.text, deltas)
            case "thinking_delta":
                self._block(index, "thinking").pieces.append(delta.thinking)
                self._reasoning(delta.thinking, deltas)
            case "input_json_delta":
                self._arguments(index, delta.partial_json, deltas)
            case "signature_delta":
                self._block(index, "thinking").signature += delta.signature
            case "citations_delta":
                self._cite(decoded(delta.citation), deltas)

    def _block(self, index: int, kind: str) -> _Block:
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(kind)
        return block

    # --- blocks ---------------------------------------------------------------------------------------------------

    def _start(self, index: int, start: Mapping[str, Any], deltas: list[Delta]) -> None:
        self._stop(index, deltas)
        block = self._blocks[index] = _Block(text_in(start, "type"))
        match block.kind:
            case "text":
                self._text(text_in(start, "text"), deltas)
                citations = start.get("citations")
                for citation in citations if isinstance(citations, list) else ():
                    self._cite(citation, deltas)
            case "thinking":
                block.signature = text_in(start, "signature")
                block.pieces.append(text_in(start, "thinking"))
                self._reasoning(block.pieces[0], deltas)
            case "redacted_thinking":
                self._keep({"type": block.kind, "data": text_in(start, "data")}, deltas)
            case "tool_use":
                self._start_call(block, start)

    def _start_call(self, block: _Block, start: Mapping[str, Any]) -> None:
        block.id, block.name = text_in(start, "id"), text_in(start, "name")
        block.start_input = start.get("input")
        if block.name == self._answer_name:
            block.kind = "answer"
        else:
            block.number = self._calls
            self._calls += 1

    def _arguments(self, index: int, piece: str, deltas: list[Delta]) -> None:
        block = self._blocks.get(index)
        if block is None or not piece:
            return
        block.has_input = True
        if block.kind == "answer":
            self._text(piece, deltas)
        elif block.kind == "tool_use":
            self._call(block, piece, deltas)

    def _stop(self, index: int, deltas: list[Delta]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.kind == "thinking" and block.signature:
            thought = {"type": "thinking", "thinking": "".join(block.pieces), "signature": block.signature}
            self._keep(thought, deltas)
        elif block.kind in ("tool_use", "answer") and not block.has_input:
            # What came whole in the start of the block, or a call without arguments.
            whole = block.start_input if isinstance(block.start_input, dict) else {}
            piece = encode_json(whole).decode()
            if block.kind == "answer":
                self._text(piece, deltas)
            else:
                self._call(block, piece, deltas)

    def _call(self, block: _Block, piece: str, deltas: list[Delta]) -> None:
        call = {"index": block.number, "id": block.id, "function": {"name": block.name, "arguments": piece}}
        self._give_all(self._tools.feed([call]), deltas)

    def _keep(self, block: dict[str, Any], deltas: list[Delta]) -> None:
        deltas.append(OpaqueDelta(Opaque(*self._stamp, block)))

    def _cite(self, citation: Any, deltas: list[Delta]) -> None:
        if not isinstance(citation, dict):
            return
        url = text_in(citation, "url") or text_in(citation, "source")
        if url and url not in self._sources:
            self._sources.add(url)
            deltas.append(Source(url, text_in(citation, "title") or None))

    # --- what the caller sees -------------------------------------------------------------------------------------

    def _text(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self._received_chars += len(text)
            self.begun = True
            deltas.append(TextDelta(text))

    def _reasoning(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self._received_chars += len(text)
            self.begun = True
            deltas.append(ReasoningDelta(text))

    def _give_all(self, calls: Sequence[Delta], deltas: list[Delta]) -> None:
        for call in calls:
            self.begun = True
            self._received_chars += len(getattr(call, "arguments", "")) + len(getattr(call, "name", None) or "")
            deltas.append(call)

    def _finished(self, reason: Any, details: Any) -> None:
        if not isinstance(reason, str) or not reason:
            return
        self._raw_finish = reason
        if isinstance(details, dict):
            self._detail = text_in(details, "category") or text_in(details, "explanation") or None
        self.finish = self._neutral_finish()
        self.complete = True
        if self._counts.is_known:
            self.usage = self._counts.usage(self._sent_bytes, self._received_chars)

    def _neutral_finish(self) -> FinishReason:
        """An unknown reason is a stop. A call that only carried the answer is none."""
        reason = _FINISHES.get(self._raw_finish or "", "stop")
        if reason in ("stop", "tool_calls"):
            return "tool_calls" if self._calls else "stop"
        return reason
