"""Images and documents as blocks of Converse: bytes, a format, for documents a name (`spec/providers.md` 9.4)."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from penstock.providers.base import Document, Image
from penstock.providers.failures import Unsupported

_IMAGES: Mapping[str, str] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
    "text/plain": "txt",
}
_MAX_NAME = 200
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\-()\[\] ]+")


def image_block(image: Image) -> dict[str, Any]:
    """Raises Unsupported for an address that is no `data:` URI, and for formats that nobody on Bedrock reads."""
    mime, data = _taken_apart(image.url, "image")
    if (kind := _IMAGES.get(mime)) is None:
        raise _unreadable(f"images of the type {mime or 'that is not named'}", "png, jpeg, gif or webp")
    return {"image": {"format": kind, "source": {"bytes": data}}}


class DocumentNames:
    """Names of documents: of the signs that are allowed, and no two alike in one request."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def block(self, document: Document) -> dict[str, Any]:
        """Raises Unsupported for what is no `data:` URI, and for formats that Converse does not know."""
        mime, data = _taken_apart(document.url, "document")
        kind = _DOCUMENTS.get(mime) or ("txt" if mime.startswith("text/") else None)
        if kind is None:
            raise _unreadable(f"documents of the type {mime or 'that is not named'}", ", ".join(_formats()))
        return {"document": {"format": kind, "name": self._unique(document.name), "source": {"bytes": data}}}

    def _unique(self, name: str) -> str:
        clean = " ".join(_NOT_IN_NAMES.sub(" ", name).split())[:_MAX_NAME].strip() or "document"
        unique, number = clean, 1
        while unique in self._taken:
            number += 1
            unique = f"{clean[: _MAX_NAME - 8].strip()} ({number})"
        self._taken.add(unique)
        return unique


def _formats() -> list[str]:
    return list(dict.fromkeys(_DOCUMENTS.values()))


def _taken_apart(url: str, what: str) -> tuple[str, str]:
    """`(MIME type, base64)` of a `data:` URI."""
    head, comma, data = url.partition(",")
    if not comma or head[:5].lower() != "data:":
        raise Unsupported(
            f"Bedrock takes the bytes of the {what}, not its address.",
            explanation="Bedrock does not fetch files by itself.",
            action="Send the file inline, as a `data:` URI.",
        )
    mime, *parameters = head[5:].lower().split(";")
    if "base64" not in parameters:
        return mime.strip(), b64encode(unquote_to_bytes(data)).decode()
    return mime.strip(), _plain_base64(data, what)


def _plain_base64(data: str, what: str) -> str:
    """Base64 as it has to be: with its padding, without blanks, in the usual alphabet."""
    compact = re.sub(r"\s+", "", data.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))
    compact = compact.translate(str.maketrans("-_", "+/")).rstrip("=")
    compact += "=" * (-len(compact) % 4)
    try:
        b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise Unsupported(
            f"The data of the {what} is not base64.",
            explanation="The file was damaged on its way, or is encoded in another way.",
            action="Send it again, as a `data:` URI in base64.",
        ) from None
    return compact


def _unreadable(what: str, known: str) -> Unsupported:
    return Unsupported(
        f"Bedrock does not read {what}.",
        explanation=f"Its models read {known}.",
        action="Convert the file, or leave it out.",
    )
