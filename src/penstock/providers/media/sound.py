"""Bare samples with a header that says what they are."""

import re
import struct

_RATE = re.compile(r"rate=(\d{4,6})")
_USUAL_RATE = 24_000


def rate_of(mime: str) -> int:
    """Samples a second in `audio/L16;codec=pcm;rate=24000`."""
    found = _RATE.search(mime)
    return int(found[1]) if found else _USUAL_RATE


def wav(samples: bytes, rate: int) -> bytes:
    """A WAV file of 16-bit mono samples, little-endian."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data
