"""What is read of a file when it is attached: its text, its pages, and why there is none."""

from typing import Final

import msgspec

from penstock.editor.conversations.attachment_errors import FileUnreadable, NobodyReadsIt, ReadingTookTooLong
from penstock.editor.conversations.file_formats import PDF, Format
from penstock.gateway.inference.attachments.extracted import WHY, Extracted, Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingBusy
from penstock.gateway.inference.attachments.plain_text import decoded

MOST_TEXT_CHARS: Final = 2_000_000


class Read(msgspec.Struct, frozen=True):
    """`text` is None for what only a model can read. `note` is what the model is told of the text."""

    text: str | None
    pages: int | None = None
    note: str | None = None


class FileReader:
    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction

    async def read(self, content: bytes, found: Format, name: str, *, is_pdf_read: bool) -> Read:
        """`is_pdf_read`: some model of the caller reads PDFs as they are.

        Raises FileUnreadable, NobodyReadsIt, ReadingTookTooLong.
        """
        if found.kind is None:
            return Read(None)
        if found.kind == "text":
            return _plain(content, name)
        try:
            extracted = await self._extraction.extract(content, mime=found.mime, name=name)
        except Unreadable as error:
            if found is PDF and error.reason == "no_text" and error.pages:
                return _scanned(name, error.pages, is_pdf_read=is_pdf_read)
            raise FileUnreadable(name, *WHY[error.reason]) from error
        except ReadingBusy as error:
            raise ReadingTookTooLong(error.retry_after_s) from error
        if extracted.kind != found.kind:
            raise FileUnreadable(
                name, "it is two kinds of file in one", "Save it anew with the program that it was made with."
            )
        return Read(extracted.text, extracted.pages, _note(extracted))


def _plain(content: bytes, name: str) -> Read:
    text = decoded(content)
    if not text.strip():
        raise FileUnreadable(name, "it holds no text", "Check the file, and add it again.")
    return Read(text[:MOST_TEXT_CHARS], note=_CUT if len(text) > MOST_TEXT_CHARS else None)


def _scanned(name: str, pages: int, *, is_pdf_read: bool) -> Read:
    if not is_pdf_read:
        why, action = WHY["no_text"]
        raise NobodyReadsIt(
            f"“{name}” cannot be read: {why}, and no model that you may use reads pictures of text.", action
        )
    return Read(None, pages)


def _note(extracted: Extracted) -> str | None:
    notes = [_CUT] if extracted.is_cut else []
    if extracted.empty_pages:
        notes.insert(0, f"{extracted.empty_pages} of its {extracted.pages} pages hold no text that can be read.")
    return " ".join(notes) or None


_CUT = "Only its beginning is given, because it is very long."
