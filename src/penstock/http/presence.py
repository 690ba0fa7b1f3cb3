"""Noticing that a client has hung up while its call is being served."""

import asyncio

from penstock.http.incoming import Receive


class Presence:
    """Cancels the task that made it as soon as the client is gone; `gone` then tells that apart from other cancels.

    `watch` costs a task, so a short call begins to watch only when it turns out to be long (`after_s`). Call `stop`
    before the request ends.
    """

    __slots__ = ("_owner", "_receive", "_timer", "_watcher", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._owner = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.gone = False

    def watch(self, after_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        if after_s:
            self._timer = loop.call_later(after_s, self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def swallow(self) -> bool:
        """After a CancelledError: whether it was ours. Then the task goes on as if it had not been cancelled."""
        if self.gone and self._owner is not None:
            self._owner.uncancel()
        return self.gone

    def _begin(self) -> None:
        self._timer = None
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._owner is not None:
            self._owner.cancel()
