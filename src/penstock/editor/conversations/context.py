"""How what is attached reads to a model: frames around material, files as parts of a message."""

import asyncio
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from penstock.editor.conversations.asking import PICTURES, Asked
from penstock.editor.conversations.tables import FileRow, WebResourceRow
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.instructions import shown_document
from penstock.editor.framing import framed, noted
from penstock.providers.base import Document, Image, Part, Text
from penstock.providers.facts import Facts
from penstock.storage.base import BlobNotFound
from penstock.telemetry.logs import log

Bytes = Callable[[str], Awaitable[bytes]]
"""The content of a blob. Raises BlobNotFound, StorageUnavailable."""

_LABELS: Final = {"text": "context", "selection": "selected-text"}
_MIME: Final = {"png": "image/png", "jpeg": "image/jpeg", "pdf": "application/pdf"}
_NAMES: Final = {"docx": "Word document", "markdown": "Markdown", "html": "web page", "text": "text", "pdf": "PDF"}


class Material(msgspec.Struct, frozen=True):
    """One attached file or page as a model is given it. `characters` count towards the context."""

    parts: Sequence[Part]
    characters: int
    name: str


def labelled(kind: str, text: str) -> str:
    """Text that the user attached or selected."""
    return framed(_LABELS[kind], text)


def document_texts(asked: Asked, documents: Sequence[SentDocument]) -> list[str]:
    return [
        shown_document(
            number,
            sent,
            name=attached.row.name,
            description=attached.row.description,
            selected=attached.selected,
        )
        for number, (attached, sent) in enumerate(zip(asked.documents, documents, strict=True))
    ]


async def file_material(file: FileRow, facts: Facts, read: Bytes, *, has_text: bool = True) -> Material:
    """For the model of these `facts`: itself where the model can take it, its text where not, at least a word on it.

    Raises StorageUnavailable.
    """
    if goes_as_it_is(file, facts):
        try:
            return await _itself(file, await read(file.blob_key))
        except BlobNotFound:
            log.error("the content of an attached file is missing in storage", key=file.blob_key)
    return _as_text(file) if has_text else left_out(file.name)


async def _itself(file: FileRow, content: bytes) -> Material:
    mime = _MIME[file.format]
    uri = f"data:{mime};base64,{(await asyncio.to_thread(b64encode, content)).decode()}"
    label = Text(f"[The file “{noted(file.name)}”:]")
    part: Part = Image(uri) if file.format in PICTURES else Document(uri, file.name)
    return Material((label, part), 0, file.name)


def left_out(name: str) -> Material:
    """What is larger than any room for it: the model learns that it exists."""
    return Material((), sys.maxsize, name)


def goes_as_it_is(file: FileRow, facts: Facts) -> bool:
    if file.format in PICTURES:
        return facts.images is not False
    return file.format == "pdf" and facts.documents is not False


def _as_text(file: FileRow) -> Material:
    """W-14: what cannot be given to the model is named, so that the answer can say so."""
    if file.text:
        note = f" {file.note}" if file.note else ""
        frame = framed("file", file.text, name=file.name, type=_NAMES.get(file.format, file.format))
        return Material((Text(frame + note),), len(file.text), file.name)
    why = "this model does not see pictures" if file.format in PICTURES else "its text cannot be read"
    text = f"[The file “{noted(file.name)}” is attached, but {why}. Say so if it matters for the answer.]"
    return Material((Text(text),), 0, file.name)


def page_material(page: WebResourceRow) -> Material:
    text = framed("web-page", page.text, url=page.url, title=page.title)
    return Material((Text(text),), len(page.text), page.title or page.url)
