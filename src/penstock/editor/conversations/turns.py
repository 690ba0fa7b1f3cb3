"""One turn: a message is being answered. What is said is kept while it is said, and however the turn ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from penstock.database.engine import Database
from penstock.editor.conversations.answer import Answer
from penstock.editor.conversations.answering import Pieces
from penstock.editor.conversations.errors import ConversationDeleted, TakenOver
from penstock.editor.conversations.locks import BEAT_S, Lock, Locks
from penstock.editor.conversations.repository import MessageRepository
from penstock.editor.conversations.tables import ABORTED, COMPLETE, FAILED, WRITING
from penstock.errors import PenstockError
from penstock.http.answers import Event
from penstock.kit.clock import Clock
from penstock.kit.tasks import set_within, to_the_end
from penstock.telemetry.logs import log

BEGUN: Final = Event("begun", {})
"""The first thing `Turn.events` gives, for whoever starts it; the client never sees it."""

_TITLE_WAIT_S = 2.0
_PATIENCE_S = 6.0
_MOST_WAITING = 64

MakeTitle = Callable[[], Awaitable[str | None]]


class Turn:
    """`events` is the stream of one turn. Its clean-up ends the answer's row and releases the lock.

    The row is `writing` meanwhile, with what was said in it, at most `BEAT_S` old. `closed` is set when it is over.
    """

    def __init__(
        self,
        *,
        database: Database,
        locks: Locks,
        clock: Clock,
        lock: Lock,
        conversation_row_id: str,
        answer_id: str,
        pieces: Pieces,
        answer: Answer,
        make_title: MakeTitle | None,
        on_close: Callable[["Turn"], None],
        error_as_text: bool = False,
    ) -> None:
        self.conversation_row_id = conversation_row_id
        self.answer_id = answer_id
        self.closed = asyncio.Event()
        self.titling: asyncio.Task[str | None] | None = None
        self._database = database
        self._locks = locks
        self._clock = clock
        self._lock = lock
        self._pieces = pieces
        self._answer = answer
        self._make_title = make_title
        self._on_close = on_close
        self._error_as_text = error_as_text
        self._inbox: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._talking: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._is_over = asyncio.Event()
        self._is_ended = False
        self._why: PenstockError | None = None

    def stop(self, why: PenstockError) -> None:
        """End the stream with this error. What was said is kept, if there is still a place for it."""
        if self._why is None:
            self._why = why
            if self._talking is not None:
                self._talking.cancel()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Take the first event at once: from then on, closing the generator cleans up whatever happens."""
        end = ABORTED
        try:
            self._talking = asyncio.create_task(self._talk())
            self._talking.add_done_callback(lambda _: self._inbox.put_nowait(None))
            self._beating = asyncio.create_task(self._beat())
            if self._make_title is not None:
                self.titling = asyncio.create_task(self._title(self._make_title))
            yield BEGUN
            yield Event("message-metadata", {"messageId": self.answer_id})
            while (event := await self._next()) is not None:
                yield event
            for held in self._answer.end():
                yield held
            self._check_outcome(self._talking)
            await to_the_end(self._end(COMPLETE))
            await self._wait_for_title()
            while not self._inbox.empty():
                if (late := self._inbox.get_nowait()) is not None:
                    yield late
            yield Event("done", {})
        except Exception as error:
            end = ABORTED if self._why is not None else FAILED
            if self._error_as_text and self._answer.is_silent and isinstance(error, PenstockError):
                yield Event("text-delta", {"textDelta": error.message})
            raise
        finally:
            await to_the_end(self._close(end))

    def _check_outcome(self, talking: "asyncio.Task[None]") -> None:
        if self._why is not None:
            raise self._why
        talking.result()
        if self._answer.is_empty:
            raise self._answer.why_empty()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                for event in self._answer.hear(piece, loop.time()):
                    self._inbox.put_nowait(event)
                if self._inbox.qsize() >= _MOST_WAITING:
                    self._room.clear()
                    await self._room.wait()

    async def _next(self) -> Event | None:
        """Taking makes room again: a client that does not read slows the provider down.

        While the model has not said a word, its user sees now and then that it is being waited for (W-17).
        """
        try:
            async with asyncio.timeout(_PATIENCE_S if self._answer.is_silent else None):
                event = await self._inbox.get()
        except TimeoutError:
            return Event("reasoning", {})
        if self._inbox.qsize() < _MOST_WAITING:
            self._room.set()
        return event

    async def _beat(self) -> None:
        """Keep the lock and what was said, until the turn is over or was lost. Database work is never cut short."""
        while not await set_within(BEAT_S, self._is_over):
            if not await self._locks.keep(self._lock):
                return self.stop(TakenOver())
            try:
                if not await self._write(WRITING):
                    return self.stop(await self._loss())
            except PenstockError as error:
                log.warning("a partial answer could not be kept", reason=error.message, explanation=error.explanation)
        return None

    async def _end(self, state: str) -> None:
        """Raises what the database raises, and ConversationDeleted or TakenOver when the row is no longer ours."""
        self._is_over.set()
        if self._beating is not None:
            await self._beating
            self._beating = None
        if not await self._write(state):
            raise await self._loss()
        self._is_ended = True
        await self._locks.release(self._lock)

    async def _write(self, state: str) -> bool:
        content = self._answer.content()
        async with self._database.transaction() as tx:
            messages = MessageRepository(tx, self.conversation_row_id)
            return await messages.write(self.answer_id, self._clock.now(), content, state)

    async def _loss(self) -> PenstockError:
        async with self._database.reading() as tx:
            exists = await MessageRepository(tx, self.conversation_row_id).conversation_exists()
        return TakenOver() if exists else ConversationDeleted()

    async def _title(self, make_title: MakeTitle) -> str | None:
        title = await make_title()
        if title is not None:
            for event in self._answer.tell(Event("conversation-title", {"conversationTitle": title})):
                self._inbox.put_nowait(event)
        return title

    async def _wait_for_title(self) -> None:
        """It is told if it comes soon after the answer; else it is stored without a word."""
        if self.titling is not None:
            await asyncio.wait((self.titling,), timeout=_TITLE_WAIT_S)

    async def _close(self, end: str) -> None:
        try:
            await self._stop_talking()
            if not self._is_ended:
                await self._end(end)
        except (ConversationDeleted, TakenOver):
            pass  # another has the last word on this row, or it is gone
        except PenstockError as error:
            log.error("an answer could not be kept", reason=error.message, explanation=error.explanation)
        finally:
            if not self._is_ended:
                await self._locks.release(self._lock)
            self._on_close(self)
            self.closed.set()

    async def _stop_talking(self) -> None:
        if self._talking is None:
            return await self._pieces.aclose()
        self._talking.cancel()
        await asyncio.gather(self._talking, return_exceptions=True)
        return None
