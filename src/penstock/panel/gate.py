"""In front of every path of the panel and of the management API: from where, by whom, and from which page."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from penstock.errors import PenstockError, Unauthenticated
from penstock.http.incoming import incoming_of
from penstock.kit.crypto import same
from penstock.panel.addresses import may_enter, visitors
from penstock.panel.attempts import Attempts
from penstock.panel.audit import audit
from penstock.panel.base import PanelServices
from penstock.panel.errors import (
    AddressNotAllowed,
    FormExpired,
    FromElsewhere,
    NoManagementSecret,
    NotSignedIn,
    WrongManagementSecret,
)
from penstock.panel.sessions import COOKIE, Session, Sessions

FORM_FIELD = "form_token"
FORM_HEADER = "x-form-token"
_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Operator:
    """Whoever was let in. `session` None: by the management secret itself, as scripts are."""

    address: str
    session: Session | None = None

    @property
    def name(self) -> str:
        return f"session {self.session.id}" if self.session else "management secret"

    def changed(self, request: Request, what: str, **about: str | None) -> None:
        audit(request, self.name, what, self.address, **about)


class Gate:
    def __init__(self, services: PanelServices) -> None:
        self._identity = services.identity
        self._secret = services.management_secret
        self._allowed, self._trusted = services.allowed, services.trusted_proxies
        self._external = urlsplit(services.external_endpoint or "")
        self.attempts = Attempts(services.coordination.counters, services.clock)
        self.sessions = Sessions(self._secret, services.coordination.cache, services.clock)

    @property
    def is_locked(self) -> bool:
        """There is no management secret, so nobody can come in."""
        return self._secret is None

    # Dependencies

    async def from_here(self, request: Request) -> None:
        """Raises AddressNotAllowed."""
        addresses = self._addresses(request)
        if not may_enter(addresses, self._allowed):
            raise AddressNotAllowed(addresses)

    async def own_pages(self, request: Request) -> None:
        """Raises FromElsewhere for what another origin's script or form sent: cookies of neighbours come along."""
        if not self._is_own(request):
            raise FromElsewhere

    async def signed_in(self, request: Request) -> Operator:
        """Raises NotSignedIn."""
        session = await self.sessions.find(request.cookies.get(COOKIE))
        if session is None:
            raise NotSignedIn
        return Operator(self.address(request), session)

    async def form(self, request: Request) -> Operator:
        """For what changes something from a page. Raises NotSignedIn, FormExpired."""
        operator = await self.signed_in(request)
        assert operator.session is not None
        token = request.headers.get(FORM_HEADER) or str((await request.form()).get(FORM_FIELD, ""))
        if not self.sessions.owns_form(operator.session, token):
            raise FormExpired
        return operator

    async def operator(self, request: Request) -> Operator:
        """By session or by the management secret as bearer. Raises NotSignedIn and what `recognise` raises."""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return await self.signed_in(request)
        await self.recognise(request, credential.strip())
        return Operator(self.address(request))

    # Recognising

    async def recognise(self, request: Request, secret: str) -> None:
        """Raises NoManagementSecret, WrongManagementSecret, TooManyAttempts."""
        if self._secret is None:
            raise NoManagementSecret
        is_right = same(_digest(secret), _digest(self._secret.reveal()))
        try:
            await self.attempts.judge(self.address(request), is_right=is_right)
        except PenstockError as error:
            audit(request, "nobody", "sign-in refused", self.address(request), reason=error.code)
            raise

    async def admit(self, request: Request, permission: str) -> None:
        """Beside the panel, an API key with `permission` is as good as the management secret.

        Wrong ones count as wrong attempts here too. Raises TooManyAttempts and what `Identity.require_operator` raises.
        """
        incoming = incoming_of(request.scope)
        try:
            await self._identity.require_operator(incoming.authorization, incoming.x_api_key, permission)
        except Unauthenticated:
            if incoming.authorization is not None or incoming.x_api_key is not None:
                with suppress(WrongManagementSecret):
                    await self.attempts.judge(self.address(request), is_right=False)
            raise
        await self.attempts.judge(self.address(request), is_right=True)

    def address(self, request: Request) -> str:
        return self._addresses(request)[0]

    def is_https(self, request: Request) -> bool:
        """Whether the browser came by TLS. A header that lies about it can only keep a cookie from being sent."""
        forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return "https" in (self._external.scheme, forwarded, request.url.scheme)

    def _addresses(self, request: Request) -> tuple[str, ...]:
        peer = request.client.host if request.client else None
        return visitors(peer, request.headers.getlist("x-forwarded-for"), self._trusted)

    def _is_own(self, request: Request) -> bool:
        """By the browser's own word, which no page can change; browsers without it still send `Origin`."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            is_link = request.headers.get("sec-fetch-mode") == "navigate" and request.method in _SAFE
            return site in ("same-origin", "none") or is_link
        origin = request.headers.get("origin")
        return origin is None or urlsplit(origin).netloc in {request.headers.get("host"), self._external.netloc} - {""}


def _digest(text: str) -> bytes:
    """Of equal length whatever was sent, so that comparing them tells nothing."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
