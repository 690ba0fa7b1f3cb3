"""Several answers to one request (`n`), from a provider that gives one to each (`spec/providers.md` 15.9)."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from typing import Any, cast

import msgspec

from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.openai_answer import TranslatedWhole
from penstock.gateway.inference.openai_chunks import summed
from penstock.gateway.inference.openai_streaming import TranslatedStream
from penstock.gateway.inference.openai_translation import AnotherChoice, Asked, Relayed
from penstock.gateway.inference.service import CallRecord, Inference, Served

Relay = Callable[[Served[bytes]], Coroutine[Any, Any, None]]


class Choices:
    """The answers of one request, the first of which has begun; the others are asked for when `begin` is called.

    Close it, whatever happens. `record` gets the attempts and the tokens of all.
    """

    def __init__(self, first: Served[bytes], asked: Asked, record: CallRecord) -> None:
        self._first = first
        self._served = [first]
        self._asked = asked
        self._record = record
        self._records = [msgspec.structs.replace(record)]

    @classmethod
    def wanted(cls, first: Served[bytes], request: Relayed, record: CallRecord) -> "Choices | None":
        """None when one answer is wanted, or when the upstream gives them all by itself."""
        if not isinstance(first.answer.reader, TranslatedStream | TranslatedWhole) or request.asked.choices == 1:
            return None
        return cls(first, request.asked, record)

    async def begin(self, inference: Inference, caller: Caller, model: str) -> None:
        """Ask for the others, all at a time. Raises what `Inference.begin` raises, and then closes all."""

        async def begin_one(index: int) -> None:
            record = CallRecord()
            self._records.append(record)
            choice = AnotherChoice(self._asked, index)
            self._served.append(await inference.begin(caller, model, choice, record))

        try:
            with ExitStack() as given_up:
                given_up.callback(self.close)
                await _all(begin_one(index) for index in range(1, self._asked.choices))
                given_up.pop_all()
        finally:
            self._record.tried = [attempt for record in self._records for attempt in record.tried]

    async def stream(self, relay: Relay) -> bytes:
        """Relay all at a time; what follows when all are complete. Raises UpstreamError when one of them fails."""
        await _all(relay(served) for served in self._served)
        return self._asked.end_of_stream([served.answer.reader.estimate() for served in self._served])

    async def whole(self) -> bytes:
        async def read(served: Served[bytes]) -> None:
            while await served.answer.next() is not None:
                pass

        await _all(read(served) for served in self._served)
        readers = [cast(TranslatedWhole, served.answer.reader) for served in self._served]
        readers.sort(key=lambda reader: reader.index)
        return self._asked.together(readers, [reader.estimate() for reader in readers])

    def close(self) -> None:
        for served in self._served:
            served.close()
        # Those that were given up before they began have cost something too.
        others = [record.usage for record in self._records[1:] if record.usage is not None]
        self._record.usage = summed([self._first.answer.reader.estimate(), *others])


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Until all are done, or one has failed: then the others are cancelled, and its failure is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__
