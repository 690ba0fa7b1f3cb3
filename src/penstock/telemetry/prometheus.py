"""Keeps what `telemetry/meters.py` counts, and writes it down for Prometheus.

The only importer of prometheus-client, which is loaded only with METRICS_ENABLED. Several workers keep their numbers
in files of one directory (the library's multiprocess mode), so that whichever of them is asked answers for all.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess
from prometheus_client.openmetrics import exposition as openmetrics

from penstock.telemetry.meters import METERS, SHARED_DIRECTORY, Count, Height, Meter, Number, Sink, Spread

Page = tuple[bytes, str]


class Prometheus:
    """`page` may be called in any thread."""

    def __init__(self) -> None:
        self._own = self._registry = prometheus.CollectorRegistry()
        self._directory = os.environ.get(SHARED_DIRECTORY)
        if self._directory is None:
            prometheus.ProcessCollector(registry=self._registry)
        else:
            self._registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    def sink(self, meter: Meter) -> Sink:
        match meter:
            case Count():
                counter = prometheus.Counter(meter.name, meter.sentence, meter.labels, registry=self._own)
                return _sink(counter, meter, lambda one: one.inc)
            case Number():
                gauge = prometheus.Gauge(meter.name, meter.sentence, registry=self._own, multiprocess_mode="livesum")
                return _sink(gauge, meter, lambda one: one.inc)
            case Height():
                gauge = prometheus.Gauge(meter.name, meter.sentence, registry=self._own, multiprocess_mode="livemax")
                return _sink(gauge, meter, lambda one: one.set)
            case Spread():
                histogram = prometheus.Histogram(
                    meter.name, meter.sentence, meter.labels, registry=self._own, buckets=meter.bounds
                )
                return _sink(histogram, meter, lambda one: one.observe)
        raise TypeError(type(meter))

    def page(self, accept: str) -> Page:
        """The text, and its content type: OpenMetrics for who asks for it, else the older text format."""
        if self._directory is not None:
            _forget_the_dead(Path(self._directory))
        if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept:
            text = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_PLAIN_0_0_4


@contextmanager
def counting() -> Iterator[Prometheus]:
    """Keep what is counted, within the block."""
    prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
    kept = Prometheus()
    for meter in METERS:
        meter.sink = kept.sink(meter)
    try:
        yield kept
    finally:
        for meter in METERS:
            meter.sink = None


def _forget_the_dead(directory: Path) -> None:
    """What workers were doing when they died is not done any more. What they have counted stays."""
    processes = {file.stem.rpartition("_")[2] for file in directory.glob("gauge_live*_*.db")}
    for process in processes:
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker is asked at this moment too
                multiprocess.mark_process_dead(process, str(directory))  # type: ignore[no-untyped-call]


def _sink(metric: Any, meter: Meter, action: Callable[[Any], Callable[[float], None]]) -> Sink:
    """Looking a metric up by its labels costs the library more than counting: each set of labels is looked up once."""
    if not meter.labels:
        act = action(metric)
        return lambda amount, labels: act(amount)
    known: dict[tuple[str, ...], Callable[[float], None]] = {}

    def put(amount: float, labels: tuple[str, ...]) -> None:
        found = known.get(labels)
        if found is None:
            found = known[labels] = action(metric.labels(*labels))
        found(amount)

    return put
