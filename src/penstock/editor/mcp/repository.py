"""The SQL of the MCP room. What is secret is sealed here, and opened here."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import delete, select

from penstock.database.engine import Transaction
from penstock.editor.mcp.oauth_records import OAuthClient, Record
from penstock.editor.mcp.tables import McpClientRow, McpConnectionRow
from penstock.kit.crypto import SecretBox, Unsealable
from penstock.telemetry.logs import log


def mcp_box(masters: tuple[str, ...]) -> SecretBox:
    """Seals with the first of the installation's master secrets; each of them opens."""
    return SecretBox(tuple(master.encode() for master in masters), "mcp connections")


class ConnectionRepository:
    """The connections of one user. Nothing here can see those of another."""

    def __init__(self, tx: Transaction, box: SecretBox, tenant_id: str, user_id: str) -> None:
        self._tx, self._box, self._tenant_id, self._user_id = tx, box, tenant_id, user_id

    async def all(self) -> Mapping[str, Record]:
        """By the name of the server. What cannot be opened is as if it were not there."""
        mine = select(McpConnectionRow).where(
            McpConnectionRow.tenant_id == self._tenant_id, McpConnectionRow.user_id == self._user_id
        )
        found = {row.server: self._opened(row) for row in await self._tx.scalars(mine)}
        return {server: record for server, record in found.items() if record is not None}

    async def get(self, server: str, *, to_change: bool = False) -> Record | None:
        """`to_change` locks the row until the transaction ends."""
        row = await self._row(server, to_change=to_change)
        return None if row is None else self._opened(row)

    async def put(self, server: str, record: Record, now: datetime) -> None:
        """Raises AlreadyExists when somebody else was faster to make the first one."""
        row = await self._row(server, to_change=True)
        if row is None:
            row = McpConnectionRow(
                tenant_id=self._tenant_id, user_id=self._user_id, server=server, sealed=b"", connected_at=now
            )
            self._tx.add(row)
        row.sealed = self._box.seal(msgspec.json.encode(record), self._context(server))
        row.expires_at = record.tokens.expires_at if record.tokens else None
        await self._tx.flush()

    async def delete(self, server: str) -> None:
        row = await self._row(server, to_change=True)
        if row is not None:
            await self._tx.delete(row)

    async def _row(self, server: str, *, to_change: bool) -> McpConnectionRow | None:
        key = (self._tenant_id, self._user_id, server)
        return await self._tx.get(McpConnectionRow, key, with_for_update=to_change or None)

    def _opened(self, row: McpConnectionRow) -> Record | None:
        try:
            return msgspec.json.decode(self._box.open(row.sealed, self._context(row.server)), type=Record)
        except Unsealable:
            log.warning("a connection to an MCP server was sealed with a secret that is gone", server=row.server)
            return None

    def _context(self, server: str) -> str:
        return f"mcp_connections:{self._tenant_id}:{self._user_id}:{server}"


class ClientRepository:
    """Our registrations with authorization servers; they belong to no tenant."""

    def __init__(self, tx: Transaction, box: SecretBox) -> None:
        self._tx, self._box = tx, box

    async def get(self, identity: str) -> OAuthClient | None:
        row = await self._tx.get(McpClientRow, identity)
        if row is None:
            return None
        try:
            return msgspec.json.decode(self._box.open(row.sealed, _client_context(identity)), type=OAuthClient)
        except Unsealable:
            return None

    async def put(self, identity: str, client: OAuthClient, now: datetime) -> None:
        """Raises AlreadyExists when somebody else was faster to make the first one."""
        row = await self._tx.get(McpClientRow, identity, with_for_update=True)
        if row is None:
            row = McpClientRow(identity=identity, sealed=b"", created_at=now)
            self._tx.add(row)
        row.sealed = self._box.seal(msgspec.json.encode(client), _client_context(identity))
        await self._tx.flush()

    async def forget(self, identity: str) -> None:
        row = await self._tx.get(McpClientRow, identity)
        if row is not None:
            await self._tx.delete(row)


def _client_context(identity: str) -> str:
    return f"mcp_clients:{identity}"


async def forget_tenant(tx: Transaction, tenant_id: str) -> None:
    """Every connection of a tenant's users. What is stored at the servers is theirs."""
    await tx.execute(delete(McpConnectionRow).where(McpConnectionRow.tenant_id == tenant_id))
