"""The text of a PDF, page by page. Runs in the reading process only."""

from importlib import import_module
from typing import Any

from penstock.gateway.inference.attachments.extracted import Extracted, Pieces, Unreadable

_MOST_PAGES = 5_000


def read_pdf(data: bytes, most_chars: int) -> Extracted:
    """Raises Unreadable."""
    pypdfium2: Any = import_module("pypdfium2")  # it has no types
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("encrypted" if "assword" in str(error) else "broken") from error
    pages = len(document)
    pieces, empty = Pieces(most_chars), 0
    for number in range(min(pages, _MOST_PAGES)):
        text = _page_text(document, number, pypdfium2.PdfiumError)
        if not text:
            empty += 1
            continue
        pieces.add(f"[Page {number + 1}]\n{text}\n\n")
        if pieces.is_full:
            break
    if not pieces.text():
        raise Unreadable("no_text", pages) if pages else Unreadable("broken")
    return Extracted(
        text=pieces.text(),
        kind="PDF",
        pages=pages,
        empty_pages=empty,
        is_cut=pieces.is_full or pages > _MOST_PAGES,
    )


def _page_text(document: Any, number: int, failure: type[Exception]) -> str:
    """Empty for a page that cannot be read: the others may be."""
    try:
        text = document[number].get_textpage().get_text_bounded()
    except failure:
        return ""
    return str(text).replace("\r\n", "\n").replace("\x00", "").strip()
