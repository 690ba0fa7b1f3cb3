"""A loopback server that plays any dialect: what a model says, how a vendor refuses, and every way to break off.

It runs in a thread of its own. `server.plays(*steps)` scripts the next chat call; without a script it says hello. What
the vendor would refuse is a fault: it is answered with 400, and `server.faults` has it, which a test must look at.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fakes.dialects.base import Asked, Dialect, Refusal, RefusalKind, Says, Seen

HELLO = Says()


@dataclass(frozen=True)
class Refuses:
    kind: RefusalKind
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Answers:
    """Exactly this."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Breaks:
    """Begin to say `says`, and after `after` frames: stall for ever, reset, end without the rest, or report a failure.

    `after=-1` means before the headers.
    """

    how: str  # "stall", "reset", "end", "error"
    after: int = 2
    says: Says = HELLO


@dataclass(frozen=True)
class Slowly:
    """Say `says` with a pause between the frames."""

    says: Says = HELLO
    pause_s: float = 0.05


@dataclass(frozen=True)
class Dribbles:
    """Say `says` byte by byte, each in a chunk of its own."""

    says: Says = HELLO


Play = Dribbles | Says | Refuses | Answers | Breaks | Slowly


class ProviderServer:
    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.port = 0
        self.seen: list[Seen] = []
        self.cancelled = 0
        self.refused_keys: set[str] = set()
        """Credentials that are answered with the vendor's 401."""
        self._plays: deque[Play] = deque()
        self._always: Play = Says()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def entry(self, *keys: str) -> dict[str, object]:
        return self.dialect.entry(self.url, *keys)

    def plays(self, *plays: Play) -> None:
        """For the next calls, one each."""
        self._plays.extend(plays)

    def always_plays(self, play: Play) -> None:
        self._always = play

    def reset(self) -> None:
        self.seen.clear()
        self._plays.clear()
        self._always = Says()
        self.refused_keys.clear()
        self.cancelled = 0

    @property
    def asked(self) -> list[Asked]:
        """The chat calls without those for titles."""
        return [one.asked for one in self.seen if one.asked is not None and "title" not in one.asked.system.lower()]

    @property
    def faults(self) -> list[str]:
        return [fault for one in self.seen for fault in one.faults]

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await _read(reader)) is not None:
                self.seen.append(seen)
                answering = asyncio.ensure_future(self._answer(seen, writer))
                hang_up = asyncio.ensure_future(_hung_up(reader))
                await asyncio.wait((answering, hang_up), return_when=asyncio.FIRST_COMPLETED)
                hang_up.cancel()
                if not answering.done():
                    self.cancelled += 1
                    answering.cancel()
                    break
                if not answering.result():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.cancelled += 1
        finally:
            writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        try:
            seen.asked = self.dialect.asked(seen.method, seen.target, seen.headers, seen.body)
        except AssertionError as error:
            seen.faults.append(f"{seen.method} {seen.target}: {error}")
            return await _whole(writer, 400, json.dumps({"error": {"message": f"fault: {error}"}}).encode(), ())
        if seen.asked is None:
            return await _refuse(writer, self.dialect.other(seen.method, seen.target, seen.headers, seen.body))
        if seen.asked.credential in self.refused_keys:
            return await _refuse(writer, self.dialect.refusal("auth"))
        if "title" in seen.asked.system.lower():
            return await self._say(writer, Says(pieces=("A short title",)), seen.asked)
        play = self._plays.popleft() if self._plays else self._always
        match play:
            case Says():
                return await self._say(writer, play, seen.asked)
            case Slowly():
                return await self._say(writer, play.says, seen.asked, pause_s=play.pause_s)
            case Dribbles():
                return await self._dribble(writer, play.says, seen.asked)
            case Refuses():
                return await _refuse(writer, self.dialect.refusal(play.kind, retry_after_s=play.retry_after_s))
            case Answers():
                return await _whole(writer, play.status, play.body, play.headers)
            case Breaks():
                return await self._break(writer, play, seen.asked)

    async def _say(self, writer: asyncio.StreamWriter, says: Says, asked: Asked, *, pause_s: float = 0.0) -> bool:
        if not asked.stream:
            kind = (("content-type", "application/json"),)
            return await _whole(writer, 200, self.dialect.whole(says, asked), kind)
        await self._begin(writer)
        for frame in self.dialect.frames(says, asked):
            await _chunk(writer, frame)
            if pause_s:
                await asyncio.sleep(pause_s)
        await _write(writer, b"0\r\n\r\n")
        return True

    async def _dribble(self, writer: asyncio.StreamWriter, says: Says, asked: Asked) -> bool:
        await self._begin(writer)
        for byte in b"".join(self.dialect.frames(says, asked)):
            await _chunk(writer, bytes((byte,)))
        await _write(writer, b"0\r\n\r\n")
        return True

    async def _break(self, writer: asyncio.StreamWriter, play: Breaks, asked: Asked) -> bool:
        if play.after >= 0:
            await self._begin(writer)
            for frame in self.dialect.frames(play.says, asked)[: play.after]:
                await _chunk(writer, frame)
        match play.how:
            case "stall":
                await asyncio.sleep(3600)
            case "reset":
                await asyncio.sleep(0.05)  # what was written must arrive: a reset overtakes it
                writer.transport.abort()
            case "end":
                await _write(writer, b"0\r\n\r\n")
            case "error":
                await _chunk(writer, self.dialect.broken())
                await _write(writer, b"0\r\n\r\n")
        return False

    async def _begin(self, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {self.dialect.content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        await _write(writer, head.encode())


async def _refuse(writer: asyncio.StreamWriter, refusal: Refusal) -> bool:
    body = refusal.body if isinstance(refusal.body, bytes) else json.dumps(refusal.body).encode()
    return await _whole(writer, refusal.status, body, refusal.headers)


async def _whole(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Sequence[tuple[str, str]]) -> bool:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    kind = "" if any(name.lower() == "content-type" for name, _ in headers) else "content-type: application/json\r\n"
    await _write(writer, f"HTTP/1.1 {status} X\r\n{kind}{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
    return True


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    await _write(writer, b"%x\r\n%b\r\n" % (len(data), data))


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _hung_up(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.02)


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@contextmanager
def serving(*dialects: Dialect) -> Iterator[list[ProviderServer]]:
    """One server for each dialect, on free ports, until the block is left."""
    servers = [ProviderServer(dialect) for dialect in dialects]
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        listening = []
        for server in servers:
            found = await asyncio.start_server(server.serve_connection, "127.0.0.1", 0)
            server.port = found.sockets[0].getsockname()[1]
            listening.append(found)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        started.set()
        await stopped.wait()
        for one in listening:
            one.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield servers
    finally:
        stop[0]()
        thread.join(10)
