"""Requests that a provider answers in portions: at most four at a time, put together in order, counted as one call."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from penstock.errors import UpstreamError
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.openai_chunks import summed
from penstock.gateway.inference.service import CallRecord, Inference
from penstock.providers.base import Quirks, Wire
from penstock.providers.failures import explain_for, timed_out
from penstock.providers.media.plans import Plan, Portion

T = TypeVar("T")

AT_A_TIME = 4

Planned = Callable[[Wire, str, Quirks], Plan[T]]


async def gather(
    inference: Inference,
    caller: Caller,
    model: str,
    planned: Planned[T],
    size: int,
    record: CallRecord,
    *,
    feature: str | None,
) -> tuple[list[T], tuple[str, ...]]:
    """The answers to all portions of a request for `size` things, in order, and what was left out of it.

    The model that answers the first answers the others too: vectors of two models must not be mixed. `record` counts
    all of them, and the total limit of that model's entry holds for all together. Raises what `Inference.begin` raises,
    for the first portion that failed; the others are given up.
    """
    begun_at = asyncio.get_running_loop().time()
    first = Portion(planned, 0, size)
    found = {0: await _one(inference, caller, model, first, record, feature)}
    starts = deque(range(first.count, size, first.count))
    answering = record.model or model

    async def work() -> None:
        while starts:
            await span(starts.popleft())

    async def span(start: int) -> None:
        end = min(start + first.count, size)
        while start < end:
            portion, its_record = Portion(planned, start, end - start), CallRecord()
            try:
                found[start] = await _one(inference, caller, answering, portion, its_record, None)
            finally:
                _add(record, its_record)
            start += portion.count

    limit_s = math.inf if record.backend is None else record.backend.provider.total_s
    try:
        async with asyncio.timeout_at(begun_at + limit_s), asyncio.TaskGroup() as group:
            for _ in range(min(AT_A_TIME, len(starts))):
                group.create_task(work())
    except ExceptionGroup as failures:
        error = failures.exceptions[0]
        raise error from error.__cause__
    except TimeoutError as error:
        raise _too_long(record, limit_s) from error
    return [found[start] for start in sorted(found)], first.warnings


async def _one(
    inference: Inference, caller: Caller, model: str, portion: Portion[T], record: CallRecord, feature: str | None
) -> T:
    served = await inference.begin(caller, model, portion, record, feature=feature)
    try:
        (answer,) = (one for piece in served.answer.ready for one in piece)
        return answer
    finally:
        served.close()


def _too_long(record: CallRecord, limit_s: float) -> UpstreamError:
    assert record.backend is not None
    config, model = record.backend.provider, record.backend.upstream_model
    return explain_for(timed_out("total", limit_s), provider_key=config.key, provider_type=config.type, model=model)


def _add(record: CallRecord, more: CallRecord) -> None:
    record.tried = (*record.tried, *more.tried)
    record.usage = summed([usage for usage in (record.usage, more.usage) if usage is not None])
