"""Which of the accepted formats a file has: by its bytes, then its declared type, then its name. Pure.

`spec/editor-api.md` 6.6.1. Reading a file is what proves the answer; this only says who is to read it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from penstock.editor.conversations.attachment_errors import FileTypeNotAccepted, FileUnreadable
from penstock.editor.conversations.images import is_whole
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.attachments.extracted import WHY
from penstock.gateway.inference.attachments.kinds import image_type

_PERMISSION = "ai:conversations:context:files:"


class Format(msgspec.Struct, frozen=True):
    """`name` is the permission's. `kind` is what the reader of such files says it has read; None for pictures."""

    name: str
    mime: str
    kind: Literal["PDF", "Word", "HTML", "text"] | None
    also: tuple[str, ...] = ()
    """Other spellings of the permission, which examples of the documentation use."""

    @property
    def permissions(self) -> tuple[str, ...]:
        return tuple(_PERMISSION + spelling for spelling in (self.name, *self.also))


PDF = Format("pdf", "application/pdf", "PDF", ("PDF",))
DOCX = Format("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Word", ("DOCX",))
PNG = Format("png", "image/png", None, ("PNG",))
JPEG = Format("jpeg", "image/jpeg", None, ("JPEG",))
MARKDOWN = Format("markdown", "text/markdown", "text", ("MARKDOWN",))
HTML = Format("html", "text/html", "HTML", ("HTML",))
TEXT = Format("text", "text/plain", "text", ("TXT",))

FORMATS: Final[Mapping[str, Format]] = {one.name: one for one in (PDF, DOCX, PNG, JPEG, MARKDOWN, HTML, TEXT)}

_DECLARED = {one.mime: one for one in FORMATS.values()} | {
    "text/x-markdown": MARKDOWN,
    "application/xhtml+xml": HTML,
    "image/jpg": JPEG,
}
_EXTENSIONS = {
    "pdf": PDF,
    "docx": DOCX,
    "png": PNG,
    "jpg": JPEG,
    "jpeg": JPEG,
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "html": HTML,
    "htm": HTML,
    "txt": TEXT,
}
_SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-download"})
_SAMPLE_BYTES = 4096
_MOST_BEFORE_PDF = 1024
_BEGINS_HTML = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")


def require_some(caller: Caller) -> None:
    """Raises MissingPermission when the caller may attach no file at all."""
    every = [permission for one in FORMATS.values() for permission in one.permissions]
    if not any(map(caller.permissions.allows, every)):
        caller.require(*(one.permissions[0] for one in FORMATS.values()))


def format_of(content: bytes, declared: Iterable[str], name: str) -> Format:
    """`declared` are MIME types, the first that says anything counts.

    Raises FileTypeNotAccepted, and FileUnreadable for what is plainly damaged or locked.
    """
    if not content:
        raise FileUnreadable(name, "it is empty", "Check the file, and add it again.")
    stated = _stated(declared, name)
    found = _by_bytes(content, stated, name)
    if found is None:
        found = _text(content, stated, name)
    if found.kind is None and not is_whole(content):
        raise _broken(name)
    return found


def _by_bytes(content: bytes, stated: Format | None, name: str) -> Format | None:
    """None for what may be text."""
    begin = content[:_MOST_BEFORE_PDF].removeprefix(b"\xef\xbb\xbf")
    if begin.lstrip().startswith(b"%PDF-") or (stated is PDF and b"%PDF-" in begin):
        return PDF
    picture = image_type(content)
    if picture is not None:
        if picture not in _DECLARED:
            raise FileTypeNotAccepted(name)
        return _DECLARED[picture]
    if content.startswith(b"PK\x03\x04"):
        return _zip(content, name)
    if content.startswith(_OLE):
        raise _old_office(content, stated, name)
    return HTML if _BEGINS_HTML.match(begin) else None


def _zip(content: bytes, name: str) -> Format:
    # Names of members stand in an archive as they are; reading it will show whether this one is really there.
    if b"word/document.xml" not in content:
        raise _broken(name) if _extension(name) == "docx" else FileTypeNotAccepted(name)
    return DOCX


def _old_office(content: bytes, stated: Format | None, name: str) -> FileTypeNotAccepted | FileUnreadable:
    if _ENCRYPTED_OFFICE in content:
        return FileUnreadable(name, *WHY["encrypted"])
    return FileUnreadable(name, *WHY["old_office"]) if stated is DOCX else FileTypeNotAccepted(name)


def _text(content: bytes, stated: Format | None, name: str) -> Format:
    if stated is None or content.startswith(b"{\\rtf"):
        raise FileTypeNotAccepted(name)
    is_text = content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in content[:_SAMPLE_BYTES]
    if stated.kind not in ("HTML", "text") or not is_text:
        raise _broken(name)
    return stated


def _stated(declared: Iterable[str], name: str) -> Format | None:
    said = next((mime for one in declared if (mime := _bare(one)) not in _SAYS_NOTHING), None)
    return _EXTENSIONS.get(_extension(name)) if said is None else _DECLARED.get(said)


def _bare(mime: str) -> str:
    return mime.partition(";")[0].strip().lower()


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _broken(name: str) -> FileUnreadable:
    return FileUnreadable(name, *WHY["broken"])
