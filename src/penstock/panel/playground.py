"""The playground: the browser calls the public API, with a short-lived token of the environment that is chosen."""

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from penstock.gateway.identity.permissions import FULL_ACCESS
from penstock.panel.desk import Desk
from penstock.panel.gate import Operator
from penstock.panel.pages import HEADERS

USER = "panel"
TOKEN_S = 600
_PERMISSIONS = (*FULL_ACCESS, "ai:models:*")
_AGENT = "agent-1"


def playground_routes(desk: Desk) -> APIRouter:
    router, identity, catalog = desk.router(), desk.services.identity, desk.services.catalog
    reading, changing = Depends(desk.gate.signed_in), Depends(desk.gate.form)

    @router.get("/panel/playground")
    async def playground(request: Request, environment: str = "", operator: Operator = reading) -> Response:
        signing = {key.tenant_id for key in await identity.active_access_keys()}
        tenants = await identity.tenants()
        usable = [model for model in catalog.current.models if model.backends and model.features]
        return desk.show(
            request,
            operator,
            "playground.html",
            environments=[(tenant, tenant.id in signing) for tenant in tenants],
            can_sign=any(tenant.id in signing for tenant in tenants),
            chosen=environment,
            models=[(_AGENT, "Agent (chooses for each request)"), *((one.slug, one.name) for one in usable)],
            has_models=bool(usable),
        )

    @router.post("/panel/playground/token")
    async def token(request: Request, environment: str = Form(""), operator: Operator = changing) -> Response:
        minted = await identity.mint_token(environment, USER, _PERMISSIONS, TOKEN_S)
        operator.changed(request, "token made for the playground", tenantId=environment)
        return JSONResponse({"token": minted, "expiresInSeconds": TOKEN_S}, headers=HEADERS)

    return router
