"""`penstock serve`: start the service.

Exit codes: 0 after an orderly stop, 78 when the configuration is refused, 98 when the port is taken, 69 when the
database or Redis stays out of reach.
"""

import asyncio
import contextlib
import errno
import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from penstock.cli.hangup import reloading
from penstock.cli.shared_metrics import shared_metrics
from penstock.settings import EXIT_CODE, Settings, SettingsError, load_settings, render
from penstock.telemetry.meters import SHARED_DIRECTORY

if TYPE_CHECKING:
    from penstock.app import House
    from penstock.coordination.base import CoordinationUnavailable

EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
EXIT_PORT_TAKEN = 98


def serve(
    demo: Annotated[bool, typer.Option("--demo", help="Make a demo tenant, and print what to try.")] = False,
    listener: Annotated[int | None, typer.Option(hidden=True, help="A worker's share of its parent's socket.")] = None,
) -> None:
    """Start the service. Everything else is configured by environment variables: see `penstock config show`."""
    settings = _settings()
    if listener is not None:
        _run_worker(settings, demo=False, sockets=[socket.socket(fileno=listener)])
        return
    if demo and settings.server.workers > 1:
        _stop("--demo runs in one process: unset WORKERS, or leave --demo out.", EXIT_CODE)
    opened = _listen(settings)
    if settings.server.workers == 1:
        os.environ.pop(SHARED_DIRECTORY, None)  # it may have been meant for other services on this machine
        with _alone(settings):
            _run_worker(settings, demo=demo, sockets=[opened])
    else:
        from penstock.cli.workers import supervise

        with shared_metrics(settings):
            code = supervise(settings.server.workers, opened)
        raise SystemExit(code)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        _stop(str(error), EXIT_CODE)


def _stop(report: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(report, file=sys.stderr, flush=True)
    raise SystemExit(code)


def _listen(settings: Settings) -> socket.socket:
    """Take the port before anything else is opened, so that a second start fails fast and changes nothing (S009)."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _stop(_port_taken(host, port), EXIT_PORT_TAKEN)
        _stop(f"HOST={host} PORT={port} cannot be listened on: {error.strerror}.", EXIT_CODE)
    listener.set_inheritable(True)
    return listener


def _port_taken(host: str, port: int) -> str:
    from penstock.cli.listeners import who_listens

    holder = who_listens(port)
    by = f" by {holder}" if holder else ""
    return (
        f"Port {port} on {host} is taken{by}.\n"
        f"Stop that process, or choose another port: PORT={port + 1} penstock serve"
    )


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    from penstock.cli.alone import AlreadyServed, alone_on

    database = settings.database_values
    if database.is_server:
        yield
        return
    try:
        with alone_on(database.path):
            yield
    except AlreadyServed as error:
        by = f"Another service (process {error.process})" if error.process else "Another service"
        _stop(
            f"{by} runs on {database.path} already.\n"
            "Two of them on one SQLite file would not see each other's locks. Stop it, give this one another\n"
            "STATE_DIR, or use MySQL, MariaDB or PostgreSQL with Redis for several replicas.",
            EXIT_CODE,
        )


def _run_worker(settings: Settings, *, demo: bool, sockets: list[socket.socket]) -> None:
    # Imports make little that goes away again: with the usual thresholds looking for it takes a tenth of a start.
    gc.set_threshold(20_000, 50, 100)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, demo=demo, sockets=sockets))


async def _serve(settings: Settings, *, demo: bool, sockets: list[socket.socket]) -> None:
    from penstock.app import open_house
    from penstock.coordination.base import CoordinationUnavailable
    from penstock.database.diagnosis import CannotPrepare
    from penstock.gateway.catalog.documents import Refused
    from penstock.gateway.identity.errors import SecretsUnreadable
    from penstock.http.server import server_for
    from penstock.storage.base import StorageUnavailable
    from penstock.telemetry.logs import configure_logs

    configure_logs(settings.logs.level)
    try:
        async with open_house(settings) as house:
            server = server_for(house.door, grace_s=settings.server.shutdown_grace_s)
            server.when_started = partial(_announce, settings, house)
            if demo:
                from penstock.cli.demo import prepare_demo

                server.when_started = partial(_announce, settings, house, await prepare_demo(settings, house))
            _settle_memory()
            with reloading(house.catalog):
                await server.serve(sockets=sockets)
    except CannotPrepare as error:
        _stop(str(error), EXIT_UNAVAILABLE)
    except CoordinationUnavailable as error:
        _stop(_redis_away(settings, error), EXIT_UNAVAILABLE)
    except (SecretsUnreadable, StorageUnavailable) as error:
        _stop("\n".join(text for text in (error.message, error.explanation, error.action) if text), EXIT_CODE)
    except Refused as error:
        _stop(render(error.problems), EXIT_CODE)


def _redis_away(settings: Settings, error: "CoordinationUnavailable") -> str:
    where = settings.redis.where() if settings.redis is not None else ""
    return (
        f"{where} cannot be used; it was tried for {settings.server.startup_retry_s:g} s.\n"
        f"{error.explanation or error.message}\n"
        "Check REDIS_HOST, REDIS_PORT, REDIS_DB, REDIS_USER and REDIS_PASSWORD. In a container the host is the name of "
        "the Redis service, never `localhost`, and both must be on one network."
    )


def _settle_memory() -> None:
    """What start-up made stays: the collector need not look at it again while requests are served."""
    gc.collect()
    gc.freeze()


def _announce(settings: Settings, house: "House", more: Callable[[], None] | None = None) -> None:
    from penstock.cli.boot import report

    report(settings, house)
    if more is not None:
        more()
