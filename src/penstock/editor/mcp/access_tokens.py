"""Users' access tokens: the present one, or a new one before it runs out. One replica at a time asks for a new one."""

import asyncio
from importlib import import_module
from typing import NamedTuple

import msgspec

from penstock.coordination.base import Leases
from penstock.database.engine import Database
from penstock.editor.mcp.errors import AuthorizationFailed
from penstock.editor.mcp.oauth_records import Record, Tokens, digest
from penstock.editor.mcp.repository import ConnectionRepository
from penstock.editor.mcp.servers import McpServer
from penstock.http.outbound import Outbound
from penstock.kit.clock import Clock
from penstock.kit.crypto import SecretBox
from penstock.kit.tasks import to_the_end
from penstock.telemetry.logs import log

_WITHIN_S = 8.0
_LEASE_S = 30.0
_LOOK_EVERY_S = 0.1


class Owner(NamedTuple):
    tenant_id: str
    user_id: str


class AccessTokens:
    """Refresh tokens are often good for one use: two replicas with the same one would lose the connection."""

    def __init__(self, database: Database, leases: Leases, box: SecretBox, outbound: Outbound, clock: Clock) -> None:
        self._database, self._leases, self._box = database, leases, box
        self._outbound, self._clock = outbound, clock

    async def current(self, owner: Owner, server: McpServer, refused: str | None = None) -> str | None:
        """Another one than `refused`. None when the user is not connected, or not any more.

        Raises AuthorizationFailed while the authorization server cannot be asked: then the connection stays.
        """
        key = f"mcp:refresh:{digest(*owner, server.name)}"
        try:
            async with asyncio.timeout(_WITHIN_S):
                while True:
                    tokens = (await self._record(owner, server)).tokens
                    if tokens is None or tokens.is_good(self._clock.now(), refused):
                        return _access(tokens)
                    lease = await self._leases.acquire(key, _LEASE_S)
                    if lease is not None:
                        break
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as error:
            raise AuthorizationFailed("An access token is being renewed elsewhere, for too long.") from error
        try:
            # Once it was sent, the old refresh token may be worth nothing: the new one has to be kept.
            return await to_the_end(self._renewed(owner, server, refused))
        finally:
            await to_the_end(self._leases.release(lease))

    async def _renewed(self, owner: Owner, server: McpServer, refused: str | None) -> str | None:
        now = self._clock.now()
        record = await self._record(owner, server)
        tokens = record.tokens
        if tokens is None or record.grant is None or tokens.is_good(now, refused):
            return _access(tokens)
        if tokens.refresh is None:
            return await self._keep(owner, server, tokens, None)
        flow = await asyncio.to_thread(import_module, "penstock.editor.mcp.oauth_flow")
        clients = flow.Clients(self._database, self._box, self._clock)
        try:
            async with asyncio.timeout(_WITHIN_S):
                new: Tokens | None = await flow.renew(server, record.grant, tokens, clients, self._outbound, now)
        except (AuthorizationFailed, TimeoutError) as error:
            is_still_good = tokens.access != refused and (tokens.expires_at is None or now < tokens.expires_at)
            if is_still_good:
                return tokens.access
            log.warning("an access token could not be renewed", server=server.name, reason=_reason(error))
            raise AuthorizationFailed(f"The access to `{server.name}` could not be renewed.") from error
        return await self._keep(owner, server, tokens, new)

    async def _keep(self, owner: Owner, server: McpServer, old: Tokens, new: Tokens | None) -> str | None:
        """Unless the user has disconnected, or connected anew, in the meantime: then that counts."""
        async with self._database.transaction() as tx:
            connections = ConnectionRepository(tx, self._box, *owner)
            record = await connections.get(server.name, to_change=True)
            if record is None or record.tokens != old:
                return _access(record.tokens) if record else None
            await connections.put(server.name, msgspec.structs.replace(record, tokens=new), self._clock.now())
        if new is None:
            log.info("a user's connection to an MCP server has ended", server=server.name)
        return _access(new)

    async def _record(self, owner: Owner, server: McpServer) -> Record:
        async with self._database.reading() as tx:
            found = await ConnectionRepository(tx, self._box, *owner).get(server.name)
        return found if found is not None and found.url == server.url else Record(url=server.url)


def _access(tokens: Tokens | None) -> str | None:
    return None if tokens is None else tokens.access


def _reason(error: Exception) -> str:
    return error.explanation or error.message if isinstance(error, AuthorizationFailed) else "it did not answer in time"
