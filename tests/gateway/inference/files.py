"""Small files of every kind that a user may send, made for the tests."""

import io
import zipfile
from base64 import b64encode

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
PDF = "application/pdf"


def data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{b64encode(content).decode()}"


def pdf(*pages: str, trailer: str = "") -> bytes:
    """One page for each text; an empty text makes a page without any, as a scanner does."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 18 Tf 72 720 Td ({text}) Tj ET" if text else "0 0 10 10 re f"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = "%PDF-1.4\n", []
    for number, written in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{written}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{end}".encode("latin-1")


def encrypted_pdf() -> bytes:
    """Its password is not the empty one."""
    nonsense = "00" * 32
    return pdf(
        "hidden",
        trailer=f"/ID [<{'11' * 16}> <{'11' * 16}>] "
        f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{nonsense}> /U <{nonsense}> /P -4 >>",
    )


def docx() -> bytes:
    import docx as word

    document = word.Document()
    document.add_heading("Plan", 1)
    document.add_paragraph("Grüße from the plan.")
    document.add_paragraph("first point", style="List Bullet")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right|er"
    return _saved(document)


def pptx() -> bytes:
    import pptx as powerpoint

    presentation = powerpoint.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[0])
    slide.shapes.title.text = "Quarter"
    slide.notes_slide.notes_text_frame.text = "say it slowly"
    return _saved(presentation)


def xlsx() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Costs"
    sheet.append(["what", "how, much"])
    sheet.append(["paper", 12.5, None])
    book.create_sheet("Empty")
    return _saved(book)


def zipped(**members: bytes) -> bytes:
    """An archive; the first `__` of a name is its slash, and `xml` is added."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/", 1) + ".xml", content)
    return written.getvalue()


def with_member(archive: bytes, name: str, content: bytes) -> bytes:
    """`archive` with another content of one member."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.namelist():
            after.writestr(member, content if member == name else before.read(member))
    return written.getvalue()


def member_of(archive: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read(name)


def _saved(document: object) -> bytes:
    written = io.BytesIO()
    document.save(written)  # type: ignore[attr-defined]
    return written.getvalue()
