"""Content blocks of the Messages format: texts, images and documents (`spec/providers.md` 3.4 and 6.3)."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from penstock.providers.base import Audio, Document, Image, Part, Quirks, Text
from penstock.providers.failures import Unsupported

Block = dict[str, Any]

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_TEXTS = frozenset({"application/json", "application/xml", "application/yaml"})
_MAX_TITLE_CHARS = 500


def blocks_of(content: str | Sequence[Part], quirks: Quirks) -> Iterable[Block]:
    """The blocks of a content; blank texts, which would be refused, are left out. Raises Unsupported."""
    if isinstance(content, str):
        content = (Text(content),)
    for part in content:
        match part:
            case Text(text):
                if text.strip():
                    yield {"type": "text", "text": text}
            case Image(url):
                yield _file(url, None, quirks)
            case Document(url, name):
                yield _file(url, name, quirks)
            case Audio():
                raise _unreadable("audio")


def _file(url: str, title: str | None, quirks: Quirks) -> Block:
    if url[:5].lower() != "data:":
        return _linked(url, title, quirks)
    media_type, data = _opened(url)
    if media_type in _IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data()}}
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data()}
    elif media_type.startswith("text/") or media_type in _TEXTS:
        source = {"type": "text", "media_type": "text/plain", "data": _text(data())}
    else:
        raise _unreadable(f"files of the type `{media_type[:100]}`")
    return _document(source, title)


def _linked(url: str, title: str | None, quirks: Quirks) -> Block:
    if quirks.model_in_path:
        raise Unsupported(
            "This provider fetches no files by their address.",
            explanation="Anthropic's models at Vertex AI take the bytes of a file only.",
            action="Send the file itself, as a `data:` URI.",
        )
    source = {"type": "url", "url": url}
    return {"type": "image", "source": source} if title is None else _document(source, title)


def _document(source: dict[str, str], title: str | None) -> Block:
    block: Block = {"type": "document", "source": source}
    if title and title.strip():
        block["title"] = title[:_MAX_TITLE_CHARS]
    return block


def _opened(url: str) -> tuple[str, Any]:
    """The media type of a `data:` URI, and how its data is had in base64."""
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.lower().split(";")
    media_type = {"image/jpg": "image/jpeg", "": "text/plain"}.get(media_type, media_type)
    if "base64" in (one.strip() for one in parameters):
        return media_type, lambda: _checked(data)
    return media_type, lambda: base64.b64encode(unquote_to_bytes(data)).decode()


def _checked(data: str) -> str:
    """Base64 in the usual alphabet, padded, without line ends. Raises Unsupported for what is none."""
    compact = "".join(data.split()).replace("-", "+").replace("_", "/").rstrip("=")
    compact += "=" * (-len(compact) % 4)
    _bytes(compact[-4:])
    return compact


def _text(data: str) -> str:
    return _bytes(data).decode("utf-8", "replace")


def _bytes(data: str) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise _unreadable("files whose base64 is broken") from error


def _unreadable(what: str) -> Unsupported:
    return Unsupported(
        f"This provider does not read {what}.",
        explanation="It reads JPEG, PNG, GIF and WebP images, PDF documents and plain text.",
        action="Convert the file, or use a model of another provider.",
    )
