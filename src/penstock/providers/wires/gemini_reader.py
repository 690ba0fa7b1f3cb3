"""Reading what Gemini answers: SSE of whole response objects, or one JSON document (`spec/providers.md` 7.4)."""

from collections.abc import Mapping, Sequence

from penstock.errors import UpstreamError
from penstock.kit.ids import random_text
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
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
from penstock.providers.failures import shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json, repair_escapes
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.gemini_failures import blocked_prompt, broken_answer, event_failure, withheld_answer
from penstock.providers.wires.gemini_frames import (
    Candidate,
    Counts,
    Frame,
    FunctionCall,
    Grounding,
    Part,
    careful_frame,
    plain_frame,
)
from penstock.providers.wires.gemini_signatures import WIRE_NAME, on_call, on_text
from penstock.providers.wires.openai_reader import DONE, is_json_body, too_deep, unreadable
from penstock.providers.wires.openai_usage import estimated
from penstock.providers.wires.tool_names import wire_names

_BLANK_LINE = b"\r\n\r\n"
_UNSPECIFIED = "_UNSPECIFIED"
"""How words of this format end that say nothing."""
# An unknown reason is a stop: the answer has ended, that much is sure.
_FINISHES: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # further hops are not asked for (7.5)
} | dict.fromkeys(
    (
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
    ),
    "content_filter",
)
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


class GeminiReader:
    """A `Reader` of neutral deltas. Usage and finish come last, at the end of the body: there is no terminator."""

    def __init__(
        self,
        *,
        model: str = "",
        content_type: str = "",
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        one_call: bool = False,
    ) -> None:
        self.begun = False
        self.complete = False
        self.terminated = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.failure: UpstreamError | None = None
        self._model = model
        self._content_type = content_type.lower()
        self._original = {short: name for name, short in wire_names(tool.name for tool in tools).items()}
        self._sent_bytes = sent_bytes
        self._one_call = one_call
        self._events = SseReader()
        self._document: bytearray | None = None
        self._sniffed = False
        self._received_chars = 0
        self._text_chars = 0
        self._call_ids: list[str] = []
        self._counts: Counts | None = None
        self._raw_finish: str | None = None
        self._finish_detail: str | None = None
        self._sources: set[str] = set()
        self._warned: set[str] = set()

    def feed(self, data: bytes) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return ()
        deltas: list[Delta] = []
        try:
            self._feed(data, deltas)
        except UpstreamError as error:
            self._fail(error, deltas)
        except RecursionError:
            self._fail(too_deep(), deltas)
        return deltas

    def end(self) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return ()
        deltas: list[Delta] = []
        try:
            if self._document is not None:
                self._read_document(bytes(self._document), deltas)
            else:
                for event in self._events.end():
                    self._read_event(event, deltas, last=True)
            self._close(deltas)
        except UpstreamError as error:
            # Nothing follows the end that could raise later: what came in the last bytes is given up for the error.
            self._fail(error, [])
        except RecursionError:
            self._fail(too_deep(), [])
        return deltas

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

    def _fail(self, error: UpstreamError, deltas: list[Delta]) -> None:
        self.failure = error
        if not deltas:
            raise error

    # --- from bytes to frames ----------------------------------------------------------------------------------------

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        # Whole events and nothing else are what a read of a stream of tokens brings.
        if data[-4:] == _BLANK_LINE and self._events.is_between and (frames := _plain_frames(data)) is not None:
            for frame in frames:
                self._read_frame(frame, deltas)
            return
        if not self._sniffed and not self._sniff(data):
            return
        if self._document is not None:
            self._document += data
            if len(self._document) > MAX_BODY_BYTES:
                raise shape_mismatch("more than 64 MiB")
            return
        try:
            events = self._events.feed(data)
        except SseTooLarge as error:
            raise shape_mismatch("an event of more than 16 MiB") from error
        for event in events:
            self._read_event(event, deltas, last=False)
            if self.terminated:
                return

    def _sniff(self, data: bytes) -> bool:
        is_json = is_json_body(data, self._content_type)
        if is_json is None:
            return False
        self._sniffed = True
        if is_json:
            self._document = bytearray()
        return True

    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.stray is not None:
            self._read_stray(event.stray.strip())
        data = event.data.strip() if event.data else b""
        if not data:
            return
        if data == DONE:  # Google never says it; what stands in between may
            self._close(deltas)
            return
        frame = plain_frame(data) if event.name is None else None
        if frame is not None:
            self._read_frame(frame, deltas)
            return
        try:
            payload = lenient_json(data)
        except NotJson as error:
            raise unreadable(event, last=last) from error
        self._read_payload(payload, event.name, deltas)

    def _read_stray(self, stray: bytes) -> None:
        """Lines outside of any field: a bare JSON error, a page of a proxy, or nothing. Raises UpstreamError."""
        if stray[:1] == b"<":
            raise shape_mismatch("an HTML page in the middle of a stream", stray)
        if stray[:1] not in (b"{", b"["):
            return
        try:
            failure = event_failure(lenient_json(stray))
        except NotJson:
            failure = None
        raise failure or shape_mismatch("JSON that is no event", stray)

    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        """One response object, or the array of them that comes without `alt=sse`."""
        try:
            document = lenient_json(body.strip())
        except NotJson as error:
            # An array that is not closed is a stream that was cut off.
            raise (
                truncated(empty=False)
                if body.lstrip()[:1] == b"["
                else shape_mismatch("a document that is not JSON", body)
            ) from error
        for payload in document if isinstance(document, list) else [document]:
            self._read_payload(payload, None, deltas)

    def _read_payload(self, payload: object, name: bytes | None, deltas: list[Delta]) -> None:
        if (failure := event_failure(payload, name=name)) is not None:
            raise failure
        if not isinstance(payload, dict):
            raise shape_mismatch("an event that is no object")
        self._read_frame(careful_frame(payload), deltas)

    # --- from frames to deltas ---------------------------------------------------------------------------------------

    def _read_frame(self, frame: Frame, deltas: list[Delta]) -> None:
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
            self.begun = True
            if part.thought:
                deltas.append(ReasoningDelta(text))
            else:
                self._text_chars += len(text)
                deltas.append(TextDelta(text))
        elif part.inlineData is not None:
            self._warn("MEDIA_IGNORED", "The model's answer has an image or sound, which is not passed on.", deltas)
        if signature:
            chars = self._text_chars - start
            block = on_text(signature, start=start, chars=chars, after=len(self._call_ids))
            deltas.append(OpaqueDelta(Opaque(WIRE_NAME, self._model, block)))

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

    def _close(self, deltas: list[Delta]) -> None:
        """The body is over: give usage and finish. Raises Truncated."""
        if self._raw_finish is None or self.finish is None:
            raise truncated(empty=not self.begun)
        if self._counts is None:
            self.usage = estimated(self._sent_bytes, self._received_chars)
        else:
            self.usage = self._counts.neutral()
            if self._counts.is_mismatched():
                deltas.append(Warning_("USAGE_MISMATCH", "The provider's token counts do not add up to its total."))
        if self._call_ids and self.finish == "stop":
            self.finish = "tool_calls"
        self.complete = self.terminated = True
        deltas.append(self.usage)
        deltas.append(Finish(self.finish, self._raw_finish, self._finish_detail))


def _plain_frames(data: bytes) -> list[Frame] | None:
    """The frames in `data` when it has data lines alone, one for each event, and all are as documented."""
    frames = []
    for block in data[:-4].split(_BLANK_LINE):
        if block[:6] != b"data: " or b"\n" in block or b"\r" in block or (frame := plain_frame(block[6:])) is None:
            return None
        frames.append(frame)
    return frames


def _arguments(raw: bytes) -> str:
    """The JSON text of an argument object; a call without arguments has an empty one."""
    text = repair_escapes(raw).decode("utf-8", "replace").strip()
    return text if text.startswith("{") else "{}"
