"""One session with an MCP server, over the official SDK. It lives in a task of its own.

The SDK ties what it starts to the task that opened it: a chat that is cancelled must not take a shared session with it,
nor be taken by its end. Callers only send requests into it, and wait.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, Final

import mcp_types as types
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from penstock import __version__
from penstock.editor.mcp.errors import SessionFailed
from penstock.editor.mcp.servers import McpServer
from penstock.editor.mcp.session_http import FAILED, MAX_MESSAGE_BYTES, Access, SessionHttp, open_client
from penstock.telemetry.logs import log

Hear = Callable[[str, Any], None]
"""Takes a level and what a running tool said. Must not wait."""

OPEN_WITHIN_S = 8.0
PING_WITHIN_S = 5.0
_CLOSE_WITHIN_S = 3.0
_LISTEN_AGAIN_AFTER_S = 30.0
_MAX_PAGES = 20
_MAX_TOOLS: Final = 500
_MAX_MIB: Final = MAX_MESSAGE_BYTES // 1024 // 1024

_BY_STATUS: Final = "Server returned an error response"
"""What the SDK says of an answer whose status is all that is known."""

# It would log what servers send, which may be customers' data. What fails is told to those who wait.
logging.getLogger("mcp").setLevel(logging.CRITICAL)

_hear: ContextVar[Hear | None] = ContextVar("mcp_hear", default=None)
"""Of the call whose stream a notification came on: the SDK carries the context of a request to what answers it."""


class Session:
    """Use `open_session`. A session that `is_over` stays so."""

    def __init__(self, server: McpServer, access: Access | None, on_tools_changed: Callable[[], None]) -> None:
        self._server, self._access, self._on_tools_changed = server, access, on_tools_changed
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._http: SessionHttp | None = None
        # A context of its own: nothing of the chat that happens to open it may stick to it.
        self._life = asyncio.get_running_loop().create_task(self._live(), context=Context())

    @property
    def is_over(self) -> bool:
        return self._life.done() or self._closing.is_set() or self.lost

    @property
    def lost(self) -> bool:
        """The server has forgotten it: what was asked last has not been done."""
        return self._http is not None and self._http.lost

    @property
    def refused(self) -> bool:
        """The server does not accept our access."""
        return self._http is not None and self._http.refused

    async def opened(self) -> Client:
        return await asyncio.shield(self._opened)

    async def tools(self) -> Sequence[types.Tool]:
        """Raises SessionFailed."""
        client = await self.opened()
        found: list[types.Tool] = []
        cursor: str | None = None
        try:
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if not cursor or len(found) >= _MAX_TOOLS:
                    break
        except (MCPError, ValidationError, RuntimeError) as error:
            raise self._failed(error) from error
        return found[:_MAX_TOOLS]

    async def call(
        self, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any], hear: Hear
    ) -> types.CallToolResult:
        """What the server answers; `hear` is given what it says meanwhile. Time is the caller's business.

        Cancelling it cancels the call at the server. Raises SessionFailed.
        """
        client = await self.opened()

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            told = {"progress": progress, "total": total, "message": message}
            hear("info", {name: value for name, value in told.items() if value is not None})

        mark = _hear.set(hear)
        try:
            return await client.call_tool(
                tool,
                dict(arguments),
                progress_callback=progressed,
                meta=types.RequestParamsMeta(**meta) if meta else None,  # type: ignore[typeddict-item]
            )
        except (MCPError, ValidationError, RuntimeError) as error:
            raise self._failed(error) from error
        finally:
            _hear.reset(mark)

    async def ping(self) -> bool:
        """Whether the server is there: any answer will do."""
        try:
            async with asyncio.timeout(PING_WITHIN_S):
                client = await self.opened()
                if client.protocol_version in MODERN_PROTOCOL_VERSIONS:  # which have no ping
                    await client.session.send_discover(client.protocol_version)
                else:
                    await client.session.send_ping()
        except (TimeoutError, SessionFailed, RuntimeError):
            return False
        except MCPError as error:
            return not (self.is_over or _is_ours(error))
        return True

    async def close(self) -> None:
        """Within a few seconds, whatever the server does. Calls that run fail."""
        self._closing.set()
        if not self._opened.done():
            self._life.cancel()
        done, _ = await asyncio.wait((self._life,), timeout=_CLOSE_WITHIN_S)
        if not done:
            self._life.cancel()
            await asyncio.wait((self._life,), timeout=_CLOSE_WITHIN_S)

    async def _live(self) -> None:
        try:
            http, self._http = await asyncio.to_thread(open_client, self._server, self._access)
            streams = streamable_http_client(self._server.url, http_client=http, max_sse_event_size=MAX_MESSAGE_BYTES)
            async with http, self._client(streams) as client:
                self._opened.set_result(client)
                listening = asyncio.create_task(self._listen(client))
                try:
                    await self._closing.wait()
                finally:
                    listening.cancel()
                    await asyncio.wait((listening,))
        except asyncio.CancelledError:
            self._end(SessionFailed("it was closed"))
            raise
        except Exception as error:
            # The SDK wraps what ends it in groups of groups. It is logged here, and nobody else waits for this task.
            self._end(self._failed(error))
        finally:
            self._end(SessionFailed("it was closed"))

    def _client(self, streams: Any) -> Client:
        async def said(params: types.LoggingMessageNotificationParams) -> None:
            hear = _hear.get()
            if hear is not None:
                hear(params.level, params.data)

        async def noticed(message: IncomingMessage) -> None:
            if isinstance(message, types.ToolListChangedNotification):
                self._on_tools_changed()

        return Client(
            streams,
            logging_callback=said,
            message_handler=noticed,
            log_level="info",
            client_info=types.Implementation(name="penstock", version=__version__),
            cache=None,
        )

    async def _listen(self, client: Client) -> None:
        """Servers of 2026 and later tell about changed tools to those only who listen."""
        capabilities = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (capabilities and capabilities.list_changed):
            return
        while True:
            with suppress(MCPError, SubscriptionLost, TimeoutError):
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._on_tools_changed()
            await asyncio.sleep(_LISTEN_AGAIN_AFTER_S)

    def _end(self, failure: SessionFailed) -> None:
        if not self._opened.done():
            self._opened.set_exception(failure)
            self._opened.exception()  # nobody has to be waiting

    def _failed(self, error: Exception) -> SessionFailed:
        if isinstance(error, ExceptionGroup) and (told := error.subgroup(MCPError)) is not None:
            return self._failed(_first(told))
        if isinstance(error, MCPError):
            return SessionFailed(self._reason(error))
        if self.is_over:
            return SessionFailed("the connection broke off")
        if isinstance(error, RuntimeError | ValidationError):
            return SessionFailed("its answer does not keep to the protocol, or to the schema of its own tool")
        log.warning("a session with an MCP server broke", server=self._server.name, error=_kind(error))
        return SessionFailed("the session with it broke")

    def _reason(self, error: MCPError) -> str:
        http = self._http
        if http is not None and (http.lost or http.refused or error.message == _BY_STATUS):
            return http.failure
        if error.code == FAILED:
            return error.message
        if error.code == types.CONNECTION_CLOSED:
            if error.message.startswith("SSE stream failed"):
                return f"its answer is larger than {_MAX_MIB} MiB, or cannot be read"
            return "the connection broke off"
        return f"it said: {error.message[:500]}"


async def open_session(server: McpServer, access: Access | None, on_tools_changed: Callable[[], None]) -> Session:
    """Raises SessionFailed."""
    session = Session(server, access, on_tools_changed)
    try:
        async with asyncio.timeout(OPEN_WITHIN_S):
            await session.opened()
    except TimeoutError as error:
        await session.close()
        raise SessionFailed("it did not answer in time") from error
    except BaseException:
        await session.close()
        raise
    return session


def _is_ours(error: MCPError) -> bool:
    """Made on our side, for a server that gave no answer."""
    return error.code in (FAILED, types.CONNECTION_CLOSED)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, ExceptionGroup) else one


def _kind(error: BaseException) -> str:
    """The kinds of errors in a group; their texts may quote what a server sent."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(sorted({_kind(one) for one in error.exceptions}))
    return type(error).__name__
