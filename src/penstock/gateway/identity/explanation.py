"""What every check found about a credential: for `penstock token check` and the panel (S027)."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from penstock.errors import PenstockError, Unauthenticated
from penstock.gateway.identity.api_keys import PREFIX
from penstock.gateway.identity.authentication import Authenticator
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.credentials import bearer
from penstock.gateway.identity.errors import SecretsUnreadable
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.identity.tokens import (
    LEEWAY_S,
    Keyring,
    Token,
    audience,
    check_algorithm,
    check_clock,
    check_signature,
    permissions_of,
    read_token,
    required_claims,
)
from penstock.kit.clock import Clock, iso

T = TypeVar("T")
REFUSALS = (Unauthenticated, SecretsUnreadable)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """`passed` None: could not be checked, because of an earlier step."""

    name: str
    passed: bool | None
    found: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The steps in the order of verification; the first that failed is what a request is refused for.

    `header` and `claims` are what the token says, proved or not. Neither the signature nor any secret is in here.
    """

    valid: bool
    verdict: str
    code: str | None = None
    action: str | None = None
    kind: str = "editor_token"
    steps: tuple[Step, ...] = ()
    header: dict[str, Any] | None = None
    claims: dict[str, Any] | None = None
    granted: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()


class Explainer:
    """Runs the checks of `tokens.py` like a request does, but goes on after a failure."""

    def __init__(self, authenticator: Authenticator, management_secret: str | None, clock: Clock) -> None:
        self._authenticator, self._management_secret, self._clock = authenticator, management_secret, clock

    async def explain(self, text: str) -> Explanation:
        """`text` is a token or an API key, with or without `Bearer ` before it. Never raises for what it is."""
        steps = _Steps()
        stripped = text.strip()
        if stripped[:7].lower() == "bearer ":
            stripped = stripped[7:]
        credential = steps.take("form", lambda: bearer(b"Bearer " + stripped.encode(errors="replace")), "")
        if credential is None:
            return steps.explanation()
        if credential.startswith(PREFIX):
            return await self._api_key(credential)
        token = steps.take("form", lambda: read_token(credential), "A JWT: three parts, header and payload are JSON.")
        if token is None:
            return steps.explanation()
        return await self._token(token, steps)

    async def _api_key(self, credential: str) -> Explanation:
        steps = _Steps()
        caller: Caller | None = None
        try:
            caller = (await self._authenticator.authenticate(credential)).caller
        except REFUSALS as error:
            steps.failed("API key", error)
        else:
            steps.passed("API key", f"The key `{caller.credential_id}` of the tenant `{caller.tenant_id}`.")
        permissions = caller.permissions if caller else Permissions()
        return steps.explanation(kind="api_key", granted=permissions.granted, dropped=permissions.dropped)

    async def _token(self, token: Token, steps: "_Steps") -> Explanation:
        keyring = await self._environment(token, steps)
        steps.take("algorithm", lambda: check_algorithm(token), "HS256.")
        self._signature(token, keyring, steps)
        self._clock_and_claims(token, steps)
        permissions = permissions_of(token)
        if permissions.granted:
            steps.passed("permissions", permissions.describe())
        else:
            steps.noted("permissions", f"{permissions.describe()} The token is accepted, but allows nothing.")
        return steps.explanation(
            header=token.header, claims=token.claims, granted=permissions.granted, dropped=permissions.dropped
        )

    async def _environment(self, token: Token, steps: "_Steps") -> Keyring | None:
        try:
            keyring = await self._authenticator.keyring(audience(token))
        except REFUSALS as error:
            steps.failed("environment", error)
            return None
        keys = len(keyring.active) + keyring.unreadable
        steps.passed("environment", f"`{keyring.tenant_id}`, with {keys} active access key{'' if keys == 1 else 's'}.")
        return keyring

    def _signature(self, token: Token, keyring: Keyring | None, steps: "_Steps") -> None:
        if keyring is None:
            steps.noted("signature", "Not checked: without an environment there are no keys to try.")
            return
        try:
            key = check_signature(token, keyring, self._management_secret)
        except REFUSALS as error:
            steps.failed("signature", error)
        else:
            steps.passed("signature", f"Signed with the access key `{key.id}` ({key.name}).")

    def _clock_and_claims(self, token: Token, steps: "_Steps") -> None:
        now = self._clock.now()
        claims = steps.take("claims", lambda: required_claims(token), "`sub`, `iat` and `exp` are there.")
        if claims is None:
            steps.noted("clock", "Not checked: that needs `iat` and `exp`.")
            return
        left = claims.valid_until_s - now.timestamp()
        fine = f"Valid for {left:.0f} s more, {LEEWAY_S} s of leeway included; the server's clock says {iso(now)}."
        steps.take("clock", lambda: check_clock(claims, now), fine)


class _Steps:
    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._first: PenstockError | None = None

    def take(self, name: str, check: Callable[[], T], fine: str) -> T | None:
        """Run one check. None when it failed; `fine` is said when it passed, unless it is empty."""
        try:
            found = check()
        except REFUSALS as error:
            self.failed(name, error)
            return None
        if fine:
            self.passed(name, fine)
        return found

    def passed(self, name: str, found: str) -> None:
        self._steps.append(Step(name=name, passed=True, found=found))

    def noted(self, name: str, found: str) -> None:
        self._steps.append(Step(name=name, passed=None, found=found))

    def failed(self, name: str, error: PenstockError) -> None:
        self._first = self._first or error
        self._steps.append(Step(name=name, passed=False, found=f"{error.message} {error.explanation or ''}".strip()))

    def explanation(self, **about: Any) -> Explanation:
        first = self._first
        return Explanation(
            valid=first is None,
            verdict=first.message if first else "Valid.",
            code=first.code if first else None,
            action=first.action if first else None,
            steps=tuple(self._steps),
            **about,
        )
