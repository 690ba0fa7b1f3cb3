"""Tokens for a code, and new tokens for old ones (RFC 6749, 4.1.3 and 6)."""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx2
import msgspec

from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_http import OAuthHttp
from penstock.editor.mcp.oauth_records import Grant, OAuthClient, Pending, Tokens
from penstock.http.outbound import shown

_LONGEST_S = 10 * 365 * 86_400
_AHEAD_S = 60.0


class TokenRefused(AuthorizationFailed):
    """The authorization server says no, and will say so again. `error` is its own word (RFC 6749, 5.2)."""

    def __init__(self, message: str, error: str) -> None:
        super().__init__(
            message,
            explanation=f"Its authorization server answered `{error}`.",
            action="Connect again, with `initialize`.",
        )
        self.error = error


class _Given(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    expires_in: int | float | str | None = None
    refresh_token: str | None = None


class _Refusal(msgspec.Struct):
    error: str


async def exchange(pending: Pending, code: str, http: OAuthHttp, now: datetime) -> Tokens:
    """Raises AuthorizationFailed."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": pending.redirect_uri,
        "code_verifier": pending.verifier,
    }
    return await _ask(pending.grant, fields, http, now)


async def refresh(grant: Grant, tokens: Tokens, http: OAuthHttp, now: datetime) -> Tokens:
    """A server that gives no new refresh token lets us keep the old one. Raises AuthorizationFailed."""
    assert tokens.refresh is not None
    found = await _ask(grant, {"grant_type": "refresh_token", "refresh_token": tokens.refresh}, http, now)
    return found if found.refresh else msgspec.structs.replace(found, refresh=tokens.refresh)


async def _ask(grant: Grant, fields: Mapping[str, str], http: OAuthHttp, now: datetime) -> Tokens:
    proof, headers = _proof(grant.client)
    form = {**fields, "resource": grant.resource, **proof}
    answer = await http.ask("POST", grant.token_endpoint, data=form, headers=headers)
    if answer.status_code != 200:
        raise _refusal(answer, grant)
    try:
        given = msgspec.json.decode(answer.content, type=_Given)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AuthorizationFailed(f"{shown(grant.token_endpoint)} answered something that is no token.") from error
    if given.token_type.lower() != "bearer" or not given.access_token.isascii() or not given.access_token.isprintable():
        raise AuthorizationFailed(f"{shown(grant.token_endpoint)} gave a token of a kind that we cannot use.")
    life_s = _life(given.expires_in)
    if life_s is None:
        return Tokens(access=given.access_token, refresh=given.refresh_token)
    return Tokens(
        access=given.access_token,
        refresh=given.refresh_token,
        expires_at=now + timedelta(seconds=life_s),
        renew_at=now + timedelta(seconds=life_s - min(_AHEAD_S, life_s / 4)),
    )


def _proof(client: OAuthClient) -> tuple[dict[str, str], dict[str, str]]:
    """Fields and headers that say who we are (RFC 6749, 2.3.1)."""
    if client.method == "client_secret_basic" and client.secret is not None:
        pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
        return {}, {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if client.method == "client_secret_post" and client.secret is not None:
        return {"client_id": client.id, "client_secret": client.secret}, {}
    return {"client_id": client.id}, {}


def _refusal(answer: httpx2.Response, grant: Grant) -> AuthorizationFailed:
    try:
        error = msgspec.json.decode(answer.content, type=_Refusal).error
    except (msgspec.DecodeError, RecursionError):
        error = ""
    if answer.status_code in (400, 401, 403) and error:
        return TokenRefused("The MCP server does not accept this authorization.", error[:100])
    return AuthorizationFailed(
        f"{shown(grant.token_endpoint)} gave no token.",
        explanation=f"It answered with HTTP status {answer.status_code}.",
        action="Try again in a while.",
    )


def _life(expires_in: int | float | str | None) -> float | None:
    """In seconds. Some servers write a string."""
    try:
        seconds = float(expires_in) if expires_in is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < _LONGEST_S else None
