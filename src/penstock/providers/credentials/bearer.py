"""An identity that is shown with a token in a header: Google's and Entra's."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from penstock.errors import UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.credentials.expiring import Expiring, Fetched
from penstock.providers.credentials.token_endpoints import TokenRefused
from penstock.providers.transport.base import Header, Request

REFRESH_EARLY_S = 300.0


class Token(msgspec.Struct, frozen=True):
    """`more` are headers that belong to it."""

    secret: Secret
    more: tuple[Header, ...] = ()


class BearerIdentity:
    """An Authorizer. `hint` is what is known of the identity before its first token."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Fetched[Token]]], clock: Clock, *, entry: str, hint: str | None = None
    ) -> None:
        self._tokens = Expiring(fetch, clock, entry=entry, early_s=REFRESH_EARLY_S)
        self._hint = hint

    @property
    def hint(self) -> str | None:
        return self._tokens.identity or self._hint

    @property
    def secrets(self) -> Sequence[Secret]:
        return [token.secret for token in self._tokens.lately]

    async def authorize(self, request: Request) -> Request:
        token = await self._tokens.get()
        return with_headers(request, (bearer(token.secret), *token.more))

    def refused(self, error: UpstreamError) -> bool:
        """A token may be revoked before its time: 401 drops it."""
        if isinstance(error, TokenRefused) or error.upstream_status != 401:
            return False
        self._tokens.forget()
        return True


def bearer(secret: Secret) -> Header:
    return b"authorization", b"Bearer " + secret.reveal().encode()


def with_headers(request: Request, headers: tuple[Header, ...]) -> Request:
    """`request` with `headers`, each instead of one of the same name."""
    names = {name for name, _ in headers}
    kept = tuple(header for header in request.headers if header[0] not in names)
    return msgspec.structs.replace(request, headers=kept + headers)
