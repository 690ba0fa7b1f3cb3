"""From request headers to the text of one credential. Says what was wrong with them (S028), never what they held."""

import re

from penstock.gateway.identity.errors import CredentialMissing, InvalidToken

_JWT = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*\Z", re.ASCII)
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate", "token", "apikey", "api-key", "jwt"})
_SEND = "Send `Authorization: Bearer <token or API key>`."


def presented(authorization: bytes | None, x_api_key: bytes | None = None) -> bytes | None:
    """The `Authorization` header to judge by; `x-api-key` is read as a bearer, when there is no other bearer."""
    if x_api_key and _cut(authorization or b"")[0] != b"bearer":
        return b"Bearer " + x_api_key
    return authorization


def bearer(authorization: bytes | None) -> str:
    """The token or API key in the header. Raises CredentialMissing, or InvalidToken when there cannot be one in it."""
    if authorization is None:
        raise CredentialMissing(
            "The token is missing.", explanation="The request has no `Authorization` header.", action=_SEND
        )
    scheme, rest = _cut(authorization)
    if scheme == b"bearer":
        return _text(rest)
    raise InvalidToken("The credential cannot be read.", explanation=_what_instead(authorization), action=_SEND)


def looks_like_jwt(text: str) -> bool:
    return _JWT.match(text) is not None


def _cut(authorization: bytes) -> tuple[bytes, bytes]:
    scheme, _, rest = authorization.strip().partition(b" ")
    return scheme.lower(), rest


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise InvalidToken(
            "The credential cannot be read.",
            explanation="It has characters that no token and no API key has.",
            action="Copy it again, without quotation marks or spaces around it.",
        ) from None
    if not text:
        raise CredentialMissing("The token is missing.", explanation="Nothing follows the scheme.", action=_SEND)
    if text[:7].lower() == "bearer ":
        raise InvalidToken(
            "The credential cannot be read.", explanation="The header says `Bearer` twice.", action=_SEND
        )
    return text


def _what_instead(authorization: bytes) -> str:
    text = authorization.decode("latin-1").strip()
    if not text:
        return "The `Authorization` header is empty."
    scheme = text.partition(" ")[0]
    if text.startswith("sgk_"):
        return "The `Authorization` header holds an API key without the word `Bearer` before it."
    if looks_like_jwt(text):
        return "The `Authorization` header holds a bare token, without the word `Bearer` before it."
    if scheme.lower() in _OTHER_SCHEMES:
        return f"The `Authorization` header has the scheme `{scheme}`; expected `Bearer`."
    return "The `Authorization` header does not begin with `Bearer `, and what it holds is no token and no API key."
