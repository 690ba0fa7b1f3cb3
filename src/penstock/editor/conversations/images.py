"""Whether a picture is all there, by the frame of its file. Nothing is decoded: that is the model's business.

A picture that is cut off would be refused by the provider with every later message of its conversation.
"""

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 100_000


def is_whole(content: bytes) -> bool:
    """Of a PNG or JPEG file. What follows its end is nobody's business: cameras and editors leave things there."""
    return _is_whole_png(content) if content.startswith(_PNG) else _is_whole_jpeg(content)


def _is_whole_png(content: bytes) -> bool:
    """Chunks of length, type, data and checksum, from IHDR to IEND (PNG specification, 5)."""
    at, has_data = len(_PNG), False
    for number in range(_MOST_CHUNKS):
        if at + 12 > len(content):
            return False
        length, kind = struct.unpack_from(">I4s", content, at)
        if number == 0 and not _is_header(kind, content[at + 8 : at + 8 + length]):
            return False
        at += 12 + length
        has_data = has_data or kind == b"IDAT"
        if kind == b"IEND":
            return bool(has_data and at <= len(content))
    return False


def _is_header(kind: bytes, data: bytes) -> bool:
    """It begins with a width and a height, neither of which is zero (11.2.1)."""
    return kind == b"IHDR" and len(data) == 13 and 0 not in struct.unpack_from(">II", data)


def _is_whole_jpeg(content: bytes) -> bool:
    """Segments up to the scan, a frame with a size among them, and an end behind it (ITU T.81, B.1)."""
    at, has_frame = 2, False
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack_from(">H", content, at + 2)[0]
        if marker == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            has_frame = at + 9 <= len(content) and 0 not in struct.unpack_from(">HH", content, at + 5)
        if marker == 0xDA:
            return has_frame and content.rfind(b"\xff\xd9") > at
        at += 2 + length
    return False
