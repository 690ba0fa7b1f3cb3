"""How late the event loop comes to its work. A loop that is late is busy or blocked, whatever the CPU looks like."""

import asyncio
from collections import deque

from penstock.telemetry.meters import LOOP_LAG

_EVERY_S = 0.5
_REMEMBERED = 20


async def watch_loop_lag() -> None:
    """Runs until cancelled."""
    loop = asyncio.get_running_loop()
    lags: deque[float] = deque(maxlen=_REMEMBERED)
    while True:
        due = loop.time() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        lags.append(max(0.0, loop.time() - due))
        LOOP_LAG.put(max(lags))
