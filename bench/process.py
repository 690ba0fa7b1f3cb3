"""What a process costs: its CPU time, its memory, and how long it takes to be ready. Linux only."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httptools

_END_S = 10.0
_CPUCLOCK_SCHED = 2


class Memory(NamedTuple):
    """In KiB, summed over a process and its descendants. Shared pages count fully in `rss`, by share in `pss`."""

    rss: int
    pss: int


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its descendants in nanoseconds, all their threads, ended ones too.

    The clock is that of clock_getcpuclockid(3), whose number Linux makes of the pid: `/proc/<pid>/stat` counts the
    same in ticks of 10 ms, and `/proc/<pid>/schedstat` knows the first thread only. What a descendant spent
    after it has ended is missing.
    """
    return sum(time.clock_gettime_ns((~member << 3) | _CPUCLOCK_SCHED) for member in tree(pid))


def memory(pid: int) -> Memory:
    rss = pss = 0
    for member in tree(pid):
        sizes = _rollup(member)
        rss += sizes["Rss"]
        pss += sizes["Pss"]
    return Memory(rss, pss)


def tree(pid: int) -> list[int]:
    """`pid` and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    members = [pid]
    for member in members:
        members.extend(children.get(member, ()))
    return members


def _parent(entry: Path) -> int | None:
    try:
        # The name of the program is in parentheses and may hold anything; the fields begin after the last one.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}


@asynccontextmanager
async def running(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Run a child for the length of the block; then it is asked to end, and after 10 s made to.

    Its standard input is a pipe that we hold open, its standard output a pipe, its errors go to `log`.
    """
    errors = log.open("ab") if log else None
    child = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE if not log else errors, stderr=errors
    )
    try:
        yield child
    finally:
        await asyncio.to_thread(_end, child)
        if errors:
            errors.close()


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


async def until_ready(
    child: "subprocess.Popen[bytes]", port: int, path: str, *, started_s: float, patience_s: float = 60.0
) -> float:
    """Ask for `path` every 5 ms until it answers 200; return the seconds since `started_s` (monotonic).

    Raises RuntimeError when the child ends first, TimeoutError when it takes too long.
    """
    async with asyncio.timeout(patience_s):
        while await _answered(port, path) != 200:
            if child.poll() is not None:
                raise RuntimeError(f"ended with status {child.returncode} before it was ready")
            await asyncio.sleep(0.005)
    return time.monotonic() - started_s


class _StatusLine:
    complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


async def _answered(port: int, path: str) -> int:
    """The status, 0 when there is none within 2 s: a probe that hangs must not use up all the patience."""
    try:
        return await asyncio.wait_for(_status(port, path), 2.0)
    except TimeoutError:
        return 0


async def _status(port: int, path: str) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0
    seen = _StatusLine()
    parser = httptools.HttpResponseParser(seen)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
        while not seen.complete:
            data = await reader.read(65536)
            if not data:
                return 0
            parser.feed_data(data)
        return int(parser.get_status_code())
    except (OSError, httptools.HttpParserError):
        return 0
    finally:
        writer.close()


def import_time_s(module: str, times: int) -> list[float]:
    """Seconds to import `module`, each in a fresh interpreter whose own start is not counted."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return [float(subprocess.check_output([sys.executable, "-c", code], timeout=60)) for _ in range(times)]


def plain_environment(**more: str) -> dict[str, str]:
    """Our environment without what could configure the service by accident, and `more`."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | more
