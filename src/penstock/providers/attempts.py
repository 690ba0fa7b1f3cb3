"""How often, and how long, one call may be sent, and what became of each request (`spec/providers.md` 2.7)."""

import asyncio

import msgspec

from penstock.providers.base import Usage


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request to a provider. `outcome` is `ok`, the kind of failure, or `cancelled` when the caller went away;
    `key` the last characters of the key."""

    provider: str
    model: str
    key: str | None
    outcome: str
    status: int | None
    duration_s: float


class Attempts:
    """Of one call, over all keys and backends.

    The clock starts with the first: the total limit of its entry holds for all of them together, so retries never make
    a call longer than one answer may be.
    """

    __slots__ = ("_until", "abandoned", "log", "most")

    def __init__(self, most: int = 4) -> None:
        self.log: list[Attempt] = []
        self.most = most
        self.abandoned: Usage | None = None
        """What the request that the caller gave up may have cost: a guess, for the provider does not tell any more."""
        self._until: float | None = None

    @property
    def made(self) -> int:
        return len(self.log)

    def start(self, total_s: float) -> None:
        """The first call of this sets the time by which everything must be over."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + total_s

    @property
    def left_s(self) -> float:
        """Infinite before the start."""
        return float("inf") if self._until is None else self._until - asyncio.get_running_loop().time()

    def may_go_on(self, after_s: float = 0.0) -> bool:
        """Whether one more may be sent, after waiting so long."""
        return self.made < self.most and after_s < self.left_s
