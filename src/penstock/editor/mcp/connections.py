"""Users' own connections to MCP servers: OAuth in two requests, on whatever replica (`spec/editor-api.md` 6.13, 10.4).

All of a connection is one sealed row, authorizations that have begun included: whichever replica is asked next finds
them, and what is taken from the row is taken once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.coordination.base import Leases
from penstock.database.engine import Database
from penstock.database.failures import AlreadyExists
from penstock.editor.mcp.access_tokens import AccessTokens, Owner
from penstock.editor.mcp.errors import AuthorizationFailed, InvalidState, McpServerNotFound
from penstock.editor.mcp.oauth_records import Grant, Pending, Record, Tokens, digest
from penstock.editor.mcp.repository import ConnectionRepository
from penstock.editor.mcp.servers import McpServer
from penstock.gateway.identity.caller import Caller
from penstock.http.outbound import Outbound
from penstock.kit.clock import Clock
from penstock.kit.crypto import SecretBox
from penstock.kit.ids import short_id
from penstock.kit.tasks import to_the_end

if TYPE_CHECKING:
    from penstock.editor.mcp.oauth_clients import Clients

OnChange = Callable[[str, str, str], None]
"""Told server, tenant and user when a connection was made or ended here."""

WITHIN_S: Final = 10.0
_MOST_PENDING: Final = 5
"""Of one user at one server; the oldest gives way."""


class Status(msgspec.Struct, frozen=True):
    """`expires_at` is the access token's, which is renewed by itself where the server lets us."""

    connected: bool
    expires_at: datetime | None = None


class Connections:
    """`servers` are those with `oauth`."""

    def __init__(
        self,
        servers: Sequence[McpServer],
        *,
        database: Database,
        leases: Leases,
        box: SecretBox,
        outbound: Outbound,
        clock: Clock,
        on_change: OnChange,
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._database, self._box, self._outbound, self._clock = database, box, outbound, clock
        self._tokens = AccessTokens(database, leases, box, outbound, clock)
        self._on_change = on_change

    async def status(self, caller: Caller) -> Mapping[str, Status]:
        """Of every server that users connect."""
        records = await self._usable(caller)
        return {
            name: Status(True, tokens.expires_at)
            if name in records and (tokens := records[name].tokens)
            else Status(False)
            for name in self._servers
        }

    async def of(self, caller: Caller) -> Mapping[str, str]:
        """The generation of each connection that the caller has."""
        return {name: record.generation for name, record in (await self._usable(caller)).items()}

    async def access(self, tenant_id: str, user_id: str, server: str, refused: str | None = None) -> str | None:
        """See `AccessTokens.current`."""
        return await self._tokens.current(Owner(tenant_id, user_id), self._servers[server], refused)

    async def initialize(self, caller: Caller, name: str) -> str | None:
        """Where to send the user; None when they are connected already.

        Raises McpServerNotFound; AuthorizationFailed after ten seconds at the latest (W-25).
        """
        server, owner = self._server(name), _owner(caller)
        try:
            async with asyncio.timeout(WITHIN_S):
                if await self._tokens.current(owner, server) is not None:
                    return None
                flow, clients = await self._flow()
                begun = await flow.begin(server, clients, self._outbound, self._clock.now())
        except TimeoutError as error:
            raise _too_slow(server) from error
        await self._change(owner, server, lambda record: self._with(record, begun.pending))
        url: str = begun.authorization_url
        return url

    async def complete(self, caller: Caller, name: str, code: str, state: str, issuer: str | None = None) -> None:
        """Raises McpServerNotFound, InvalidState, AuthorizationFailed. A state is spent whatever comes of it."""
        server, owner = self._server(name), _owner(caller)
        # A client that hangs up must not lose what its user has granted.
        await to_the_end(self._complete(owner, server, code, state, issuer))
        self._on_change(server.name, *owner)

    async def disconnect(self, caller: Caller, name: str) -> None:
        """Forget the tokens and what has begun. Raises McpServerNotFound."""
        server, owner = self._server(name), _owner(caller)
        async with self._database.transaction() as tx:
            await ConnectionRepository(tx, self._box, *owner).delete(server.name)
        self._on_change(server.name, *owner)

    async def _complete(self, owner: Owner, server: McpServer, code: str, state: str, issuer: str | None) -> None:
        pending = await self._take(owner, server, state)
        try:
            async with asyncio.timeout(WITHIN_S):
                flow, clients = await self._flow()
                now = self._clock.now()
                tokens = await flow.finish(server, pending, code, issuer, clients, self._outbound, now)
        except TimeoutError as error:
            raise _too_slow(server) from error
        await self._change(owner, server, lambda record: _connected(record, pending.grant, tokens))

    async def _take(self, owner: Owner, server: McpServer, state: str) -> Pending:
        """Raises InvalidState. Nobody finds it a second time."""
        wanted, now = digest(state), self._clock.now()
        async with self._database.transaction() as tx:
            connections = ConnectionRepository(tx, self._box, *owner)
            record = await connections.get(server.name, to_change=True)
            found = next((one for one in record.pending if one.state == wanted), None) if record else None
            if record is None or found is None or record.url != server.url:
                raise InvalidState
            rest = tuple(one for one in record.pending if one is not found and not one.is_over(now))
            await connections.put(server.name, msgspec.structs.replace(record, pending=rest), now)
        if found.is_over(now):
            raise InvalidState
        return found

    async def _change(self, owner: Owner, server: McpServer, change: Callable[[Record], Record]) -> None:
        for attempt in (1, 2):
            try:
                async with self._database.transaction() as tx:
                    connections = ConnectionRepository(tx, self._box, *owner)
                    record = await connections.get(server.name, to_change=True)
                    if record is None or record.url != server.url:
                        record = Record(url=server.url)
                    await connections.put(server.name, change(record), self._clock.now())
                return
            except AlreadyExists:  # two first authorizations at the same moment
                if attempt == 2:
                    raise

    async def _usable(self, caller: Caller) -> dict[str, Record]:
        now = self._clock.now()
        async with self._database.reading() as tx:
            records = await ConnectionRepository(tx, self._box, *_owner(caller)).all()
        return {
            name: record
            for name, record in records.items()
            if name in self._servers
            and record.url == self._servers[name].url
            and record.tokens is not None
            and record.tokens.is_usable(now)
        }

    def _with(self, record: Record, pending: Pending) -> Record:
        living = [one for one in record.pending if not one.is_over(pending.started_at)]
        return msgspec.structs.replace(record, pending=(*living[1 - _MOST_PENDING :], pending))

    async def _flow(self) -> "tuple[Any, Clients]":
        flow = await asyncio.to_thread(import_module, "penstock.editor.mcp.oauth_flow")
        return flow, flow.Clients(self._database, self._box, self._clock)

    def _server(self, name: str) -> McpServer:
        if name not in self._servers:
            raise McpServerNotFound(name)
        return self._servers[name]


def _connected(record: Record, grant: Grant, tokens: Tokens) -> Record:
    return msgspec.structs.replace(record, tokens=tokens, grant=grant, generation=short_id())


def _owner(caller: Caller) -> Owner:
    return Owner(caller.tenant_id, caller.user_id)


def _too_slow(server: McpServer) -> AuthorizationFailed:
    return AuthorizationFailed(
        f"The MCP server `{server.name}` could not be connected within {WITHIN_S:g} s.",
        explanation="It, or the authorization server that it names, did not answer in time.",
        action="Try again in a while, or tell the server's operator.",
    )
