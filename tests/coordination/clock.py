"""Time that stands still until it is moved."""

from datetime import UTC, datetime, timedelta


class MovableClock:
    def __init__(self) -> None:
        self._now = datetime(2026, 5, 19, 10, 30, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
