"""Which sessions there are: one per server, or per server and user where each connects an account of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from penstock.editor.mcp.errors import SessionFailed
from penstock.editor.mcp.servers import McpServer
from penstock.kit.clock import Clock
from penstock.telemetry.logs import log

if TYPE_CHECKING:
    from penstock.editor.mcp.session import Session

TOOLS_FOR_S: Final = 300.0
LIST_WITHIN_S: Final = 10.0
IDLE_S: Final = 900.0
MAX_LINKS: Final = 1000
_FIRST_REST_S = 15.0
_LONGEST_REST_S = 300.0
_MAX_DESCRIPTION = 8_000

T = TypeVar("T")

Access = Callable[[str | None], Awaitable[str | None]]


class Account(NamedTuple):
    """Whose view of a server. Without users of its own, a server has one account for everybody.

    `generation` tells one connection of a user from the next, which may be to another account.
    """

    server: str
    tenant_id: str = ""
    user_id: str = ""
    generation: str = ""


class RemoteTool(msgspec.Struct, frozen=True):
    """`name` is the server's own."""

    name: str
    description: str
    schema: dict[str, Any]


class Link:
    """One server as one account sees it: its session, its tools, and whether it rests after a failure."""

    def __init__(self, server: McpServer, access: Access | None, clock: Clock) -> None:
        self.server = server
        self._access, self._clock = access, clock
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._loading: asyncio.Task[tuple[RemoteTool, ...]] | None = None
        self._tools: tuple[RemoteTool, ...] = ()
        self._tools_until = self._rests_until = float("-inf")
        self._failures = 0
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()
        self.running = 0
        self.used_at = clock.monotonic()
        self.failure = ""

    @property
    def is_resting(self) -> bool:
        return self._clock.monotonic() < self._rests_until

    async def tools(self) -> Sequence[RemoteTool]:
        """From memory for some minutes. However many ask, the server is asked once. Raises SessionFailed."""
        self.used_at = self._clock.monotonic()
        if self.is_resting:
            raise SessionFailed(self.failure)
        if self._clock.monotonic() < self._tools_until:
            return self._tools
        if self._loading is None or self._loading.done():
            self._loading = _apart(self._load())
        return await _joined(self._loading)

    async def session(self) -> "Session":
        """The one that is open, or a new one. Raises SessionFailed."""
        self.used_at = self._clock.monotonic()
        if self._closed:
            raise SessionFailed("the connection to it was closed")
        if self._session is not None and not self._session.is_over:
            return self._session
        if self._opening is None or self._opening.done():
            self._opening = _apart(self._open())
        return await _joined(self._opening)

    def rest(self, failure: str) -> None:
        """Leave the server alone for a while, longer each time. The first failure after a success is logged."""
        if self.is_resting or self._closed:
            return
        rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2**self._failures)
        if not self._failures:
            log.warning("an MCP server is left out of chats", server=self.server.name, reason=failure, seconds=rest_s)
        self.failure = failure
        self._failures = min(self._failures + 1, 10)
        self._rests_until = self._clock.monotonic() + rest_s

    def forget_tools(self) -> None:
        self._tools_until = float("-inf")

    async def check(self) -> None:
        """Ping the session if it is open and nothing runs on it; a dead one is closed."""
        session = self._session
        if session is None or self.running or session.is_over:
            return
        if not await session.ping() and self._session is session:
            log.warning("MCP client health check ping failed, evicting", server=self.server.name)
            self.forget_tools()
            self._drop()

    async def close(self) -> None:
        self._closed = True
        for task in (self._loading, self._opening):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait((task,))
        self._drop()
        await asyncio.gather(*self._closing)

    async def _load(self) -> tuple[RemoteTool, ...]:
        try:
            async with asyncio.timeout(LIST_WITHIN_S):
                found = await self._listed()
        except (SessionFailed, TimeoutError) as error:
            failure = str(error) or "it did not answer in time"
            self.rest(failure)
            raise SessionFailed(failure) from error
        if self._failures:
            log.info("an MCP server is back", server=self.server.name)
        self._failures, self._rests_until, self.failure = 0, float("-inf"), ""
        self._tools, self._tools_until = found, self._clock.monotonic() + TOOLS_FOR_S
        return found

    async def _listed(self) -> tuple[RemoteTool, ...]:
        session = await self.session()
        try:
            listed = await session.tools()
        except SessionFailed:
            if not session.is_over:
                raise
            listed = await (await self.session()).tools()  # the server had forgotten the session, which is no failure
        offered = (one for one in listed if one.name not in self.server.disabled)
        return tuple(
            RemoteTool(one.name, (one.description or "")[:_MAX_DESCRIPTION], one.input_schema) for one in offered
        )

    async def _open(self) -> "Session":
        self._drop()
        # It takes a second to import, the first time.
        room = await asyncio.to_thread(import_module, "penstock.editor.mcp.session")
        try:
            session: Session = await room.open_session(self.server, self._access, self.forget_tools)
        except SessionFailed as error:
            self.rest(str(error))
            raise
        self._session = session
        return session

    def _drop(self) -> None:
        """Close the session in the background: a server that hangs takes seconds to leave."""
        session, self._session = self._session, None
        if session is not None:
            task = _apart(session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class Links:
    """All of them, bounded: those that were not used for long give way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[Account, Link] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, account: Account, server: McpServer, access: Access | None) -> Link:
        link = self._links.pop(account, None)
        if link is None:
            self._make_room()
            link = Link(server, access, self._clock)
        self._links[account] = link  # the one that was used last stands last
        return link

    def drop(self, server: str, tenant_id: str, user_id: str, but: str | None = None) -> None:
        """Close what a user has open at a server, whatever generation it is of, `but` one."""
        mine = [one for one in self._links if one[:3] == (server, tenant_id, user_id) and one.generation != but]
        for account in mine:
            self._let_go(self._links.pop(account))

    async def check(self) -> None:
        """Ping the idle ones, and close those that nobody has used for long."""
        old = self._clock.monotonic() - IDLE_S
        for account, link in list(self._links.items()):
            if link.used_at < old and not link.running:
                self._let_go(self._links.pop(account))
        await asyncio.gather(*(link.check() for link in self._links.values()))

    async def aclose(self) -> None:
        for link in self._links.values():
            self._let_go(link)
        self._links.clear()
        await asyncio.gather(*self._closing)

    def _make_room(self) -> None:
        if len(self._links) >= MAX_LINKS:
            idle = next((account for account, link in self._links.items() if not link.running), next(iter(self._links)))
            self._let_go(self._links.pop(idle))

    def _let_go(self, link: Link) -> None:
        task = _apart(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _apart(work: Any) -> "asyncio.Task[Any]":
    """A task that belongs to nobody's chat. Its failure is known to those who wait, if anybody still does."""
    task = asyncio.get_running_loop().create_task(work, context=Context())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def _joined(task: "asyncio.Task[T]") -> T:
    """Wait for what others wait for too: our end is not its end, and its end is not ours. Raises SessionFailed."""
    await asyncio.wait((task,))
    if task.cancelled():
        raise SessionFailed("the connection to it was closed")
    return task.result()
