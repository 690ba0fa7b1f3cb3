"""Reading answers of the Messages format, streamed or whole."""

from collections.abc import Sequence

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
from penstock.providers.base import Delta, Tool
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import NotJson
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.anthropic.events import MessageEvents
from penstock.providers.wires.bodies import is_json_body, stray_failure, too_deep, unreadable

_DELTA = b"event: content_block_delta\ndata: {"
_BLANK_LINE = b"\n\n"


class MessagesReader(MessageEvents):
    """A `Reader` of neutral deltas. Usage and finish come last, at `message_stop` or the end of the body."""

    def __init__(
        self, *, model: str = "", content_type: str = "", tools: Sequence[Tool] = (), sent_bytes: int = 0
    ) -> None:
        super().__init__(model=model, tools=tools, sent_bytes=sent_bytes)
        self.failure: UpstreamError | None = None
        self._content_type = content_type.lower()
        self._events = SseReader()
        self._document: bytearray | None = None
        self._sniffed = False

    def feed(self, data: bytes) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        deltas: list[Delta] = []
        if self.terminated:
            return deltas
        try:
            # Whole events with pieces of the answer, one or a few, are what nearly every read of a stream brings.
            if data[-2:] == _BLANK_LINE and self._events.is_between and (found := _plain_deltas(data)) is not None:
                self._read_all(found, deltas)
            else:
                self._feed(data, deltas)
        except NotJson:
            self._fail(shape_mismatch("an event that is not JSON", data), deltas)
        except UpstreamError as error:
            self._fail(error, deltas)
        except RecursionError:
            self._fail(too_deep(), deltas)
        return deltas

    def end(self) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        deltas: list[Delta] = []
        if self.terminated:
            return deltas
        try:
            if self._document is not None:
                self._read_document(bytes(self._document), deltas)
            else:
                for event in self._events.end():
                    self._read_event(event, deltas, last=True)
            if not self.terminated:
                self.close(deltas)
        except UpstreamError as error:
            # There is no later call to raise in: what came in the last bytes is given up for the error.
            self._fail(error, [])
        except RecursionError:
            self._fail(too_deep(), [])
        return deltas

    def _fail(self, error: UpstreamError, deltas: list[Delta]) -> None:
        self.failure = error
        if not deltas:
            raise error

    def _read_all(self, found: Sequence[bytes], deltas: list[Delta]) -> None:
        for one in found:
            self.read(one, deltas)
            if self.terminated:
                return

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        if not self._sniffed:
            is_json = is_json_body(data, self._content_type)
            if is_json is None:
                return
            self._sniffed = True
            if is_json:
                self._document = bytearray()
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

    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        if event.stray is not None and (failure := stray_failure(event)) is not None:
            raise failure
        data = event.data.strip() if event.data else b""
        if not data:
            return
        try:
            self.read(data, deltas, name=event.name)
        except NotJson as error:
            raise unreadable(event, last=last) from error

    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        try:
            self.read_whole(body.strip(), deltas)
        except NotJson as error:
            raise shape_mismatch("a document that is not JSON", body) from error


def _plain_deltas(data: bytes) -> list[bytes] | None:
    """The data of the events in `data` when all are pieces of the answer, framed as Anthropic frames them."""
    if b"\r" in data:
        return None
    found = []
    for block in data[:-2].split(_BLANK_LINE):
        if block[: len(_DELTA)] != _DELTA or block.count(b"\n") != 1:
            return None
        found.append(block[len(_DELTA) - 1 :])
    return found
