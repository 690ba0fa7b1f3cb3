"""What is kept of users' connections, sealed: tokens, how they are asked for, and authorizations that have begun."""

import hashlib
from datetime import datetime

import msgspec

AUTHORIZE_WITHIN_S = 600.0


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are at an authorization server. `method` is how we prove it at the token endpoint (RFC 7591, 2)."""

    id: str
    secret: str | None = None
    method: str = "none"
    expires_at: datetime | None = None
    """Of the secret."""

    def __repr__(self) -> str:
        return f"OAuthClient({self.id!r})"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are asked for. `resource` is the server as it names itself (RFC 8707)."""

    issuer: str
    token_endpoint: str
    resource: str
    client: OAuthClient


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`renew_at` is some time before `expires_at`; both None: the server does not say."""

    access: str
    refresh: str | None = None
    expires_at: datetime | None = None
    renew_at: datetime | None = None

    def __repr__(self) -> str:
        return "Tokens(***)"

    def is_good(self, now: datetime, refused: str | None = None) -> bool:
        """To be used as they are. `refused` is an access token that the server did not take."""
        until = self.renew_at if self.refresh else self.expires_at
        return self.access != refused and (until is None or now < until)

    def is_usable(self, now: datetime) -> bool:
        """As they are, or to get new ones."""
        return self.refresh is not None or self.is_good(now)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization that a user has begun. `state` is a digest; `verifier` is the secret of PKCE (RFC 7636)."""

    state: str
    verifier: str
    redirect_uri: str
    started_at: datetime
    grant: Grant

    def __repr__(self) -> str:
        return "Pending(***)"

    def is_over(self, now: datetime) -> bool:
        return not 0 <= (now - self.started_at).total_seconds() < AUTHORIZE_WITHIN_S


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All of one user's connection to one server. Connected when there are `tokens`.

    `url` is the address of the server that the tokens are for: another server of the same name does not get them.
    `generation` changes with every new connection.
    """

    url: str
    generation: str = ""
    tokens: Tokens | None = None
    grant: Grant | None = None
    pending: tuple[Pending, ...] = ()


def digest(*parts: str) -> str:
    """64 characters. Different lists of parts give different ones."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
