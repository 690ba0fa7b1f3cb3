"""A door in front of routes that misbehave, with bounds short enough to be waited for: a process of its own.

    python -m tests.http.small_house '{"bounds": {"headers_s": 0.3}, "grace_s": 1, "body_within_s": 0.5}'

It prints its port, then its logs.
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvloop
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from penstock.errors import Unavailable
from penstock.http.answers import Event, EventStream, send_body
from penstock.http.bodies import read_body
from penstock.http.door import Door
from penstock.http.incoming import Incoming, Receive, Scope, Send
from penstock.http.origins import Origins
from penstock.http.routes import install_handlers
from penstock.http.server import Bounds, server_for
from penstock.telemetry.logs import configure_logs, write_line
from penstock.telemetry.requests import RequestLog

MAX_BODY_BYTES = 1000


async def echo(incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(receive, limit_bytes=MAX_BODY_BYTES, within_s=0.5)
    await send_body(incoming, send, 200, body, [(b"content-type", b"application/json")])


async def call_bug(incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("the secret of the bug")


async def flood(incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends as much as the client takes, and says when it has gone."""
    incoming.status = 200
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    gone = asyncio.ensure_future(_until_gone(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
        await asyncio.sleep(0)
    write_line({"message": "the flood has ended"})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def never_ending(says: str) -> AsyncGenerator[Event, None]:
    try:
        for number in range(1_000_000):
            yield Event("text-delta", {"textDelta": f"{number} "})
            await asyncio.sleep(0.05)
    finally:
        await asyncio.sleep(0.2)  # what a product does when it saves an unfinished answer
        write_line({"message": says})


async def failing_late() -> AsyncGenerator[Event, None]:
    yield Event("text-delta", {"textDelta": "so far"})
    await asyncio.sleep(0.05)
    raise ZeroDivisionError("the secret of the stream")


async def refusing_late() -> AsyncGenerator[Event, None]:
    yield Event("text-delta", {"textDelta": "so far"})
    await asyncio.sleep(0.05)
    raise Unavailable("It is down.", explanation="Somebody pulled the plug.", action="Wait.")


async def refusing_at_once() -> AsyncGenerator[Event, None]:
    await asyncio.sleep(0.05)
    raise Unavailable("It is down.", explanation="Somebody pulled the plug.", action="Wait.")
    yield Event("never", {})


async def silent(says: str) -> AsyncGenerator[Event, None]:
    try:
        await asyncio.sleep(3600)
        yield Event("never", {})
    finally:
        write_line({"message": says})


async def begun_and_silent() -> AsyncGenerator[Event, None]:
    yield OPENING
    await asyncio.sleep(3600)


async def in_a_rush() -> AsyncGenerator[Event, None]:
    for number in range(500):
        yield Event("modification-delta", {"id": "a", "textDelta": f"{number} "})
        await asyncio.sleep(0)
    yield Event("done", {})


OPENING = Event("opening", {"callId": "1"})


def no_merge(one: Event, other: Event) -> None:
    return None


def merge_texts(one: Event, other: Event) -> Event:
    return Event(one.name, {**one.data, "textDelta": one.data["textDelta"] + other.data["textDelta"]})


def routes() -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_handlers(app)

    @app.get("/bug")
    @app.get("/v1/bug")
    @app.get("/oai/bug")
    async def bug() -> None:
        raise ZeroDivisionError("the secret of the bug")

    @app.post("/body")
    async def body(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.post("/json")
    async def typed(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @app.get("/sleep")
    async def sleep() -> None:
        await asyncio.sleep(60)

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"so far"
            raise ZeroDivisionError("the secret of the stream")

        return StreamingResponse(pieces())

    @app.get("/stream/{kind}")
    async def stream(kind: str) -> EventStream:
        events = {"endless": never_ending("saved what there was"), "bug": failing_late(), "down": refusing_late()}
        return EventStream(events[kind], merge=no_merge, keep_alive_s=5, max_s=300)

    @app.get("/v1/actions/{kind}")
    async def delayed(kind: str) -> EventStream:
        events = {
            "refused": refusing_at_once(),
            "late": refusing_late(),
            "bug": failing_late(),
            "silent": silent("the silence was broken off"),
            "begun": begun_and_silent(),
            "rush": in_a_rush(),
        }
        return EventStream(
            events[kind],
            merge=merge_texts,
            keep_alive_s=0.1,
            max_s=300,
            opening=OPENING,
            open_within_s=0.5 if kind != "begun" else 3600,
            cut_on_failure=True,
            done_event=False,
        )

    return app


async def main(options: Mapping[str, Any]) -> None:
    door = Door(
        calls={"/call": echo, "/oai/call": echo, "/call/bug": call_bug, "/call/flood": flood},
        router=routes(),
        origins=Origins(["https://editor.example.com"]),
        max_body_bytes=MAX_BODY_BYTES,
        request_log=RequestLog(log_user_ids=False),
        body_within_s=options.get("body_within_s", 300.0),
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = server_for(door, grace_s=options.get("grace_s", 5), bounds=Bounds(**options.get("bounds", {})))
    server.when_started = lambda: write_line({"message": "listening", "port": listener.getsockname()[1]})
    await server.serve(sockets=[listener])


class SmallHouse:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        self.port: int = json.loads(process.stdout.readline())["port"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and everything it wrote."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


@contextmanager
def small_house(**options: Any) -> Iterator[SmallHouse]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.http.small_house", json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield SmallHouse(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    configure_logs(30)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.argv[1])))
