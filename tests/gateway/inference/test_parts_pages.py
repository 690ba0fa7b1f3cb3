"""Web pages to text: the readable part, in whatever encoding, whatever the page does against it."""

import asyncio

import pytest

from penstock.gateway.inference.attachments.charsets import codec_of, decoded_as
from penstock.gateway.inference.attachments.extracted import Extracted, Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingLimits

STORY = "".join(
    f"<p>Paragraph {number} tells of the river, its <b>mills</b> and the people who kept them for {number} years.</p>"
    for number in range(20)
)
PAGE = f"""<!doctype html><html><head><title>On
    rivers &amp; mills</title><style>p{{}}</style><script>alert("canary")</script></head><body>
    <nav><ul><li><a href="/">Home</a><li><a href="/shop">Shop canary</a></ul></nav>
    <main><article><h1>Rivers</h1>{STORY}<h2>Costs</h2><table><tr><th>what</th><th>price</th></tr>
    <tr><td>wheel</td><td>12</td></tr></table><script>document.write("canary")</script></article></main>
    <footer><a href="/legal">Legal canary</a></footer></body></html>"""


@pytest.fixture(scope="module")
def extraction() -> Extraction:
    return Extraction()


async def test_the_readable_part_of_a_page_is_given_as_markdown_with_its_title(extraction: Extraction) -> None:
    found = await extraction.extract_page(PAGE.encode())
    assert (found.title, found.kind, found.is_cut) == ("On rivers & mills", "HTML", False)
    assert "# Rivers" in found.text
    assert "its **mills** and" in found.text
    assert "| wheel | 12 |" in found.text
    assert "canary" not in found.text


async def test_a_page_without_a_readable_part_is_given_as_a_whole(extraction: Extraction) -> None:
    deep = b"<title>Deep</title>" + b"<div>" * 20_000 + b"found at the bottom"
    found = await extraction.extract_page(deep)
    assert found.text.endswith("found at the bottom")
    assert found.title == "Deep"


async def test_the_same_page_is_read_once_and_another_encoding_is_another_reading(extraction: Extraction) -> None:
    page = b"<title>x</title><p>Gr\xfc\xdfe an alle, die das hier lesen</p>"
    before = extraction.processes_started
    for charset in ("latin1", "latin1", "iso-8859-5"):
        await extraction.extract_page(page, charset=charset)
    assert extraction.processes_started == before + 2


@pytest.mark.parametrize("page", [b"", b" \n ", b"<html><body></body></html>", b"<script>let a = 'canary'</script>"])
async def test_a_page_without_text_has_none(extraction: Extraction, page: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        await extraction.extract_page(page)
    assert caught.value.reason == "no_text"


HOSTILE = {
    "nesting": b"<div><b><ul><li>" * 600_000 + b"end",
    "tables": b"<table><tr><td>" * 600_000 + b"end",
    "attributes": b"<p " + b" ".join(b"a%d=x" % number for number in range(900_000)) + b">end</p>",
    "entities": b"<p>" + b"&amp;&#x41;" * 900_000,
    "elements": b"<p>end</p>" * 1_000_000,
    "comments": b"<!--" * 2_000_000 + b"-->end",
    "declarations": b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>" + b"<p>&b;</p>" * 500_000,
    "one word": b"<p>" + b"x" * 10_000_000,
    "scripts": b"<p>end</p>" + b"<script>if (a</b) { '<p>' }</script>" * 200_000,
    "open tags": b"<" * 10_000_000,
    "zeros": b"\0" * 10_000_000 + b"<p>end",
    "bytes": bytes(range(256)) * 40_000,
    "title": b"<title>" + b"x " * 5_000_000,
    "meta": b"<meta " * 1_700_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_ten_megabytes_that_mean_harm_end_in_text_or_in_a_reason(kind: str) -> None:
    extraction = Extraction(ReadingLimits(page_cpu_s=1, cpu_s=3, memory_bytes=600 * 1024 * 1024))
    outcome = await asyncio.gather(extraction.extract_page(HOSTILE[kind]), return_exceptions=True)
    match outcome[0]:
        case Unreadable(reason=reason):
            assert reason in ("no_text", "too_large", "too_slow", "broken")
        case found:
            assert isinstance(found, Extracted)
            assert 0 < len(found.text) <= 2_000_000
            assert len(found.title or "") <= 300


async def test_a_page_that_crashes_or_outlasts_the_reader_is_read_as_a_whole() -> None:
    many_attributes = b"<p " + b" ".join(b"a%d=x" % number for number in range(300_000)) + b">end of it</p>"
    extraction = Extraction(ReadingLimits(page_cpu_s=1))
    found = await extraction.extract_page(b"<title>T</title>" + many_attributes)
    assert (found.text, found.title) == ("# T\n\nend of it", "T")
    assert extraction.processes_started == 2


GREETING = "Grüße, Žofie"
JAPANESE = "日本語のページです"


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (GREETING.encode(), "utf-8", GREETING),
        (GREETING.encode(), "", GREETING),
        ("\ufeff".encode() + GREETING.encode(), "iso-8859-1", GREETING),
        (GREETING.encode("utf-16"), "", GREETING),
        (GREETING.encode("utf-16"), "utf-8", GREETING),
        (GREETING.encode("cp1250"), "Windows-1250", GREETING),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        (b"\x93quoted\x94", "us-ascii", "“quoted”"),
        (b"\x93quoted\x94", "", "“quoted”"),
        (JAPANESE.encode("cp932"), "x-sjis", JAPANESE),
        (JAPANESE.encode("euc_jp"), "EUC-JP", JAPANESE),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE),
        ("中文€".encode("gb18030"), "gb2312", "中文€"),
        ("中文".encode("big5"), "big5", "中文"),
        ("한국어".encode("cp949"), "ks_c_5601-1987", "한국어"),
        ("русский".encode("koi8-r"), "koi8-r", "русский"),
        ("русский".encode("cp1251"), " windows-1251 ", "русский"),
        ("ไทย".encode("cp874"), "tis-620", "ไทย"),
        (GREETING.encode(), "no-such-charset", GREETING),
        (b"a\0b\r\nc", "utf-8", "ab\nc"),
        (b"\xff\xfe\xfa", "", "\ufffd"),
    ],
)
def test_bytes_are_read_in_the_encoding_that_was_stated(data: bytes, charset: str, text: str) -> None:
    assert decoded_as(data, charset) == text


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ('<meta charset="windows-1251">', "cp1251"),
        ("<META http-equiv=Content-Type content='text/html; charset=windows-1251'>", "cp1251"),
        ('<?xml version="1.0" encoding="windows-1251"?>', "cp1251"),
        ('<meta name="x"><meta charset=utf-16>', "utf-8"),
        ('<meta charset="unicode_escape">', "utf-8"),
    ],
)
def test_a_page_says_its_encoding_and_its_server_knows_better(head: str, codec: str) -> None:
    page = head + "<p>русский</p>"
    assert "русский" in decoded_as(page.encode(codec), "", is_html=True)
    assert "русский" in decoded_as(page.encode("utf-8"), "utf-8", is_html=True)


NOT_OF_THE_WEB = "punycode idna unicode_escape raw_unicode_escape utf-7 zlib rot13 hex undefined mbcs os ../../x"


@pytest.mark.parametrize("label", [*NOT_OF_THE_WEB.split(), "", "x" * 100, "utf 8\n", "\ud800"])
def test_codecs_that_are_no_encodings_of_the_web_are_not_used(label: str) -> None:
    assert codec_of(label) is None
