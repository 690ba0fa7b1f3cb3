"""When access keys were last used: noted by requests, written beside them."""

import asyncio
from collections import OrderedDict
from datetime import datetime

from penstock.database.engine import Database
from penstock.errors import PenstockError
from penstock.gateway.identity.repository import Installation
from penstock.kit.clock import Clock
from penstock.telemetry.logs import log

WRITE_EVERY_S = 5.0
AGAIN_AFTER_S = 240.0
_MOST_KEYS = 10_000


class KeyUse:
    """Each key is written at most every `AGAIN_AFTER_S` by one process; what is shown may be as old as that.

    Tokens that are remembered do not come by here, so that a busy key is noted every five minutes at least.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._due: dict[str, datetime] = {}
        self._noted: OrderedDict[str, float] = OrderedDict()

    def note(self, key_id: str) -> None:
        """Costs a look-up. Nothing is awaited."""
        now = self._clock.monotonic()
        if now - self._noted.get(key_id, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return
        self._noted[key_id] = now
        self._noted.move_to_end(key_id)
        if len(self._noted) > _MOST_KEYS:
            self._noted.popitem(last=False)
        self._due[key_id] = self._clock.now()

    async def watch(self) -> None:
        """Runs until cancelled; what was noted by then is still written."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                await self.write()
        finally:
            await asyncio.shield(self.write())

    async def write(self) -> None:
        """A failure loses the instants: they are for people, and the next ones come soon."""
        due, self._due = self._due, {}
        if not due:
            return
        try:
            async with self._database.transaction() as tx:
                for key_id in sorted(
                    due
                ):  # one order everywhere, so that replicas do not wait for each other in a ring
                    await Installation(tx).key_used(key_id, due[key_id])
        except PenstockError as error:
            log.info("When keys were used could not be written", reason=error.message)
