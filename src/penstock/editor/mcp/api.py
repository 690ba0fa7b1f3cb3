"""Connecting MCP servers over HTTP (`spec/editor-api.md` 6.13)."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from penstock.editor.access import authentication
from penstock.editor.mcp.service import Mcp
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.kit.clock import iso


class Complete(BaseModel):
    """What the authorization server sent back with the user. `iss` too, where it names itself (RFC 9207)."""

    code: Annotated[str, Field(min_length=1, max_length=8192)]
    state: Annotated[str, Field(min_length=1, max_length=1024)]
    iss: Annotated[str | None, Field(max_length=2048)] = None


class ConnectionState(BaseModel):
    connected: bool
    expiresAt: str = ""  # noqa: N815


class ConnectionStates(BaseModel):
    servers: dict[str, ConnectionState]


class Initialized(BaseModel):
    """Without `authorizationUrl` when the user is connected."""

    connected: bool
    authorizationUrl: str = ""  # noqa: N815


class Completed(BaseModel):
    connected: bool


def mcp_routes(identity: Identity, mcp: Mcp) -> APIRouter:
    router = APIRouter(prefix="/v1/mcp/oauth", tags=["MCP"])
    authenticated = Depends(authentication(identity))
    connections = mcp.connections

    @router.get("/status", response_model=ConnectionStates, operation_id="mcp_oauth_status")
    async def status(caller: Caller = authenticated) -> Response:
        """Which MCP servers the user has connected, of all that users connect."""
        found = await connections.status(caller)
        states = {
            name: {"connected": one.connected} | ({"expiresAt": iso(one.expires_at)} if one.expires_at else {})
            for name, one in found.items()
        }
        return _json({"servers": states})

    @router.post("/{server_name}/initialize", response_model=Initialized, operation_id="mcp_oauth_initialize")
    async def initialize(server_name: str, caller: Caller = authenticated) -> Response:
        """Begin to connect: the answer says where to send the user, who has ten minutes."""
        url = await connections.initialize(caller, server_name)
        return _json({"connected": True} if url is None else {"connected": False, "authorizationUrl": url})

    @router.post("/{server_name}/complete", response_model=Completed, operation_id="mcp_oauth_complete")
    async def complete(server_name: str, body: Complete, caller: Caller = authenticated) -> Response:
        """Hand over what the user came back with."""
        await connections.complete(caller, server_name, body.code, body.state, body.iss)
        return _json({"connected": True})

    @router.delete("/{server_name}", status_code=204, operation_id="mcp_oauth_disconnect")
    async def disconnect(server_name: str, caller: Caller = authenticated) -> Response:
        """Forget the user's connection, and authorizations that have begun."""
        await connections.disconnect(caller, server_name)
        return Response(status_code=204)

    return router


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
