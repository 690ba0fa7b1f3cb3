"""Where several workers keep what they count, so that whichever of them is asked for `/metrics` answers for all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from penstock.settings import Settings
from penstock.telemetry.meters import SHARED_DIRECTORY


@contextmanager
def shared_metrics(settings: Settings) -> Iterator[None]:
    """Processes that are started within the block share a directory, which is removed at its end."""
    if not settings.logs.metrics:
        yield
        return
    with TemporaryDirectory(prefix="penstock-metrics-") as directory:
        os.environ[SHARED_DIRECTORY] = directory
        yield
