"""The outside of every reader of answers: a document or a stream, when it may be fed, what a failure does to it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from penstock.errors import UpstreamError
from penstock.kit.sse import SseEvent, SseReader, SseTooLarge
from penstock.providers.base import Delta
from penstock.providers.failures import shape_mismatch
from penstock.providers.transport.base import MAX_BODY_BYTES
from penstock.providers.wires.bodies import is_json_body, too_deep


class BodyReader(ABC):
    """`feed`, `end` and their failures, as `Reader` promises them. A format adds what its pieces mean."""

    terminated: bool

    def __init__(self, content_type: str) -> None:
        self.failure: UpstreamError | None = None
        self._content_type = content_type.lower()
        self._document: bytearray | None = None
        self._sniffed = False

    def feed(self, data: bytes) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        if self.terminated:
            return ()
        deltas: list[Delta] = []
        try:
            if not self._read_plain(data, deltas):
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
                self._end_stream(deltas)
            if not self.terminated:
                self.close(deltas)
        except UpstreamError as error:
            # There is no later call to raise in: what came in the last bytes is given up for the error.
            self._fail(error, [])
        except RecursionError:
            self._fail(too_deep(), [])
        return deltas

    # --- what a format adds; all of it may raise UpstreamError and RecursionError

    def _read_plain(self, data: bytes, deltas: list[Delta]) -> bool:
        """The short way for what nearly every read brings. False changes nothing, and the long way is taken."""
        return False

    @abstractmethod
    def _read_stream(self, data: bytes, deltas: list[Delta]) -> None: ...

    @abstractmethod
    def _end_stream(self, deltas: list[Delta]) -> None:
        """What was left unfinished when the body ended."""

    @abstractmethod
    def _read_document(self, body: bytes, deltas: list[Delta]) -> None:
        """A whole answer, although a stream was asked for."""

    @abstractmethod
    def close(self, deltas: list[Delta]) -> None:
        """Nothing follows: give what was held back, then usage and finish. Raises Truncated."""

    # --- what is common

    def _feed(self, data: bytes, deltas: list[Delta]) -> None:
        if not self._sniffed:
            is_json = is_json_body(data, self._content_type)
            if is_json is None:
                return
            self._sniffed = True
            if is_json:
                self._document = bytearray()
        if self._document is None:
            self._read_stream(data, deltas)
            return
        self._document += data
        if len(self._document) > MAX_BODY_BYTES:
            raise shape_mismatch("more than 64 MiB")

    def _fail(self, error: UpstreamError, deltas: list[Delta]) -> None:
        """Good output before the error is given first; every later call raises."""
        self.failure = error
        if not deltas:
            raise error


class EventStreamReader(BodyReader):
    """The same for server-sent events."""

    def __init__(self, content_type: str) -> None:
        super().__init__(content_type)
        self._events = SseReader()

    @abstractmethod
    def _read_event(self, event: SseEvent, deltas: list[Delta], *, last: bool) -> None:
        """`last`: the body has ended inside this event."""

    def _read_stream(self, data: bytes, deltas: list[Delta]) -> None:
        try:
            events = self._events.feed(data)
        except SseTooLarge as error:
            raise shape_mismatch("an event of more than 16 MiB") from error
        for event in events:
            self._read_event(event, deltas, last=False)
            if self.terminated:
                return

    def _end_stream(self, deltas: list[Delta]) -> None:
        for event in self._events.end():
            self._read_event(event, deltas, last=True)
