"""Reading what Gemini answers: SSE of whole response objects, or one JSON document (`spec/providers.md` 7.4)."""

from collections.abc import Sequence

from penstock.kit.sse import SseEvent
from penstock.providers.base import Delta, Tool
from penstock.providers.failures import shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.bodies import DONE, unreadable
from penstock.providers.wires.body_reader import EventStreamReader
from penstock.providers.wires.gemini.answer import GeminiAnswer
from penstock.providers.wires.gemini.failures import event_failure
from penstock.providers.wires.gemini.frames import Frame, careful_frame, plain_frame

_BLANK_LINE = b"\r\n\r\n"


class GeminiReader(GeminiAnswer, EventStreamReader):
    """A `Reader` of neutral deltas. Usage and finish come last, at the end of the body: there is no terminator."""

    def __init__(
        self,
        *,
        model: str = "",
        content_type: str = "",
        tools: Sequence[Tool] = (),
        sent_bytes: int = 0,
        one_call: bool = False,
        stop: Sequence[str] = (),
    ) -> None:
        GeminiAnswer.__init__(self, model=model, tools=tools, sent_bytes=sent_bytes, one_call=one_call, stop=stop)
        EventStreamReader.__init__(self, content_type)

    def _read_plain(self, data: bytes, deltas: list[Delta]) -> bool:
        """Whole events and nothing else are what a read of a stream of tokens brings."""
        if data[-4:] != _BLANK_LINE or not self._events.is_between or (frames := _plain_frames(data)) is None:
            return False
        for frame in frames:
            self.read_frame(frame, deltas)
        return True

    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.stray is not None:
            self._read_stray(event.stray.strip())
        data = event.data.strip() if event.data else b""
        if not data:
            return
        if data == DONE:  # Google never says it; what stands in between may
            self.close(deltas)
            return
        frame = plain_frame(data) if event.name is None else None
        if frame is not None:
            self.read_frame(frame, deltas)
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
        self.read_frame(careful_frame(payload), deltas)


def _plain_frames(data: bytes) -> list[Frame] | None:
    """The frames in `data` when it has data lines alone, one for each event, and all are as documented."""
    frames = []
    for block in data[:-4].split(_BLANK_LINE):
        if block[:6] != b"data: " or b"\n" in block or b"\r" in block or (frame := plain_frame(block[6:])) is None:
            return None
        frames.append(frame)
    return frames
