"""One request and its answer on a connection: the server's half of ASGI, on the path of every call and every chunk.

uvicorn's protocol keeps the connection; this takes the place of its `RequestResponseCycle`, and has what that protocol
uses of it. It writes what leaves in as few system calls as possible: a write wakes whoever reads the socket, which
costs more than everything else that a short answer takes.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from penstock.http.faces import Header
from penstock.http.incoming import LINE_KEY, AsgiApp, Message, Scope
from penstock.telemetry.logs import log

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = (204, 304)
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")


class Cycle:
    """`stalled_s`: how long a client may take to read the end of an answer after which we close."""

    def __init__(
        self,
        *,
        scope: Scope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[Header],
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
        stalled_s: float,
    ) -> None:
        self.scope = scope
        scope[LINE_KEY] = self
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._stalled_s = stalled_s
        self._head: bytes | None = None
        """Kept back until the body begins, in the same turn of the event loop; else it leaves by itself."""
        self.gone = False
        self.task: asyncio.Task[None] | None = None
        self._is_watched = False
        self._is_head = scope["method"] == "HEAD"
        self._knows_chunks = scope["http_version"] == "1.1"
        self._chunked = False
        self._left: int | None = None
        """How much of the declared body is still to come; None when its length is not declared."""

    async def run_asgi(self, app: AsgiApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:  # the door answers for failures; what comes here is an answer that must be cut
            log.warning("an answer was cut short", reason=str(error)[:200])
        finally:
            self.on_response = _nothing
            self.scope = {}  # it holds us: a cycle
            if not self.response_complete and not self.disconnected:
                self._flush()
                self._close()

    # --- the line of a model call (`http/incoming.py`) ---------------------------------------------------------------

    def watch(self) -> None:
        self._is_watched = True
        if self.disconnected:
            self._cancel()

    def unwatch(self) -> None:
        self._is_watched = False

    def put(self, piece: bytes) -> bool:
        if self.disconnected:
            return False
        if self._chunked and self._head is None and piece and not self.response_complete:
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self._write(piece, last=False)
        return self.flow.write_paused

    async def drain(self) -> None:
        await self.flow.drain()

    def leave(self) -> None:
        """The client has hung up."""
        if self.disconnected or self.response_complete:
            return
        self.disconnected = True
        self.message_event.set()
        self.flow.resume_writing()  # whoever waits for the client waits no longer
        if self._is_watched:
            self._cancel()

    def _cancel(self) -> None:
        if self.task is not None and not self.gone:
            self.gone = True
            self.task.cancel()

    # --- ASGI --------------------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(_CONTINUE)
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self.message_event.is_set():
                await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, bytearray()
        if self.flow.read_paused and not self.more_body:
            self.flow.resume_reading()  # nobody asks for more of it, and who does not read does not see a hang-up
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), last=not message.get("more_body", False))

    def _begin(self, status: int, headers: list[Header]) -> None:
        """Header names are in lower case. Raises RuntimeError for a header that would break out of its line."""
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [*self.default_headers, *headers]
        fields = dict(lines)
        if fields.get(b"connection", b"").lower() == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(_CLOSE)
        length = fields.get(b"content-length")
        if length is not None:
            self._left = int(length)
        if self._is_head or status in _BODILESS:
            self._left = 0
        elif length is None and self._knows_chunks:
            self._chunked = True
            lines.append(_CHUNKED)
        elif length is None:
            self.keep_alive = False  # HTTP/1.0 knows no chunks: the body ends with the connection
        head = STATUS_LINE[status] + b"\r\n".join([*map(b": ".join, lines), b"\r\n"])
        if head.count(b"\n") != len(lines) + 2:
            raise RuntimeError("a header with a line break")
        self._head = head
        if length is None:  # a body of known length is there already, as good as always, and takes the head along
            asyncio.get_running_loop().call_soon(self._flush)

    def _write(self, body: bytes, *, last: bool) -> None:
        if self.response_complete:
            raise RuntimeError("the answer is complete already")
        data = self._framed(body, last=last) if self._chunked else self._counted(body, last=last)
        if self._head is not None:
            data, self._head = self._head + data, None
        if data:
            self.transport.write(data)
        if last:
            self._end()

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        if not body:
            return b"0\r\n\r\n" if last else b""
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if last else b"%x\r\n%b\r\n" % (len(body), body)

    def _counted(self, body: bytes, *, last: bool) -> bytes:
        if self._left is None:
            return body
        if self._is_head:
            return b""
        self._left -= len(body)
        if self._left < 0 or (last and self._left):
            raise RuntimeError("the body is not as long as was declared")
        return body

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self._close()
        self.on_response()

    def _close(self) -> None:
        """When everything is written; a client that does not read it is not waited for without end."""
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(self._stalled_s, self.transport.abort)
        self.transport.close()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            if not self.transport.is_closing():
                self.transport.write(head)


def _nothing() -> Any:
    return None
