"""The effective configuration: what is in force, and where it came from. Secrets are hidden before they get here."""

from itertools import groupby

from fastapi import APIRouter, Depends, Request, Response

from penstock.panel.desk import Desk
from penstock.panel.gate import Operator
from penstock.panel.overview import by_weight


def configuration_routes(desk: Desk) -> APIRouter:
    router, services = desk.router(), desk.services
    reading = Depends(desk.gate.signed_in)
    groups = [(title, list(found)) for title, found in groupby(services.settings, key=lambda one: one.group)]

    @router.get("/panel/configuration")
    async def configuration(request: Request, operator: Operator = reading) -> Response:
        problems = by_weight([*services.problems, *services.catalog.current.problems])
        return desk.show(request, operator, "configuration.html", groups=groups, problems=problems)

    return router
