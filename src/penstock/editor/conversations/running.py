"""The turns of this process, and how the other replicas reach them."""

import asyncio
from contextlib import suppress
from typing import Final

from penstock.coordination.base import Broadcast, CoordinationUnavailable
from penstock.editor.conversations.errors import ConversationDeleted, Stopping
from penstock.editor.conversations.locks import Locks
from penstock.editor.conversations.turns import Turn
from penstock.kit.tasks import to_the_end

_DELETED: Final = "conversations:deleted"
_STOP_WITHIN_S = 1.0
_CLOSE_WITHIN_S = 5.0
_MOST_TITLES = 64
_AGAIN_AFTER_S = 1.0


class RunningTurns:
    def __init__(self, locks: Locks, broadcast: Broadcast) -> None:
        self._locks = locks
        self._broadcast = broadcast
        self._turns: dict[str, Turn] = {}
        self._titling: set[asyncio.Task[str | None]] = set()

    def add(self, turn: Turn) -> None:
        self._turns[turn.conversation_row_id] = turn

    def forget(self, turn: Turn) -> None:
        """A turn is over. Its title may still be on its way: it is waited for in the background, within bounds."""
        if self._turns.get(turn.conversation_row_id) is turn:
            del self._turns[turn.conversation_row_id]
        titling = turn.titling
        if titling is None or titling.done():
            return
        if len(self._titling) >= _MOST_TITLES:
            titling.cancel()
        self._titling.add(titling)
        titling.add_done_callback(self._titling.discard)

    async def watch(self) -> None:
        """Stop answers whose conversation is deleted on another replica; at the end, stop those that still run.

        Without coordination an answer notices by itself, within its next beat.
        """
        try:
            while True:
                with suppress(CoordinationUnavailable):
                    await self._listen()
                await asyncio.sleep(_AGAIN_AFTER_S)
        finally:
            await to_the_end(self._stop_all())

    async def _listen(self) -> None:
        async with self._broadcast.subscribe(_DELETED) as deleted:
            async for row_id in deleted:
                turn = self._turns.get(row_id.decode())
                if turn is not None:
                    turn.stop(ConversationDeleted())

    async def stop(self, row_id: str) -> None:
        """Stop the turn of a conversation, here or elsewhere, and wait a little for its end."""
        with suppress(CoordinationUnavailable, TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN_S):
                turn = self._turns.get(row_id)
                if turn is not None:
                    turn.stop(ConversationDeleted())
                    await turn.closed.wait()
                elif not await self._locks.is_free(row_id):
                    await self._broadcast.publish(_DELETED, row_id.encode())
                    await self._locks.freed(row_id)

    async def _stop_all(self) -> None:
        for title in self._titling:
            title.cancel()
        turns = list(self._turns.values())
        for turn in turns:
            turn.stop(Stopping())
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                for turn in turns:
                    await turn.closed.wait()
                await asyncio.gather(*self._titling, return_exceptions=True)
