"""How every process learns of a change within a second: a polled revision, and a broadcast that is usually faster."""

import asyncio

from penstock.coordination.base import Broadcast, CoordinationUnavailable
from penstock.database.engine import Database
from penstock.gateway.identity.memory import Memory
from penstock.gateway.identity.repository import Installation
from penstock.telemetry.logs import log

CHANNEL = "identity"
POLL_INTERVAL_S = 0.4
_RESUBSCRIBE_AFTER_S = 1.0


class Revisions:
    def __init__(self, database: Database, broadcast: Broadcast, memory: Memory) -> None:
        self._database, self._broadcast, self._memory = database, broadcast, memory
        self._is_polling = True

    async def watch(self) -> None:
        """Runs until cancelled. Outages of the database and of coordination are lived through."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll())
            tasks.create_task(self._listen())

    async def announce(self) -> None:
        """After the commit of a change: forget here at once, and elsewhere as soon as the message is there."""
        self._memory.forget()
        try:
            await self._broadcast.publish(CHANNEL, b"changed")
        except CoordinationUnavailable:
            log.info("A change of keys could not be broadcast; the other processes find it by polling")

    async def _poll(self) -> None:
        while True:
            try:
                async with self._database.reading() as tx:
                    revision = await Installation(tx).revision()
            except Exception as error:  # whatever it is: requests go on with what is remembered, and so must we
                self._report(error)
            else:
                self._report(None)
                self._memory.follow(revision)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._broadcast.subscribe(CHANNEL) as messages:
                    async for _ in messages:
                        self._memory.forget()
            except CoordinationUnavailable:
                log.debug("No broadcast of changes for now")
            await asyncio.sleep(_RESUBSCRIBE_AFTER_S)

    def _report(self, error: Exception | None) -> None:
        """Log the beginning and the end of an outage, not every attempt in it."""
        if error is not None and self._is_polling:
            log.warning("The revision of keys cannot be read; going on with what is known", exc_info=error)
        elif error is None and not self._is_polling:
            log.warning("The revision of keys can be read again")
        self._is_polling = error is None
