"""A dictionary whose entries run out."""

from typing import Generic, TypeVar

from penstock.kit.clock import Clock

Value = TypeVar("Value")

_SWEEP_AFTER = 1024


class Shelf(Generic[Value]):
    """Expired entries are never seen, and never outnumber the living ones by more than a constant.

    A sweep looks at everything once as many entries have been put as there were living ones: constant time per
    entry on average. `capacity` makes the entry that was put first give way; without it nothing living is dropped.
    """

    def __init__(self, clock: Clock, capacity: int | None = None) -> None:
        self._clock = clock
        self._capacity = capacity
        self._entries: dict[str, tuple[Value, float]] = {}
        self._puts_until_sweep = _SWEEP_AFTER

    def __len__(self) -> int:
        """Expired entries included, as long as they take memory."""
        return len(self._entries)

    def get(self, key: str) -> Value | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, ends_at = entry
        if ends_at <= self._clock.monotonic():
            del self._entries[key]
            return None
        return value

    def put(self, key: str, value: Value, ttl_s: float) -> None:
        self._sweep()
        self._entries.pop(key, None)
        if self._capacity is not None and len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = value, self._clock.monotonic() + ttl_s

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def _sweep(self) -> None:
        self._puts_until_sweep -= 1
        if self._puts_until_sweep > 0:
            return
        now = self._clock.monotonic()
        self._entries = {key: entry for key, entry in self._entries.items() if entry[1] > now}
        self._puts_until_sweep = max(_SWEEP_AFTER, len(self._entries))
