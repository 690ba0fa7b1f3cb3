"""The one pipe of every model call: route and call (later rooms admit before and settle after).

It orders the stages; what each stage decides is decided in its own room.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

import msgspec

from penstock.errors import UpstreamError
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.identity.caller import Caller
from penstock.gateway.routing.candidates import Candidate, candidates
from penstock.providers.base import Call, Delta, Exchange, Quirks, Reader, Translation, Usage, Wire
from penstock.providers.failures import AllKeysResting, Failure, RateLimited
from penstock.providers.provider import Answer, Attempt, Attempts, Providers
from penstock.telemetry.logs import log

Output = TypeVar("Output")

_SHORT_WAIT_S = 5.0
"""The longest `Retry-After` that is waited for here, when nothing else is free (`spec/providers.md` 2.7)."""


class CallRecord(msgspec.Struct):
    """What became known of one call, for logs and, later, the ledger."""

    model: str | None = None
    provider: str | None = None
    attempts: int = 0
    tried: Sequence[Attempt] = ()
    """Every request that was sent for this call, with what became of it; the last one is the one that answered."""
    first_token_s: float | None = None
    usage: Usage | None = None

    def log_fields(self) -> dict[str, object]:
        """The metric log's names (`spec/editor-api.md` 16.1); what is not known is left out."""
        fields: dict[str, object] = {"model": self.model, "provider": self.provider, "attempts": self.attempts}
        if self.first_token_s is not None:
            fields["timeToFirstTokenMs"] = round(self.first_token_s * 1000)
        if self.usage is not None:
            fields["inputTokens"] = self.usage.input_tokens
            fields["outputTokens"] = self.usage.output_tokens
        if any(one.outcome != "ok" for one in self.tried):
            fields["tried"] = [_shown(one) for one in self.tried]
        return {name: value for name, value in fields.items() if value is not None}


class Served(Generic[Output]):
    """A call whose answer has begun, and the rest of it. Close it, whatever happens: that frees the upstream."""

    __slots__ = ("_record", "answer")

    def __init__(self, answer: Answer[Output], record: CallRecord) -> None:
        self.answer = answer
        self._record = record

    def close(self) -> None:
        """Also writes the usage down, as far as it is known."""
        reader = self.answer.reader
        self._record.usage = reader.estimate()
        self.answer.close()


class Inference:
    def __init__(self, catalog: Catalog, providers: Providers) -> None:
        self._catalog = catalog
        self._providers = providers

    async def begin(
        self,
        caller: Caller,
        model: str,
        translation: Translation[Output],
        record: CallRecord,
        *,
        feature: str | None = None,
        reasoning: bool = False,
    ) -> Served[Output]:
        """Return when an answer has begun. Until then a failure moves on to the next candidate.

        `record` says who was asked and how often, also when nobody answers. Raises what `routing.candidates` raises,
        and UpstreamError: the last failure of a candidate that was really asked.
        """
        started = time.perf_counter()
        attempts = Attempts()
        found = candidates(self._catalog.current, caller, model, feature, reasoning=reasoning)
        try:
            answer = await self._first_to_answer(found, translation, attempts, record)
        except RateLimited as error:
            # Providers say `in a second or two` all the time; nobody should have to ask again for that.
            if not _is_short(error) or attempts.left <= 0:
                raise
            await asyncio.sleep((error.retry_after_s or 0.0) * random.uniform(1.0, 1.25))
            answer = await self._first_to_answer(found, translation, attempts, record)
        record.first_token_s = time.perf_counter() - started
        return Served(answer, record)

    async def _first_to_answer(
        self,
        found: Sequence[Candidate],
        translation: Translation[Output],
        attempts: Attempts,
        record: CallRecord,
    ) -> Answer[Output]:
        failure: UpstreamError | None = None
        record.tried = attempts.log
        for position, candidate in enumerate(found, start=1):
            backend = candidate.backend
            record.model, record.provider = candidate.model.slug, candidate.model.provider_key
            try:
                return await self._providers.of(backend.provider).open(backend.upstream_model, translation, attempts)
            except UpstreamError as error:
                if failure is None or not isinstance(error, AllKeysResting):
                    failure = error  # what made keys rest says more than that they do
                elsewhere = isinstance(error, Failure) and error.other_backend
                if position == len(found) or attempts.left <= 0 or not elsewhere:
                    raise failure from failure.__cause__
                log.warning("backend failed, trying the next", backend=candidate.model.slug, reason=error.message)
            finally:
                record.attempts = attempts.made
        raise AssertionError("candidates are never empty")

    async def stream(
        self, caller: Caller, model: str, call: Call, *, feature: str, record: CallRecord
    ) -> AsyncGenerator[Delta, None]:
        """The deltas of one call, whatever the provider's format. `record` is filled in as facts become known.

        Close the generator (`aclosing`): leaving it early closes the upstream.
        """
        translation = _Neutral(call)
        served = await self.begin(
            caller, model, translation, record, feature=feature, reasoning=call.reasoning not in (None, "off")
        )
        try:
            for deltas in served.answer.ready:
                for delta in deltas:
                    yield delta
            while (more := await served.answer.next()) is not None:
                for delta in more:
                    yield delta
        finally:
            served.close()


def _is_short(error: RateLimited) -> bool:
    """Waiting here costs the caller less than asking again."""
    return error.other_backend and error.retry_after_s is not None and error.retry_after_s <= _SHORT_WAIT_S


def _shown(one: Attempt) -> dict[str, object]:
    fields = {
        "provider": one.provider,
        "model": one.model,
        "key": one.key,
        "outcome": one.outcome,
        "status": one.status,
        "ms": round(one.duration_s * 1000),
    }
    return {name: value for name, value in fields.items() if value is not None}


class _Neutral:
    """A neutral call, for any wire."""

    wire: str | None = None

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_tools = bool(call.tools)
        self.tools_optional = call.tools_optional

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        return wire.request(self._call, model, quirks)

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[Delta]]:
        return wire.reader(
            model=model, content_type=content_type, quirks=quirks, tools=self._call.tools, sent_bytes=sent_bytes
        )
