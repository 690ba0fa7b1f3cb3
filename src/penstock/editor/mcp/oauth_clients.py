"""Who we are at an authorization server: as the operator says, or by dynamic registration (RFC 7591)."""

from datetime import UTC, datetime
from typing import Any, Final

from mcp.shared.auth import OAuthClientInformationFull
from pydantic import ValidationError

from penstock.database.engine import Database
from penstock.database.failures import AlreadyExists
from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_discovery import Authority
from penstock.editor.mcp.oauth_http import OAuthHttp
from penstock.editor.mcp.oauth_records import OAuthClient, digest
from penstock.editor.mcp.repository import ClientRepository
from penstock.editor.mcp.servers import McpServer, OAuthOptions
from penstock.kit.clock import Clock
from penstock.kit.crypto import SecretBox

_METHODS: Final = ("client_secret_basic", "client_secret_post", "none")
"""In order of preference."""
_LOOPBACK = ("http://localhost", "http://127.0.0.1", "http://[::1]")
_SOON_S = 3600.0


class Clients:
    def __init__(self, database: Database, box: SecretBox, clock: Clock) -> None:
        self._database, self._box, self._clock = database, box, clock

    async def at(self, server: McpServer, authority: Authority, http: OAuthHttp) -> OAuthClient:
        """Raises AuthorizationFailed."""
        assert server.oauth is not None
        if server.oauth.client_id is not None:
            return _configured(server.oauth, authority)
        identity = _identity(server, server.oauth, authority.issuer)
        async with self._database.reading() as tx:
            known = await ClientRepository(tx, self._box).get(identity)
        if known is not None and not self._ends_soon(known):
            return known
        return await self._keep(identity, await _register(server, server.oauth, authority, http))

    async def forget(self, server: McpServer, issuer: str) -> None:
        """Register anew the next time: the authorization server does not know us any more."""
        assert server.oauth is not None
        async with self._database.transaction() as tx:
            await ClientRepository(tx, self._box).forget(_identity(server, server.oauth, issuer))

    async def _keep(self, identity: str, client: OAuthClient) -> OAuthClient:
        try:
            async with self._database.transaction() as tx:
                await ClientRepository(tx, self._box).put(identity, client, self._clock.now())
        except AlreadyExists:  # another replica registered at the same moment; both registrations work
            pass
        return client

    def _ends_soon(self, client: OAuthClient) -> bool:
        ends = client.expires_at
        return ends is not None and (ends - self._clock.now()).total_seconds() < _SOON_S


def _identity(server: McpServer, options: OAuthOptions, issuer: str) -> str:
    return digest(server.url, issuer, options.callback_url, *options.scopes)


def _configured(options: OAuthOptions, authority: Authority) -> OAuthClient:
    assert options.client_id is not None
    if options.client_secret is None:
        return OAuthClient(id=options.client_id)
    wants_post = "client_secret_basic" not in authority.methods and "client_secret_post" in authority.methods
    method = "client_secret_post" if wants_post else "client_secret_basic"
    return OAuthClient(id=options.client_id, secret=options.client_secret.reveal(), method=method)


async def _register(server: McpServer, options: OAuthOptions, authority: Authority, http: OAuthHttp) -> OAuthClient:
    if authority.registration_endpoint is None:
        raise AuthorizationFailed(
            f"The authorization server of `{server.name}` does not let clients register themselves.",
            explanation="It has no `registration_endpoint` (RFC 7591), and no client is configured.",
            action=f"Register Penstock there, and set `oauth.clientId` of `{server.name}` in MCP_SERVERS.",
        )
    answer = await http.ask("POST", authority.registration_endpoint, json=_metadata(options, authority))
    if answer.status_code not in (200, 201):
        raise _unusable(server, f"It answered our registration with HTTP status {answer.status_code}.")
    try:
        given = OAuthClientInformationFull.model_validate_json(answer.content)
    except ValidationError as error:
        raise _unusable(server, "It answered our registration with something else.") from error
    method = given.token_endpoint_auth_method or ("client_secret_basic" if given.client_secret else "none")
    if method not in _METHODS or (method != "none" and given.client_secret is None):
        raise _unusable(server, f"It wants us to prove ourselves by `{method[:50]}`, which we cannot.")
    ends = given.client_secret_expires_at
    return OAuthClient(
        id=given.client_id,
        secret=given.client_secret,
        method=method,
        expires_at=datetime.fromtimestamp(ends, UTC) if ends else None,
    )


def _metadata(options: OAuthOptions, authority: Authority) -> dict[str, Any]:
    is_native = options.callback_url.startswith(_LOOPBACK)
    metadata = {
        "client_name": "Penstock",
        "redirect_uris": [options.callback_url],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": next((one for one in _METHODS if one in authority.methods), _METHODS[0]),
        "application_type": "native" if is_native else "web",
    }
    return metadata | ({"scope": authority.scope} if authority.scope else {})


def _unusable(server: McpServer, explanation: str) -> AuthorizationFailed:
    return AuthorizationFailed(
        f"We could not register with the authorization server of `{server.name}`.",
        explanation=explanation,
        action=f"Tell the server's operator, or set `oauth.clientId` of `{server.name}` in MCP_SERVERS.",
    )
