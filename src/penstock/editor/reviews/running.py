"""A review on its way: its pieces side by side, and the events that tell of them."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.reviewed import Reviewed
from penstock.editor.reviews.plan import Piece, Plan
from penstock.editor.reviews.reading import Answers, Ask, answers_of
from penstock.errors import PenstockError
from penstock.http.answers import Event
from penstock.kit.ids import short_id
from penstock.kit.tasks import to_the_end
from penstock.telemetry.logs import log

MOST_AT_ONCE: Final = 6

_Task = asyncio.Task[None]


class Reviewing:
    """`opening` is the first event of the review; `events` gives it when a model has begun to speak."""

    def __init__(self, document: SentDocument, plan: Plan, ask: Ask) -> None:
        self._document = document
        self._plan = plan
        self._ask = ask
        self._call_id = short_id()
        self._pending = self._told_pending = plan.total
        self._has_begun = False
        self._has_answered = False
        self._failure: PenstockError | None = None
        self._inbox: asyncio.Queue[Answers | _Task] = asyncio.Queue()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self.opening = self._progress()

    async def events(self) -> AsyncGenerator[Event, None]:
        """One `review-delta` for each element.

        A piece that fails before the first answer fails the review at once. Later the others go on to their end first:
        what is answered holds.
        """
        tasks = [asyncio.create_task(self._review(piece)) for piece in self._plan.pieces]
        for task in tasks:
            task.add_done_callback(self._inbox.put_nowait)
        left = len(tasks)
        try:
            if not tasks:
                for event in self._begin():
                    yield event
            while left:
                item = await self._inbox.get()
                left -= isinstance(item, asyncio.Task)
                for event in self._answer(item) if isinstance(item, Answers) else self._end_piece(item):
                    yield event
        finally:
            for task in tasks:
                task.cancel()
            await to_the_end(_gone(tasks))
        if self._failure is not None:
            raise self._failure
        yield Event("done", {})

    async def _review(self, piece: Piece) -> None:
        async with self._places, aclosing(answers_of(piece, self._document, self._ask)) as found:
            async for answers in found:
                self._inbox.put_nowait(answers)

    def _begin(self) -> Iterator[Event]:
        if not self._has_begun:
            self._has_begun = True
            yield self.opening
            yield from self._told([Reviewed(data_id, None) for data_id in self._plan.settled])

    def _answer(self, answers: Answers) -> Iterator[Event]:
        yield from self._begin()
        self._has_answered = self._has_answered or bool(answers.elements)
        yield from self._told(answers.elements)

    def _end_piece(self, task: _Task) -> Iterator[Event]:
        error = task.exception()
        if error is None:
            if self._told_pending > self._pending > 0:
                yield self._progress()
            return
        if not self._has_answered or not isinstance(error, PenstockError):
            raise error
        log.warning("a piece of a review failed", reason=error.message, code=error.code)
        self._failure = self._failure or error

    def _told(self, elements: Sequence[Reviewed]) -> Iterator[Event]:
        for one in elements:
            self._pending -= 1
            if one.html is None:
                yield Event("review-delta", {"dataId": one.data_id, "operation": "unmodified"})
            else:
                yield Event("review-delta", {"dataId": one.data_id, "operation": "edit", "textDelta": one.html})

    def _progress(self) -> Event:
        self._told_pending = self._pending
        return Event("review-metadata", {"pendingElements": self._pending, "callId": self._call_id})


async def _gone(tasks: Sequence[_Task]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
