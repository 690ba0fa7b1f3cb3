"""Guessing is limited: ten wrong secrets a minute and address, over all replicas (`spec/editor-api.md` 6.16)."""

from penstock.coordination.base import CoordinationUnavailable, Counters
from penstock.kit.clock import Clock
from penstock.panel.addresses import counted_as
from penstock.panel.errors import TooManyAttempts, WrongManagementSecret

LIMIT = 10
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters, self._clock = counters, clock
        self._window = 0
        self._here: dict[str, int] = {}

    async def judge(self, address: str, *, is_right: bool) -> None:
        """Let the right secret pass. Raises WrongManagementSecret, or for whoever guessed too often TooManyAttempts."""
        who = counted_as(address)
        # Before anything is awaited: a burst of guesses is counted one by one, whatever the shared counters do.
        here, again_in_s = self._count(who, 0 if is_right else 1)
        shared, again_in_s = await self._shared(who, 0 if is_right else 1, again_in_s)
        if max(here, shared) >= LIMIT + (not is_right):
            raise TooManyAttempts(again_in_s)
        if not is_right:
            raise WrongManagementSecret

    def _count(self, who: str, wrong: int) -> tuple[int, float]:
        """Wrong attempts of this minute in this process, and when the minute ends."""
        now_s = self._clock.now().timestamp()
        window = int(now_s // WINDOW_S)
        if window != self._window or len(self._here) > _MOST_ADDRESSES:
            self._window, self._here = window, {}
        total = self._here.get(who, 0) + wrong
        if wrong:
            self._here[who] = total
        return total, (window + 1) * WINDOW_S - now_s

    async def _shared(self, who: str, wrong: int, again_in_s: float) -> tuple[int, float]:
        key = f"panel:attempts:{who}"
        try:
            if wrong:
                count = await self._counters.add(key, wrong, WINDOW_S)
            else:
                count = await self._counters.peek(key, WINDOW_S)
        except CoordinationUnavailable:
            return 0, again_in_s  # each process still counts for itself
        return count.total, count.resets_in_s
