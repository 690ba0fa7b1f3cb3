"""Reading what Gemini answers: SSE of whole response objects, or one JSON document (`spec/providers.md` 7.4)."""

from collections.abc import Sequence

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
from penstock.providers.base import Delta, Tool
from penstock.providers.failures import shape_mismatch, truncated
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.bodies import DONE, is_json_body, too_deep, unreadable
from penstock.providers.wires.gemini.answer import GeminiAnswer
from penstock.providers.wires.gemini.failures import event_failure
from penstock.providers.wires.gemini.frames import Frame, careful_frame, plain_frame

_BLANK_LINE = b"\r\n\r\n"


class GeminiReader(GeminiAnswer):
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
        super().__init__(model=model, tools=tools, sent_bytes=sent_bytes, one_call=one_call, stop=stop)
        self._content_type = content_type.lower()
        self._events = SseReader()
        self._document: bytearray | None = None
        self._sniffed = False

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
            if not self.terminated:
                self.close(deltas)
        except UpstreamError as error:
            # Nothing follows the end that could raise later: what came in the last bytes is given up for the error.
            self._fail(error, [])
        except RecursionError:
            self._fail(too_deep(), [])
        return deltas

    def _fail(self, error: UpstreamError, deltas: list[Delta]) -> None:
        self.failure = error
        if not deltas:
            raise error

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        # Whole events and nothing else are what a read of a stream of tokens brings.
        if data[-4:] == _BLANK_LINE and self._events.is_between and (frames := _plain_frames(data)) is not None:
            for frame in frames:
                self.read_frame(frame, deltas)
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
