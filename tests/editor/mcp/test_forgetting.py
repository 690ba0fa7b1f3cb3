"""What users have connected goes with their environment, and nobody else's."""

from sqlalchemy import select

from penstock.editor.mcp.tables import McpConnectionRow
from penstock.gateway.identity.caller import TenantId
from tests.editor.mcp.conftest import Rooms


async def test_a_deleted_environment_leaves_no_connection_behind(rooms: Rooms) -> None:
    async with rooms.database.transaction() as tx:
        for tenant, user in (("acme", "ann"), ("acme", "bob"), ("other", "zoe")):
            row = McpConnectionRow(
                tenant_id=tenant, user_id=user, server="crm", sealed=b"x", connected_at=rooms.clock.now()
            )
            tx.add(row)
    await rooms.open().forget_tenant(TenantId("acme"))
    async with rooms.database.reading() as tx:
        assert list(await tx.scalars(select(McpConnectionRow.user_id))) == ["zoe"]
