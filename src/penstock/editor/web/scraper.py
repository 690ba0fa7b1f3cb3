"""The scraper that the operator has configured: what it is asked, and what its answer must be (10.2)."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from penstock.editor.web.errors import WebPageTimedOut, WebPageUnreadable
from penstock.http.endpoint import Endpoint, EndpointFailed
from penstock.telemetry.logs import log

_WHO: Final = "The service that reads web pages"
_LATER: Final = (
    "Try again later, or attach the page as a file. If it stays so, the operator has to look at the service."
)


class Scraped(msgspec.Struct, frozen=True):
    kind: Literal["text/html", "text/markdown"]
    data: str


class Scraper:
    def __init__(self, endpoint: str, *, headers: Sequence[tuple[str, str]], timeout_s: float, max_chars: int) -> None:
        self._timeout_s = timeout_s
        self._max_chars = max_chars
        # Room for what JSON escapes.
        self._endpoint = Endpoint(endpoint, headers=headers, timeout_s=timeout_s, max_bytes=2 * max_chars)

    async def read(self, url: str) -> Scraped:
        """Raises WebPageUnreadable, WebPageTimedOut."""
        try:
            answer = await self._endpoint.ask({"url": url})
        except EndpointFailed as error:
            log.warning("Web page request failed", reason=error.reason, status=error.status)
            if error.timed_out:
                raise WebPageTimedOut(_WHO, self._timeout_s) from error
            raise _failed(error.reason) from error
        return self._understood(answer if isinstance(answer, dict) else {})

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    def _understood(self, answer: dict[str, Any]) -> Scraped:
        kind, data = answer.get("type"), answer.get("data")
        mime = kind.partition(";")[0].strip().lower() if isinstance(kind, str) else None
        if mime is None:
            raise _failed("answered without the `type` of the page")
        if not isinstance(data, str) or not data.strip():
            raise _failed("answered without any content of the page")
        if len(data) > self._max_chars:
            raise _failed(f"answered with more than {self._max_chars} characters")
        clean = data.encode("utf-8", "replace").decode().replace("\0", "")
        match mime:
            case "text/html" | "text/markdown":
                return Scraped(mime, clean)
            case _:
                raise WebPageUnreadable(
                    f"A page of the type “{_shown(mime)}” cannot be read.",
                    explanation=f"{_WHO} may answer with text/html and text/markdown only.",
                    action="Attach it as a file, or use the address of a page.",
                )


def _failed(reason: str) -> WebPageUnreadable:
    return WebPageUnreadable(f"{_WHO} {reason}.", explanation="The page could not be fetched.", action=_LATER)


def _shown(mime: str) -> str:
    return "".join(sign for sign in mime if sign.isprintable())[:100]
