"""The transport port: one suite over both drivers, plain and TLS; the relay on both event loops."""

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from penstock.providers.transport.aiohttp import Aiohttp
from penstock.providers.transport.base import (
    MAX_HEADER_BYTES,
    Header,
    Limits,
    Origin,
    Request,
    Response,
    ResponseTooLarge,
    Transport,
    TransportError,
    TransportTimeout,
)
from penstock.providers.transport.drivers import open_transport
from penstock.providers.transport.relay import Relay
from tests.fakes.wire_server import CHUNKED_HEAD, LAST_CHUNK, Script, Wire, WireServer, chunk, chunked, ok

LIMITS = Limits(connect_s=10, first_byte_s=10, idle_s=10, total_s=30)
HEADERS: tuple[Header, ...] = ((b"accept-encoding", b"identity"), (b"content-type", b"application/json"))
MIB = 1024 * 1024

Serve = Callable[[Script], Awaitable[WireServer]]


class Driver(NamedTuple):
    make: type[Relay] | type[Aiohttp]
    on_uvloop: bool


DRIVERS = {
    "relay": Driver(Relay, on_uvloop=True),
    "relay on asyncio": Driver(Relay, on_uvloop=False),
    "aiohttp": Driver(Aiohttp, on_uvloop=True),
}


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]


@pytest.fixture(scope="module")
def anyio_backend(driver: Driver) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": driver.on_uvloop}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA) -> Iterator[str]:
    with authority.cert_pem.tempfile() as path:
        yield path


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def transport(driver: Driver, ca_file: str) -> AsyncIterator[Transport]:
    opened: Transport = driver.make(ca_file=ca_file)
    yield opened
    await opened.aclose()


@pytest.fixture
async def serve(scheme: str, authority: trustme.CA) -> AsyncIterator[Serve]:
    servers: list[WireServer] = []

    async def start(script: Script) -> WireServer:
        tls = server_tls(authority.issue_cert("127.0.0.1", "localhost")) if scheme == "https" else None
        servers.append(await WireServer(script, tls).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


def server_tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def post(origin: Origin, body: bytes = b"{}", target: bytes = b"/v1/chat") -> Request:
    return Request(b"POST", origin, target, HEADERS, body)


def get(origin: Origin) -> Request:
    return Request(b"GET", origin, b"/", HEADERS)


async def fetch(transport: Transport, request: Request, limits: Limits = LIMITS) -> tuple[Response, bytes]:
    response = await transport.send(request, limits)
    try:
        return response, await response.read_all()
    finally:
        response.close()


async def failure(transport: Transport, request: Request, limits: Limits = LIMITS) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await fetch(transport, request, limits)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def answering(*answers: bytes) -> Script:
    """Answer requests on one connection, one after another; then wait for the client to go."""

    async def script(wire: Wire) -> None:
        for answer in answers:
            await wire.answer(answer)
        await wire.gone()

    return script


def echoing(answer: bytes) -> Script:
    """Give the same answer for ever."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.answer(answer)

    return script


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_a_request_is_sent_as_it_was_given(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"fine")))
    await fetch(transport, post(server.origin, b"\xff" * 10, b"/a%2Fb/../c?x=%20&y=1+2"))
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.body) == (b"POST", b"/a%2Fb/../c?x=%20&y=1+2", b"\xff" * 10)
    assert seen.header(b"host") == b"127.0.0.1:%d" % server.port
    own = {(name.lower(), value) for name, value in seen.headers if name.lower() not in (b"host", b"connection")}
    assert own == {*HEADERS, (b"content-length", b"10")}


async def test_an_empty_body_says_its_length_only_where_a_body_is_usual(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"fine")))
    await fetch(transport, post(server.origin, b""))
    await fetch(transport, get(server.origin))
    assert [seen.header(b"content-length") for seen in server.requests] == [b"0", None]


async def test_a_large_body_arrives_whole_at_a_slow_reader(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await asyncio.sleep(0.1)
        seen = await wire.request()
        await wire.send(ok(b"%d" % len(seen.body)))
        assert seen.body == body

    body = bytes(range(256)) * (5 * MIB // 256)
    server = await serve(script)
    _, text = await fetch(transport, post(server.origin, body))
    assert text == b"%d" % len(body)


@pytest.mark.parametrize("header", [(b"x-a", b"1\r\nx-b: 2"), (b"x-a", b"1\n"), (b"x\r\n", b"1")])
async def test_a_header_cannot_break_out_of_its_line(transport: Transport, serve: Serve, header: Header) -> None:
    server = await serve(echoing(ok(b"fine")))
    error = await failure(transport, Request(b"GET", server.origin, b"/", (header,)))
    assert error.name == "EPROTO"
    assert server.connections == 0


async def test_a_target_cannot_break_out_of_its_line(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"fine")))
    assert (await failure(transport, post(server.origin, target=b"/ HTTP/1.1\r\nx: y"))).name == "EPROTO"
    assert server.connections == 0


async def test_the_environment_is_not_asked_for_a_proxy(
    transport: Transport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await serve(echoing(ok(b"fine")))
    assert (await fetch(transport, post(server.origin)))[1] == b"fine"


# --- what comes back -------------------------------------------------------------------------------------------------

BODIES = {
    "length": ok(b"hello world"),
    "chunked": chunked(b"hello", b" ", b"world"),
    "chunked with a trailer": CHUNKED_HEAD + chunk(b"hello world") + b"0\r\nx-sum: 1\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhello world",
    "until close, said so": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello world",
}


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("framing", BODIES)
async def test_a_body_is_read_to_its_end(transport: Transport, serve: Serve, framing: str, size: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.dribble(BODIES[framing], size)

    server = await serve(script)
    response, body = await fetch(transport, post(server.origin))
    assert (response.status, body) == (200, b"hello world")
    assert await response.read() == b""
    assert await response.read() == b""


async def test_header_names_are_lower_case_and_repeated_ones_stay(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"", b"Set-Cookie: a=1", b"Set-COOKIE:  b=2 \t", b"X-Empty:", b"X-Caf: \xe9")))
    response, _ = await fetch(transport, post(server.origin))
    assert response.headers == [
        (b"content-length", b"0"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
        (b"x-caf", b"\xe9"),
    ]


@pytest.mark.parametrize(
    "method, answer",
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ],
)
async def test_some_answers_have_no_body(transport: Transport, serve: Serve, method: bytes, answer: bytes) -> None:
    async def script(wire: Wire) -> None:
        while True:
            seen = await wire.request()
            await wire.send(answer if seen.body else ok(b"next"))

    server = await serve(script)
    response, body = await fetch(transport, Request(method, server.origin, b"/", HEADERS, b"first"))
    assert (response.status, body) == (int(answer[9:12]), b"")
    assert (await fetch(transport, get(server.origin)))[1] == b"next"


async def test_informational_answers_are_skipped(transport: Transport, serve: Serve) -> None:
    first = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.dribble(first + ok(b"fine", b"x: y"), 20)

    server = await serve(script)
    response, body = await fetch(transport, post(server.origin))
    assert (response.status, body) == (200, b"fine")
    assert response.headers == [(b"content-length", b"4"), (b"x", b"y")]


async def test_redirects_are_answers(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"", b"Location: /elsewhere", status=b"302 Found")))
    response, _ = await fetch(transport, post(server.origin))
    assert response.status == 302
    assert len(server.requests) == 1


async def test_what_has_arrived_is_read_at_once(transport: Transport, serve: Serve) -> None:
    more = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD + chunk(b"one"))
        await more.wait()
        await wire.send(chunk(b"two") + LAST_CHUNK)

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    assert await response.read() == b"one"
    more.set()
    assert await response.read() == b"two"
    assert await response.read() == b""
    response.close()


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [ok(b"fine"), chunked(b"fi", b"ne"), ok(b""), b"HTTP/1.1 204 None\r\n\r\n"])
async def test_a_connection_is_used_again(transport: Transport, serve: Serve, answer: bytes) -> None:
    server = await serve(echoing(answer))
    for _ in range(5):
        await fetch(transport, post(server.origin))
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"fine", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ok(b"fine") + b"garbage\r\n\r\n",
        ok(b"fine") + ok(b"nobody asked"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nfine",
        chunked(b"fine") + b"0\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "garbage", "two answers", "longer than said", "two ends"],
)
async def test_some_connections_are_not_used_again(transport: Transport, serve: Serve, answer: bytes) -> None:
    server = await serve(answering(answer, ok(b"wrong")))
    for _ in range(2):
        # aiohttp drops an answer that came together with something that is no HTTP.
        with contextlib.suppress(TransportError) if isinstance(transport, Aiohttp) else contextlib.nullcontext():
            assert (await fetch(transport, post(server.origin)))[1] in (b"fine", b"fi")
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_an_http_1_0_connection_is_kept_when_the_upstream_says_so(transport: Transport, serve: Serve) -> None:
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine"
    server = await serve(echoing(answer))
    for _ in range(3):
        await fetch(transport, post(server.origin))
    assert server.connections in (1, 3)  # aiohttp does not
    assert server.connections == 1 or isinstance(transport, Aiohttp)


async def test_bytes_on_an_idle_connection_end_it(transport: Transport, serve: Serve) -> None:
    speak, gone = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(ok(b"fine"))
        await speak.wait()
        await wire.send(ok(b"wrong"))
        await wire.gone()
        gone.set()

    server = await serve(script)
    await fetch(transport, post(server.origin))
    speak.set()
    await asyncio.wait_for(gone.wait(), 10)
    assert (await fetch(transport, post(server.origin)))[1] == b"fine"
    assert server.connections == 2


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_died_is_replaced_unseen(transport: Transport, serve: Serve, how: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(ok(b"fine"))
        if server.connections == 1:
            await wire.request()
            if how == "reset":
                wire.reset()
            return
        await wire.gone()

    server = await serve(script)
    for _ in range(2):
        assert (await fetch(transport, post(server.origin, b"body")))[1] == b"fine"
    assert server.connections == 2
    assert [seen.body for seen in server.requests] == [b"body"] * 3


async def test_a_connection_closed_while_idle_is_replaced_unseen(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(ok(b"fine"))

    server = await serve(script)
    for _ in range(3):
        assert (await fetch(transport, post(server.origin)))[1] == b"fine"
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_died_within_an_answer_is_an_error(
    transport: Transport, serve: Serve, how: str
) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(ok(b"fine"))
        await wire.answer(b"HTTP/1.1 200 O")
        await asyncio.sleep(0.05)
        if how == "reset":
            wire.reset()

    server = await serve(script)
    await fetch(transport, post(server.origin))
    error = await failure(transport, post(server.origin))
    assert (error.name, error.phase) == ("ECONNRESET", "headers")
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("method", [b"POST", b"GET"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_fresh_connection_that_died_is_an_error_after_one_request(
    transport: Transport, serve: Serve, how: str, method: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        if how == "reset":
            wire.reset()

    server = await serve(script)
    error = await failure(transport, Request(method, server.origin, b"/", HEADERS, b"{}"))
    assert (error.name, error.phase) == ("ECONNRESET", "headers")
    assert str(server.port) in error.detail
    assert len(server.requests) == 1


async def test_two_hundred_streams_do_not_queue(transport: Transport, serve: Serve) -> None:
    everybody = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD + chunk(b"one"))
        if len(server.requests) == 200:
            everybody.set()
        await everybody.wait()
        await wire.send(chunk(b"two") + LAST_CHUNK)
        await wire.gone()

    server = await serve(script)
    answers = await asyncio.gather(*(fetch(transport, post(server.origin)) for _ in range(200)))
    assert {body for _, body in answers} == {b"onetwo"}
    assert server.connections == 200


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        CHUNKED_HEAD + chunk(b"hello"),
        CHUNKED_HEAD + chunk(b"hello") + b"ff\r\nworld",
        CHUNKED_HEAD + chunk(b"hello") + b"0\r\n",
    ],
    ids=["length", "last chunk", "chunk", "last line"],
)
async def test_a_body_cut_short_is_an_error_after_its_bytes(transport: Transport, serve: Serve, answer: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(answer)

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    got = await response.read()
    with pytest.raises(TransportError) as caught:
        got += await response.read_all()
    assert got.startswith(b"hello")
    assert (caught.value.name, caught.value.phase) == ("ETRUNCATED", "body")
    with pytest.raises(TransportError):
        await response.read()
    response.close()


@pytest.mark.parametrize("head", [CHUNKED_HEAD + chunk(b"hello"), b"HTTP/1.1 200 OK\r\n\r\nhello"])
async def test_a_reset_within_a_body_is_an_error(transport: Transport, serve: Serve, head: bytes) -> None:
    seen = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(head)
        await seen.wait()
        wire.reset()

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    assert await response.read() == b"hello"
    seen.set()
    with pytest.raises(TransportError) as caught:
        await response.read()
    assert (caught.value.name, caught.value.phase) == ("ECONNRESET", "body")
    response.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ok(b"\x1f\x8b", b"Content-Encoding: gzip"),
    ],
)
async def test_what_is_not_http_or_not_readable_is_refused(transport: Transport, serve: Serve, answer: bytes) -> None:
    server = await serve(answering(answer))
    error = await failure(transport, post(server.origin))
    assert (error.name, error.phase) == ("EPROTO", "headers")
    assert (server.connections, len(server.requests)) == (1, 1)


async def test_identity_may_be_named(transport: Transport, serve: Serve) -> None:
    server = await serve(answering(ok(b"fine", b"Content-Encoding: Identity")))
    assert (await fetch(transport, post(server.origin)))[1] == b"fine"


async def test_bad_chunking_is_an_error(transport: Transport, serve: Serve) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD + chunk(b"hello"))
        await go_on.wait()
        await wire.send(b"zz\r\nworld\r\n")
        await wire.gone()

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    assert await response.read() == b"hello"
    go_on.set()
    with pytest.raises(TransportError) as caught:
        await response.read()
    assert (caught.value.name, caught.value.phase) == ("EPROTO", "body")
    response.close()


def padded(size: int) -> bytes:
    """An answer whose head has `size` bytes."""
    lines = b"".join(b"x-%06d: %b\r\n" % (number, b"v" * 988) for number in range(size // 1000 - 1))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + lines + b"x-last: "
    return head + b"v" * (size - len(head) - 4) + b"\r\n\r\n"


async def test_headers_may_be_as_long_as_the_cap(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(padded(MAX_HEADER_BYTES)))
    response, _ = await fetch(transport, post(server.origin))
    assert response.status == 200


@pytest.mark.parametrize(
    "head, more",
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-a: " + b"v" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-a: ", b"v" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
    ],
    ids=["lines", "value", "name", "informational"],
)
async def test_headers_without_end_are_cut(transport: Transport, serve: Serve, head: bytes, more: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(head)
        while True:
            await wire.send(more)

    server = await serve(script)
    error = await failure(transport, post(server.origin))
    assert isinstance(error, ResponseTooLarge)
    assert error.phase == "headers"


async def test_a_body_that_is_still_coming_is_not_called_complete(transport: Transport, serve: Serve) -> None:
    released = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD + chunk(b"begun"))
        await released.wait()
        await wire.send(LAST_CHUNK)
        await wire.gone()

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    assert (await response.read(), response.complete) == (b"begun", False)
    released.set()
    assert await response.read() == b""
    response.close()


# The other driver cannot tell, and always says False.
@pytest.mark.parametrize("driver", [name for name, one in DRIVERS.items() if one.make is Relay], indirect=True)
async def test_a_body_that_is_called_complete_is_read_without_waiting(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"fine")))
    response = await transport.send(post(server.origin), LIMITS)
    await until(lambda: response.complete)
    for expected in (b"fine", b""):
        reading = response.read()
        with pytest.raises(StopIteration) as read:
            reading.send(None)
        assert read.value.value == expected
    response.close()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_whole_body_has_a_cap(transport: Transport, serve: Serve, framing: str) -> None:
    gone = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.answer(
            CHUNKED_HEAD if framing == "chunked" else b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            while True:
                await wire.send(chunk(b"x" * 10_000))
        gone.set()

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    with pytest.raises(ResponseTooLarge):
        await response.read_all(limit=100_000)
    await asyncio.wait_for(gone.wait(), 10)


async def test_a_body_of_exactly_the_cap_is_read(transport: Transport, serve: Serve) -> None:
    server = await serve(echoing(ok(b"x" * 1000)))
    response = await transport.send(post(server.origin), LIMITS)
    assert len(await response.read_all(limit=1000)) == 1000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_is_named(transport: Transport, scheme: str, host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = await failure(transport, post(Origin(scheme, host, port)))  # type: ignore[arg-type]
    assert str(error) == f"ECONNREFUSED: connect {host}:{port}"
    assert error.phase == "connect"


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".invalid", "b\u00fccher.invalid"])
async def test_an_unknown_name_is_named(transport: Transport, scheme: str, host: str) -> None:
    error = await failure(transport, post(Origin(scheme, host, 80)))  # type: ignore[arg-type]
    assert error.name in ("ENOTFOUND", "EAI_AGAIN")
    assert host in error.detail
    assert error.phase == "connect"


# --- limits ----------------------------------------------------------------------------------------------------------


async def strikes(transport: Transport, request: Request, limits: Limits) -> TransportTimeout:
    error = await failure(transport, request, limits)
    assert isinstance(error, TransportTimeout)
    assert error.name == "ETIMEDOUT"
    return error


@pytest.fixture
def deaf(scheme: str) -> Iterator[Origin]:
    """A port where connecting takes for ever: its queue is full, or nobody answers the TLS greeting."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if scheme == "http" else 5)
        for _ in range(3 if scheme == "http" else 0):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield Origin(scheme, "127.0.0.1", listener.getsockname()[1])  # type: ignore[arg-type]


async def test_connecting_has_a_limit(transport: Transport, deaf: Origin) -> None:
    error = await strikes(transport, post(deaf), Limits(connect_s=0.1))
    assert (error.limit, error.after_s, error.phase) == ("connect", 0.1, "connect")


async def test_the_total_limit_covers_connecting(transport: Transport, deaf: Origin) -> None:
    error = await strikes(transport, post(deaf), Limits(total_s=0.1))
    assert (error.limit, error.after_s, error.phase) == ("total", 0.1, "connect")


def silent_after(data: bytes, gone: asyncio.Event) -> Script:
    async def script(wire: Wire) -> None:
        await wire.answer(data)
        await wire.gone()
        gone.set()

    return script


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_the_first_byte_has_a_limit(transport: Transport, serve: Serve, begun: bytes) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(begun, gone))
    error = await strikes(transport, post(server.origin), Limits(first_byte_s=0.1))
    assert (error.limit, error.after_s, error.phase) == ("first_byte", 0.1, "headers")
    await asyncio.wait_for(gone.wait(), 10)
    assert len(server.requests) == 1


async def test_a_body_that_nobody_takes_is_covered_by_the_first_byte_limit(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await asyncio.sleep(30)

    server = await serve(script)
    error = await strikes(transport, post(server.origin, b"x" * 40 * MIB), Limits(first_byte_s=0.2))
    assert (error.limit, error.phase) == ("first_byte", "headers")


async def test_silence_within_a_body_has_a_limit(transport: Transport, serve: Serve) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(CHUNKED_HEAD + chunk(b"one"), gone))
    error = await strikes(transport, post(server.origin), Limits(idle_s=0.1))
    assert (error.limit, error.after_s, error.phase) == ("idle", 0.1, "body")
    await asyncio.wait_for(gone.wait(), 10)


async def test_a_slow_body_is_not_silent(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD)
        await wire.dribble(chunk(b": comment\n\n") * 12, 16, 0.05)
        await wire.send(LAST_CHUNK)

    server = await serve(script)
    _, body = await fetch(transport, post(server.origin), Limits(idle_s=0.4))
    assert body == b": comment\n\n" * 12


async def test_a_slow_reader_is_not_the_upstreams_silence(transport: Transport, serve: Serve) -> None:
    server = await serve(answering(CHUNKED_HEAD + chunk(b"one")))
    response = await transport.send(post(server.origin), Limits(idle_s=0.1))
    await asyncio.sleep(0.2)
    assert await response.read() == b"one"
    with pytest.raises(TransportTimeout):
        await response.read()
    response.close()


async def test_a_body_that_never_ends_has_a_limit(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(CHUNKED_HEAD)
        while True:
            await wire.dribble(chunk(b"more"), 100, 0.01)

    server = await serve(script)
    error = await strikes(transport, post(server.origin), Limits(total_s=0.3))
    assert (error.limit, error.after_s, error.phase) == ("total", 0.3, "body")


async def test_the_total_limit_covers_the_wait_for_headers(transport: Transport, serve: Serve) -> None:
    server = await serve(answering(b""))
    error = await strikes(transport, post(server.origin), Limits(total_s=0.1))
    assert (error.limit, error.phase) == ("total", "headers")


async def test_limits_are_those_of_each_exchange(transport: Transport, serve: Serve) -> None:
    async def script(wire: Wire) -> None:
        for pause_s in (0.0, 0.3, 0.0):
            await wire.request()
            await asyncio.sleep(pause_s)
            await wire.send(ok(b"fine"))
        await wire.answer(b"")
        await wire.gone()

    server = await serve(script)
    for limits in (Limits(first_byte_s=0.2, idle_s=0.2), LIMITS, Limits(first_byte_s=20)):
        await fetch(transport, post(server.origin), limits)
    error = await strikes(transport, post(server.origin), Limits(first_byte_s=0.1))
    assert (error.limit, server.connections) == ("first_byte", 1)


# --- leaving early ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["send", "read"])
async def test_cancelling_closes_the_upstream(transport: Transport, serve: Serve, when: str) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(b"" if when == "send" else CHUNKED_HEAD, gone))
    task = asyncio.ensure_future(fetch(transport, post(server.origin)))
    await until(lambda: bool(server.requests))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 10)


async def test_a_cancelled_read_closes_even_before_the_answer_is_closed(transport: Transport, serve: Serve) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(CHUNKED_HEAD, gone))
    response = await transport.send(post(server.origin), LIMITS)
    task = asyncio.ensure_future(response.read())
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait_for(gone.wait(), 10)
    with pytest.raises(TransportError):
        await response.read()


async def test_cancelling_while_the_body_is_written_closes_the_upstream(transport: Transport, serve: Serve) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        begun.set()
        await asyncio.sleep(0.1)
        await wire.gone()
        gone.set()

    server = await serve(script)
    task = asyncio.ensure_future(fetch(transport, post(server.origin, b"x" * 40 * MIB)))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 10)


async def test_closing_before_the_end_closes_the_upstream(transport: Transport, serve: Serve) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(CHUNKED_HEAD + chunk(b"one"), gone))
    response = await transport.send(post(server.origin), LIMITS)
    assert await response.read() == b"one"
    response.close()
    response.close()
    await asyncio.wait_for(gone.wait(), 10)
    with pytest.raises(TransportError):
        await response.read()


@pytest.mark.parametrize("ends", ["at once", "later"])
async def test_an_early_answer_is_read_and_its_connection_closed(transport: Transport, serve: Serve, ends: str) -> None:
    read, gone = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        if server.connections > 1:
            await wire.answer(ok(b"next"))
            return
        await wire.head()
        head = b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n"
        if ends == "at once":
            await wire.send(head + chunk(b"too large") + LAST_CHUNK)
        else:
            await wire.send(head + chunk(b"too "))
            await asyncio.wait_for(read.wait(), 10)
            await wire.send(chunk(b"large") + LAST_CHUNK)
        await asyncio.sleep(0.05)
        await wire.gone()
        gone.set()

    server = await serve(script)
    response = await transport.send(post(server.origin, b"x" * 40 * MIB), LIMITS)
    begun = await response.read()
    read.set()
    assert (response.status, begun + await response.read_all()) == (413, b"too large")
    response.close()
    await asyncio.wait_for(gone.wait(), 10)
    assert (await fetch(transport, post(server.origin)))[1] == b"next"


async def test_closing_the_transport_ends_what_is_under_way(transport: Transport, serve: Serve) -> None:
    gone: list[int] = []

    async def script(wire: Wire) -> None:
        seen = await wire.request()
        if seen.target != b"/silent":
            await wire.send(CHUNKED_HEAD)
        await wire.gone()
        gone.append(1)

    server = await serve(script)
    reading = asyncio.ensure_future(fetch(transport, post(server.origin)))
    sending = asyncio.ensure_future(fetch(transport, post(server.origin, target=b"/silent")))
    await until(lambda: len(server.requests) == 2)
    await asyncio.sleep(0.05)
    await transport.aclose()
    for task in (reading, sending):
        with pytest.raises(TransportError):
            await task
    await until(lambda: len(gone) == 2)
    assert isinstance(await failure(transport, post(server.origin)), TransportError)


async def test_closing_the_transport_closes_kept_connections(transport: Transport, serve: Serve) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(ok(b"fine"), gone))
    await fetch(transport, post(server.origin))
    await transport.aclose()
    await asyncio.wait_for(gone.wait(), 10)


async def test_a_sleeping_reader_stops_the_writer(transport: Transport, serve: Serve) -> None:
    size = 50 * MIB
    wires: list[Wire] = []

    async def script(wire: Wire) -> None:
        wires.append(wire)
        await wire.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            await wire.send(b"x" * 65536)
        await wire.gone()

    server = await serve(script)
    response = await transport.send(post(server.origin), LIMITS)
    sent = -1
    while sent != wires[0].sent:
        sent = wires[0].sent
        await asyncio.sleep(0.1)
    assert sent < size // 2
    received = 0
    while data := await response.read():
        received += len(data)
    assert received == size
    response.close()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def serve_tls() -> AsyncIterator[Callable[[ssl.SSLContext], Awaitable[WireServer]]]:
    servers: list[WireServer] = []

    async def start(context: ssl.SSLContext) -> WireServer:
        servers.append(await WireServer(echoing(ok(b"fine")), context).start())
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


ServeTls = Callable[[ssl.SSLContext], Awaitable[WireServer]]


async def test_a_stranger_s_certificate_is_refused(transport: Transport, serve_tls: ServeTls) -> None:
    server = await serve_tls(server_tls(trustme.CA().issue_cert("127.0.0.1")))
    error = await failure(transport, post(server.origin))
    assert (error.name, error.phase) == ("CERT_UNTRUSTED", "connect")
    assert f"127.0.0.1:{server.port}" in error.detail
    assert "issuer" in error.detail
    assert server.requests == []


async def test_an_expired_certificate_is_refused(
    transport: Transport, serve_tls: ServeTls, authority: trustme.CA
) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = await serve_tls(server_tls(authority.issue_cert("127.0.0.1", not_after=past)))
    assert (await failure(transport, post(server.origin))).name == "CERT_HAS_EXPIRED"


async def test_another_host_s_certificate_is_refused(
    transport: Transport, serve_tls: ServeTls, authority: trustme.CA
) -> None:
    server = await serve_tls(server_tls(authority.issue_cert("elsewhere.example")))
    assert (await failure(transport, post(server.origin))).name == "CERT_HOSTNAME_MISMATCH"
    by_name = server.origin._replace(host="localhost")
    assert (await failure(transport, post(by_name))).name == "CERT_HOSTNAME_MISMATCH"


async def test_the_host_is_named_in_the_greeting(
    transport: Transport, serve_tls: ServeTls, authority: trustme.CA
) -> None:
    context = server_tls(authority.issue_cert("localhost"))
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await serve_tls(context)
    assert (await fetch(transport, post(server.origin._replace(host="localhost"))))[1] == b"fine"
    assert names == ["localhost"]


async def test_verification_can_be_switched_off(driver: Driver, serve_tls: ServeTls) -> None:
    server = await serve_tls(server_tls(trustme.CA().issue_cert("elsewhere.example")))
    transport = driver.make(verify=False)
    assert (await fetch(transport, post(server.origin)))[1] == b"fine"
    await transport.aclose()


async def test_tls_to_a_plain_port_is_not_tls(transport: Transport) -> None:
    async def script(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await wire.gone()

    server = await WireServer(script).start()
    error = await failure(transport, post(server.origin._replace(scheme="https")))
    assert (error.name, error.phase) == ("EPROTO", "connect")
    await server.close()


# --- the drivers -----------------------------------------------------------------------------------------------------


async def test_a_proxy_decides_the_driver(ca_file: str) -> None:
    for proxy, driver in ((None, Relay), ("http://127.0.0.1:3128", Aiohttp)):
        transport = open_transport(proxy=proxy, ca_file=ca_file, verify=True)
        assert isinstance(transport, driver)
        await transport.aclose()


def test_an_unreadable_authority_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("nothing")
    with pytest.raises(OSError):
        open_transport(proxy=None, ca_file=str(tmp_path / "missing.pem"), verify=True)
    with pytest.raises(ssl.SSLError):
        open_transport(proxy=None, ca_file=str(tmp_path / "broken.pem"), verify=True)


async def test_the_relay_closes_connections_that_nobody_uses(serve: Serve) -> None:
    gone = asyncio.Event()
    server = await serve(silent_after(ok(b"fine"), gone))
    transport = Relay(verify=False, idle_s=0.05)
    await fetch(transport, post(server.origin))
    await asyncio.wait_for(gone.wait(), 10)
    await transport.aclose()


class Proxy:
    """A forward proxy: CONNECT for TLS, absolute targets for the rest."""

    def __init__(self, refuse: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self._refuse = refuse
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self._refuse is not None:
                writer.write(self._refuse)
                await reader.read()
                return
            method, target = head.split(b" ")[:2]
            authority = target if method == b"CONNECT" else target.split(b"/")[2]
            host, _, port = authority.decode().rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                up_writer.write(head.replace(b"http://" + authority, b"", 1))
            try:
                await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
            finally:
                up_writer.transport.abort()
        finally:
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


async def test_calls_go_through_the_proxy(serve: Serve, scheme: str, ca_file: str) -> None:
    server = await serve(echoing(chunked(b"fi", b"ne")))
    async with Proxy() as proxy:
        transport = open_transport(proxy=f"http://me:secret@127.0.0.1:{proxy.port}", ca_file=ca_file, verify=True)
        for _ in range(3):
            assert (await fetch(transport, post(server.origin)))[1] == b"fine"
        await transport.aclose()
    assert (len(proxy.heads), server.connections) == (1, 1)
    start = b"CONNECT 127.0.0.1:" if scheme == "https" else b"POST http://127.0.0.1:"
    assert proxy.heads[0].startswith(start)
    assert b"\r\nproxy-authorization: basic bwu6c2vjcmv0" in proxy.heads[0].lower()
    assert server.requests[0].header(b"proxy-authorization") is None or scheme == "http"


async def test_a_proxy_that_refuses_is_named(ca_file: str, scheme: str) -> None:
    origin = Origin("https", "upstream.example", 443)
    async with Proxy(refuse=b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        transport = open_transport(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=ca_file, verify=True)
        error = await failure(transport, post(origin))
        await transport.aclose()
    assert (error.name, error.phase) == ("EPROTO", "connect")
    assert "407" in error.detail


async def test_a_proxy_that_is_down_is_named(ca_file: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        transport = open_transport(proxy=f"http://127.0.0.1:{port}", ca_file=ca_file, verify=True)
        error = await failure(transport, post(Origin("http", "upstream.example", 80)))
        await transport.aclose()
    assert str(error) == f"ECONNREFUSED: connect 127.0.0.1:{port}"
