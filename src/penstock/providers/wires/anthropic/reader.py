"""Reading answers of the Messages format, streamed or whole."""

from collections.abc import Sequence

from penstock.kit.sse import SseEvent
from penstock.providers.base import Delta, Tool
from penstock.providers.failures import shape_mismatch
from penstock.providers.json_text import NotJson
from penstock.providers.wires.anthropic.events import MessageEvents
from penstock.providers.wires.bodies import stray_failure, unreadable
from penstock.providers.wires.body_reader import EventStreamReader

_DELTA = b"event: content_block_delta\ndata: {"
_BLANK_LINE = b"\n\n"


class MessagesReader(MessageEvents, EventStreamReader):
    """A `Reader` of neutral deltas. Usage and finish come last, at `message_stop` or the end of the body."""

    def __init__(
        self, *, model: str = "", content_type: str = "", tools: Sequence[Tool] = (), sent_bytes: int = 0
    ) -> None:
        MessageEvents.__init__(self, model=model, tools=tools, sent_bytes=sent_bytes)
        EventStreamReader.__init__(self, content_type)

    def _read_plain(self, data: bytes, deltas: list[Delta]) -> bool:
        """Whole events with pieces of the answer, one or a few."""
        if data[-2:] != _BLANK_LINE or not self._events.is_between or (found := _plain_deltas(data)) is None:
            return False
        try:
            self._read_all(found, deltas)
        except NotJson as error:
            raise shape_mismatch("an event that is not JSON", data) from error
        return True

    def _read_all(self, found: Sequence[bytes], deltas: list[Delta]) -> None:
        for one in found:
            self.read(one, deltas)
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
