"""Server-sent events on bytes: a reader that keeps every byte, for relays, and an encoder.

The reader is kinder than the HTML standard where servers are: an event without its last blank line counts when the
body ends, and lines that are no fields are handed out instead of dropped, because some servers put a bare JSON error
there. It decodes nothing: an event may be cut inside a character.
"""

import re

import msgspec

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"
# Atomic groups: CRLF is one line end, never a CR followed by an empty line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LEADING = re.compile(rb"[\r\n]*")


class SseTooLarge(ValueError):
    """One event grew past `MAX_EVENT_BYTES`."""


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One block up to and with its blank line.

    `raw` is exactly what came, blank lines before the block included: joined, the `raw`s of a stream are the stream.
    `data` is None when the block has no data line, and `b""` for an empty one. `stray` has the lines that are
    neither fields nor comments. `comment` says that the block has comment lines.
    """

    raw: bytes
    name: bytes | None = None
    data: bytes | None = None
    stray: bytes | None = None
    comment: bool = False


class SseReader:
    """Feed it what TCP brings, get the events that are complete.

    However a stream is cut, the events are the same. One freedom is left: when a piece ends between the CR and the LF
    that close a block, the event is given at once and the LF opens the `raw` of the next one.
    """

    __slots__ = ("_begun", "_carriage_returns", "_held", "_limit", "_scanned")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._held = bytearray()
        self._scanned = 0
        self._begun = False
        self._carriage_returns = False
        self._limit = limit

    @property
    def is_between(self) -> bool:
        """Nothing is held: the next byte begins a block, and the stream has begun."""
        return self._begun and not self._held

    def feed(self, data: bytes) -> list[SseEvent]:
        """Raises SseTooLarge when the bytes held from earlier calls are already too many for one event."""
        # One whole event per read is what a stream of tokens looks like.
        if (
            not self._held
            and data[-2:] == b"\n\n"
            and data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and b"\r" not in data
        ):
            self._begun = True
            return [SseEvent(data, None, data[6:-2])]
        return self._feed(data)

    def end(self) -> list[SseEvent]:
        """What was left without its blank line, as if that had come."""
        rest = bytes(self._held)
        self._held.clear()
        return [self._event(rest)] if rest else []

    def _feed(self, data: bytes) -> list[SseEvent]:
        held = self._held
        if len(held) > self._limit:
            raise SseTooLarge(f"an event of more than {self._limit} bytes")
        held += data
        if not self._carriage_returns and b"\r" in data:
            self._carriage_returns = True
        events = []
        start, scanned = 0, self._scanned
        while (end := self._end_of_block(start, scanned)) != -1:
            events.append(self._event(bytes(held[start:end])))
            start = scanned = end
        del held[:start]
        # A line end is at most two bytes, so a blank line may begin in the last three.
        self._scanned = max(len(held) - 3, 0)
        return events

    def _end_of_block(self, start: int, scanned: int) -> int:
        """Where the block that begins at `start` ends, -1 if that has not come yet."""
        held = self._held
        if start < len(held) and held[start] in _LINE_ENDS:
            leading = _LEADING.match(held, start)
            start = leading.end() if leading else start
        begin = max(start, scanned)
        if self._carriage_returns:
            found = _BLANK_LINE.search(held, begin)
            return found.end() if found else -1
        at = held.find(b"\n\n", begin)
        return at + 2 if at != -1 else -1

    def _event(self, raw: bytes) -> SseEvent:
        if self._begun and raw[:6] == b"data: " and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
            return SseEvent(raw, None, raw[6:-2])
        block = raw
        if not self._begun:
            self._begun = True
            block = raw.removeprefix(_BOM)
        name: bytes | None = None
        data: list[bytes] = []
        stray: list[bytes] = []
        comment = False
        for line in block.splitlines():
            field, colon, value = line.partition(b":")
            if colon and not field:
                comment = True
                continue
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
            elif field == b"error" and value[:1] == b"{":
                # llama.cpp before 2025 wrote its errors as a field of this name.
                name = b"error"
                data.append(value)
            elif field and field not in (b"id", b"retry"):
                stray.append(line)
        return SseEvent(raw, name, b"\n".join(data) if data else None, b"\n".join(stray) if stray else None, comment)


def encode_event(data: bytes, name: str | None = None) -> bytes:
    """One event with LF line ends. `data` may have several lines; `name` is ours and has no line end."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    if b"\n" not in data and b"\r" not in data:
        return head + b"data: " + data + b"\n\n"
    return head + b"".join(b"data: " + line + b"\n" for line in data.splitlines()) + b"\n"
