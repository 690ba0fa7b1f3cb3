"""The one pipe of every model call: route and call (later rooms admit before and settle after).

It orders the stages; what each stage decides is decided in its own room.
"""

import asyncio
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Generic, TypeVar, cast

import msgspec

from penstock.errors import UpstreamError
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Backend
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.attachments.preparing import Attachments
from penstock.gateway.routing.agent import NOTHING, Needs
from penstock.gateway.routing.candidates import Candidate, candidates
from penstock.http.outbound import Fetched
from penstock.providers.answer import Answer
from penstock.providers.attempts import Attempt, Attempts
from penstock.providers.base import Call, Delta, Exchange, Quirks, Reader, Translation, Usage, Wire
from penstock.providers.failures import SHORT_WAIT_S, AllKeysResting, Failure, RateLimited
from penstock.providers.price_list import PriceList
from penstock.providers.prices import Charge, charge_of, cost
from penstock.providers.provider import Providers
from penstock.telemetry.logs import log
from penstock.telemetry.meters import FIRST_TOKEN_SECONDS, INPUT_TOKENS, MODEL_CALLS, OUTPUT_TOKENS

Output = TypeVar("Output")


class CallRecord(msgspec.Struct):
    """What became known of one call, for logs and, later, the ledger."""

    model: str | None = None
    provider: str | None = None
    tried: Sequence[Attempt] = ()
    """Every request that was sent for this call, with what became of it; the last one is the one that answered."""
    first_token_s: float | None = None
    usage: Usage | None = None
    backend: Backend | None = None
    """Who answered, or was asked last."""
    prices: PriceList | None = None
    why: str = ""
    """Why the agent chose this model."""

    @property
    def attempts(self) -> int:
        return len(self.tried)

    @property
    def charge(self) -> Charge | None:
        """What the call cost by what is known of its usage; None: unpriced, or not over."""
        if self.usage is None or self.backend is None:
            return None
        config, model = self.backend.provider, self.backend.upstream_model
        listed = self.prices.price_of(config, model) if self.prices is not None else None
        return charge_of(self.usage, override=self.backend.price, listed=listed)

    def log_fields(self) -> dict[str, object]:
        """The metric log's names (`spec/editor-api.md` 16.1); what is not known is left out."""
        fields: dict[str, object] = {"model": self.model, "provider": self.provider, "attempts": self.attempts}
        if self.why:
            fields["chosenBecause"] = self.why
        if self.first_token_s is not None:
            fields["timeToFirstTokenMs"] = round(self.first_token_s * 1000)
        if self.usage is not None:
            fields["inputTokens"] = self.usage.input_tokens
            fields["outputTokens"] = self.usage.output_tokens
            fields |= _cost_fields(self.charge, is_estimated=self.usage.estimated)
        if any(one.outcome != "ok" for one in self.tried):
            fields["tried"] = [_shown(one) for one in self.tried]
        return {name: value for name, value in fields.items() if value is not None}


class Served(Generic[Output]):
    """A call whose answer has begun, and the rest of it. Close it, whatever happens: that frees the upstream."""

    __slots__ = ("_is_counted", "_record", "answer")

    def __init__(self, answer: Answer[Output], record: CallRecord) -> None:
        self.answer = answer
        self._record = record
        self._is_counted = False

    def close(self) -> None:
        """Also writes the usage down, as far as it is known."""
        answer = self.answer
        answer.close()
        self._record.usage = answer.reader.estimate()
        if not self._is_counted:
            self._is_counted = True
            _count(self._record, "ok" if answer.is_whole else "error" if answer.has_failed else "client-abort")


Prepare = Callable[[Call], Awaitable[Call]]
"""Makes the files of a call ready for one model."""


class CarriesFiles(ABC, Generic[Output]):
    """A translation whose call may hold images, documents or sound."""

    has_files: bool

    @abstractmethod
    async def prepared(self, prepare: Prepare) -> Translation[Output]:
        """The same with files that were made ready; itself when nothing had to be done."""


class Inference:
    """Without `attachments` files go to the providers as they are; without `prices` only the operator's count."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Providers,
        attachments: Attachments | None = None,
        prices: PriceList | None = None,
    ) -> None:
        self._prices = prices
        self._catalog = catalog
        self._providers = providers
        self._attachments = attachments

    def candidates(self, caller: Caller, model: str, feature: str | None, needs: Needs) -> Sequence[Candidate]:
        """Who may answer, best first. Raises what `routing.candidates` raises."""
        return candidates(self._catalog.current, caller, model, feature, needs=needs, price_of=self._price_of)

    def _price_of(self, backend: Backend) -> Decimal | None:
        """A million tokens in and a quarter of that out: about what an editor's calls are made of."""
        price = backend.price
        if price is None and self._prices is not None:
            listed = self._prices.price_of(backend.provider, backend.upstream_model)
            price = listed.price if listed is not None else None
        return None if price is None else cost(price, Usage(input_tokens=1_000_000, output_tokens=250_000))

    async def begin(
        self,
        caller: Caller,
        model: str,
        translation: Translation[Output],
        record: CallRecord,
        *,
        feature: str | None = None,
        needs: Needs = NOTHING,
        found: Sequence[Candidate] | None = None,
    ) -> Served[Output]:
        """Return when an answer has begun. Until then a failure moves on to the next candidate.

        `found` are the candidates, where the caller has looked them up before. `record` says who was asked and how
        often, also when nobody answers, or the caller goes away meanwhile. Raises what `routing.candidates` raises, and
        UpstreamError: that of the candidates' failures which says most.
        """
        started = time.perf_counter()
        attempts = Attempts()
        fetched: dict[str, Fetched] = {}
        if found is None:
            found = self.candidates(caller, model, feature, needs)
        try:
            try:
                answer = await self._first_to_answer(found, translation, attempts, record, fetched)
            except RateLimited as error:
                # Providers say `in a second or two` all the time; nobody should have to ask again for that.
                wait_s = (error.retry_after_s or 0.0) * random.uniform(1.0, 1.25)
                if not _is_short(error) or not attempts.may_go_on(wait_s):
                    raise
                await asyncio.sleep(wait_s)
                answer = await self._first_to_answer(found, translation, attempts, record, fetched)
        except asyncio.CancelledError:
            record.usage = attempts.abandoned
            _count(record, "client-abort")
            raise
        except UpstreamError:
            _count(record, "error")
            raise
        record.first_token_s = time.perf_counter() - started
        return Served(answer, record)

    async def _first_to_answer(
        self,
        found: Sequence[Candidate],
        translation: Translation[Output],
        attempts: Attempts,
        record: CallRecord,
        fetched: dict[str, Fetched],
    ) -> Answer[Output]:
        failure: UpstreamError | None = None
        record.tried = attempts.log
        record.prices = self._prices
        for position, candidate in enumerate(found, start=1):
            record.backend = backend = candidate.backend
            record.model, record.provider = candidate.model.slug, candidate.model.provider_key
            record.why = candidate.why
            try:
                ready = translation
                if isinstance(translation, CarriesFiles) and translation.has_files:
                    ready = await self._prepared(translation, backend, fetched)
                return await self._providers.of(backend.provider).open(backend.upstream_model, ready, attempts)
            except UpstreamError as error:
                failure = error if failure is None else _worth_telling(failure, error)
                elsewhere = isinstance(error, Failure) and error.other_backend
                if position == len(found) or not attempts.may_go_on() or not elsewhere:
                    raise failure from failure.__cause__
                log.warning("backend failed, trying the next", backend=candidate.model.slug, reason=error.message)
        raise AssertionError("candidates are never empty")

    async def _prepared(
        self, translation: CarriesFiles[Output], backend: Backend, fetched: dict[str, Fetched]
    ) -> Translation[Output]:
        attachments = self._attachments
        if attachments is None:
            return cast(Translation[Output], translation)
        return await translation.prepared(lambda call: attachments.prepared(call, backend.facts, fetched))

    async def stream(
        self,
        caller: Caller,
        model: str,
        call: Call,
        *,
        feature: str,
        record: CallRecord,
        found: Sequence[Candidate] | None = None,
    ) -> AsyncGenerator[Delta, None]:
        """The deltas of one call, whatever the provider's format. `record` is filled in as facts become known.

        `found` are the candidates, where the caller has looked them up before.

        Close the generator (`aclosing`): leaving it early closes the upstream.
        """
        translation = _Neutral(call)
        needs = Needs(reasoning=call.reasoning not in (None, "off"), tools=bool(call.tools) and not call.tools_optional)
        served = await self.begin(caller, model, translation, record, feature=feature, needs=needs, found=found)
        try:
            for deltas in served.answer.ready:
                for delta in deltas:
                    yield delta
            while (more := await served.answer.next()) is not None:
                for delta in more:
                    yield delta
        finally:
            served.close()


def _count(record: CallRecord, outcome: str) -> None:
    """Once for each call, when it is over."""
    if MODEL_CALLS.sink is None or record.model is None or record.provider is None:
        return
    MODEL_CALLS.add(record.model, record.provider, outcome)
    if record.first_token_s is not None:
        FIRST_TOKEN_SECONDS.put(record.first_token_s, record.model, record.provider)
    if record.usage is not None:
        INPUT_TOKENS.add(record.model, record.provider, by=record.usage.input_tokens)
        OUTPUT_TOKENS.add(record.model, record.provider, by=record.usage.output_tokens)


def _worth_telling(before: UpstreamError, now: UpstreamError) -> UpstreamError:
    """Of two candidates' failures that of which the caller has more: the shorter wait, or what really happened."""
    waits = [error for error in (before, now) if isinstance(error, RateLimited)]
    soonest = min(waits, key=_wait_s, default=None)
    if soonest is not None and (len(waits) == 2 or _is_short(soonest)):
        return soonest
    return before if isinstance(now, AllKeysResting) else now


def _wait_s(error: RateLimited) -> float:
    """A provider's own words win over our remembering them by some tenths of a second."""
    wait_s = math.inf if error.retry_after_s is None else error.retry_after_s
    return wait_s + 1.0 if isinstance(error, AllKeysResting) else wait_s


def _is_short(error: RateLimited) -> bool:
    return error.other_backend and error.retry_after_s is not None and error.retry_after_s <= SHORT_WAIT_S


def _cost_fields(charge: Charge | None, *, is_estimated: bool) -> dict[str, object]:
    """An unknown price is said to be unknown; it is never zero."""
    if charge is None:
        return {"pricing": "unpriced"}
    source = f"{charge.source} {charge.version}".strip()
    return {
        "pricing": "estimated" if is_estimated else "priced",
        "costMicros": charge.micros,
        "priceSource": source,
        "pricedAs": charge.model or None,
    }


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


def reader_for(
    call: Call, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
) -> Reader[Sequence[Delta]]:
    """The wire's reader for an answer to `call`."""
    return wire.reader(
        model=model,
        content_type=content_type,
        quirks=quirks,
        tools=call.tools,
        sent_bytes=sent_bytes,
        stop=call.stop,
        one_call=call.parallel_tool_calls is False,
    )


class _Neutral(CarriesFiles[Sequence[Delta]]):
    """A neutral call, for any wire."""

    wire: str | None = None

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_tools = bool(call.tools)
        self.tools_optional = call.tools_optional
        self.has_files = any(not isinstance(message.content, str) for message in call.messages)

    async def prepared(self, prepare: Prepare) -> "_Neutral":
        call = await prepare(self._call)
        return self if call is self._call else _Neutral(call)

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        return wire.request(self._call, model, quirks)

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[Delta]]:
        return reader_for(self._call, wire, model, quirks, content_type=content_type, sent_bytes=sent_bytes)
