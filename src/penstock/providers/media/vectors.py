"""Vectors as JSON text: a list of numbers, or base64 of little-endian 32-bit floats (`spec/providers.md` 4.9)."""

import binascii
import sys
from array import array
from base64 import b64decode, b64encode

import msgspec

from penstock.providers.failures import shape_mismatch
from penstock.providers.media.asked import VectorFormat

_text_of = msgspec.json.Decoder(str).decode
_numbers_of = msgspec.json.Decoder(list[float]).decode
_QUOTE = ord('"')
_encode = msgspec.json.Encoder().encode


def format_of(vector: msgspec.Raw) -> VectorFormat:
    return "base64" if memoryview(vector)[0] == _QUOTE else "float"


def written_as(wanted: VectorFormat, vector: msgspec.Raw) -> msgspec.Raw:
    """The same vector in the format that was asked for. Raises ShapeMismatch for what is no vector."""
    if format_of(vector) == wanted:
        return vector
    try:
        if wanted == "base64":
            return msgspec.Raw(_encode(b64encode(packed(_numbers_of(vector))).decode()))
        return msgspec.Raw(_encode(unpacked(b64decode(_text_of(vector), validate=True))))
    except (msgspec.DecodeError, binascii.Error, ValueError, OverflowError) as error:
        raise shape_mismatch("something that is no vector", memoryview(vector)[:100].tobytes()) from error


def packed(numbers: list[float]) -> bytes:
    floats = array("f", numbers)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def unpacked(data: bytes) -> list[float]:
    """Raises ValueError when the bytes are not whole numbers of four."""
    floats = array("f")
    floats.frombytes(data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
