"""The first page: what is running, what it stands on, and what needs attention."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from penstock.errors import PenstockError
from penstock.gateway.catalog.snapshot import Problem
from penstock.gateway.inference.provider_health import provider_health
from penstock.panel.base import Part
from penstock.panel.desk import Desk
from penstock.panel.gate import Operator

_PROBE_WITHIN_S = 3.0
_BY_WEIGHT = ("error", "warning", "info")


class Found(msgspec.Struct, frozen=True):
    """`works` None: nothing can be asked, it is used when it is needed."""

    name: str
    where: str
    works: bool | None
    says: str = ""


def overview_routes(desk: Desk) -> APIRouter:
    router, services = desk.router(), desk.services
    reading = Depends(desk.gate.signed_in)
    started = time.monotonic()

    @router.get("/panel/")
    async def overview(request: Request, operator: Operator = reading) -> Response:
        parts = await asyncio.gather(*(_look(part) for part in services.parts))
        snapshot = services.catalog.current
        return desk.show(
            request,
            operator,
            "overview.html",
            parts=parts,
            is_ready=all(part.works is not False for part in parts),
            uptime_s=int(time.monotonic() - started),
            providers=provider_health(services.catalog, services.providers),
            models=[model for model in snapshot.models if model.backends],
            environments=await _count(desk),
            problems=by_weight([*services.catalog.refused, *services.problems, *snapshot.problems]),
        )

    return router


def by_weight(problems: Sequence[Problem]) -> list[Problem]:
    """What keeps something from working first."""
    return sorted(problems, key=lambda problem: _BY_WEIGHT.index(problem.severity))


async def _look(part: Part) -> Found:
    if part.probe is None:
        return Found(part.name, part.where, None)
    try:
        async with asyncio.timeout(_PROBE_WITHIN_S):
            await part.probe()
    except PenstockError as error:
        return Found(part.name, part.where, works=False, says=error.explanation or error.message)
    except TimeoutError:
        return Found(part.name, part.where, works=False, says=f"No answer within {_PROBE_WITHIN_S:.0f} s.")
    return Found(part.name, part.where, works=True)


async def _count(desk: Desk) -> int | None:
    """None while the database is away: the rest of the page is what an operator needs then."""
    try:
        return len(await desk.services.identity.tenants())
    except PenstockError:
        return None
