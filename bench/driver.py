"""Sends requests and checks what comes back: raw protocols and `httptools`, far cheaper than what they measure.

Every run is bounded in count and in time, and a connection that ends early is reported, never waited for.
"""

import asyncio
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import httptools
import msgspec

from bench.frames import ANSWER_TEXT, StreamCheck

_GIVE_UP_AFTER_ERRORS = 100
_SLACK_S = 30.0


class Target(NamedTuple):
    """Where chat completions are answered, and as whom we ask."""

    name: str
    port: int
    path: str = "/v1/chat/completions"
    model: str = "mock"
    key: str = "k"

    def request(self, text: str, *, stream: bool = False, usage: bool = False) -> bytes:
        """The bytes of one whole request whose only message is `text`."""
        body: dict[str, object] = {"model": self.model, "messages": [{"role": "user", "content": text}]}
        if stream:
            body["stream"] = True
        if usage:
            body["stream_options"] = {"include_usage": True}
        encoded = msgspec.json.encode(body)
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(encoded)}\r\n\r\n"
        )
        return head.encode() + encoded


@dataclass
class Answers:
    """What a closed-loop run brought. Latencies are nanoseconds of the good answers, in no order."""

    latencies_ns: "array[int]" = field(default_factory=lambda: array("q"))
    errors: int = 0
    seconds: float = 0.0
    first_error: str = ""

    @property
    def per_second(self) -> float:
        return len(self.latencies_ns) / self.seconds

    def note_error(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what


class _Connection(asyncio.Protocol):
    """One client connection. Subclasses take the parts of the answer."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._broken(str(error))
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken(repr(exc) if exc else "closed by the other side")
        if not self.closed.done():
            self.closed.set_result(None)

    def _broken(self, what: str) -> None:
        """The connection is of no more use; may be called twice."""
        raise NotImplementedError


class _ClosedLoop(_Connection):
    """Sends the next request when the last one is answered, until it is time to stop."""

    def __init__(self, request: bytes, until_ns: int, answers: Answers) -> None:
        super().__init__()
        self._request, self._until_ns, self._answers = request, until_ns, answers
        self._waiting = False
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._send()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now_ns = time.perf_counter_ns()
        self._waiting = False
        if self._parser.get_status_code() == 200 and ANSWER_TEXT in self._body:
            self._answers.latencies_ns.append(now_ns - self._sent_ns)
        else:
            self._answers.note_error(f"{self._parser.get_status_code()} {self._body[:300]!r}")
        if now_ns < self._until_ns and self._parser.should_keep_alive() and not self._hopeless():
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        self._body = b""
        self._waiting = True
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._request)

    def _hopeless(self) -> bool:
        return self._answers.errors >= _GIVE_UP_AFTER_ERRORS

    def _broken(self, what: str) -> None:
        if self._waiting:
            self._waiting = False
            self._answers.note_error(what)


async def closed_loop(target: Target, connections: int, duration_s: float) -> Answers:
    """Keep `connections` requests in flight for `duration_s`. Gives up early after 100 errors."""
    answers = Answers()
    request = target.request("How does a penstock work?")
    started_ns = time.perf_counter_ns()
    until_ns = started_ns + int(duration_s * 1e9)
    async with asyncio.timeout(duration_s + _SLACK_S):
        await asyncio.gather(*(_keep_asking(target, request, until_ns, answers) for _ in range(connections)))
    answers.seconds = (time.perf_counter_ns() - started_ns) / 1e9
    return answers


async def _keep_asking(target: Target, request: bytes, until_ns: int, answers: Answers) -> None:
    """A server may close between two answers; that is not an error, and the next connection goes on."""
    loop = asyncio.get_running_loop()
    while time.perf_counter_ns() < until_ns and answers.errors < _GIVE_UP_AFTER_ERRORS:
        try:
            _, connection = await loop.create_connection(
                lambda: _ClosedLoop(request, until_ns, answers), "127.0.0.1", target.port
            )
        except OSError as error:
            answers.note_error(repr(error))
            await asyncio.sleep(0.01)
            continue
        await _until_closed(connection)


async def _until_closed(connection: _Connection) -> None:
    try:
        await asyncio.shield(connection.closed)
    except asyncio.CancelledError:
        connection._transport.abort()
        raise


@dataclass
class Streams:
    """What a run of many streams brought, summed over the streams."""

    checks: list[StreamCheck]
    lags_us: "array[int]"
    first_us: "array[int]" = field(default_factory=lambda: array("q"))
    failures: list[str] = field(default_factory=list)

    @property
    def received(self) -> int:
        return sum(check.received for check in self.checks)

    @property
    def together(self) -> float:
        """How many chunks came in one piece: more than one where the relay was late and caught up."""
        return self.received / max(1, sum(check.pieces for check in self.checks))

    @property
    def lost(self) -> int:
        return sum(check.lost for check in self.checks)

    @property
    def misplaced(self) -> int:
        """Chunks out of order, sent twice, or damaged."""
        return sum(check.reordered + check.doubled + check.damaged for check in self.checks)

    @property
    def whole(self) -> int:
        """Streams that brought everything once, in order, with their finish and terminator."""
        return sum(check.is_whole for check in self.checks)


class _Stream(_Connection):
    """One request, one streamed answer, every frame checked."""

    def __init__(self, request: bytes, check: StreamCheck, streams: Streams) -> None:
        super().__init__()
        self._request, self._check, self._streams = request, check, streams
        self._complete = False
        self._failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(self._request)

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            self._fail(f"{self._parser.get_status_code()} {body[:300]!r}")
            return
        check = self._check
        was_waiting = not check.received
        check.feed(body, time.monotonic_ns() // 1000)
        if was_waiting and check.received:
            self._streams.first_us.append((time.perf_counter_ns() - self._sent_ns) // 1000)

    def on_message_complete(self) -> None:
        self._complete = True
        self._transport.close()

    def _fail(self, what: str) -> None:
        if not self._failed:
            self._failed = True
            self._check.error = self._check.error or what
            self._streams.failures.append(what)

    def _broken(self, what: str) -> None:
        if not self._complete:
            self._fail(what)


class Script(NamedTuple):
    """What each stream is: see `bench/upstream.py`. `rate` 0 sends everything at once; `faults` is for tests."""

    chunks: int
    rate: int
    faults: str = ""

    def text(self, stream: int) -> str:
        return f"bench chunks={self.chunks} rate={self.rate} stream={stream} {self.faults}"

    @property
    def duration_s(self) -> float:
        return self.chunks / self.rate if self.rate else 0.0


async def many_streams(target: Target, count: int, script: Script, *, ramp_s: float = 1.0) -> Streams:
    """Open `count` streams evenly over `ramp_s`, read all of them to their ends, and check every chunk."""
    lags_us: array[int] = array("q")
    streams = Streams([StreamCheck(number, script.chunks, lags_us) for number in range(count)], lags_us)
    with suppress(TimeoutError):  # what is missing then is counted as lost
        async with asyncio.timeout(script.duration_s + ramp_s + _SLACK_S):
            delays = (ramp_s * number / count for number in range(count))
            parts = zip(streams.checks, delays, strict=True)
            await asyncio.gather(*(_one_stream(target, script, check, delay, streams) for check, delay in parts))
    return streams


async def _one_stream(target: Target, script: Script, check: StreamCheck, delay_s: float, streams: Streams) -> None:
    await asyncio.sleep(delay_s)
    request = target.request(script.text(check.stream), stream=True, usage=True)
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Stream(request, check, streams), "127.0.0.1", target.port
        )
    except OSError as error:
        check.error = repr(error)
        streams.failures.append(check.error)
        return
    await _until_closed(connection)


class Timing(NamedTuple):
    """Nanoseconds from our write to the first piece of content, and to the end of the answer."""

    first_ns: int
    total_ns: int


class _Probe(_Connection):
    """One request at a time, timed in the callbacks so that waking a task is not part of the time."""

    def __init__(self, marker: bytes) -> None:
        super().__init__()
        self._marker = marker
        self._answer: asyncio.Future[Timing] | None = None

    async def ask(self, request: bytes) -> Timing:
        """Raises ConnectionError for a broken connection and for any answer but a good one."""
        answer: asyncio.Future[Timing] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._first_ns = 0
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(request)
        return await asyncio.wait_for(answer, _SLACK_S)

    @property
    def is_usable(self) -> bool:
        return not self.closed.done() and not self._transport.is_closing()

    def on_body(self, body: bytes) -> None:
        if not self._first_ns and self._marker in body:
            self._first_ns = time.perf_counter_ns() - self._sent_ns

    def on_message_complete(self) -> None:
        total_ns = time.perf_counter_ns() - self._sent_ns
        if not self._parser.should_keep_alive():
            self._transport.close()
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if self._first_ns:
            answer.set_result(Timing(self._first_ns, total_ns))
        else:
            answer.set_exception(ConnectionError(f"no content in a {self._parser.get_status_code()}"))

    def _broken(self, what: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(what))

    def abort(self) -> None:
        self._transport.abort()


async def alternate(
    targets: Sequence[Target], rounds: int, script: Script | None = None, *, pause_s: float = 0.0
) -> dict[str, list[Timing]]:
    """Ask every target in turn, over one connection each, so that what slows the machine slows all of them alike.

    Without a script the calls are not streamed. The first tenth of the rounds warms up and is not reported.
    """
    probes: dict[str, _Probe] = {}
    timings: dict[str, list[Timing]] = {target.name: [] for target in targets}
    marker = ANSWER_TEXT if script is None else b"0000-000000-"
    text = script.text(0) if script else "How does a penstock work?"
    requests = [(target, target.request(text, stream=script is not None)) for target in targets]
    try:
        for number in range(rounds):
            for target, request in requests:
                probe = await _usable(probes, target, marker)
                timing = await probe.ask(request)
                if number >= rounds // 10:
                    timings[target.name].append(timing)
                await asyncio.sleep(pause_s)
    finally:
        for probe in probes.values():
            probe.abort()
    return timings


async def _usable(probes: dict[str, _Probe], target: Target, marker: bytes) -> _Probe:
    """Connecting is not timed: whether a server keeps a connection after a stream is another question."""
    probe = probes.get(target.name)
    if probe is None or not probe.is_usable:
        loop = asyncio.get_running_loop()
        _, probe = await loop.create_connection(lambda: _Probe(marker), "127.0.0.1", target.port)
        probes[target.name] = probe
    return probe


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed; NaN when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
