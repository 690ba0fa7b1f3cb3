"""A real MCP server on loopback, over the official SDK, that can be told to hang, to break and to lie.

It speaks Streamable HTTP of both eras: with `legacy`, sessions and the initialize handshake, else what came in 2026.
With an `Authority` it wants access tokens, and is an authorization server as well, on the same address.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from tests.fakes.mcp_authority import Authority

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass
class McpFake:
    """`hangs` on `connect`, `list` or a tool's name; `status` answers everything with that status. `asked` are the
    methods that came in, `headers` those of the last request, `cancelled` the tools whose calls were cancelled."""

    legacy: bool = True
    authority: Authority | None = None
    hangs: set[str] = field(default_factory=set)
    hangs_on_notifications: bool = False
    status: int | None = None
    redirects_to: str | None = None
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    metas: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    more_tools: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uvicorn: uvicorn.Server | None = None
        self._app: Starlette | None = None
        self._mcp: Server[Any] = Server(
            "fake",
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_subscriptions_listen=ListenHandler(self._bus),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    # --- what a test may do to it ------------------------------------------------------------------------------------

    def forget_sessions(self) -> None:
        """As after a restart."""
        self._in_loop(self._mcp.session_manager._server_instances.clear)

    def break_connections(self) -> None:
        """As if the process had died, but it comes back."""
        assert self._uvicorn is not None
        connections = self._uvicorn.server_state.connections
        self._in_loop(lambda: [one.transport.abort() for one in list(connections)])

    def add_tool(self, name: str) -> None:
        """For sessions of 2026, which listen; of the others, `grow` tells those that call it."""
        self.more_tools.append(name)
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._bus.publish(ToolsListChanged()), self._loop).result(5)

    def _in_loop(self, work: Callable[[], Any]) -> None:
        assert self._loop is not None
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5)

    # --- tools -------------------------------------------------------------------------------------------------------

    async def _list(self, context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        if "list" in self.hangs:
            await asyncio.Event().wait()
        names = [name.removeprefix("_tool_") for name in dir(self) if name.startswith("_tool_")]
        tools = [
            types.Tool(name=name, description=f"Does {name}.", input_schema=ANY_OBJECT)
            for name in [*names, *self.more_tools]
        ]
        return types.ListToolsResult(tools=tools)

    async def _call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        self.called.append((params.name, arguments))
        self.metas.append(dict(params.meta or {}))
        try:
            if params.name in self.hangs:
                await asyncio.Event().wait()
            found = await getattr(self, f"_tool_{params.name}")(context, arguments)
        except asyncio.CancelledError:
            self.cancelled.append(params.name)
            raise
        if isinstance(found, types.CallToolResult):
            return found
        return types.CallToolResult(content=[types.TextContent(text=found)])

    async def _tool_echo(self, context: Any, arguments: dict[str, Any]) -> str:
        return str(arguments.get("text", ""))

    async def _tool_structured(self, context: Any, arguments: dict[str, Any]) -> types.CallToolResult:
        value = {"data": {"answer": 42}}
        text = types.TextContent(text=json.dumps(value, indent=2))
        return types.CallToolResult(content=[text], structured_content=value)

    async def _tool_mixed(self, context: Any, arguments: dict[str, Any]) -> types.CallToolResult:
        return types.CallToolResult(
            content=[
                types.TextContent(text="One."),
                types.ImageContent(data="AAAA" * 1024, mime_type="image/png"),
                types.ResourceLink(uri="file:///report.pdf", name="Report"),
                types.EmbeddedResource(resource=types.TextResourceContents(uri="note:1", text="Two.")),
            ]
        )

    async def _tool_nothing(self, context: Any, arguments: dict[str, Any]) -> types.CallToolResult:
        return types.CallToolResult(content=[])

    async def _tool_failing(self, context: Any, arguments: dict[str, Any]) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(text="No such customer.")], is_error=True)

    async def _tool_raising(self, context: Any, arguments: dict[str, Any]) -> str:
        raise ValueError("a defect of the tool")

    async def _tool_huge(self, context: Any, arguments: dict[str, Any]) -> str:
        return "é" * int(arguments["characters"])

    async def _tool_chatty(self, context: Any, arguments: dict[str, Any]) -> str:
        for number in range(3):
            params = types.LoggingMessageNotificationParams(
                level="warning", data={"said": arguments["who"], "n": number}
            )
            await context.session.send_notification(
                types.LoggingMessageNotification(params=params), related_request_id=context.request_id
            )
            await context.session.report_progress(number + 1, 3, f"step {number + 1}")
            await asyncio.sleep(0.02)
        return str(arguments["who"])

    async def _tool_grow(self, context: Any, arguments: dict[str, Any]) -> str:
        self.more_tools.append("grown")
        await context.session.send_tool_list_changed()
        return "grown"

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        if scope["type"] != "http" or not scope["path"].startswith("/mcp"):
            app = self._app if scope["type"] != "http" or self.authority is None else self.authority.app(self.url)
            await app(scope, receive, send)
            return
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if "connect" in self.hangs:
            await asyncio.Event().wait()
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if scope["method"] == "POST":
            body, receive = await _read(receive)
            message = json.loads(body)
            self.asked.append(message.get("method", ""))
            if "id" not in message and self.hangs_on_notifications:
                await asyncio.Event().wait()
            if self.legacy and message.get("method") == "server/discover":
                error = {
                    "jsonrpc": "2.0",
                    "id": message["id"],
                    "error": {"code": -32601, "message": "Method not found"},
                }
                await _answer(send, 400, {}, json.dumps(error).encode())
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, dict[str, str], bytes] | None:
        if self.status is not None:
            return self.status, {}, b"broken"
        if self.redirects_to is not None:
            return 307, {"location": self.redirects_to}, b""
        if self.authority is not None and not self.authority.admits(self.headers.get("authorization", "")):
            return 401, self.authority.challenge(self.url), b""
        return None

    async def serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._app = self._mcp.streamable_http_app(transport_security=security)
        config = uvicorn.Config(
            self, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1, ws="none", loop="asyncio"
        )
        self._uvicorn = uvicorn.Server(config)
        serving = asyncio.create_task(self._uvicorn.serve())
        while not self._uvicorn.started:
            await asyncio.sleep(0.01)
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        started.set()
        await serving

    def stop(self) -> None:
        assert self._uvicorn is not None
        self._uvicorn.should_exit = True


@contextmanager
def running_mcp(**options: Any) -> Iterator[McpFake]:
    fake, started = McpFake(**options), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(fake.serve(started)), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield fake
    finally:
        fake.break_connections()
        fake.stop()
        thread.join(10)
        assert not thread.is_alive()


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return given.pop() if given else await receive()

    return body, again


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    sent = {"content-type": "application/json", **headers}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
