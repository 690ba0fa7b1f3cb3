"""What is fetched, expires, and is fetched again in time: tokens, and keys that somebody hands out for an hour.

One fetch serves everybody who waits. Shortly before the end the next one is fetched in the background, and what we have
is used while it is valid, whether that succeeds or not (`spec/providers.md` 8.2, 9.9).
"""

import asyncio
import copy
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from penstock.kit.clock import Clock
from penstock.providers.failures import Failure, NoUsableKey
from penstock.telemetry.logs import log

T = TypeVar("T")

_MARGIN_S = 10.0
"""So long before its end a thing counts as expired: it must live until the provider has read the request."""

_BETWEEN_TRIES_S = 30.0
"""Between two fetches in the background: some servers hand out the same token until minutes before its end."""

_NOTHING_FOUND_S = 15.0
"""How long calls are told that nothing was found, before it is looked for again."""

_YOUNG_S = 5.0
"""A refusal that comes so soon after a fetch is most likely about what was there before."""


class Fetched(msgspec.Struct, Generic[T], frozen=True):
    """`lasts_s` from now, None for ever. `identity` may be read by people; `source` is where it came from."""

    value: T
    lasts_s: float | None
    source: str
    identity: str


class Expiring(Generic[T]):
    """`fetch` raises Failure. `entry` is the key in PROVIDERS, for the log. Belongs to one event loop."""

    def __init__(self, fetch: Callable[[], Awaitable[Fetched[T]]], clock: Clock, *, entry: str, early_s: float) -> None:
        self.identity: str | None = None
        self._fetch = fetch
        self._clock = clock
        self._entry = entry
        self._early_s = early_s
        self.lately: tuple[T, ...] = ()
        """What was fetched last, and before: calls under way may still have that."""
        self._kept: Fetched[T] | None = None
        self._fetched_at = self._refresh_at = self._expires_at = -math.inf
        self._failure: Failure | None = None
        self._failed_until = -math.inf
        self._fetching: asyncio.Task[Fetched[T] | Failure] | None = None
        self._reported: tuple[str, str] | None = None

    async def get(self) -> T:
        """Raises Failure: that of the fetch, one for each who waits."""
        now = self._clock.monotonic()
        if self._kept is not None and now < self._expires_at:
            if now >= self._refresh_at:
                self._begin()
            return self._kept.value
        if self._failure is not None and now < self._failed_until:
            raise _another(self._failure)
        outcome = await asyncio.shield(self._begin())  # a caller who goes away takes the token from nobody
        if isinstance(outcome, Failure):
            raise _another(outcome) from outcome.__cause__
        return outcome.value

    def forget(self) -> None:
        """What we gave out was refused: whoever asks next waits for another, also for one that is on its way."""
        is_of_the_one_before = len(self.lately) > 1 and self._clock.monotonic() < self._fetched_at + _YOUNG_S
        if not is_of_the_one_before:
            self._kept = None

    def _begin(self) -> "asyncio.Task[Fetched[T] | Failure]":
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._try())
            self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, task: "asyncio.Task[Fetched[T] | Failure]") -> None:
        self._fetching = None

    async def _try(self) -> Fetched[T] | Failure:
        try:
            found = await self._fetch()
        except Failure as failure:
            self._keep_failure(failure.cleaned())
            return failure
        self._keep(found)
        return found

    def _keep(self, found: Fetched[T]) -> None:
        now = self._clock.monotonic()
        lasts_s = math.inf if found.lasts_s is None else found.lasts_s
        self._kept, self._failure = found, None
        self.lately = (found.value, *self.lately[:1])
        self._fetched_at = now
        self._expires_at = now + lasts_s - _MARGIN_S
        self._refresh_at = now + max(lasts_s - self._early_s, _BETWEEN_TRIES_S)
        self.identity = found.identity
        if self._reported != (found.source, found.identity):
            self._reported = found.source, found.identity
            log.info("credentials found", provider=self._entry, source=found.source, identity=found.identity)

    def _keep_failure(self, failure: Failure) -> None:
        now = self._clock.monotonic()
        self._failure = failure
        self._failed_until = now + (_NOTHING_FOUND_S if isinstance(failure, NoUsableKey) else 0.0)
        if self._kept is not None:
            self._refresh_at = now + _BETWEEN_TRIES_S
            log.warning(
                "credentials could not be renewed; the old ones are used while they last",
                provider=self._entry,
                reason=failure.message,
                for_s=max(round(self._expires_at - now), 0),
            )


def _another(failure: Failure) -> Failure:
    """Each call explains its own copy: one exception must not be raised in many tasks."""
    return copy.copy(failure)
