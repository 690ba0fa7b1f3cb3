"""Google's service accounts: a JWT that we sign is exchanged for a token (`spec/providers.md` 8.2)."""

from datetime import UTC, datetime, timedelta

from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig, ServiceAccount
from penstock.providers.credentials.bearer import BearerIdentity, Token
from penstock.providers.credentials.expiring import Fetched
from penstock.providers.credentials.token_endpoints import Said, TokenClient, TokenRefused, token_in
from penstock.providers.transport.base import Transport

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
SERVICE = "Google's token service"

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME = timedelta(hours=1)


def service_account_identity(
    account: ServiceAccount, config: ProviderConfig, transport: Transport, clock: Clock
) -> BearerIdentity:
    grant = JwtGrant(account, TokenClient(config, transport), clock)
    return BearerIdentity(grant.fetch, clock, entry=config.key, hint=account.client_email)


class JwtGrant:
    """`source` says where the account was found."""

    def __init__(
        self, account: ServiceAccount, client: TokenClient, clock: Clock, source: str = "the entry's credentials"
    ) -> None:
        self._account = account
        self._client = client
        self._clock = clock
        self._source = source

    async def fetch(self) -> Fetched[Token]:
        """Raises Failure: TokenRefused with Google's `invalid_grant` (S046), Unreachable."""
        said = await self._client.post_form(
            self._account.token_uri, {"grant_type": _GRANT, "assertion": Secret(self._assertion())}
        )
        try:
            secret, lasts_s = token_in(said, SERVICE)
        except TokenRefused as refused:
            refused.message += self._about_clock(said)
            raise
        return Fetched(Token(secret), lasts_s, self._source, self._account.client_email)

    def _assertion(self) -> str:
        import jwt

        now = self._clock.now()
        claims = {
            "iss": self._account.client_email,
            "scope": SCOPE,
            "aud": TOKEN_URI,  # also where a relay stands in front of it: only Google verifies it
            "iat": now,
            "exp": now + _LIFETIME,
        }
        headers = {"kid": self._account.key_id} if self._account.key_id else None
        key = self._account.private_key.reveal()
        try:
            return jwt.encode(claims, key, algorithm="RS256", headers=headers)
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise TokenRefused("invalid_grant: the account's private key cannot be used to sign.") from error

    def _about_clock(self, said: Said) -> str:
        """The sentence that is missing in Google's refusal of a JWT from another time."""
        text = said.error.lower()
        if "iat" not in text and "short-lived" not in text:
            return ""
        off = self._clock.now() - (said.at or datetime.now(UTC))
        seconds = round(off.total_seconds())
        how = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} Google's" if seconds else "not right"
        return f" The clock of this machine is {how}: synchronise it (NTP)."
