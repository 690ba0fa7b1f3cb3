"""Google's token service for fakes of Vertex AI: it takes the JWT of a service account, and its tokens are checked."""

from functools import cache
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.dialects.base import Refusal

EMAIL = "fake@project-1.iam.gserviceaccount.com"
PROJECT, LOCATION = "project-1", "us-east5"

_AUDIENCE = "https://oauth2.googleapis.com/token"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PREFIX = "ya29.fake-of-"


@cache
def _key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def account_entry(url: str, *emails: str) -> dict[str, Any]:
    """What every entry of `vertex` has, for accounts of those addresses that are known to the fake at `url`."""
    pem = _key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    accounts = [{"clientEmail": email, "privateKey": pem, "tokenUri": f"{url}/token"} for email in emails or (EMAIL,)]
    return {
        "type": "vertex",
        "project": PROJECT,
        "location": LOCATION,
        "baseUrl": f"{url}/v1beta1",
        "credentials": accounts[0] if len(accounts) == 1 else accounts,
    }


def token_for(email: str = EMAIL) -> str:
    return _PREFIX + email


def account_of(authorization: str) -> str:
    """The account whose token a request carries. Raises AssertionError for any other."""
    token = authorization.removeprefix("Bearer ")
    assert authorization.startswith("Bearer "), "no bearer token"
    assert token.startswith(_PREFIX), "a token that was never issued"
    return token.removeprefix(_PREFIX)


def issued(method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
    """The answer of the token service; 404 for other paths."""
    if (method, target) != ("POST", "/token"):
        return Refusal(404, {"error": {"code": 404, "message": "Not Found", "status": "NOT_FOUND"}})
    form = parse_qs(body.decode())
    try:
        assert headers.get("content-type", "").startswith("application/x-www-form-urlencoded"), "content-type"
        assert form["grant_type"] == [_GRANT], "grant_type"
        claims = jwt.decode(form["assertion"][0], _key().public_key(), algorithms=["RS256"], audience=_AUDIENCE)
        assert claims["scope"] == _SCOPE, "scope"
        assert claims["exp"] - claims["iat"] <= 3600, "Invalid JWT: Token must be a short-lived token"
    except (AssertionError, KeyError, jwt.PyJWTError) as error:
        return Refusal(400, {"error": "invalid_grant", "error_description": f"Invalid JWT Signature: {error}"})
    return Refusal(200, {"access_token": token_for(claims["iss"]), "expires_in": 3599, "token_type": "Bearer"})
