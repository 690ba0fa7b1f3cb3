"""What a file is, however it was cut or damaged: always an answer, never a crash."""

import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.editor.conversations.attachment_errors import FileTypeNotAccepted, FileUnreadable
from penstock.editor.conversations.file_formats import FORMATS, format_of
from penstock.editor.conversations.images import is_whole
from tests.editor.attaching import jpeg, png
from tests.gateway.inference.files import docx, pdf

WHOLE = [png(), jpeg(), pdf("a"), docx()[:3000], b"<!doctype html><p>", b"\xff\xfea\0", b"{\\rtf1", b"# Notes"]
SAID = st.sampled_from(["", "text/plain", "image/png", "application/pdf", "text/html; charset=x", "no type", "a/b"])
NAMES = st.sampled_from(["a.pdf", "a.docx", "a.png", "a.md", "a", "a.", "", ".txt", "a.html"])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(content), 100)))
        content[at : at + draw(st.integers(0, 30))] = draw(st.binary(max_size=6))
    return bytes(content)


@settings(max_examples=1500, deadline=None)
@given(damaged(), SAID, NAMES)
def test_a_damaged_file_has_a_format_or_is_refused(content: bytes, said: str, name: str) -> None:
    with suppress(FileTypeNotAccepted, FileUnreadable):
        assert format_of(content, (said, ""), name) in FORMATS.values()


@pytest.mark.parametrize("content", [png(), jpeg()], ids=["png", "jpeg"])
def test_no_beginning_of_a_picture_is_whole(content: bytes) -> None:
    assert is_whole(content)
    assert is_whole(content + b"what a camera leaves behind")
    assert [size for size in range(8, len(content)) if is_whole(content[:size])] == []


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA"])
@pytest.mark.parametrize("kind, options", [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True, "quality": 95})])
def test_pictures_of_another_library_are_whole_until_they_are_cut(
    mode: str, kind: str, options: dict[str, int]
) -> None:
    image = pytest.importorskip("PIL.Image")
    if (mode, kind) in {("RGBA", "JPEG"), ("CMYK", "PNG")}:
        mode = "RGB"
    written = io.BytesIO()
    image.effect_noise((300, 200), 50).convert(mode).save(written, kind, **options)
    content = written.getvalue()
    assert format_of(content, (), "picture").name == kind.lower()
    for cut in (30, len(content) // 2, len(content) - 3):
        assert not is_whole(content[:cut])
