"""`python -m bench`: measure the service beside nginx and the bare upstream, and print the table."""

import asyncio
import gc
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
import uvloop

from bench.driver import Target
from bench.measure import FULL, QUICK, Figures, Plan, Run, Subject
from bench.nginx import is_installed, nginx
from bench.process import import_time_s, running
from bench.service import environment, free_port, service, targets
from bench.table import render

_RESULTS = Path(__file__).with_name("RESULTS.md")


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter runs: about a minute and a half.")] = False,
    wires: Annotated[bool, typer.Option("--wires", help="Only what a chunk costs on each wire.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the table to bench/RESULTS.md too.")] = False,
) -> None:
    """Measure penstock beside nginx and the bare upstream, on loopback, and print a table.

    Ends with 1 when something was lost, refused or not answered. A missed target is said in the table and fails
    nothing: a slow machine is not a fault.
    """
    if wires and write:
        raise typer.BadParameter("The results are written whole: leave --wires out.")
    plan = QUICK if quick else FULL
    load = os.getloadavg()[0]
    figures, faults = uvloop.run(_ended_by_signal(plan, only_wires=wires))
    report = render(figures, faults, plan, load, only_wires=wires)
    print(report)
    if write:
        _RESULTS.write_text(f"# Results of `python -m bench`, {datetime.now(UTC):%Y-%m-%d}\n\n{report}")
    if faults:
        sys.exit(1)


async def _ended_by_signal(plan: Plan, *, only_wires: bool) -> tuple[Figures, list[str]]:
    """SIGTERM and SIGINT cancel the run, so that every child is ended on the way out."""
    task = asyncio.create_task(_run(plan, only_wires=only_wires))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _run(plan: Plan, *, only_wires: bool) -> tuple[Figures, list[str]]:
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        figures: Figures = {}
        async with _upstream(folder) as upstream_port:
            if only_wires:
                run = await _wires(plan, folder, upstream_port)
                return run.figures, run.faults
            figures["import_s"] = {"penstock": median(import_time_s("penstock.app", plan.starts))}
            await _starts(plan, folder, upstream_port, figures)
            run = await _compare(plan, folder, upstream_port)
        return figures | run.figures, run.faults


@asynccontextmanager
async def _upstream(folder: Path) -> AsyncIterator[int]:
    async with running([sys.executable, "-m", "bench.upstream"]) as child:
        assert child.stdout is not None
        yield int(await asyncio.to_thread(child.stdout.readline))


async def _starts(plan: Plan, folder: Path, upstream_port: int, figures: Figures) -> None:
    """The first start makes the database; the others find it."""
    times = []
    for number in range(plan.starts + 1):
        _tell(f"start {number + 1} of {plan.starts + 1}")
        env = environment(folder / "starts", free_port(), upstream_port)
        async with service(env, folder / "starts.log") as started:
            times.append(started.ready_s)
    figures["first_ready_s"] = {"penstock": times[0]}
    figures["ready_s"] = {"penstock": median(times[1:])}


async def _compare(plan: Plan, folder: Path, upstream_port: int) -> Run:
    direct = Subject(Target("direct", upstream_port))
    async with _yardstick(folder, upstream_port) as yardstick, _ours(folder, upstream_port) as (relay, translated):
        run = Run(plan, [direct, *yardstick, relay], translated, _tell)
        await run.measure()
    return run


async def _wires(plan: Plan, folder: Path, upstream_port: int) -> Run:
    async with _ours(folder, upstream_port) as (relay, translated):
        run = Run(plan, [relay], translated, _tell)
        await run.measure_wires()
    return run


@asynccontextmanager
async def _ours(folder: Path, upstream_port: int) -> AsyncIterator[tuple[Subject, list[Subject]]]:
    env = environment(folder / "state", free_port(), upstream_port)
    relay, translated = await asyncio.to_thread(targets, env)
    async with service(env, folder / "service.log") as started:
        yield Subject(relay, started.pid), [Subject(wire, started.pid) for wire in translated]


@asynccontextmanager
async def _yardstick(folder: Path, upstream_port: int) -> AsyncIterator[list[Subject]]:
    """nginx, or nothing where it is not installed: the table then has no ratios."""
    if not is_installed():
        _tell("nginx is not installed: measuring without it")
        yield []
        return
    port = free_port()
    async with nginx(folder, port, upstream_port) as pid:
        yield [Subject(Target("nginx", port), pid)]


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
