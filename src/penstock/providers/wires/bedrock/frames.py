"""The binary event stream of AWS, taken apart as it arrives (`spec/providers.md` 3.3).

A frame is a prelude (total length, length of the headers, checksum of these two), headers, payload, and a checksum of
everything before it. Lengths are believed only after the prelude's checksum, and never beyond the limits.
"""

import struct
import zlib
from collections.abc import Mapping

import msgspec

from penstock.providers.failures import shape_mismatch

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_FRAME_BYTES = _PRELUDE.size + _CRC.size

_TRUE, _FALSE, _BYTES, _TEXT = 0, 1, 6, 7
_FIXED_SIZES: Mapping[int, int] = {_TRUE: 0, _FALSE: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}

# Nearly all frames of a stream have one of a handful of header blocks.
_KNOWN_HEADERS = 16
_KNOWN_HEADERS_BYTES = 512


class Headers(msgspec.Struct, frozen=True, gc=False):
    """What a frame says about its payload. `kind` is `event`, `exception` or `error`."""

    kind: str
    name: str
    """The type of the event or exception, or the code of the error."""
    message: str = ""
    """Of an error; the others have theirs in the payload."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    headers: Headers
    payload: bytes


class FrameReader:
    """Give it bytes with `feed`, in whatever pieces, and `take` whole frames until it has none."""

    __slots__ = ("_at", "_held", "_known")

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._known: dict[bytes, Headers] = {}

    def feed(self, data: bytes) -> None:
        """Take all frames before feeding more: only the beginning of one frame is kept then."""
        self._held += data

    def take(self) -> Frame | None:
        """The next frame; None when it has not arrived whole. Raises ShapeMismatch, and then for ever."""
        held, at = self._held, self._at
        available = len(held) - at
        if available < _PRELUDE.size:
            self._forget()
            return None
        total, headers_size, prelude_crc = _PRELUDE.unpack_from(held, at)
        crc = zlib.crc32(held[at : at + 8])
        if crc != prelude_crc:
            raise shape_mismatch("an event stream whose checksum is wrong", bytes(held[at : at + 64]))
        payload_size = total - headers_size - _FRAME_BYTES
        if payload_size < 0:
            raise shape_mismatch("an event whose lengths contradict each other")
        if headers_size > MAX_HEADERS_BYTES or payload_size > MAX_PAYLOAD_BYTES:
            raise shape_mismatch("an event of more than 24 MiB")
        if available < total:
            self._forget()
            return None
        end = at + total
        # From the prelude's checksum on: that of the whole frame goes over the same eight bytes first.
        body = bytes(held[at + 8 : end - _CRC.size])
        if zlib.crc32(body, crc) != _CRC.unpack_from(held, end - _CRC.size)[0]:
            raise shape_mismatch("an event stream whose checksum is wrong", body)
        self._at = end
        split = _CRC.size + headers_size
        return Frame(self._headers(body[_CRC.size : split]), body[split:])

    @property
    def is_between(self) -> bool:
        """No frame has been begun."""
        return len(self._held) == self._at

    def _forget(self) -> None:
        """Let go of the frames that were taken."""
        if self._at:
            del self._held[: self._at]
            self._at = 0

    def _headers(self, block: bytes) -> Headers:
        headers = self._known.get(block)
        if headers is None:
            headers = _headers_of(_texts_of(block))
            if len(block) <= _KNOWN_HEADERS_BYTES and len(self._known) < _KNOWN_HEADERS:
                self._known[block] = headers
        return headers


def _headers_of(texts: Mapping[str, str]) -> Headers:
    kind = texts.get(":message-type", "event")
    match kind:
        case "event":
            return Headers(kind, texts.get(":event-type", ""))
        case "exception":
            return Headers(kind, texts.get(":exception-type", ""))
        case "error":
            return Headers(kind, texts.get(":error-code", ""), texts.get(":error-message", ""))
    raise shape_mismatch(f"an event of the unknown kind `{kind[:40]}`")


def _texts_of(block: bytes) -> dict[str, str]:
    """The headers that are texts. The others are skipped, by the size of their type."""
    texts: dict[str, str] = {}
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name, kind = block[at + 1 : name_end], block[name_end]
            at = name_end + 1
            if kind in (_BYTES, _TEXT):
                size = int.from_bytes(block[at : at + 2])
                value = block[at + 2 : at + 2 + size]
                if len(value) < size or at + 2 > len(block):
                    raise IndexError
                at += 2 + size
                if kind == _TEXT:
                    texts[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
            else:
                at += _FIXED_SIZES[kind]
    except (IndexError, KeyError):
        raise shape_mismatch("an event whose headers cannot be read", block) from None
    if at != len(block):
        raise shape_mismatch("an event whose headers cannot be read", block)
    return texts
