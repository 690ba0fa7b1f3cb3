"""Files to text, in the process that reads them."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.gateway.inference.attachments.extracted import WHY, Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingBusy, ReadingLimits
from penstock.gateway.inference.attachments.html_text import read_html
from penstock.gateway.inference.attachments.kinds import Kind, kind_of
from tests.gateway.inference.files import docx, encrypted_pdf, pdf, pptx, with_member, xlsx, zipped

SLOW = b"<p>hello</p>" * 400_000


@pytest.fixture(scope="module")
def extraction() -> Extraction:
    return Extraction()


async def reason(extraction: Extraction, data: bytes, mime: str = "", name: str = "") -> str:
    with pytest.raises(Unreadable) as caught:
        await extraction.extract(data, mime=mime, name=name)
    assert caught.value.reason in WHY
    return caught.value.reason


async def test_a_pdf_gives_its_text_page_by_page(extraction: Extraction) -> None:
    found = await extraction.extract(pdf("First words", "", "Last words"))
    assert found.text == "[Page 1]\nFirst words\n\n[Page 3]\nLast words"
    assert (found.kind, found.pages, found.empty_pages, found.is_cut) == ("PDF", 3, 1, False)


async def test_a_word_file_keeps_headings_lists_and_tables(extraction: Extraction) -> None:
    found = await extraction.extract(docx())
    assert found.kind == "Word"
    assert found.text.startswith("# Plan\n\nGrüße from the plan.\n\n- first point\n\n| left | right\\|er |")


async def test_a_presentation_gives_slides_and_notes(extraction: Extraction) -> None:
    found = await extraction.extract(pptx())
    assert found.text == "## Slide 1\n\nQuarter\n\nNotes: say it slowly"
    assert (found.kind, found.pages) == ("PowerPoint", 1)


async def test_a_workbook_gives_its_sheets_as_csv(extraction: Extraction) -> None:
    found = await extraction.extract(xlsx())
    assert found.text == '## Sheet Costs\n\nwhat,"how, much"\npaper,12.5\n\n## Sheet Empty'
    assert (found.kind, found.pages) == ("Excel", 2)


async def test_a_page_gives_what_a_reader_sees(extraction: Extraction) -> None:
    page = b"""<html><head><title>On rivers</title><style>p{}</style><script>alert(1)</script></head>
      <body><h2>Fl&uuml;sse</h2><p>The   <b>Rhine</b><br>flows.</p><ul><li>one<li>two</ul>
      <table><tr><td>a</td><td>b</td></tr></table><noscript>hidden</noscript><img alt="a map" src=x></body>"""
    found = await extraction.extract(page, mime="text/html")
    assert found.text.startswith("# On rivers\n\n")
    for shown in ("## Flüsse", "The Rhine\nflows.", "- one", "- two", "| a", "[Image: a map]"):
        assert shown in found.text
    for hidden in ("alert", "p{}", "hidden"):
        assert hidden not in found.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("\ufeffGrüße".encode(), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße".encode("cp1252"), "Grüße"),
        (b"a\r\nb", "a\nb"),
    ],
)
async def test_plain_text_is_read_in_the_encoding_it_has_without_a_process(data: bytes, text: str) -> None:
    extraction = Extraction()
    assert (await extraction.extract(data, mime="text/plain")).text == text
    assert (await extraction.extract(data, name="notes.md")).text == text
    assert extraction.processes_started == 0


@pytest.mark.parametrize(
    ("data", "mime", "name", "expected"),
    [
        (encrypted_pdf(), "", "", "encrypted"),
        (pdf("", ""), "", "", "no_text"),
        (pdf("words")[:200], "", "", "broken"),
        (b"%PDF-1.7\n" + b"\xff" * 500, "", "", "broken"),
        (docx()[:-300], "", "", "broken"),
        (zipped(word__document=b"<not xml"), "", "", "broken"),
        (zipped(any__thing=b"hello"), "", "", "unknown"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "application/msword", "", "old_office"),
        (b"{\\rtf1 hello}", "application/rtf", "", "unknown"),
        (b"MZ\0\0\0\1", "application/octet-stream", "setup.exe", "unknown"),
        (b"no pdf at all", "application/pdf", "", "unknown"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "", "unknown"),
        (b"  \n", "text/plain", "", "no_text"),
        (b"<html><body></body></html>", "text/html", "", "no_text"),
        (b"", "", "", "no_text"),
    ],
)
async def test_what_gives_no_text_says_why(
    extraction: Extraction, data: bytes, mime: str, name: str, expected: str
) -> None:
    assert await reason(extraction, data, mime, name) == expected


@settings(max_examples=60)
@given(data=st.binary(max_size=200) | st.text("<>/!-&;ab titlescrp=\"'", max_size=200).map(str.encode))
def test_any_page_gives_text_or_a_reason(data: bytes) -> None:
    assert kind_of(data, "text/html", "") in get_args(Kind)
    try:
        outcome: str = read_html(data, 100).text
    except Unreadable as error:
        outcome = error.reason
    assert outcome
    assert "\0" not in outcome


async def test_a_bomb_of_zeros_is_refused_before_and_while_it_is_unpacked() -> None:
    small = Extraction(ReadingLimits(memory_bytes=300 * 1024 * 1024))
    assert await reason(small, zipped(word__document=b"\0" * (257 * 1024 * 1024))) == "too_large"
    paragraphs = b"<w:p/>" * 5_000_000
    xml = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>' + paragraphs
    large = with_member(docx(), "word/document.xml", xml + b"</w:body></w:document>")
    assert len(large) < 200_000
    assert await reason(small, large) == "too_large"


async def test_a_file_that_is_too_large_starts_no_process() -> None:
    extraction = Extraction(ReadingLimits(file_bytes=100))
    assert await reason(extraction, pdf("words")) == "too_large"
    assert extraction.processes_started == 0


async def test_what_takes_too_long_is_given_up_and_may_be_tried_again() -> None:
    extraction = Extraction(ReadingLimits(within_s=0.01))
    for started in (1, 2):
        assert await reason(extraction, pdf("words")) == "too_slow"
        assert extraction.processes_started == started


async def test_a_process_that_uses_up_its_time_is_ended() -> None:
    extraction = Extraction(ReadingLimits(cpu_s=1, file_bytes=100_000_000, text_chars=10**9, within_s=60))  # never full
    assert await reason(extraction, SLOW * 8, "text/html") == "too_slow"


async def test_more_text_than_is_wanted_is_cut_and_says_so() -> None:
    extraction = Extraction(ReadingLimits(text_chars=20))
    for data, mime in ((pdf("Many words on a page"), ""), (b"word " * 10, "text/plain"), (xlsx(), "")):
        found = await extraction.extract(data, mime=mime)
        assert found.is_cut
        assert len(found.text) <= 20


async def test_a_file_is_read_once_for_all_turns_and_so_is_a_refusal() -> None:
    extraction = Extraction()
    first = await extraction.extract(pdf("words"), name="a.pdf")
    assert await extraction.extract(pdf("words"), name="b.pdf") is first
    await reason(extraction, encrypted_pdf())
    await reason(extraction, encrypted_pdf())
    assert extraction.processes_started == 2


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    extraction = Extraction(ReadingLimits(kept_files=2))
    first, second, third = (pdf(word) for word in ("one", "two", "three"))
    for data in (first, second, first, third):
        await extraction.extract(data)
    assert extraction.processes_started == 3
    await extraction.extract(first)
    assert extraction.processes_started == 3
    await extraction.extract(second)
    assert extraction.processes_started == 4
    tiny = Extraction(ReadingLimits(kept_chars=5))
    await tiny.extract(pdf("longer than five"))
    await tiny.extract(pdf("longer than five"))
    assert tiny.processes_started == 2


async def test_only_so_many_files_wait_to_be_read() -> None:
    extraction = Extraction(ReadingLimits(at_a_time=1, waiting=2))
    outcomes = await asyncio.gather(
        *(extraction.extract(pdf(f"number {number}")) for number in range(4)), return_exceptions=True
    )
    busy = [one for one in outcomes if isinstance(one, ReadingBusy)]
    assert len(busy) == 2
    assert busy[0].retryable


async def test_the_reading_process_knows_nothing_of_the_service_and_ends_with_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROVIDERS", "sk-canary")
    before = set(_children())
    reading = asyncio.create_task(Extraction().extract(SLOW, mime="text/html"))
    process = await _first_new(before)
    environment = await _environment_of(process)
    assert b"sk-canary" not in environment
    assert b"PYTHONPATH" in environment
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not Path(f"/proc/{process}").exists()


def _children() -> Iterator[int]:
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        yield from (int(one) for one in (task / "children").read_text().split())


async def _first_new(before: set[int]) -> int:
    while not (found := set(_children()) - before):
        await asyncio.sleep(0.002)
    return found.pop()


async def _environment_of(process: int) -> bytes:
    """Once it runs its own program; until then it still looks like ours."""
    while b"attachments.child" not in Path(f"/proc/{process}/cmdline").read_bytes():
        await asyncio.sleep(0.002)
    return Path(f"/proc/{process}/environ").read_bytes()
