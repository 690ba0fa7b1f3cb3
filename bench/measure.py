"""The measurements. Each compares subjects: the upstream itself, nginx, the service, and the service wire by wire."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from statistics import median
from typing import NamedTuple

from bench.driver import Answers, Script, Streams, Target, Timing, alternate, closed_loop, many_streams, percentile
from bench.process import Memory, cpu_ns, memory

Figures = dict[str, dict[str, float]]
"""By measure, then by subject. What a subject has no figure for is absent."""


class Plan(NamedTuple):
    """How much is measured of each subject. Times are in seconds; `starts` is for what is timed by starting it.

    `yardstick_s` is instead of `streams_s` for what is not ours: there only the proof matters, and it takes a minute.
    """

    rounds: int
    loop_s: float
    calls: int
    first_tokens: int
    chunks_s: int
    streams_s: int
    yardstick_s: int
    held: int
    starts: int


FULL = Plan(
    rounds=3, loop_s=2.0, calls=3000, first_tokens=200, chunks_s=4, streams_s=60, yardstick_s=5, held=500, starts=3
)
QUICK = Plan(
    rounds=1, loop_s=2.0, calls=1000, first_tokens=100, chunks_s=2, streams_s=8, yardstick_s=4, held=500, starts=2
)

CONNECTIONS = (1, 32)
CHUNK_STREAMS = 100
BUSY_RATE, CALM_RATE = 300, 50
"""Chunks per second of each stream: about half a core of work, and mostly waiting, where waking up is what costs."""
MANY_STREAMS, MANY_RATE = 600, 30
_HELD = Script(chunks=16, rate=2)


class Subject(NamedTuple):
    """`pid` is None for the upstream itself: there is no relay whose cost could be told apart."""

    target: Target
    pid: int | None = None

    @property
    def name(self) -> str:
        return self.target.name


class Run:
    """One run over all subjects: its figures, and in `faults` what went wrong on the way."""

    def __init__(
        self, plan: Plan, subjects: Sequence[Subject], wires: Sequence[Subject], tell: Callable[[str], None]
    ) -> None:
        """The last of `subjects` is the service, relaying; `wires` are the same process, translating."""
        self._plan, self._subjects, self._wires, self._tell = plan, subjects, wires, tell
        self.figures: Figures = {}
        self.faults: list[str] = []
        self._rounds: dict[tuple[str, Subject], list[float]] = {}

    async def measure(self) -> None:
        """Memory comes first: a process that has been busy keeps what it was given."""
        for subject in self._subjects:
            await self._memory(subject)
        for _ in range(self._plan.rounds):
            for subject in self._subjects:
                await self._whole_answers(subject)
        await self._added_latency()
        await self._added_first_token()
        for subject in (*self._subjects, *self._wires):
            await self._chunks(subject)
        for subject in self._subjects:
            await self._many(subject)
        for (measure, subject), values in self._rounds.items():
            self._set(measure, subject, median(values))

    async def measure_wires(self) -> None:
        for subject in (self._subjects[-1], *self._wires):
            await self._chunks(subject)

    async def _memory(self, subject: Subject) -> None:
        if subject.pid is None:
            return
        self._tell(f"memory: {subject.name}")
        await closed_loop(subject.target, 4, 0.5)
        await many_streams(subject.target, 4, Script(chunks=4, rate=20), ramp_s=0.1)
        rest = memory(subject.pid)
        peak, streams = await _memory_while(subject, many_streams(subject.target, self._plan.held, _HELD))
        self._note_streams(subject, "memory", streams)
        self._set("rest_rss_mb", subject, rest.rss / 1024)
        self._set("rest_pss_mb", subject, rest.pss / 1024)
        self._set("stream_kb", subject, (peak.rss - rest.rss) / self._plan.held)

    async def _whole_answers(self, subject: Subject) -> None:
        for connections in CONNECTIONS:
            self._tell(f"whole answers, {connections} at a time: {subject.name}")
            await closed_loop(subject.target, connections, 0.5)
            before, own = _cpu(subject), time.process_time_ns()
            answers = await closed_loop(subject.target, connections, self._plan.loop_s)
            spent, own = _cpu(subject) - before, time.process_time_ns() - own
            self._note_answers(subject, f"c={connections}", answers)
            count = max(1, len(answers.latencies_ns))
            self._add(f"c{connections}_per_s", subject, answers.per_second)
            self._add(f"c{connections}_p50_us", subject, percentile(answers.latencies_ns, 0.5) / 1000)
            self._add(f"c{connections}_p99_us", subject, percentile(answers.latencies_ns, 0.99) / 1000)
            self._add(f"c{connections}_driver_us", subject, own / count / 1000)
            if subject.pid is not None:
                self._add(f"c{connections}_cpu_us", subject, spent / count / 1000)

    async def _added_latency(self) -> None:
        self._tell("added latency: all in turn")
        timings = await alternate([subject.target for subject in self._subjects], self._plan.calls)
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            self._added(f"added_{name}_us", timings, share, lambda timing: timing.total_ns)

    async def _added_first_token(self) -> None:
        self._tell("time to the first token: all in turn")
        targets = [subject.target for subject in self._subjects]
        timings = await alternate(targets, self._plan.first_tokens, Script(chunks=3, rate=200))
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            self._added(f"first_{name}_us", timings, share, lambda timing: timing.first_ns)

    async def _chunks(self, subject: Subject) -> None:
        await many_streams(subject.target, 10, Script(chunks=10, rate=CALM_RATE), ramp_s=0.1)
        for name, rate in (("busy", BUSY_RATE), ("calm", CALM_RATE)):
            self._tell(f"streamed chunks, {name}: {subject.name}")
            script = Script(chunks=rate * self._plan.chunks_s, rate=rate)
            before, own = _cpu(subject), time.process_time_ns()
            streams = await many_streams(subject.target, CHUNK_STREAMS, script)
            spent, own = _cpu(subject) - before, time.process_time_ns() - own
            self._note_streams(subject, f"{name} chunks", streams)
            received = max(1, streams.received)
            self._set(f"{name}_driver_us", subject, own / received / 1000)
            if subject.pid is not None:
                self._set(f"{name}_cpu_us", subject, spent / received / 1000)
                self._set(f"{name}_together", subject, streams.together)

    async def _many(self, subject: Subject) -> None:
        self._tell(f"{MANY_STREAMS} streams: {subject.name}")
        is_ours = subject is self._subjects[-1]
        seconds = self._plan.streams_s if is_ours else self._plan.yardstick_s
        script = Script(chunks=MANY_RATE * seconds, rate=MANY_RATE)
        before, began_s = _cpu(subject), time.monotonic()
        streams = await many_streams(subject.target, MANY_STREAMS, script, ramp_s=2.0)
        spent = _cpu(subject) - before
        busy = spent / 1e9 / (time.monotonic() - began_s)
        self._note_streams(subject, "many streams", streams)
        self._set("many_lost", subject, streams.lost)
        self._set("many_misplaced", subject, streams.misplaced)
        self._set("many_whole", subject, streams.whole)
        self._set("many_first_p50_ms", subject, percentile(streams.first_us, 0.5) / 1000)
        self._set("many_lag_p50_ms", subject, percentile(streams.lags_us, 0.5) / 1000)
        self._set("many_lag_p99_ms", subject, percentile(streams.lags_us, 0.99) / 1000)
        if subject.pid is not None:
            self._set("many_busy_percent", subject, busy * 100)
            self._set("many_cpu_us", subject, spent / max(1, streams.received) / 1000)

    def _added(
        self, measure: str, timings: dict[str, list[Timing]], share: float, part: Callable[[Timing], int]
    ) -> None:
        """The difference of the percentiles, the first subject being what is subtracted; its own value as it is."""
        values = {name: percentile([part(timing) for timing in own], share) / 1000 for name, own in timings.items()}
        base = values[self._subjects[0].name]
        for subject in self._subjects:
            self._set(measure, subject, values[subject.name] - (base if subject.pid is not None else 0.0))

    def _set(self, measure: str, subject: Subject, value: float) -> None:
        self.figures.setdefault(measure, {})[subject.name] = value

    def _add(self, measure: str, subject: Subject, value: float) -> None:
        self._rounds.setdefault((measure, subject), []).append(value)

    def _note_answers(self, subject: Subject, where: str, answers: Answers) -> None:
        if answers.errors:
            self.faults.append(f"{subject.name}, {where}: {answers.errors} errors, the first: {answers.first_error}")

    def _note_streams(self, subject: Subject, where: str, streams: Streams) -> None:
        if streams.whole < len(streams.checks):
            broken = next(check for check in streams.checks if not check.is_whole)
            self.faults.append(
                f"{subject.name}, {where}: {len(streams.checks) - streams.whole} of {len(streams.checks)} streams are"
                f" not whole, {streams.lost} chunks lost, {streams.misplaced} misplaced; the first: {broken.error}"
            )


def _cpu(subject: Subject) -> int:
    return 0 if subject.pid is None else cpu_ns(subject.pid)


async def _memory_while(subject: Subject, run: Coroutine[None, None, Streams]) -> tuple[Memory, Streams]:
    """The greatest memory seen, four times a second, until `run` ends."""
    assert subject.pid is not None
    peak = memory(subject.pid)
    task = asyncio.create_task(run)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=0.25)
            peak = max(peak, memory(subject.pid))
        return peak, task.result()
    finally:
        task.cancel()
