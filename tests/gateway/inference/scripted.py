"""A wire's reader that says what a test tells it: each read brings the next list of deltas."""

from collections.abc import Sequence

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Delta,
    Finish,
    FinishReason,
    OpaqueDelta,
    ReasoningDelta,
    TextDelta,
    ToolDelta,
    Usage,
)

_VISIBLE = (TextDelta, ReasoningDelta, ToolDelta, OpaqueDelta)


class ScriptedReader:
    """`reads` come by `feed`, one for each; `last` by `end`. An error among the deltas fails the stream there."""

    def __init__(
        self, reads: Sequence[Sequence[Delta | UpstreamError]], last: Sequence[Delta | UpstreamError] = ()
    ) -> None:
        self.failure: UpstreamError | None = None
        self.terminated = False
        self.begun = False
        self.complete = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self._reads = list(reads)
        self._last = last

    def feed(self, data: bytes) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        return self._read(self._reads.pop(0))

    def end(self) -> Sequence[Delta]:
        if self.failure is not None:
            raise self.failure
        deltas = self._read(self._last)
        if self.failure is not None:
            raise self.failure
        return deltas

    def estimate(self) -> Usage:
        return self.usage or Usage(input_tokens=3, output_tokens=2, estimated=True)

    def _read(self, said: Sequence[Delta | UpstreamError]) -> Sequence[Delta]:
        deltas: list[Delta] = []
        for one in said:
            if isinstance(one, UpstreamError):
                self.failure = one
                if not deltas:
                    raise one
                break
            deltas.append(one)
            self.begun = self.begun or isinstance(one, _VISIBLE)
            if isinstance(one, Usage):
                self.usage = one
            if isinstance(one, Finish):
                self.finish, self.complete, self.terminated = one.reason, True, True
        return deltas
