"""Where an MCP server sends its users to authorize us: RFC 9728, then RFC 8414 or OpenID Connect discovery."""

from collections.abc import Iterable, Sequence
from typing import Final

import httpx2
import msgspec
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    build_protected_resource_metadata_discovery_urls,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
    get_client_metadata_scopes,
    issuers_match,
)
from mcp.shared.auth import DEFAULT_GRANT_TYPES, OAuthMetadata, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url
from mcp_types import LATEST_PROTOCOL_VERSION
from pydantic import ValidationError

from penstock import __version__
from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_http import OAuthHttp
from penstock.editor.mcp.servers import McpServer
from penstock.http.outbound import shown

_KNOCK: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "penstock", "version": __version__},
    },
}
_MAX_REDIRECTS = 3
"""Within the server's own host: a slash at the end, say."""
_HEADERS: Final = {"MCP-Protocol-Version": LATEST_PROTOCOL_VERSION}


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """What an authorization server says of itself, and what to ask it for."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None
    methods: Sequence[str]
    """How clients may prove themselves at the token endpoint."""
    resource: str
    scope: str | None


async def discover(server: McpServer, http: OAuthHttp) -> Authority:
    """Raises AuthorizationFailed, which says what was asked and what was missing (W-25)."""
    refusal = await _knock(server, http)
    named = extract_resource_metadata_from_www_auth(refusal) if refusal.status_code == 401 else None
    resource = await _resource(server, named, http)
    origin = str(httpx2.URL(server.url).copy_with(raw_path=b"/")).rstrip("/")
    issuer = str(resource.authorization_servers[0]) if resource else origin
    metadata = await _metadata(server, issuer, http, is_named=named is not None, has_resource=resource is not None)
    scope = get_client_metadata_scopes(
        extract_scope_from_www_auth(refusal), resource, metadata, client_grant_types=list(DEFAULT_GRANT_TYPES)
    )
    found = Authority(
        issuer=str(metadata.issuer),
        authorization_endpoint=str(metadata.authorization_endpoint),
        token_endpoint=str(metadata.token_endpoint),
        registration_endpoint=str(metadata.registration_endpoint) if metadata.registration_endpoint else None,
        methods=metadata.token_endpoint_auth_methods_supported or ("client_secret_basic",),
        resource=str(resource.resource) if resource else resource_url_from_server_url(server.url),
        scope=(" ".join(server.oauth.scopes) if server.oauth else "") or scope,
    )
    await http.check(found.authorization_endpoint)
    await http.check(found.token_endpoint)
    return found


async def _knock(server: McpServer, http: OAuthHttp) -> httpx2.Response:
    """Ask without any access; the refusal says where to get one."""
    headers = {"Accept": "application/json, text/event-stream"}
    url = httpx2.URL(server.url)
    for _ in range(_MAX_REDIRECTS):
        answer = await http.ask("POST", str(url), within_bytes=0, json=_KNOCK, headers=headers)
        target = url.join(answer.headers.get("location", ""))
        if answer.status_code not in (307, 308) or (target.host, target.scheme) != (url.host, url.scheme):
            break
        url = target
    return answer


async def _resource(server: McpServer, named: str | None, http: OAuthHttp) -> ProtectedResourceMetadata | None:
    for url in build_protected_resource_metadata_discovery_urls(named, server.url):
        answer = await http.ask("GET", url, headers=_HEADERS)
        if answer.status_code != 200:
            continue
        try:
            found = ProtectedResourceMetadata.model_validate_json(answer.content)
        except ValidationError:
            continue
        if not check_resource_allowed(resource_url_from_server_url(server.url), str(found.resource)):
            raise AuthorizationFailed(
                f"The MCP server `{server.name}` describes another resource than itself.",
                explanation=f"{shown(url)} speaks of a resource at {shown(str(found.resource))}.",
                action=f"Check `url` of `{server.name}` in MCP_SERVERS.",
            )
        return found
    return None


async def _metadata(
    server: McpServer, issuer: str, http: OAuthHttp, *, is_named: bool, has_resource: bool
) -> OAuthMetadata:
    tried = []
    for url in _metadata_urls(issuer):
        answer = await http.ask("GET", url, headers=_HEADERS)
        tried.append(f"{url} answered {answer.status_code}")
        if answer.status_code != 200:
            continue
        try:
            found = OAuthMetadata.model_validate_json(answer.content)
        except ValidationError:
            tried[-1] = f"{url} answered something else"
            continue
        _check(found, issuer, server)
        return found
    if has_resource:
        about = f"It names the authorization server {issuer}, which does not describe itself."
    elif is_named:
        about = "Its `resource_metadata` could not be read."
    else:
        about = "It sent no `WWW-Authenticate` header with `resource_metadata`, and has no well-known metadata either."
    raise AuthorizationFailed(
        f"The MCP server `{server.name}` does not say how to authorize.",
        explanation=f"{about} Asked: {'; '.join(tried)}."[:1500],
        action="Tell the server's operator: it has to publish protected resource metadata (RFC 9728).",
    )


def _metadata_urls(issuer: str) -> Iterable[str]:
    return build_oauth_authorization_server_metadata_discovery_urls(issuer, issuer)


def _check(found: OAuthMetadata, issuer: str, server: McpServer) -> None:
    if not issuers_match(str(found.issuer), issuer):
        raise AuthorizationFailed(
            f"The authorization server of `{server.name}` gives itself another name.",
            explanation=f"It was looked for at {issuer}, and its `issuer` is {found.issuer} (RFC 8414, 3.3).",
            action="Tell the server's operator.",
        )
    methods = found.code_challenge_methods_supported
    if methods is not None and "S256" not in methods:
        raise AuthorizationFailed(
            f"The authorization server of `{server.name}` does not support PKCE with S256.",
            explanation="Without it the code of a user could be stolen on its way back.",
            action="Tell the server's operator.",
        )
