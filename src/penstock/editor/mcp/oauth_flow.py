"""The steps of OAuth that speak to others. Imported where a user connects something: it brings the SDK with it."""

import base64
import hashlib
import secrets
from datetime import datetime
from urllib.parse import urlencode

import msgspec
from mcp.client.auth.utils import issuers_match

from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_clients import Clients
from penstock.editor.mcp.oauth_discovery import Authority, discover
from penstock.editor.mcp.oauth_http import OAuthHttp
from penstock.editor.mcp.oauth_records import Grant, Pending, Tokens, digest
from penstock.editor.mcp.oauth_tokens import TokenRefused, exchange, refresh
from penstock.editor.mcp.servers import McpServer
from penstock.http.outbound import Outbound

_UNKNOWN_CLIENT = frozenset({"invalid_client", "unauthorized_client"})


class Begun(msgspec.Struct, frozen=True):
    pending: Pending
    authorization_url: str


async def begin(server: McpServer, clients: Clients, outbound: Outbound, now: datetime) -> Begun:
    """Find the authorization server, and what to send the user there with. Raises AuthorizationFailed."""
    assert server.oauth is not None
    async with OAuthHttp(server.url, outbound) as http:
        authority = await discover(server, http)
        client = await clients.at(server, authority, http)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    pending = Pending(
        state=digest(state),
        verifier=verifier,
        redirect_uri=server.oauth.callback_url,
        started_at=now,
        grant=Grant(
            issuer=authority.issuer,
            token_endpoint=authority.token_endpoint,
            resource=authority.resource,
            client=client,
        ),
    )
    return Begun(pending, _authorization_url(authority, pending, state))


async def finish(
    server: McpServer,
    pending: Pending,
    code: str,
    issuer: str | None,
    clients: Clients,
    outbound: Outbound,
    now: datetime,
) -> Tokens:
    """`issuer` is the `iss` that came back with the code, if any (RFC 9207). Raises AuthorizationFailed."""
    grant = pending.grant
    if issuer is not None and not issuers_match(issuer, grant.issuer):
        raise AuthorizationFailed(
            "The code comes from another authorization server than the user was sent to.",
            action="Start again, with `initialize`.",
        )
    try:
        async with OAuthHttp(server.url, outbound) as http:
            return await exchange(pending, code, http, now)
    except TokenRefused as error:
        if error.error in _UNKNOWN_CLIENT:
            await clients.forget(server, grant.issuer)
        raise


async def renew(
    server: McpServer, grant: Grant, tokens: Tokens, clients: Clients, outbound: Outbound, now: datetime
) -> Tokens | None:
    """None when the authorization server does not want to go on. Raises AuthorizationFailed for anything else."""
    try:
        async with OAuthHttp(server.url, outbound) as http:
            return await refresh(grant, tokens, http, now)
    except TokenRefused as error:
        if error.error in _UNKNOWN_CLIENT:
            await clients.forget(server, grant.issuer)
        return None


def _authorization_url(authority: Authority, pending: Pending, state: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(pending.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": pending.grant.client.id,
        "redirect_uri": pending.redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": authority.resource,
    }
    if authority.scope:
        query["scope"] = authority.scope
        if "offline_access" in authority.scope.split():
            query["prompt"] = "consent"  # without it OpenID providers ignore the scope (OpenID Connect Core, 11)
    sign = "&" if "?" in authority.authorization_endpoint else "?"
    return f"{authority.authorization_endpoint}{sign}{urlencode(query)}"
