"""The tools of one message: what the model is offered, and what a call of it says and gives."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.editor.mcp.errors import SessionFailed
from penstock.editor.mcp.links import Link, RemoteTool
from penstock.providers.base import Tool
from penstock.telemetry.logs import log
from penstock.telemetry.meters import MCP_CALLS

if TYPE_CHECKING:
    from mcp_types import CallToolResult

CONTEXT_KEY: Final = "penstock/context"
"""In `_meta` of a call: what the editor attached for the tool, as an array of `{id, data}`."""

_MAX_NOTIFICATIONS = 1000
_MAX_NOTIFICATION_BYTES = 16 * 1024
_GIVEN_UP_WITHIN_S = 1.0


class ToolNotification(msgspec.Struct, frozen=True, rename="camel"):
    """As the event `mcp-tool-notification` has it (`spec/editor-api.md` 7.2)."""

    tool_name: str
    level: str
    data: Any


class ToolResult(msgspec.Struct, frozen=True, rename="camel"):
    """As the event `mcp-tool-result` has it (`spec/editor-api.md` C-17)."""

    tool_name: str
    result: str
    success: bool


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """An `mcp-tool-context` item of a message. `tool` None: for every tool of the server. The model never sees it."""

    server: str
    tool: str | None
    data: Mapping[str, Any]
    id: str


class Offer(msgspec.Struct, frozen=True):
    """A tool at the server that has it."""

    link: Link
    tool: RemoteTool


_leaving: set["asyncio.Task[CallToolResult]"] = set()
"""Calls that were given up, until they have told their server."""


class Toolbox:
    """`notes` are for the model: why tools that it may expect are not there."""

    def __init__(
        self, offers: Mapping[str, Offer], contexts: Sequence[ToolContext] = (), notes: Sequence[str] = ()
    ) -> None:
        self._offers, self._contexts = offers, contexts
        self.notes = notes
        self.tools: Sequence[Tool] = [
            Tool(name, offer.tool.description, offer.tool.schema) for name, offer in offers.items()
        ]

    async def call(self, name: str, arguments: str) -> AsyncGenerator[ToolNotification | ToolResult, None]:
        """That the call starts, what the server says meanwhile, and exactly one result. It raises nothing of its own.

        Closing it cancels the call at the server.
        """
        yield ToolNotification(name, "info", {"message": "The call has started."})
        offer, given = self._offers.get(name), _object(arguments)
        if offer is None:
            yield ToolResult(
                name, f"There is no tool `{name[:200]}`. Use one of those that are offered.", success=False
            )
        elif given is None:
            yield ToolResult(name, "The arguments are not a JSON object. Send them as the schema says.", success=False)
        else:
            call = _Call(name, offer, given, self._meta(offer, name))
            try:
                while (heard := await call.next()) is not None:
                    yield heard
                yield await call.result()
            finally:
                await call.give_up()

    def _meta(self, offer: Offer, name: str) -> dict[str, Any]:
        mine = [
            {"id": one.id, "data": one.data}
            for one in self._contexts
            if one.server == offer.link.server.name and one.tool in (None, "", offer.tool.name, name)
        ]
        return {CONTEXT_KEY: mine} if mine else {}


class _Call:
    """One call, in a task of its own: the chat may end in the middle of it."""

    def __init__(self, name: str, offer: Offer, arguments: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self._name, self._offer, self._arguments, self._meta = name, offer, arguments, meta
        self._heard: asyncio.Queue[ToolNotification | None] = asyncio.Queue(_MAX_NOTIFICATIONS)
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._end)

    async def next(self) -> ToolNotification | None:
        """None when the call is over and all was heard."""
        if self._task.done() and self._heard.empty():
            return None
        return await self._heard.get()

    async def result(self) -> ToolResult:
        """Once `next` gave None."""
        try:
            done = await self._task
        except TimeoutError:
            seconds = self._offer.link.server.call_timeout_s
            return self._failed(f"The tool did not answer within {seconds:g} seconds, and the call was cancelled.")
        except SessionFailed as error:
            return self._failed(f"The tool could not be called at its server: {str(error).rstrip('.')}.")
        from penstock.editor.mcp.results import result_text

        return ToolResult(self._name, result_text(done), success=not done.is_error)

    async def give_up(self) -> None:
        """Within a second, whatever the server does."""
        if self._task.done():
            _left(self._task)
            return
        self._task.cancel()
        _leaving.add(self._task)
        self._task.add_done_callback(_left)
        await asyncio.wait((self._task,), timeout=_GIVEN_UP_WITHIN_S)

    async def _run(self) -> "CallToolResult":
        link = self._offer.link
        link.running += 1
        try:
            async with asyncio.timeout(link.server.call_timeout_s):
                session = await link.session()
                try:
                    return await session.call(self._offer.tool.name, self._arguments, self._meta, self._say)
                except SessionFailed:
                    if not session.lost:
                        raise
                # The server has forgotten the session: it has not even looked at the call.
                session = await link.session()
                return await session.call(self._offer.tool.name, self._arguments, self._meta, self._say)
        finally:
            link.running -= 1

    def _end(self, task: "asyncio.Task[CallToolResult]") -> None:
        self._hear(None)
        MCP_CALLS.add(self._offer.link.server.name, _outcome(task))

    def _failed(self, text: str) -> ToolResult:
        log.warning("a call of an MCP tool failed", tool=self._name, reason=text)
        return ToolResult(self._name, text, success=False)

    def _say(self, level: str, data: Any) -> None:
        self._hear(ToolNotification(self._name, level, _bounded(data)))

    def _hear(self, heard: ToolNotification | None) -> None:
        if heard is not None and self._heard.qsize() >= _MAX_NOTIFICATIONS - 1:
            return  # a server that talks faster than anybody listens; the last place is for the end
        self._heard.put_nowait(heard)


def _outcome(task: "asyncio.Task[CallToolResult]") -> str:
    if task.cancelled():
        return "client-abort"
    error = task.exception()
    if error is None:
        return "tool-error" if task.result().is_error else "ok"
    return "timeout" if isinstance(error, TimeoutError) else "failed"


def _left(task: "asyncio.Task[CallToolResult]") -> None:
    _leaving.discard(task)
    if not task.cancelled():
        task.exception()


def _object(arguments: str) -> Mapping[str, Any] | None:
    if not arguments.strip():
        return {}
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _bounded(data: Any) -> Any:
    written = msgspec.json.encode(data)
    if len(written) <= _MAX_NOTIFICATION_BYTES:
        return data
    return written[:_MAX_NOTIFICATION_BYTES].decode("utf-8", "ignore") + "…"
