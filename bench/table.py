"""Figures as Markdown tables, with the machine they come from and the targets of the architecture."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import isnan
from pathlib import Path

from bench.measure import BUSY_RATE, CALM_RATE, CHUNK_STREAMS, MANY_RATE, MANY_STREAMS, Figures, Plan
from bench.service import TRANSLATED

SUBJECTS = ("direct", "nginx", "penstock")
CHUNK_TARGET_US = 25
_BUSY = f"{CHUNK_STREAMS} streams × {BUSY_RATE} chunks/s"
_CALM = f"{CHUNK_STREAMS} streams × {CALM_RATE} chunks/s"


@dataclass(frozen=True)
class Row:
    """`target` is the most that is allowed of the service, in the row's unit."""

    measure: str
    label: str
    digits: int = 0
    target: float | None = None


ROWS = (
    Row("c1_per_s", "whole answers, 1 at a time: per second"),
    Row("c1_p50_us", "… latency p50, µs"),
    Row("c1_p99_us", "… latency p99, µs"),
    Row("c1_cpu_us", "… CPU per request, µs", 1),
    Row("c32_per_s", "whole answers, 32 at a time: per second"),
    Row("c32_p50_us", "… latency p50, µs"),
    Row("c32_p99_us", "… latency p99, µs"),
    Row("c32_cpu_us", "… CPU per request, µs", 1, 60),
    Row("added_p50_us", "added latency, 1 at a time: p50, µs"),
    Row("added_p99_us", "… p99, µs"),
    Row("first_p50_us", "added time to first token, 1 stream: p50, µs", 0, 1000),
    Row("first_p99_us", "… p99, µs"),
    Row("busy_cpu_us", f"{_BUSY}: CPU per chunk, µs", 1, CHUNK_TARGET_US),
    Row("calm_cpu_us", f"{_CALM}: CPU per chunk, µs", 1),
    Row("many_lost", f"{MANY_STREAMS} streams × {MANY_RATE} chunks/s: chunks lost", 0, 0),
    Row("many_misplaced", "… chunks reordered, doubled or damaged", 0, 0),
    Row("many_whole", "… streams whole, to the terminator"),
    Row("many_first_p50_ms", "… time to first token p50, ms", 2),
    Row("many_lag_p50_ms", "… chunk on its way p50, ms", 2),
    Row("many_lag_p99_ms", "… chunk on its way p99, ms", 2),
    Row("many_cpu_us", "… CPU per chunk, µs", 1),
    Row("many_busy_percent", "… of one core used, %"),
    Row("rest_rss_mb", "memory at rest: RSS, MiB", 1, 110),
    Row("rest_pss_mb", "… PSS, MiB", 1),
    Row("stream_kb", "memory per open stream, KiB", 1, 40),
    Row("first_ready_s", "first start, empty state, to ready, s", 2),
    Row("ready_s", "start to ready, s", 2, 2),
    Row("import_s", "import of `penstock.app`, s", 2, 0.8),
)
_NOT_A_RATIO = {"many_lost", "many_misplaced", "many_whole"}


def render(figures: Figures, faults: Sequence[str], plan: Plan, load: float, *, only_wires: bool = False) -> str:
    """The whole report: machine, tables, how it was measured, and what went wrong.

    `load` is the machine's load just before the run. CPU time grows on a busy machine, because caches are shared.
    """
    busy = " **Others were using this machine: do not quote these figures.**" if load > 0.5 else ""
    lines = [f"Machine: {machine()}; load before the run {load:.1f}.{busy}", ""]
    if not only_wires:
        lines += [*_compared(figures), "", _notes(figures, plan), ""]
    lines += [*_by_wire(figures), "", _wire_notes(plan)]
    if faults:
        lines += ["", "**Faults**", "", *(f"* {fault}" for fault in faults)]
    return "\n".join(lines) + "\n"


def _compared(figures: Figures) -> list[str]:
    return [
        "| | " + " | ".join(SUBJECTS) + " | penstock ÷ nginx | target |",
        "|---|" + "---:|" * (len(SUBJECTS) + 1) + "---|",
        *(_line(row, figures.get(row.measure, {})) for row in ROWS),
    ]


def _by_wire(figures: Figures) -> list[str]:
    names = {"penstock": "openai_chat, relayed"} | {wire: f"{wire}, translated" for wire in TRANSLATED}
    measures = ("busy_cpu_us", "busy_together", "calm_cpu_us")
    busy, together, calm = (figures.get(measure, {}) for measure in measures)
    return [
        f"| CPU per chunk by wire, µs | {_BUSY} | ÷ relay | chunks at a time | {_CALM} | ÷ relay | target, busy |",
        "|---|" + "---:|" * 5 + "---|",
        *(
            f"| {name} | {_of_wire(busy, subject)} | {_number(together.get(subject), 2)} | {_of_wire(calm, subject)} "
            f"| {_met(busy.get(subject))} |"
            for subject, name in names.items()
        ),
    ]


def _of_wire(values: dict[str, float], subject: str) -> str:
    ours, relay = values.get(subject), values.get("penstock")
    ratio = f"{ours / relay:.2f}" if ours is not None and relay else ""
    return f"{_number(ours, 1)} | {ratio}"


def _met(us: float | None) -> str:
    if us is None:
        return f"≤ {CHUNK_TARGET_US}"
    return f"≤ {CHUNK_TARGET_US}: {'met' if us <= CHUNK_TARGET_US else 'missed'}"


def _line(row: Row, values: dict[str, float]) -> str:
    cells = [_number(values.get(subject), row.digits) for subject in SUBJECTS]
    return f"| {row.label} | {' | '.join(cells)} | {_ratio(row, values)} | {_verdict(row, values)} |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or isnan(value) else f"{value:,.{digits}f}"


def _ratio(row: Row, values: dict[str, float]) -> str:
    nginx, ours = values.get("nginx"), values.get("penstock")
    if row.measure in _NOT_A_RATIO or ours is None or nginx is None or nginx <= 0:
        return ""
    return f"{ours / nginx:.2f}"


def _verdict(row: Row, values: dict[str, float]) -> str:
    if row.target is None:
        return ""
    ours = values.get("penstock")
    if ours is None:
        return f"≤ {row.target:g}"
    return f"≤ {row.target:g}: {'met' if ours <= row.target else 'missed'}"


def _notes(figures: Figures, plan: Plan) -> str:
    driver = figures.get("c32_driver_us", {}).get("direct", float("nan"))
    per_chunk = figures.get("busy_driver_us", {}).get("direct", float("nan"))
    return (
        f"One process of each; penstock with its embedded defaults. Whole answers: median of {plan.rounds} × "
        f"{plan.loop_s:g} s. Chunks: {plan.chunks_s} s. Many streams: {plan.streams_s} s, the others "
        f"{plan.yardstick_s} s. Memory: {plan.held} open streams. CPU is user and system time of the process and its "
        f"children; a chunk's includes its share of opening the stream. In the rows of added time, `direct` is the "
        f"upstream's own time. The driver used {driver:.1f} µs per whole answer and {per_chunk:.1f} µs per chunk."
    )


def _wire_notes(plan: Plan) -> str:
    return (
        f"By wire: the same process and client, chat completions streamed for {plan.chunks_s} s; the upstream speaks "
        "the wire, and every chunk is checked as it reaches the client. Where more than one chunk comes at a time, the "
        "service had to wait for the processor, and caught up: that makes a chunk cheaper than it is."
    )


def machine() -> str:
    """What the figures depend on: no names of hosts or people."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1].strip() if found else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"uvloop {version('uvloop')}, uvicorn {version('uvicorn')}"
    )
