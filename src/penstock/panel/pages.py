"""How a page of the panel leaves: templates, headers, refusals that people can read. Jinja is loaded with the first."""

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from penstock import __version__
from penstock.errors import PenstockError
from penstock.http.incoming import incoming_of
from penstock.http.routes import invalid
from penstock.kit.clock import iso
from penstock.panel.assets import address_of
from penstock.panel.errors import AddressNotAllowed, FromElsewhere, NotSignedIn

if TYPE_CHECKING:
    from jinja2 import Environment

SIGN_IN = "/panel/sign-in"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """Renders what its page refuses, in place of the JSON that programs get."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _refusal(request, invalid(error.errors()))
            except PenstockError as error:
                return _refusal(request, error)

        return page


def render(request: Request, template: str, status: int = 200, **about: Any) -> Response:
    """`about` holds `operator` and `form_token` where somebody is signed in (`Desk.show` adds them)."""
    text = _templates().get_template(template).render(path=request.url.path, version=__version__, **about)
    return Response(text, status, HEADERS, "text/html; charset=utf-8")


def go(request: Request, path: str) -> Response:
    """On to another page, also for a request that htmx made."""
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={**HEADERS, "HX-Redirect": path})
    return RedirectResponse(path, 303, HEADERS)


def wants_part(request: Request) -> bool:
    """htmx asked for something to put into the page it is on."""
    return "hx-request" in request.headers


def _refusal(request: Request, error: PenstockError) -> Response:
    if isinstance(error, NotSignedIn):
        return go(request, SIGN_IN)
    incoming = incoming_of(request.scope)
    incoming.outcome = "error"
    # To strangers no page is shown that they could find their way by.
    is_outside = isinstance(error, AddressNotAllowed | FromElsewhere)
    template = "_refusal_part.html" if wants_part(request) else "refusal.html"
    page = render(request, template, error.status, error=error, request_id=incoming.id, is_outside=is_outside)
    if error.retry_after_s is not None:
        page.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return page


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("penstock.panel"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals["asset"] = address_of
    templates.filters |= {"instant": _instant, "ago": _ago, "number": _number, "size": _size, "pieces": _pieces}
    return templates


def _pieces(text: str) -> list[str]:
    """Our sentences name things in `backticks`: every second piece is such a name."""
    return re.split(r"`([^`]+)`", text)


def _instant(moment: datetime) -> str:
    return iso(moment)


def _ago(moment: datetime) -> str:
    """`3 minutes ago`; the exact instant stands beside it, for machines and for pointing at."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def _number(value: int) -> str:
    return f"{value:,}"


def _size(size_bytes: int) -> str:
    unit, length = ("MiB", 1_048_576) if size_bytes >= 1_048_576 else ("KiB", 1024)
    return f"{size_bytes / length:.1f}".removesuffix(".0") + f" {unit}"
