"""How much of a request is text, for the guess at its tokens (`spec/providers.md` 16)."""

_LARGE_BYTES = 64 * 1024
_FILE_BYTES = 4096
_MOST_STRINGS = 50_000
_PDF = b"JVBERi0"  # `%PDF-` in base64

_BYTES_OF_A_FILE = 4_000
"""What models take a picture for, about: a thousand tokens."""

_PDF_CHARS_PER_BYTE = 12
"""Of a PDF's base64: a page of 100 kB is about 2,500 tokens."""


def text_bytes(body: bytes) -> int:
    """The size of a JSON body in which files in base64 count as what a model makes of them, not as their letters."""
    if len(body) <= _LARGE_BYTES or body.count(b'"') > _MOST_STRINGS:
        return len(body)
    size = len(body)
    for piece in body.split(b'"'):
        if len(piece) >= _FILE_BYTES and b" " not in piece and piece.isascii():
            size -= len(piece) - _weight(piece)
    return size


def _weight(encoded: bytes) -> int:
    pages = len(encoded) // _PDF_CHARS_PER_BYTE if _PDF in encoded[:100] else 0
    return max(pages, _BYTES_OF_A_FILE)
