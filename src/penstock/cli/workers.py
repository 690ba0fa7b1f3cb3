"""Several workers on one listening socket. Each is a process of its own, started anew when it dies."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

from penstock.cli.hangup import asks_to_reload

_PAUSE_S = 0.2
_RESTART_AFTER_S = 1.0
_LIVED_S = 10.0


def supervise(count: int, listener: socket.socket) -> int:
    """Run until SIGTERM or SIGINT, then stop every worker in good order; the exit code.

    A worker that gives up within ten seconds of its first start has found something that starting again will not mend:
    then the others are stopped, and its exit code is ours. One that was killed is started again.
    """
    stopping: list[int] = []
    workers: list[_Worker] = []
    with _on_signals(stopping, workers):
        workers += [_Worker(listener) for _ in range(count)]
        while not stopping:
            time.sleep(_PAUSE_S)
            for position, worker in enumerate(workers):
                code = worker.process.poll()
                if code is None:
                    continue
                if code > 0 and worker.is_first and worker.age_s < _LIVED_S:
                    _stop(workers)
                    return code
                time.sleep(_RESTART_AFTER_S)
                workers[position] = _Worker(listener, is_first=False)
        return _stop(workers)


class _Worker:
    def __init__(self, listener: socket.socket, *, is_first: bool = True) -> None:
        self.is_first = is_first
        self._started = time.monotonic()
        descriptor = listener.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "serve", "--listener", str(descriptor)], pass_fds=[descriptor]
        )

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started


def _stop(workers: list[_Worker]) -> int:
    """SIGTERM and wait; the first exit code that is not 0, or 0.

    Never SIGINT: on Ctrl+C the terminal has sent it to the workers as well, and a second one cuts their streams.
    """
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.process.terminate()
    codes = [worker.process.wait() for worker in workers]
    return next((code for code in codes if code), 0)


@contextlib.contextmanager
def _on_signals(seen: list[int], workers: list[_Worker]) -> Iterator[None]:
    """SIGHUP is passed on, where it asks to reload: each worker has a catalog of its own."""

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)

    def pass_on(number: int, _: FrameType | None) -> None:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(number)

    before = {sig: signal.signal(sig, note) for sig in (signal.SIGTERM, signal.SIGINT)}
    if asks_to_reload():
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, pass_on)
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
