"""`data:` URIs: what they say of themselves, and their bytes."""

import binascii
from base64 import b64decode
from urllib.parse import unquote_to_bytes

import msgspec

_SAMPLE_CHARS = 64


class DataUri(msgspec.Struct, frozen=True):
    """`data` is what follows the comma, undecoded."""

    mime: str
    is_base64: bool
    data: str

    def beginning(self) -> bytes:
        """The first bytes, enough to recognise a file by; empty when they cannot be decoded."""
        sample = self.data[:_SAMPLE_CHARS]
        try:
            return b64decode(sample[: len(sample) // 4 * 4]) if self.is_base64 else unquote_to_bytes(sample)
        except (binascii.Error, ValueError):
            return b""

    @property
    def size_bytes(self) -> int:
        """Nearly: line breaks inside count too."""
        return len(self.data) * 3 // 4 if self.is_base64 else len(self.data)

    def content(self) -> bytes:
        """Raises ValueError."""
        return b64decode(self.data) if self.is_base64 else unquote_to_bytes(self.data)


def read_data_uri(url: str) -> DataUri | None:
    """None for what is none."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    mime, *parameters = head.split(";")
    is_base64 = any(one.strip().lower() == "base64" for one in parameters)
    return DataUri(mime.strip().lower(), is_base64, data)
