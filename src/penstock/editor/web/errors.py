"""Why a web page cannot be attached. The editor shows `message` alone (17.9), so it holds the cause (W-24)."""

from typing import ClassVar

from penstock.errors import InvalidRequest, LimitReached, PenstockError, Unprocessable


class NoWebAddress(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(
            "This is not the address of a web page.",
            explanation="Only http and https addresses with a host are read.",
            action="Use an address such as https://example.com/page.",
            param="url",
        )


class WebPageUnreadable(Unprocessable):
    """One code for every cause, as clients know it (`spec/editor-api.md` 2.7)."""

    code: ClassVar[str] = "web_resource_download_error"


class WebPageTimedOut(PenstockError):
    """No provider of models: the editor expects 504 here, and 502 from those (2.4.1)."""

    status: ClassVar[int] = 504
    code: ClassVar[str] = "provider_timeout"
    retryable: ClassVar[bool] = True

    def __init__(self, who: str, timeout_s: float) -> None:
        super().__init__(
            f"{who} did not answer completely within {timeout_s:g} s.",
            explanation="Reading a web page may take as long as WEBRESOURCES_REQUEST_TIMEOUT says.",
            action="Try again, or attach the page as a file.",
        )


class TooManyPagesAtATime(LimitReached):
    def __init__(self) -> None:
        super().__init__(
            "Too many files and pages are being read at present.", action="Try again in a moment.", retry_after_s=5
        )
