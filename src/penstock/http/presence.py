"""Noticing that a client has hung up while its call is being served."""

import asyncio

from penstock.http.incoming import WHEN_GONE, Scope, WhenGone


class Presence:
    """Cancels the task that made it as soon as the client is gone; `gone` then tells that apart from other cancels.

    The server calls (`http/cycle.py`), so that a call which nobody leaves pays nothing for it.
    """

    __slots__ = ("_owner", "gone")

    def __init__(self, scope: Scope) -> None:
        self.gone = False
        self._owner = asyncio.current_task()
        when_gone: WhenGone = scope[WHEN_GONE]
        when_gone(self._leave)

    def swallow(self) -> bool:
        """After a CancelledError: whether it was ours. Then the task goes on as if it had not been cancelled."""
        if self.gone and self._owner is not None:
            self._owner.uncancel()
        return self.gone

    def stop(self) -> None:
        """The call is over: from here on nobody is cancelled."""
        self._owner = None

    def _leave(self) -> None:
        if self._owner is not None:
            self.gone = True
            self._owner.cancel()
