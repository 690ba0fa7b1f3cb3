"""MCP servers in conversations: which tools a message has (`spec/editor-api.md` 10.3). No server delays a chat."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from penstock.coordination.base import Leases
from penstock.database.engine import Database
from penstock.editor.mcp.connections import Connections
from penstock.editor.mcp.errors import SessionFailed
from penstock.editor.mcp.links import Account, Link, Links, RemoteTool
from penstock.editor.mcp.repository import forget_tenant
from penstock.editor.mcp.servers import McpServer
from penstock.editor.mcp.toolbox import Offer, Toolbox, ToolContext
from penstock.errors import PenstockError
from penstock.gateway.identity.caller import Caller, TenantId
from penstock.http.outbound import Outbound
from penstock.kit.clock import Clock, SystemClock
from penstock.kit.crypto import SecretBox
from penstock.telemetry.logs import log

TOOLBOX_WITHIN_S: Final = 4.5
PING_EVERY_S: Final = 60.0


class Mcp:
    """`box` seals what users' connections keep. `watch` has to run beside the service."""

    def __init__(
        self,
        servers: Sequence[McpServer],
        *,
        database: Database,
        leases: Leases,
        box: SecretBox,
        outbound: Outbound,
        clock: Clock | None = None,
        ping_every_s: float = PING_EVERY_S,
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._ping_every_s = ping_every_s
        self._database = database
        clock = clock or SystemClock()
        self._links = Links(clock)
        personal = [server for server in servers if server.oauth is not None]
        self.connections = Connections(
            personal,
            database=database,
            leases=leases,
            box=box,
            outbound=outbound,
            clock=clock,
            on_change=self._links.drop,
        )

    async def toolbox(self, caller: Caller, contexts: Sequence[ToolContext] = ()) -> Toolbox:
        """What the model may use in one message. Never raises, and takes five seconds at the very most.

        Servers that fail or hang are left out, with a note, and rest for a while. What a user has not connected is
        absent.
        """
        if not self._servers:
            return Toolbox({})
        notes: list[str] = []
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TOOLBOX_WITHIN_S
        links = await self._links_of(caller, notes)
        asked = {link: asyncio.create_task(_asked(link)) for link in links}
        if asked:
            await asyncio.wait(asked.values(), timeout=max(0.1, deadline - loop.time()))
        offers: dict[str, Offer] = {}
        for link, task in asked.items():
            if not task.done():  # it may still answer, and is back then; nobody waits for that
                task.cancel()
                link.rest("it did not answer in time")
            tools = _found(link, task)
            if tools is None:
                notes.append(f"The tools of `{link.server.name}` are not available at the moment: {link.failure}.")
            else:
                _add(offers, link, tools)
        return Toolbox(offers, contexts, notes)

    async def watch(self) -> None:
        """Ping idle sessions from time to time. Runs until cancelled."""
        while True:
            await asyncio.sleep(self._ping_every_s)
            await self._links.check()

    async def forget_tenant(self, tenant_id: TenantId) -> None:
        """Remove what users of a deleted tenant have connected."""
        async with self._database.transaction() as tx:
            await forget_tenant(tx, tenant_id)

    async def aclose(self) -> None:
        """Sessions are ended at their servers, within seconds."""
        await self._links.aclose()

    async def _links_of(self, caller: Caller, notes: list[str]) -> list[Link]:
        links = [self._links.of(Account(one.name), one, None) for one in self._servers.values() if one.oauth is None]
        personal = [one for one in self._servers.values() if one.oauth is not None]
        if not personal:
            return links
        try:
            async with asyncio.timeout(TOOLBOX_WITHIN_S / 2):
                connected = await self.connections.of(caller)
        except (PenstockError, TimeoutError) as error:
            log.warning("users' MCP servers are left out", reason=str(error) or "the database is slow")
            notes += [f"The tools of `{one.name}` are not available at the moment." for one in personal]
            return links
        for server in personal:
            generation = connected.get(server.name)
            self._links.drop(server.name, caller.tenant_id, caller.user_id, but=generation)
            if generation is None:
                notes.append(f"The tools of `{server.name}` are not available: the user has not connected it.")
                continue
            access = partial(self.connections.access, caller.tenant_id, caller.user_id, server.name)
            account = Account(server.name, caller.tenant_id, caller.user_id, generation)
            links.append(self._links.of(account, server, access))
        return links


async def _asked(link: Link) -> Sequence[RemoteTool] | None:
    try:
        return await link.tools()
    except SessionFailed:
        return None


def _found(link: Link, task: "asyncio.Task[Sequence[RemoteTool] | None]") -> Sequence[RemoteTool] | None:
    if not task.done() or task.cancelled():
        return None
    error = task.exception()
    if error is None:
        return task.result()
    log.error("unexpected failure while asking an MCP server for its tools", server=link.server.name, exc_info=error)
    link.rest("its tools could not be read")
    return None


def _add(offers: dict[str, Offer], link: Link, tools: Sequence[RemoteTool]) -> None:
    for tool in tools:
        name = f"{link.server.name}-{tool.name}"
        if offers.setdefault(name, Offer(link, tool)).tool is not tool:
            log.warning("two MCP tools have one name, the first one counts", tool=name, server=link.server.name)
