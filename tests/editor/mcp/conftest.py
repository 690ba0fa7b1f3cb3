"""MCP services over one database, and people who use them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from penstock.coordination.memory import Memory
from penstock.database.engine import Database
from penstock.editor.mcp.repository import mcp_box
from penstock.editor.mcp.servers import McpServer
from penstock.editor.mcp.service import Mcp
from penstock.editor.mcp.toolbox import Toolbox, ToolNotification, ToolResult
from penstock.http.outbound import Outbound
from penstock.kit.clock import SystemClock
from tests.editor.conftest import _add_people
from tests.fakes.mcp_server import McpFake, running_mcp

BACK = "https://app.example/back"


class Clock(SystemClock):
    """Real time, and what a test adds to it."""

    ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass
class Rooms:
    """`open` makes a service for servers; each is a replica beside the others."""

    database: Database
    clock: Clock
    coordination: Memory
    open: Callable[..., Mcp]


@pytest.fixture
async def rooms(database: Database) -> AsyncIterator[Rooms]:
    async with AsyncExitStack() as stack:
        coordination, clock = Memory(), Clock()
        stack.push_async_callback(coordination.aclose)

        def open_one(*servers: McpServer, **more: Any) -> Mcp:
            mcp = Mcp(
                servers,
                database=database,
                leases=coordination.leases,
                box=mcp_box(("master secret of the tests",)),
                outbound=Outbound(),
                clock=clock,
                **more,
            )
            stack.push_async_callback(mcp.aclose)
            return mcp

        await _add_people(database)
        yield Rooms(database, clock, coordination, open_one)


@pytest.fixture(params=[True, False], ids=["handshake", "2026"])
def fake(request: pytest.FixtureRequest) -> Iterator[McpFake]:
    """One server of each era of the protocol."""
    with running_mcp(legacy=request.param) as one:
        yield one


def at(fake: McpFake, name: str = "crm", **more: Any) -> McpServer:
    return McpServer(name=name, url=fake.url, **more)


async def called(toolbox: Toolbox, name: str, arguments: str = "{}") -> tuple[list[ToolNotification], ToolResult]:
    """All of a call: what was heard, and the one result, which came last."""
    async with aclosing(toolbox.call(name, arguments)) as events:
        return sorted_out([one async for one in events])


def sorted_out(events: list[ToolNotification | ToolResult]) -> tuple[list[ToolNotification], ToolResult]:
    *heard, result = events
    assert isinstance(result, ToolResult)
    notifications = [one for one in heard if isinstance(one, ToolNotification)]
    assert len(notifications) == len(heard)
    return notifications, result


Events = AsyncGenerator[ToolNotification | ToolResult, None]
