"""`/health` and `/health/ready` (`spec/editor-api.md` 6.1)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from penstock.errors import PenstockError

Probe = Callable[[], Awaitable[None]]
"""Returns when the dependency works; raises PenstockError with the reason when it does not."""

Detail = Callable[[Request], Awaitable[dict[str, Any]]]
"""What operators are shown beside the state. Raises PenstockError for whoever is none."""


_NOT_READY: dict[str, Any] = {"description": "What does not work, in `failed`: `name` and `message`."}


def health_routes(probes: Mapping[str, Probe], detail: Detail) -> APIRouter:
    """`probes` by the name that `/health/ready` shows: `database`, `coordination`. `detail` answers `?detail`."""
    router = APIRouter(tags=["Health"])
    started = time.monotonic()

    @router.get("/health", operation_id="health")
    @router.head("/health", include_in_schema=False)
    async def health() -> Response:
        """200 as soon as the process serves, whatever its dependencies do."""
        return JSONResponse({"serviceName": "on-premises-http", "uptime": round(time.monotonic() - started, 3)})

    @router.get("/health/ready", responses={503: _NOT_READY}, operation_id="ready")
    @router.head("/health/ready", include_in_schema=False)
    async def ready(request: Request, wanted: Annotated[str | None, Query(alias="detail")] = None) -> Response:
        """503 with the dependencies that do not work, else 200.

        `?detail` adds the providers with the state of their keys, for the management secret, or an API key that has
        `health:detail`.
        """
        more = {} if wanted is None else await detail(request)
        reasons = await asyncio.gather(*(_reason(probe) for probe in probes.values()))
        failed = [
            {"name": name, "message": reason}
            for name, reason in zip(probes, reasons, strict=True)
            if reason is not None
        ]
        if failed:
            return JSONResponse({"status": "unavailable", "failed": failed, **more}, 503, {"Retry-After": "5"})
        return JSONResponse({"status": "ready", "checked": list(probes), **more})

    return router


async def _reason(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(3):
            await probe()
    except PenstockError as error:
        return error.message
    except TimeoutError:
        return "no answer within 3 s"
    return None
