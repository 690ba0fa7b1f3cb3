"""What the frames of one answer say, as neutral deltas (`spec/providers.md` 7.4, 2.4, 2.6)."""

from collections.abc import Mapping, Sequence

from penstock.errors import UpstreamError
from penstock.kit.ids import random_text
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
    ToolDelta,
    Usage,
    Warning_,
)
from penstock.providers.failures import truncated
from penstock.providers.json_text import repair_escapes
from penstock.providers.wires.estimates import estimated
from penstock.providers.wires.gemini.failures import blocked_prompt, broken_answer, withheld_answer
from penstock.providers.wires.gemini.frames import Candidate, Counts, Frame, FunctionCall, Grounding, Part
from penstock.providers.wires.gemini.signatures import WIRE_NAME, on_call, on_text
from penstock.providers.wires.stops import StopCutter
from penstock.providers.wires.tool_names import wire_names

_UNSPECIFIED = "_UNSPECIFIED"
"""How words of this format end that say nothing."""
_WITHHELD = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
    "ESCALATION",
)
# An unknown reason is a stop: the answer has ended, that much is sure.
_FINISHES: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # further hops are not asked for (7.5)
    **dict.fromkeys(_WITHHELD, "content_filter"),
}
_BROKEN = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    }
)


class GeminiAnswer:
    """One answer, frame by frame. Usage and finish come last, with `close`."""

    def __init__(
        self, *, model: str, tools: Sequence[Tool], sent_bytes: int, one_call: bool, stop: Sequence[str]
    ) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._model = model
        self._original = {short: name for name, short in wire_names(tool.name for tool in tools).items()}
        self._sent_bytes = sent_bytes
        self._one_call = one_call
        self._cutter = StopCutter(stop) if stop else None
        self._received_chars = 0
        self._text_chars = 0
        self._call_ids: list[str] = []
        self._counts: Counts | None = None
        self._raw_finish: str | None = None
        self._finish_detail: str | None = None
        self._sources: set[str] = set()
        self._warned: set[str] = set()

    def estimate(self) -> Usage:
        """Tokens so far, for a call that is given up: the last counts, or more when more has come since."""
        if self.usage is not None:
            return self.usage
        guess = estimated(self._sent_bytes, self._received_chars)
        if self._counts is None:
            return guess
        known = self._counts.neutral()
        if known.output_tokens >= guess.output_tokens or self.complete:
            return known
        return Usage(
            input_tokens=known.input_tokens or guess.input_tokens,
            output_tokens=guess.output_tokens,
            cache_read_tokens=known.cache_read_tokens,
            reasoning_tokens=known.reasoning_tokens,
            estimated=True,
        )

    def read_frame(self, frame: Frame, deltas: list[Delta]) -> None:
        if self.terminated:
            return
        if frame.usageMetadata is not None:
            self._counts = frame.usageMetadata
        candidates = frame.candidates
        if not candidates:
            feedback = frame.promptFeedback
            reason = feedback.blockReason if feedback is not None else None
            if feedback is not None and reason and not reason.endswith(_UNSPECIFIED):
                raise blocked_prompt(reason, feedback.blockReasonMessage)
            return
        for candidate in candidates:
            if not candidate.index:
                self._read_candidate(candidate, deltas)
        if self._cutter is not None and self._cutter.hit:
            self._stop(deltas)

    def _stop(self, deltas: list[Delta]) -> None:
        """A stop sequence that the model was not told has come: what it says from here on is not waited for."""
        self.usage = self.estimate()
        self.finish, self._raw_finish, self._finish_detail = "stop", "STOP", None
        self.close(deltas)

    def _read_candidate(self, candidate: Candidate, deltas: list[Delta]) -> None:
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._read_part(part, deltas)
        if candidate.groundingMetadata is not None:
            self._read_sources(candidate.groundingMetadata, deltas)
        reason = candidate.finishReason
        if reason and not reason.endswith(_UNSPECIFIED):
            self._finished(reason, candidate.finishMessage)

    def _read_part(self, part: Part, deltas: list[Delta]) -> None:
        signature = part.thoughtSignature
        if part.functionCall is not None:
            self._read_call(part.functionCall, signature, deltas)
            return
        text = part.text
        start = self._text_chars
        if text:
            self._received_chars += len(text)
            if part.thought:
                self.begun = True
                deltas.append(ReasoningDelta(text))
            else:
                self._give_text(text if self._cutter is None else self._cutter.feed(text), deltas)
        elif part.inlineData is not None:
            self._warn("MEDIA_IGNORED", "The model's answer has an image or sound, which is not passed on.", deltas)
        if signature:
            chars = self._text_chars - start
            block = on_text(signature, start=start, chars=chars, after=len(self._call_ids))
            deltas.append(OpaqueDelta(Opaque(WIRE_NAME, self._model, block)))

    def _give_text(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self.begun = True
            self._text_chars += len(text)
            deltas.append(TextDelta(text))

    def _read_call(self, call: FunctionCall, signature: str | None, deltas: list[Delta]) -> None:
        if not call.name:
            return
        if self._one_call and self._call_ids:
            self._warn("TOOL_CALLS_DROPPED", "The model made several calls at once; only the first is kept.", deltas)
            return
        arguments = _arguments(bytes(call.args))
        call_id = call.id if call.id and call.id not in self._call_ids else f"call_{random_text(24)}"
        name = self._original.get(call.name, call.name)
        self._received_chars += len(arguments) + len(name)
        self.begun = True
        deltas.append(ToolDelta(len(self._call_ids), arguments, call_id, name))
        self._call_ids.append(call_id)
        if signature:
            deltas.append(OpaqueDelta(Opaque(WIRE_NAME, self._model, on_call(signature, call_id))))

    def _read_sources(self, grounding: Grounding, deltas: list[Delta]) -> None:
        for chunk in grounding.groundingChunks or ():
            site = chunk.web or chunk.retrievedContext or chunk.maps
            if site is not None and site.uri and site.uri not in self._sources:
                self._sources.add(site.uri)
                deltas.append(Source(site.uri, site.title))

    def _warn(self, code: str, message: str, deltas: list[Delta]) -> None:
        if code not in self._warned:
            self._warned.add(code)
            deltas.append(Warning_(code, message))

    def _finished(self, reason: str, said: str | None) -> None:
        if reason in _BROKEN or (reason == "OTHER" and not self.begun):
            raise broken_answer(reason, said)
        neutral = _FINISHES.get(reason, "stop")
        if neutral == "content_filter" and not self.begun:
            raise withheld_answer(reason, said)
        self._raw_finish, self._finish_detail = reason, said
        self.finish = "tool_calls" if neutral == "stop" and self._call_ids else neutral
        self.complete = True

    def close(self, deltas: list[Delta]) -> None:
        """The body is over: give usage and finish. Raises Truncated."""
        if self._raw_finish is None or self.finish is None:
            raise truncated(empty=not self.begun)
        if self._cutter is not None:
            self._give_text(self._cutter.end(), deltas)
        if self.usage is None:
            self.usage = self._counted(deltas)
        if self._call_ids and self.finish == "stop":
            self.finish = "tool_calls"
        self.complete = self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(self.finish, self._raw_finish, self._finish_detail))

    def _counted(self, deltas: list[Delta]) -> Usage:
        if self._counts is None:
            return estimated(self._sent_bytes, self._received_chars)
        if self._counts.is_mismatched():
            deltas.append(Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."))
        return self._counts.neutral()


def _arguments(raw: bytes) -> str:
    """The JSON text of an argument object; a call without arguments has an empty one."""
    text = repair_escapes(raw).decode("utf-8", "replace").strip()
    return text if text.startswith("{") else "{}"
