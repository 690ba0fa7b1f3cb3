"""Editor tokens: JWTs that a tenant's own back end signs for its users (`spec/editor-api.md` 3).

The checks come one by one, in the order that the contract fixes, so that each failure has its own words.
`authentication.py` stops at the first that fails, `explanation.py` goes on. Texts may name claims, never the token or
a secret.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from penstock.gateway.identity.errors import (
    InvalidToken,
    InvalidTokenPayload,
    InvalidTokenSignature,
    SecretsUnreadable,
)
from penstock.gateway.identity.permissions import Permissions
from penstock.kit.clock import iso

MAX_TOKEN_BYTES: Final = 8192
LEEWAY_S: Final = 60
MAX_AGE_S: Final = 24 * 3600
MAX_SUBJECT_LENGTH: Final = 255

_ALGORITHM = "HS256"
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")


class _Hmac(HMACAlgorithm):
    def check_key_length(self, key: bytes) -> None:
        """The contract admits secrets from 10 characters on (`spec/editor-api.md` 6.16); PyJWT warns below 32 bytes."""


_HMAC = _Hmac(HMACAlgorithm.SHA256)
_SIGNING = jwt.PyJWS(algorithms=())
_SIGNING.register_algorithm(_ALGORITHM, _HMAC)
_FAR = 1e12  # seconds; keeps sums of absurd claims finite


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A JWT taken apart; nothing of it is proved."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An access key, opened."""

    id: str
    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The access keys of one tenant. `unreadable` active keys could not be opened."""

    tenant_id: str
    active: tuple[SigningKey, ...] = ()
    revoked: tuple[SigningKey, ...] = ()
    unreadable: int = 0


class Claims(msgspec.Struct, frozen=True):
    """The required claims, of the right types. Instants are seconds since the epoch."""

    subject: str
    issued_at_s: float
    expires_at_s: float

    @property
    def valid_until_s(self) -> float:
        """The last second in which `check_clock` accepts the token."""
        return min(self.expires_at_s, self.issued_at_s + MAX_AGE_S) + LEEWAY_S


def read_token(text: str) -> Token:
    """Raises InvalidToken unless the text has the form of a signed JWT."""
    if len(text) > MAX_TOKEN_BYTES:
        raise _unreadable(f"It is longer than {MAX_TOKEN_BYTES} characters.")
    parts = text.split(".")
    if len(parts) != 3:
        count = "one part" if len(parts) == 1 else f"{len(parts)} parts"
        raise _unreadable(
            "It is neither an API key, which begins with `sgk_`, nor a JWT, which has three parts separated by dots; "
            f"this has {count}."
        )
    header, claims = _json_part(parts[0], "first part, the header"), _json_part(parts[1], "second part, the payload")
    signature = _decoded(parts[2], "third part, the signature") if parts[2] else b""
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def audience(token: Token) -> str:
    """The environment that the token claims. Raises InvalidTokenPayload."""
    value = token.claims.get("aud")
    if isinstance(value, str):
        return value
    found = "is missing" if "aud" not in token.claims else f"is {_kind(value)}"
    raise InvalidTokenPayload(
        "The token names no environment.",
        explanation=f"The claim `aud` {found}; expected a string, the id of one environment.",
        action='Set `aud` to the environment\'s id, as a plain string: `"aud": "<environment id>"`.',
    )


def unknown_environment(claimed: str) -> InvalidTokenPayload:
    return InvalidTokenPayload(
        "The token's environment is unknown.",
        explanation=f"The claim `aud` is `{_shown(claimed)}`; there is no environment of that id here.",
        action="Set `aud` to the environment's id as `penstock tenant list` shows it.",
    )


def check_algorithm(token: Token) -> None:
    """Raises InvalidTokenSignature."""
    found = token.header.get("alg")
    if found == _ALGORITHM:
        return
    named = f"`{_shown(found, 20)}`" if isinstance(found, str) else "no algorithm"
    raise InvalidTokenSignature(
        "The token's algorithm is not accepted.",
        explanation=f"The token's header names {named}; expected `{_ALGORITHM}`.",
        action=f"Sign with {_ALGORITHM} and the API secret of an access key of the environment.",
    )


def check_signature(token: Token, keyring: Keyring, management_secret: str | None) -> SigningKey:
    """The active access key that signed the token. Raises InvalidTokenSignature, or SecretsUnreadable."""
    signer = _signer(token, keyring.active)
    if signer is not None:
        return signer
    if management_secret and _is_signed_with(token, management_secret.encode()):
        raise _wrong_secret(
            "The token was signed with the management secret (ENVIRONMENTS_MANAGEMENT_SECRET_KEY), which signs no "
            "tokens."
        )
    if (revoked := _signer(token, keyring.revoked)) is not None:
        raise _wrong_secret(f"The token was signed with the access key `{_shown(revoked.id)}`, which was revoked.")
    if keyring.unreadable:
        raise SecretsUnreadable
    raise _wrong_secret(_tried(keyring))


def required_claims(token: Token) -> Claims:
    """Raises InvalidTokenPayload."""
    return Claims(
        subject=_subject(token.claims),
        issued_at_s=_instant(token.claims, "iat"),
        expires_at_s=_instant(token.claims, "exp"),
    )


def check_clock(claims: Claims, now: datetime) -> None:
    """Raises InvalidToken for a token that expired, was issued in the future, or is too old."""
    now_s = now.timestamp()
    clock = f"The server's clock says {iso(now)}; {LEEWAY_S} s of difference are allowed."
    if claims.expires_at_s + LEEWAY_S < now_s:
        raise InvalidToken(
            "The token has expired.",
            explanation=f"It expired {now_s - claims.expires_at_s:.0f} s ago. {clock}",
            action="Request a new token. If this one is new, compare the clocks of the two servers.",
        )
    if claims.issued_at_s > now_s + LEEWAY_S:
        raise InvalidToken(
            "The token is from the future.",
            explanation=f"Its `iat` is {claims.issued_at_s - now_s:.0f} s ahead. {clock}",
            action="Compare the clocks of the two servers, and see that `iat` is in seconds.",
        )
    if claims.issued_at_s < now_s - MAX_AGE_S - LEEWAY_S:
        raise InvalidToken(
            "The token is too old.",
            explanation=f"It was issued {now_s - claims.issued_at_s:.0f} s ago; {MAX_AGE_S} s are accepted. {clock}",
            action="Request a new token.",
        )


def permissions_of(token: Token) -> Permissions:
    """What the token grants. Never raises: a list of the wrong shape grants nothing and says so."""
    above: Any = token.claims
    for name in ("auth", "ai"):
        inner = above.get(name)
        if not isinstance(inner, dict):
            found = "missing" if name not in above else _kind(inner)
            return Permissions.missing(f"`{name}` is {found}{_instead(token.claims)}")
        above = inner
    if "permissions" in above:
        return Permissions.from_claim(above["permissions"])
    return Permissions.missing(f"`auth.ai` is there without it{_instead(token.claims)}")


def sign(secret: bytes, tenant_id: str, subject: str, permissions: tuple[str, ...], now: datetime, ttl_s: int) -> str:
    """An editor token like the ones that a tenant's back end makes."""
    issued_at = int(now.timestamp())
    claims = {
        "aud": tenant_id,
        "sub": subject,
        "iat": issued_at,
        "exp": issued_at + ttl_s,
        "auth": {"ai": {"permissions": list(permissions)}},
    }
    return _SIGNING.encode(json.dumps(claims).encode(), secret, algorithm=_ALGORITHM)


def _signer(token: Token, keys: tuple[SigningKey, ...]) -> SigningKey | None:
    return next((key for key in keys if _is_signed_with(token, key.secret)), None)


def _is_signed_with(token: Token, secret: bytes) -> bool:
    return _HMAC.verify(token.signed, secret, token.signature)


def _tried(keyring: Keyring) -> str:
    environment = f"the environment `{_shown(keyring.tenant_id)}`"
    if not keyring.active:
        return f"There is no active access key in {environment}."
    keys = "access key" if len(keyring.active) == 1 else "access keys"
    return f"Tried {len(keyring.active)} active {keys} of {environment}: none of them signed it."


def _wrong_secret(explanation: str) -> InvalidTokenSignature:
    return InvalidTokenSignature(
        "The token's signature does not fit.",
        explanation=explanation,
        action="Sign with the API secret of an active access key of the environment that `aud` names, as UTF-8 text.",
    )


def _subject(claims: dict[str, Any]) -> str:
    value = claims.get("sub")
    if not isinstance(value, str) or not value:
        raise _bad_claim("sub", "missing" if "sub" not in claims else _kind(value), "a string, the id of the user")
    if len(value) > MAX_SUBJECT_LENGTH:
        raise _bad_claim("sub", f"{len(value)} characters long", f"at most {MAX_SUBJECT_LENGTH}")
    if "\0" in value:
        raise _bad_claim("sub", "a string with a NUL character in it", "one without")
    return value


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad_claim(name, "missing" if name not in claims else _kind(value), "a number of seconds")
    return float(max(-_FAR, min(_FAR, value)))


def _bad_claim(name: str, found: str, expected: str) -> InvalidTokenPayload:
    return InvalidTokenPayload(
        f"The token's claim `{name}` is not usable.",
        explanation=f"`{name}` is {found}; expected {expected}.",
        action="Tokens need `aud`, `sub`, `iat`, `exp` and `auth.ai.permissions`.",
        data={"claim": name},
    )


def _instead(claims: dict[str, Any]) -> str:
    """Point at an all-or-nothing flag that somebody hoped would do (S026)."""
    auth = claims.get("auth")
    ai = auth.get("ai") if isinstance(auth, dict) else None
    places = {"useAllFeatures": claims, "auth.useAllFeatures": auth, "auth.ai.useAllFeatures": ai}
    found = [path for path, place in places.items() if isinstance(place, dict) and "useAllFeatures" in place]
    return f", and `{found[0]}` is not a permission" if found else ""


def _json_part(part: str, name: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(_decoded(part, name))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _unreadable(f"Its {name}, is no JSON object.")
    return value


def _decoded(part: str, name: str) -> bytes:
    if not _BASE64URL.match(part) or len(part) % 4 == 1:
        raise _unreadable(f"Its {name}, is not base64url.")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _unreadable(explanation: str) -> InvalidToken:
    return InvalidToken(
        "The token cannot be read.",
        explanation=explanation,
        action="Send the token exactly as the token endpoint returned it, after `Bearer `.",
    )


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string" if value else "an empty string"
    if isinstance(value, list):
        return "an array"
    return "an object" if isinstance(value, dict) else "a number"


def _shown(text: str, length: int = 64) -> str:
    return "".join(character if character.isprintable() else "�" for character in text[:length])
