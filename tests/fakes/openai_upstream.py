"""A small server that speaks the OpenAI chat wire on loopback and does what it is told: stall, lie, die.

It runs in a thread of its own, so that it keeps answering whatever the test does. `upstream.plays(*steps)` scripts the
next chat call; without a script it answers `Hello from the upstream.`. `upstream.plays_when(text, *steps)` scripts the
calls whose last message is `text`, and `upstream.plays_what(make)` those that nothing else is there for, from their
request. Title calls (their system message asks for a title) never use up a script: they answer `upstream.title`.
"""

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec


class Text(msgspec.Struct, frozen=True):
    """One streamed chunk, or a part of the whole answer."""

    text: str


class Raw(msgspec.Struct, frozen=True):
    """These bytes as one piece of the body, whatever they are."""

    data: bytes


class Status(msgspec.Struct, frozen=True):
    """A whole answer with this status; ends the exchange."""

    code: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Stall(msgspec.Struct, frozen=True):
    """Say nothing more until the client goes away."""


class Reset(msgspec.Struct, frozen=True):
    """Cut the connection with RST."""


class Hold(msgspec.Struct, frozen=True):
    """Wait until the test calls `upstream.go_on()`."""


class CutShort(msgspec.Struct, frozen=True):
    """Close in mid-body, without the last chunk."""


class EndWithoutFinish(msgspec.Struct, frozen=True):
    """End the body in good order, but without a finish reason."""


class Finish(msgspec.Struct, frozen=True):
    """Finish chunk, usage, `[DONE]`."""

    reason: str = "stop"
    input_tokens: int = 7
    output_tokens: int = 5


class CallsTool(msgspec.Struct, frozen=True):
    """The model calls a tool; `Finish("tool_calls")` has to follow."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    index: int = 0


class Thinks(msgspec.Struct, frozen=True):
    """A piece of reasoning, as vLLM and its kin stream it."""

    text: str


Step = CallsTool | Thinks | Text | Raw | Status | Wait | Stall | Reset | Hold | CutShort | EndWithoutFinish | Finish


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_title_call(self) -> bool:
        messages = self.json.get("messages", []) if self.body else []
        systems = [one for one in messages if isinstance(one, dict) and one.get("role") == "system"]
        return any(str(one.get("content", "")).startswith("You name conversations") for one in systems)

    @property
    def last_text(self) -> Any:
        """The content of a chat's last message: a text, or parts."""
        return self.json["messages"][-1].get("content")


@dataclass
class Upstream:
    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    models: Sequence[str] | None = None
    """What `/v1/models` lists; None: there is no such path."""
    title: str | None = "A short title"
    title_steps: Sequence[Step] = ()
    """Played for title calls instead of `title`."""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    cancelled: int = 0
    """Answers that the client cut short."""
    _scripts: deque[Sequence[Step]] = field(default_factory=deque)
    _by_text: dict[str, deque[Sequence[Step]]] = field(default_factory=dict)
    _make: "Callable[[Received], Sequence[Step]] | None" = None
    _always: Sequence[Step] = (Text("Hello "), Text("from the upstream."), Finish())
    _gate: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/v1"

    @property
    def chats(self) -> list[Received]:
        """Chat calls without those for titles."""
        return [one for one in self.requests if one.path == "/v1/chat/completions" and not one.is_title_call]

    def plays(self, *steps: Step) -> None:
        self._scripts.append(steps)

    def plays_when(self, text: str, *steps: Step) -> None:
        """For calls that come in no known order. Said again for the same text: for the next such call; the last stays.

        The scripts of `plays` are not used up by these calls.
        """
        self._by_text.setdefault(text, deque()).append(steps)

    def plays_what(self, make: Callable[[Received], Sequence[Step]]) -> None:
        self._make = make

    def chats_about(self, text: str) -> list[Received]:
        return [one for one in self.chats if one.last_text == text]

    def always_plays(self, *steps: Step) -> None:
        self._always = steps

    def go_on(self) -> None:
        self._gate.set()

    def reset(self) -> None:
        self.requests.clear()
        self._scripts.clear()
        self._by_text.clear()
        self._make = None
        self._gate.clear()
        self._always = Upstream._always
        self.title = "A short title"
        self.title_steps = ()
        self.cancelled = 0

    def _steps_for(self, request: Received) -> Sequence[Step]:
        if request.path == "/v1/models" and self.models is not None:
            return (Status(200, {"object": "list", "data": [{"id": name} for name in self.models]}),)
        if request.path != "/v1/chat/completions":
            return (Status(404, {"error": {"message": "Not Found", "type": "invalid_request_error"}}),)
        if request.is_title_call:
            if self.title_steps:
                return self.title_steps
            return (Text(self.title), Finish()) if self.title else (Status(500, {"error": {"message": "no title"}}),)
        text = request.last_text
        if isinstance(text, str) and (scripts := self._by_text.get(text)):
            return scripts.popleft() if len(scripts) > 1 else scripts[0]
        if self._scripts:
            return self._scripts.popleft()
        return self._make(request) if self._make is not None else self._always

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.cancelled += 1
        finally:
            writer.close()

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        playing = asyncio.ensure_future(_Answering(self, request, writer).play(self._steps_for(request)))
        hang_up = asyncio.ensure_future(_hung_up(reader))
        await asyncio.wait((playing, hang_up), return_when=asyncio.FIRST_COMPLETED)
        hang_up.cancel()
        if not playing.done():
            self.cancelled += 1
            playing.cancel()
            return False
        return playing.result()


async def _hung_up(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.02)


class _Answering:
    def __init__(self, upstream: Upstream, request: Received, writer: asyncio.StreamWriter) -> None:
        self._upstream = upstream
        self._writer = writer
        body = request.json if request.body else {}
        self._stream = bool(body.get("stream"))
        self._usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._model = body.get("model", "?")
        self._text = ""
        self._begun = False

    async def play(self, steps: Sequence[Step]) -> bool:
        """Whether the connection may be used again."""
        for step in steps:
            match step:
                case Text(text):
                    await self._say(text)
                case CallsTool():
                    function = {"name": step.name, "arguments": step.arguments}
                    call = {"index": step.index, "id": step.id, "type": "function", "function": function}
                    await self._chunk({"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None})
                case Thinks(text):
                    await self._chunk({"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None})
                case Raw(data):
                    await self._piece(data)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Hold():
                    await asyncio.to_thread(self._upstream._gate.wait, 30)
                case Stall():
                    await asyncio.sleep(3600)
                case Reset():
                    self._writer.transport.abort()
                    return False
                case CutShort():
                    await self._begin()
                    return False
                case EndWithoutFinish():
                    await self._begin()
                    await self._write(b"0\r\n\r\n")
                    return True
                case Status(code, body, headers):
                    await self._whole(code, body, headers)
                    return True
                case Finish():
                    await self._finish(step)
                    return True
        return False

    async def _say(self, text: str) -> None:
        self._text += text
        if self._stream:
            speaker = {} if self._begun else {"role": "assistant"}
            await self._chunk({"index": 0, "delta": {**speaker, "content": text}, "finish_reason": None})

    async def _chunk(self, choice: dict[str, Any]) -> None:
        frame = self._frame([choice]) | ({"usage": None} if self._usage else {})
        await self._piece(b"data: " + json.dumps(frame).encode() + b"\n\n")

    async def _finish(self, step: Finish) -> None:
        usage = {
            "prompt_tokens": step.input_tokens,
            "completion_tokens": step.output_tokens,
            "total_tokens": step.input_tokens + step.output_tokens,
        }
        if not self._stream:
            message = {"role": "assistant", "content": self._text}
            choice = {"index": 0, "message": message, "finish_reason": step.reason}
            answer = self._frame([choice]) | {"object": "chat.completion", "usage": usage}
            await self._whole(200, answer, ())
            return
        await self._chunk({"index": 0, "delta": {}, "finish_reason": step.reason})
        if self._usage:
            await self._piece(b"data: " + json.dumps(self._frame([]) | {"usage": usage}).encode() + b"\n\n")
        await self._piece(b"data: [DONE]\n\n")
        await self._write(b"0\r\n\r\n")

    def _frame(self, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self._model,
            "choices": choices,
        }

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            await self._write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )

    async def _piece(self, data: bytes) -> None:
        await self._begin()
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _whole(self, code: int, body: Any, headers: Sequence[tuple[str, str]]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        kind = "" if any(name == "content-type" for name, _ in headers) else "content-type: application/json\r\n"
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"HTTP/1.1 {code} X\r\n{kind}{extra}content-length: {len(data)}\r\n\r\n"
        await self._write(head.encode() + data)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return Received(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@contextmanager
def running_upstream(tls: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """The server on a free port, until the block is left."""
    upstream = Upstream(scheme="https" if tls else "http")
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        server = await asyncio.start_server(upstream.serve_connection, "127.0.0.1", 0, ssl=tls)
        upstream.port = server.sockets[0].getsockname()[1]
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        started.set()
        await stopped.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield upstream
    finally:
        upstream.go_on()
        stop[0]()
        thread.join(10)
