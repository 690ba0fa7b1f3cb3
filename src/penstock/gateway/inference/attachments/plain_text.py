"""Bytes as text, in the encoding that they probably have (`spec/editor-api.md` 9.4)."""

import codecs


def decoded(data: bytes) -> str:
    """UTF-16 by its mark, else UTF-8, else Windows-1252. Never fails; zero bytes are left out."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\0", "")
