"""Several workers on one listening socket. Each is a process of its own, started anew when it dies."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

_PAUSE_S = 0.2
_RESTART_AFTER_S = 1.0
_LIVED_S = 10.0


def supervise(count: int, listener: socket.socket) -> int:
    """Run until SIGTERM or SIGINT, which every worker gets too; the exit code.

    A worker that ends within ten seconds of its first start has found something that starting again will not mend: then
    the others are stopped, and its exit code is ours.
    """
    stopping: list[int] = []
    with _on_signals(stopping):
        workers = [_Worker(listener) for _ in range(count)]
        while not stopping:
            time.sleep(_PAUSE_S)
            for position, worker in enumerate(workers):
                code = worker.process.poll()
                if code is None:
                    continue
                if worker.is_first and worker.age_s < _LIVED_S:
                    _stop(workers, signal.SIGTERM)
                    return code
                time.sleep(_RESTART_AFTER_S)
                workers[position] = _Worker(listener, is_first=False)
        return _stop(workers, signal.Signals(stopping[0]))


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


def _stop(workers: list[_Worker], sig: signal.Signals) -> int:
    """Pass the signal on and wait; the first exit code that is not 0, or 0."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.process.send_signal(sig)
    codes = [worker.process.wait() for worker in workers]
    return next((code for code in codes if code), 0)


@contextlib.contextmanager
def _on_signals(seen: list[int]) -> Iterator[None]:
    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)

    before = {sig: signal.signal(sig, note) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
