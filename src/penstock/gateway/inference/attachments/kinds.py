"""What a file is, by its first bytes; its type and name are asked only where bytes do not tell."""

from collections.abc import Mapping
from typing import Literal

from penstock.providers.facts import PDF

Kind = Literal["pdf", "zip", "html", "text", "ole", "rtf", "image", "unknown"]
"""`zip` is an Office file or nothing that we read; `ole` an old or encrypted one."""

_EXTENSIONS: Mapping[str, str] = {
    "pdf": PDF,
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "html": "text/html",
    "htm": "text/html",
    "xhtml": "text/html",
    "csv": "text/csv",
    "md": "text/markdown",
    "txt": "text/plain",
}
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-download"})
_TEXTS = (
    "text/",
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-ndjson",
    "application/toml",
)
_MOST_BEFORE_PDF = 1024  # readers of PDF accept that much of something else before it
_SAMPLE_BYTES = 4096


def image_type(data: bytes) -> str | None:
    """The MIME type of an image that models read, None for everything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"heif"):
        return "image/heic"
    return None


def kind_of(data: bytes, mime: str, name: str) -> Kind:
    if b"%PDF-" in data[:_MOST_BEFORE_PDF]:
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        return "zip"
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "ole"
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if image_type(data) is not None:
        return "image"
    stated = stated_type(mime, name)
    if stated in _HTML:
        return "html"
    if stated == PDF or not _is_text(data):
        return "unknown"
    is_text = stated.startswith(_TEXTS) or stated.endswith(("+json", "+xml")) or stated in _SAYS_NOTHING
    return "text" if is_text else "unknown"


def stated_type(mime: str, name: str) -> str:
    """What a file is said to be: by its MIME type, or by its name where that says nothing."""
    if mime not in _SAYS_NOTHING:
        return mime
    return _EXTENSIONS.get(name.rpartition(".")[2].lower(), mime)


def _is_text(data: bytes) -> bool:
    """Not binary: UTF-16 is told by its mark, other texts have no zero bytes."""
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in data[:_SAMPLE_BYTES]
