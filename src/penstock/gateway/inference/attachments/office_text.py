"""The text of Word, PowerPoint and Excel files, as Markdown and CSV. Runs in the reading process only."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from penstock.gateway.inference.attachments.extracted import Extracted, Pieces, Unreadable

_MOST_UNPACKED_BYTES = 256 * 1024 * 1024
_MOST_MEMBERS = 20_000
_MOST_NESTED = 20
_HEADING = re.compile(r"heading ([1-6])")


def read_office(data: bytes, most_chars: int) -> Extracted:
    """Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise Unreadable("broken") from error
    # What is said here of a member's size bounds what is unpacked of it.
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > _MOST_UNPACKED_BYTES:
        raise Unreadable("too_large")
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable("encrypted")
    names = {member.filename for member in members}
    pieces = Pieces(most_chars)
    if "word/document.xml" in names:
        _document(data, pieces)
        return _done(pieces, "Word", None)
    if "ppt/presentation.xml" in names:
        return _done(pieces, "PowerPoint", _presentation(data, pieces))
    if "xl/workbook.xml" in names:
        return _done(pieces, "Excel", _workbook(data, pieces))
    raise Unreadable("unknown" if "[Content_Types].xml" not in names else "broken")


def _done(pieces: Pieces, kind: str, pages: int | None) -> Extracted:
    text = pieces.text()
    if not text:
        raise Unreadable("no_text")
    return Extracted(text=text, kind=kind, pages=pages, is_cut=pieces.is_full)


def _document(data: bytes, pieces: Pieces) -> None:
    import docx
    from docx.table import Table

    for block in docx.Document(io.BytesIO(data)).iter_inner_content():
        if isinstance(block, Table):
            pieces.add(_table([cell.text for cell in row.cells] for row in block.rows))
        elif block.text.strip():
            pieces.add(f"{_mark(block.style.name if block.style else None)}{block.text.strip()}\n\n")
        if pieces.is_full:
            return


def _mark(style: str | None) -> str:
    """What Markdown writes before a paragraph of that style."""
    name = (style or "").lower()
    heading = _HEADING.match(name)
    if heading:
        return "#" * int(heading[1]) + " "
    return "# " if name == "title" else "- " if name.startswith("list") else ""


def _presentation(data: bytes, pieces: Pieces) -> int:
    import pptx

    slides = pptx.Presentation(io.BytesIO(data)).slides
    for number, slide in enumerate(slides, start=1):
        pieces.add(f"## Slide {number}\n\n")
        for text in _texts(slide.shapes, 0):
            pieces.add(text + "\n\n")
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            pieces.add(f"Notes: {notes}\n\n" if notes else "")
        if pieces.is_full:
            break
    return len(slides)


def _texts(shapes: Iterable[Any], depth: int) -> Iterator[str]:
    for shape in shapes:
        if getattr(shape, "shapes", None) is not None and depth < _MOST_NESTED:
            yield from _texts(shape.shapes, depth + 1)
        elif shape.has_text_frame and shape.text_frame.text.strip():
            yield shape.text_frame.text.strip()
        elif getattr(shape, "has_table", False):
            yield _table([cell.text for cell in row.cells] for row in shape.table.rows)


def _workbook(data: bytes, pieces: Pieces) -> int:
    openpyxl: Any = import_module("openpyxl")  # it has no types
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    for sheet in book.worksheets:
        pieces.add(f"## Sheet {sheet.title}\n\n")
        # What a sheet says of its own size is often wrong, and may be a million empty columns.
        sheet.reset_dimensions()
        for row in sheet.iter_rows(values_only=True):
            line = _line(row)
            pieces.add(line)
            if pieces.is_full:
                return len(book.worksheets)
        pieces.add("\n")
    return len(book.worksheets)


def _line(row: Iterable[Any]) -> str:
    values = ["" if value is None else str(value) for value in row]
    while values and not values[-1]:
        values.pop()
    if not values:
        return ""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    return written.getvalue()


def _table(rows: Iterable[list[str]]) -> str:
    lines = []
    for cells in rows:
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
        if len(lines) == 1:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines) + "\n\n" if lines else ""
