"""Web pages: fetched by ourselves or through a scraper, and every reason why not (T-25, W-24)."""

import gzip
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from penstock.editor.web.errors import NoWebAddress, WebPageTimedOut, WebPageUnreadable
from penstock.editor.web.pages import WebPage, WebPages
from penstock.errors import PenstockError
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingLimits
from penstock.http.faces import EDITOR
from tests.fakes.web_server import answering, as_json, hanging_up, moved, page, serving, silent
from tests.fakes.wire_server import CHUNKED_HEAD, Script, Wire, chunk, ok
from tests.gateway.inference.files import docx, encrypted_pdf, pdf

HERE = "http://127.0.0.1"
STORY = "".join(f"<p>Paragraph {number} tells of the river and of those who lived by it.</p>" for number in range(30))
ARTICLE = f"<article><h1>On rivers</h1>{STORY}</article>"
HTML = f"<html><head><title>Rivers</title></head><body><nav>menu</nav>{ARTICLE}</body></html>"


@pytest.fixture(scope="module")
def extraction() -> Extraction:
    return Extraction()


def pages(extraction: Extraction, **more: Any) -> WebPages:
    return WebPages(extraction=extraction, **{"allow": ("127.0.0.0/8",), "ports": None, "timeout_s": 10.0, **more})


async def read(extraction: Extraction, script: Script, **more: Any) -> WebPage:
    async with serving(script) as server:
        return await pages(extraction, **more).read(f"{HERE}:{server.port}/some/path?key=canary")


async def refusal(extraction: Extraction, script: Script, **more: Any) -> dict[str, Any]:
    """What the editor is answered."""
    with pytest.raises(PenstockError) as caught:
        await read(extraction, script, **more)
    return body_of(caught.value)


def body_of(error: PenstockError) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(EDITOR.body(error, "r"))
    assert "canary" not in str(body)
    return body


# --- fetched by ourselves


async def test_t25_a_page_is_read_for_what_is_readable_of_it(extraction: Extraction) -> None:
    async with serving(answering(page(HTML))) as server:
        found = await pages(extraction).read(f" {HERE}:{server.port}/a#b ")
        assert found.url == f"{HERE}:{server.port}/a"
        seen = server.requests[0]
    assert found.title == "Rivers"
    assert found.text.startswith("# On rivers")
    assert "Paragraph 29" in found.text
    assert "menu" not in found.text
    assert seen.header(b"accept-encoding") == b"identity"
    assert (seen.header(b"accept") or b"").startswith(b"text/html,")
    assert seen.header(b"cookie") is None


@pytest.mark.parametrize(
    ("answer", "title", "text"),
    [
        (page("# Rivers\n\nThey flow.", "text/markdown"), "Rivers", "# Rivers\n\nThey flow."),
        (page("intro\n\n# Rivers #\nx", "text/x-markdown; charset=utf-8"), "Rivers", "intro\n\n# Rivers #\nx"),
        (page("# no title here", "text/plain"), None, "# no title here"),
        (page("Grüße".encode("cp1252"), "text/plain; charset=iso-8859-1"), None, "Grüße"),
        (page("Grüße".encode("utf-16"), "text/plain"), None, "Grüße"),
        (page('{"a": 1}', "application/json"), None, '{"a": 1}'),
        (page('{"a": 1}', "application/ld+json"), None, '{"a": 1}'),
        (page("just text", ""), None, "just text"),
        (page("just text", "application/octet-stream"), None, "just text"),
        (page(pdf("First words"), "application/pdf"), None, "[Page 1]\nFirst words"),
        (page(pdf("First words"), "application/octet-stream"), None, "[Page 1]\nFirst words"),
        (page(pdf("First words"), "text/html"), None, "[Page 1]\nFirst words"),
        (page("<!doctype html><title>T</title><p>a short page", ""), "T", "a short page"),
        (page("<p>about %PDF-1.7 files", "text/html"), None, "about %PDF-1.7 files"),
        (page("<title>Ž</title><p>Žluť".encode("cp1250"), "text/html; charset='windows-1250'"), "Ž", "Žluť"),
        (page('<meta charset="koi8-r"><p>река'.encode("koi8-r"), "text/html"), None, "река"),
        (page("<p>日本語".encode("cp932"), "text/html; charset=Shift_JIS"), None, "日本語"),
        (page("<p>Grüße".encode("utf-16"), "text/html; charset=utf-8"), None, "Grüße"),
    ],
)
async def test_pages_are_read_as_what_they_are(
    extraction: Extraction, answer: bytes, title: str | None, text: str
) -> None:
    found = await read(extraction, answering(answer))
    assert found.title == title
    assert found.text.removeprefix(f"# {title}\n\n") == text.removeprefix(f"# {title}\n\n")


async def test_what_scripts_would_have_done_is_neither_run_nor_shown(extraction: Extraction) -> None:
    scripts = "<script>document.write('canary')</script><noscript>canary</noscript><style>canary{}</style>" * 2_000
    text = (await read(extraction, answering(page(scripts + HTML + scripts)))).text
    assert "Paragraph 29" in text
    assert "canary" not in text


async def test_a_page_that_is_nothing_but_script_says_so(extraction: Extraction) -> None:
    body = await refusal(
        extraction, answering(page("<html><body><div id=app></div><script>app()</script></body></html>"))
    )
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert body["message"] == f"The page at {HERE} holds no text."
    assert "scripts" in body["explanation"]


async def test_ten_megabytes_are_read_and_one_byte_more_is_refused(extraction: Extraction) -> None:
    limit = 10 * 1024 * 1024
    whole = ("<html><body><p>" + "water is wet and " * 700_000)[: limit - 20]
    assert "water is wet" in (await read(extraction, answering(page(whole.ljust(limit))))).text
    body = await refusal(extraction, answering(page("x" * (limit + 1), "text/plain")))
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert "larger than 10485760 bytes" in body["message"]


async def test_a_page_without_an_end_is_given_up_at_the_limit_of_its_size(extraction: Extraction) -> None:
    async def endless(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Type: text/html\r\n\r\n"))
        try:
            while True:
                await wire.send(chunk(b"<p>more" * 10_000))
        except ConnectionError:
            pass

    assert "larger than" in (await refusal(extraction, endless))["message"]


async def test_a_page_that_resists_its_reader_is_a_reason_and_not_a_crash() -> None:
    small = Extraction(ReadingLimits(memory_bytes=200 * 1024 * 1024, cpu_s=1, page_cpu_s=1))
    body = await refusal(small, answering(page("<div><b>" * 1_200_000 + "x")))
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert "cannot be read" in body["message"]


def compressed() -> bytes:
    """A megabyte of zeros in a thousand bytes."""
    return ok(gzip.compress(b"0" * 1_000_000), b"Content-Type: text/html", b"Content-Encoding: gzip")


async def lying_about_length(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 500\r\n\r\n<p>half")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        *(
            (answering(page("<p>No canary", status=status)), f"{HERE} answered with status {status[:3].decode()}.")
            for status in (b"404 Not Found", b"403 Forbidden", b"401 No", b"500 Oops", b"410 Gone")
        ),
        (answering(page("")), f"{HERE} gave an empty page."),
        (answering(page(" \n ", "text/plain")), f"{HERE} gave an empty page."),
        (answering(page("\0\0", "text/html")), f"The page at {HERE} holds no text."),
        (
            answering(page(b"\x89PNG\r\n\x1a\n00", "text/html")),
            f"{HERE} gave “image/png”, which is no page that can be read.",
        ),
        (answering(page(b"GIF89a", "image/gif")), f"{HERE} gave “image/gif”, which is no page that can be read."),
        (answering(page("a,b", "text/csv")), f"{HERE} gave “text/csv”, which is no page that can be read."),
        (answering(page("<rss/>", "application/rss+xml")), f"{HERE} gave “application/rss+xml”, which is no page"),
        (answering(page(docx(), "application/octet-stream")), f"{HERE} gave “application/zip”, which is no page"),
        (answering(page(b"\x00\x01\x02", "text/plain")), f"{HERE} gave “text/plain”, which is no page"),
        (answering(page(b"\x00\x01\x02", "")), f"{HERE} gave “binary data”, which is no page"),
        (answering(page(b"%PDF-1.7 broken", "application/pdf")), f"The PDF at {HERE} cannot be read: it is damaged"),
        (answering(page(encrypted_pdf(), "application/pdf")), f"The PDF at {HERE} cannot be read: it is protected"),
        (answering(compressed()), f"{HERE} sent its answer compressed"),
        (answering(b"SSH-2.0-OpenSSH\r\n\r\n"), f"{HERE} cannot be fetched: its answer is no HTTP"),
        (hanging_up, f"{HERE} cannot be fetched: the connection broke off."),
        (lying_about_length, f"{HERE} cannot be fetched: the connection broke off."),
    ],
)
async def test_w24_the_cause_is_in_the_message(extraction: Extraction, script: Script, message: str) -> None:
    body = await refusal(extraction, script)
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert body["message"].startswith(message)
    assert body["action"]


async def test_t25_a_page_that_does_not_come_in_time_is_a_504(extraction: Extraction) -> None:
    body = await refusal(extraction, silent, timeout_s=0.3)
    assert (body["statusCode"], body["code"]) == (504, "provider-timeout")
    assert body["message"] == f"{HERE} did not answer completely within 0.3 s."


async def test_nobody_there_no_such_host_and_no_trust_are_told_apart(extraction: Extraction) -> None:
    async with serving(silent) as server:
        port = server.port
    with pytest.raises(WebPageUnreadable, match="cannot be fetched: no connection"):
        await pages(extraction).read(f"{HERE}:{port}/")
    with pytest.raises(WebPageUnreadable, match=r"The host of http://nowhere\.invalid is not known\."):
        await pages(extraction).read("http://nowhere.invalid/x")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with serving(answering(page(HTML)), tls) as server:
        with pytest.raises(WebPageUnreadable, match="its certificate is not trusted"):
            await pages(extraction).read(f"https://127.0.0.1:{server.port}/")
        server.errors.clear()


NO_WEB_ADDRESSES = """
    x /page ftp://a.example/ file:///etc/passwd javascript:alert(1) data:text/html,x http:// https:///x
    http://[broken/ http://a.example:99999/ gopher://a
"""


@pytest.mark.parametrize("url", [*NO_WEB_ADDRESSES.split(), "", "\0"])
async def test_what_is_no_web_address_is_a_400(extraction: Extraction, url: str) -> None:
    for reader in (pages(extraction), pages(extraction, endpoint="http://127.0.0.1:1/", allow_private=True)):
        with pytest.raises(NoWebAddress) as caught:
            await reader.read(url)
    assert body_of(caught.value)["statusCode"] == 400
    assert body_of(caught.value)["code"] == "invalid-request-data"


# --- the guard


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "192.168.0.1"])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1/"])
async def test_addresses_of_private_networks_are_refused_with_or_without_a_scraper(
    extraction: Extraction, host: str, endpoint: str | None
) -> None:
    reader = WebPages(extraction=extraction, endpoint=endpoint)
    with pytest.raises(WebPageUnreadable) as caught:
        await reader.read(f"http://{host}/latest/canary")
    body = body_of(caught.value)
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert body["message"] == f"http://{host.strip('[]')} is not fetched: it leads into a network that is not public."
    assert "WEBRESOURCES_ALLOW_PRIVATE" in body["explanation"]


@pytest.mark.parametrize(
    "to", ["http://10.1.2.3/", "http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd"]
)
async def test_a_redirect_into_a_private_network_is_refused(extraction: Extraction, to: str) -> None:
    body = await refusal(extraction, answering(moved(to)))
    assert body["statusCode"] == 422
    assert "is not fetched" in body["message"]


async def test_a_redirect_is_followed_to_the_page_that_is_kept(extraction: Extraction) -> None:
    async with serving(answering(moved("/there"), page(HTML))) as server:
        found = await pages(extraction).read(f"{HERE}:{server.port}/here")
        assert found.url == f"{HERE}:{server.port}/there"


async def test_redirects_without_end_are_given_up(extraction: Extraction) -> None:
    assert "redirects more than" in (await refusal(extraction, answering(moved("/again"))))["message"]


async def test_private_networks_are_open_when_the_operator_says_so_but_for_metadata(extraction: Extraction) -> None:
    found = await read(extraction, answering(page(HTML)), allow=(), allow_private=True)
    assert found.title == "Rivers"
    reader = pages(extraction, allow=(), allow_private=True)
    for address in ("http://169.254.169.254/latest/", "http://[fd00:ec2::254]/"):
        with pytest.raises(WebPageUnreadable):
            await reader.read(address)


# --- through a scraper

PUBLIC = "https://pages.example/article?key=canary"


async def public(host: str, port: int) -> Sequence[str]:
    return ("93.184.215.14",)


@asynccontextmanager
async def scraping(extraction: Extraction, script: Script, **more: Any) -> AsyncIterator[tuple[WebPages, Any]]:
    async with serving(script) as server:
        given: dict[str, Any] = {"resolve": public, "timeout_s": 10.0, **more}
        endpoint = f"{HERE}:{server.port}/scrape"
        reader = WebPages(extraction=extraction, endpoint=endpoint, headers=[("X-Key", "k")], **given)
        yield reader, server
        await reader.aclose()


async def test_t25_a_scraper_is_asked_for_the_page_and_may_answer_with_html(extraction: Extraction) -> None:
    async with scraping(extraction, answering(as_json({"type": "text/html", "data": HTML}))) as (reader, server):
        found = await reader.read(PUBLIC)
        assert json.loads(server.requests[0].body) == {"url": PUBLIC}
        assert server.requests[0].header(b"x-key") == b"k"
    assert (found.url, found.title) == (PUBLIC, "Rivers")
    assert found.text.startswith("# On rivers")


async def test_t25_a_scraper_may_answer_with_markdown(extraction: Extraction) -> None:
    data = "# Rivers\n\nThey \ud83d\0flow. "
    async with scraping(extraction, answering(as_json({"type": "text/markdown; charset=utf-8", "data": data}))) as (
        reader,
        _,
    ):
        assert await reader.read(PUBLIC) == WebPage(PUBLIC, "Rivers", "# Rivers\n\nThey ?flow.")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (answering(as_json({"type": "application/pdf", "data": "canary"})), "type “application/pdf” cannot be read"),
        (answering(as_json({"type": "text/plain", "data": "canary"})), "type “text/plain” cannot be read"),
        (answering(as_json({"type": "text/html", "data": ""})), "without any content"),
        (answering(as_json({"type": "text/html", "data": " \n"})), "without any content"),
        (answering(as_json({"type": "text/html", "data": {"canary": 1}})), "without any content"),
        (answering(as_json({"type": "text/html"})), "without any content"),
        (answering(as_json({"data": "canary"})), "without the `type`"),
        (answering(as_json(["canary"])), "without the `type`"),
        (answering(as_json({"type": "text/html", "data": "<script>canary</script>"})), "holds no text"),
        (answering(as_json({"type": "text/html", "data": "x" * 10_500_000})), "more than 10485760 characters"),
        (answering(ok(b"x" * 21_000_000)), "more than 20971520 bytes"),
        (answering(ok(b"<html>canary")), "no JSON"),
        (answering(as_json({"error": "canary"}, b"500 Oops")), "answered with status 500"),
        (answering(as_json({"error": "canary"}, b"404 Not Found")), "answered with status 404"),
        (hanging_up, "broke off the connection"),
    ],
)
async def test_t25_whatever_else_a_scraper_answers_is_a_422_with_its_cause(
    extraction: Extraction, script: Script, says: str
) -> None:
    async with scraping(extraction, script) as (reader, _):
        with pytest.raises(WebPageUnreadable) as caught:
            await reader.read(PUBLIC)
    body = body_of(caught.value)
    assert (body["statusCode"], body["code"]) == (422, "web-resource-download-error")
    assert says in body["message"]


async def test_t25_a_scraper_that_does_not_answer_in_time_is_a_504_and_a_line_in_the_log(
    extraction: Extraction,
) -> None:
    with capture_logs() as lines:
        async with scraping(extraction, silent, timeout_s=0.3) as (reader, _):
            with pytest.raises(WebPageTimedOut) as caught:
                await reader.read(PUBLIC)
    assert (body_of(caught.value)["statusCode"], body_of(caught.value)["code"]) == (504, "provider-timeout")
    assert [line["event"] for line in lines] == ["Web page request failed"]
    assert "canary" not in str(lines)


async def test_a_host_that_only_the_scraper_knows_needs_the_operators_word(extraction: Extraction) -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    script = answering(as_json({"type": "text/markdown", "data": "Hi"}))
    async with scraping(extraction, script, resolve=unknown) as (reader, server):
        with pytest.raises(WebPageUnreadable, match="is not known"):
            await reader.read(PUBLIC)
        assert server.requests == []
    async with scraping(extraction, script, resolve=unknown, allow_private=True) as (reader, _):
        assert (await reader.read(PUBLIC)).text == "Hi"
