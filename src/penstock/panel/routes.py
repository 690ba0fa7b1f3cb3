"""Every path of the panel and of the management API."""

from fastapi import APIRouter, Request, Response

from penstock.errors import NotFound
from penstock.panel.assets import asset_routes
from penstock.panel.base import PanelServices
from penstock.panel.configuration import configuration_routes
from penstock.panel.desk import Desk
from penstock.panel.environments import environment_routes
from penstock.panel.gate import Gate
from penstock.panel.management_api import management_routes
from penstock.panel.models import model_page_routes
from penstock.panel.overview import overview_routes
from penstock.panel.pages import go
from penstock.panel.playground import playground_routes
from penstock.panel.signed_environments import signed_routes
from penstock.panel.signing_in import sign_in_routes
from penstock.panel.streaming import streaming_routes
from penstock.panel.tokens import token_routes

_PAGES = (
    sign_in_routes,
    overview_routes,
    environment_routes,
    model_page_routes,
    configuration_routes,
    token_routes,
    playground_routes,
    streaming_routes,
)


def panel_routes(gate: Gate, services: PanelServices) -> APIRouter:
    desk = Desk(gate, services)
    router = APIRouter()
    router.include_router(management_routes(gate, services.identity))
    router.include_router(signed_routes(gate, services))
    router.include_router(asset_routes())
    for routes in _PAGES:
        router.include_router(routes(desk))
    router.include_router(_the_rest(desk))
    return router


def _the_rest(desk: Desk) -> APIRouter:
    router = desk.router()

    @router.get("/panel")
    async def without_slash(request: Request) -> Response:
        return go(request, "/panel/")

    @router.get("/panel/{path:path}")
    async def nothing(request: Request, path: str) -> Response:
        raise NotFound("There is no such page.", action="Go to the overview, and on from there.")

    return router
