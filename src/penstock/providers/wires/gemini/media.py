"""Files and media as parts of a request: their bytes inline, or an address where the vendor fetches by itself."""

import base64
import mimetypes
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from penstock.providers.base import Audio, Document, Image, Part, Quirks, Text
from penstock.providers.failures import Unsupported
from penstock.providers.wires.gemini.families import Family

_READ_BY_ALL = ("image/", "audio/", "video/", "text/", "application/pdf")
_OFFICE = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/msword",
    "application/vnd.ms-",
)


def written_part(part: Part, family: Family, quirks: Quirks) -> dict[str, Any] | None:
    """None for an empty text, which is refused. Raises Unsupported for what cannot be sent."""
    match part:
        case Text():
            return {"text": part.text} if part.text else None
        case Audio():
            return {"inlineData": {"mimeType": _audio_type(part.format), "data": part.data}}
        case Image() | Document():
            return _file(part.url, family, quirks)


def _audio_type(name: str) -> str:
    name = name.lower().removeprefix("audio/")
    return "audio/mp3" if name == "mpeg" else f"audio/{name}"


def _file(url: str, family: Family, quirks: Quirks) -> dict[str, Any]:
    if url[:5].lower() != "data:":
        return _address(url, quirks)
    mime_type, data = _bytes_of(url)
    if not mime_type.startswith(_READ_BY_ALL) and not (family.any_document and mime_type.startswith(_OFFICE)):
        raise Unsupported(
            f"This model does not read files of type {mime_type}.",
            explanation="It reads images, audio, video, PDF and plain text. Others are turned into text before they "
            "are sent. This one was not.",
            action="Send the text of the document, or a PDF.",
        )
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def _address(url: str, quirks: Quirks) -> dict[str, Any]:
    if not quirks.fetches_images:
        raise Unsupported(
            "This provider takes the bytes of a file, not its address.",
            explanation="Files are fetched before they are sent. This one was not.",
            action="Send the file as a `data:` URI.",
        )
    guessed, _ = mimetypes.guess_type(urlsplit(url).path)
    return {"fileData": {"mimeType": guessed or "image/jpeg", "fileUri": url}}


def _bytes_of(url: str) -> tuple[str, str]:
    """The MIME type of a `data:` URI without its parameters, and its bytes in base64 (RFC 2397)."""
    head, _, data = url[5:].partition(",")
    mime_type, *parameters = (one.strip().lower() for one in head.split(";"))
    if "base64" not in parameters:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    elif "%" in data:
        data = unquote(data)
    return mime_type or "text/plain", data
