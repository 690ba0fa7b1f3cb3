"""Web pages as text: through the operator's scraper where there is one, else fetched by ourselves (10.2).

Either way the page's address passes the guard first: the scraper fetches, but this service decides.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from penstock.editor.web.contents import ACCEPT, Content, charset_of, content_of, title_of_markdown
from penstock.editor.web.errors import NoWebAddress, TooManyPagesAtATime, WebPageTimedOut, WebPageUnreadable
from penstock.editor.web.scraper import Scraper
from penstock.gateway.inference.attachments.charsets import decoded_as
from penstock.gateway.inference.attachments.extracted import WHY, Extracted, Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction, ReadingBusy
from penstock.http.outbound import (
    WEB_PORTS,
    AddressRefused,
    Fetched,
    FetchFailed,
    FetchTimedOut,
    Outbound,
    Resolve,
    shown,
)

_MOST_BYTES: Final = 10 * 1024 * 1024
_INSTEAD: Final = "Attach the page as a file, or copy its text."
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")


class WebPage(msgspec.Struct, frozen=True):
    """`url` is where the last redirect led. `text` is Markdown, or plain text, and never empty."""

    url: str
    title: str | None
    text: str


class WebPages:
    """`endpoint` None: pages are fetched by this service, which runs no scripts.

    `allow` opens private networks to users' addresses by CIDR, `allow_private` all of them on any port. The endpoint
    itself is the operator's and may be anywhere. `ports` None: any. `timeout_s` is for fetching; reading has its own
    limits.
    """

    def __init__(
        self,
        *,
        extraction: Extraction,
        allow: Iterable[str] = (),
        allow_private: bool = False,
        endpoint: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        timeout_s: float = 30.0,
        ports: frozenset[int] | None = WEB_PORTS,
        resolve: Resolve | None = None,
        ca_file: str | None = None,
    ) -> None:
        self._extraction = extraction
        self._timeout_s = timeout_s
        self._allows_private = allow_private
        self._outbound = Outbound(
            allow=_EVERYWHERE if allow_private else allow,
            ports=None if allow_private else ports,
            resolve=resolve,
            ca_file=ca_file,
        )
        self._scraper = (
            Scraper(endpoint, headers=headers, timeout_s=timeout_s, max_chars=_MOST_BYTES) if endpoint else None
        )

    async def read(self, url: str) -> WebPage:
        """Raises NoWebAddress, WebPageUnreadable, WebPageTimedOut, TooManyPagesAtATime."""
        url = url.strip()
        _check_scheme(url)
        try:
            return await (self._fetch(url) if self._scraper is None else self._scrape(self._scraper, url))
        except AddressRefused as error:
            raise _blocked(error) from error
        except FetchTimedOut as error:
            raise WebPageTimedOut(shown(url), self._timeout_s) from error
        except FetchFailed as error:
            action = error.action or _INSTEAD
            raise WebPageUnreadable(error.message, explanation=error.explanation, action=action) from error
        except ReadingBusy as error:
            raise TooManyPagesAtATime from error

    async def aclose(self) -> None:
        if self._scraper is not None:
            await self._scraper.aclose()

    # --- by the scraper -----------------------------------------------------------------------------------------------

    async def _scrape(self, scraper: Scraper, url: str) -> WebPage:
        await self._check_address(url)
        scraped = await scraper.read(url)
        if scraped.kind == "text/markdown":
            return WebPage(url, title_of_markdown(scraped.data), scraped.data.strip())
        return _page(url, await self._readable(url, scraped.data.encode(), "utf-8"))

    async def _check_address(self, url: str) -> None:
        """A host that only the scraper can resolve passes where private networks are open, and nowhere else."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._outbound.check(url)
        except TimeoutError as error:
            raise WebPageTimedOut(f"The name service, asked for {shown(url)},", self._timeout_s) from error
        except FetchFailed:
            if not self._allows_private:
                raise

    # --- by ourselves -------------------------------------------------------------------------------------------------

    async def _fetch(self, url: str) -> WebPage:
        fetched = await self._outbound.fetch(url, max_bytes=_MOST_BYTES, within_s=self._timeout_s, accept=ACCEPT)
        if not fetched.body.strip():
            raise WebPageUnreadable(f"{shown(url)} gave an empty page.", action="Check the address.")
        return await self._read(fetched, content_of(fetched))

    async def _read(self, fetched: Fetched, content: Content) -> WebPage:
        charset = charset_of(fetched.content_type)
        match content.kind:
            case "page":
                return _page(fetched.url, await self._readable(fetched.url, fetched.body, charset))
            case "pdf":
                return _page(fetched.url, await self._pdf(fetched))
            case "text" | "markdown":
                text = (await asyncio.to_thread(decoded_as, fetched.body, charset)).strip()
                title = title_of_markdown(text) if content.kind == "markdown" else None
                return WebPage(fetched.url, title, _some(fetched.url, text))
            case "other":
                raise WebPageUnreadable(
                    f"{shown(fetched.url)} gave “{content.name}”, which is no page that can be read.",
                    explanation="HTML pages, plain text, Markdown, JSON and PDF are read.",
                    action="Attach it as a file, or use the address of a page.",
                )

    async def _readable(self, url: str, data: bytes, charset: str) -> Extracted:
        try:
            return await self._extraction.extract_page(data, charset=charset)
        except Unreadable as error:
            if error.reason == "no_text":
                raise _without_text(url) from error
            raise _unreadable(url, "page", error) from error

    async def _pdf(self, fetched: Fetched) -> Extracted:
        try:
            return await self._extraction.extract(fetched.body, mime="application/pdf")
        except Unreadable as error:
            raise _unreadable(fetched.url, "PDF", error) from error


def _check_scheme(url: str) -> None:
    from yarl import URL

    try:
        parsed = URL(url)
    except (ValueError, TypeError) as error:
        raise NoWebAddress from error
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise NoWebAddress


def _page(url: str, extracted: Extracted) -> WebPage:
    return WebPage(url, extracted.title, extracted.text)


def _some(url: str, text: str) -> str:
    if not text:
        raise _without_text(url)
    return text


def _blocked(error: AddressRefused) -> WebPageUnreadable:
    why = f": {error.explanation[:1].lower()}{error.explanation[1:]}" if error.explanation else "."
    return WebPageUnreadable(
        error.message.removesuffix(".") + why,
        explanation="This service fetches pages of the public web only, unless its operator allows more "
        "(OUTBOUND_ALLOW, WEBRESOURCES_ALLOW_PRIVATE).",
        action="Use a public address, or attach the page as a file.",
    )


def _without_text(url: str) -> WebPageUnreadable:
    return WebPageUnreadable(
        f"The page at {shown(url)} holds no text.",
        explanation="It may be put together by scripts in the browser, which are not run here.",
        action=_INSTEAD,
    )


def _unreadable(url: str, what: str, error: Unreadable) -> WebPageUnreadable:
    why, _ = WHY[error.reason]
    return WebPageUnreadable(f"The {what} at {shown(url)} cannot be read: {why}.", action=_INSTEAD)
