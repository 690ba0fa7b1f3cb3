"""The management API: environments and access keys for scripts (`spec/editor-api.md` 6.16)."""

from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from penstock.gateway.identity.records import AccessKey, Tenant
from penstock.gateway.identity.service import Identity
from penstock.http.incoming import incoming_of
from penstock.kit.clock import iso
from penstock.panel.errors import NotConfirmed
from penstock.panel.gate import Gate, Operator
from penstock.panel.signing_in import begin_session, end_session


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SignIn(Wire):
    secret: str


class Named(Wire):
    name: str


class NewAccessKey(Wire):
    name: str | None = None


def management_routes(gate: Gate, identity: Identity) -> APIRouter:
    router = APIRouter(
        prefix="/panel/api",
        tags=["Management"],
        dependencies=[Depends(gate.from_here), Depends(gate.own_pages), Depends(uncached)],
    )
    known = Depends(gate.operator)
    by_secret: dict[str, Any] = {"openapi_extra": {"security": [{"management": []}]}}

    @router.post("/session", status_code=204, operation_id="panel_sign_in")
    async def sign_in(request: Request, body: SignIn) -> Response:
        """Begin a session of one hour. Ten wrong attempts a minute and address are looked at."""
        await gate.recognise(request, body.secret)
        answer = Response(status_code=204)
        begin_session(request, answer, gate)
        return answer

    @router.delete("/session", status_code=204, operation_id="panel_sign_out", **by_secret)
    async def sign_out(request: Request, operator: Operator = known) -> Response:
        """End the session, on every replica."""
        answer = Response(status_code=204)
        await end_session(request, answer, gate, operator)
        return answer

    @router.get("/environments", operation_id="list_environments", **by_secret)
    async def environments(operator: Operator = known) -> Response:
        """Every environment with its active access keys, oldest first. Secrets are never among it."""
        keys: dict[str, list[dict[str, Any]]] = {}
        for key in await identity.active_access_keys():
            keys.setdefault(key.tenant_id, []).append(_key(key))
        items = [{**_tenant(one), "accessKeys": keys.get(one.id, [])} for one in await identity.tenants()]
        return JSONResponse({"items": items})

    @router.post("/environments", status_code=201, operation_id="create_environment", **by_secret)
    async def create(request: Request, body: Named, operator: Operator = known) -> Response:
        """Make an environment. It works at once; its users' tokens need an access key too."""
        tenant = await identity.create_tenant(body.name)
        operator.changed(request, "environment created", tenantId=tenant.id, name=tenant.name)
        return JSONResponse(_tenant(tenant), 201)

    @router.patch("/environments/{environment_id:path}", operation_id="rename_environment", **by_secret)
    async def rename(request: Request, environment_id: str, body: Named, operator: Operator = known) -> Response:
        tenant = await identity.rename_tenant(environment_id, body.name)
        operator.changed(request, "environment renamed", tenantId=tenant.id, name=tenant.name)
        return JSONResponse(_tenant(tenant))

    @router.post(
        "/environments/{environment_id:path}/access-keys",
        status_code=201,
        operation_id="create_access_key",
        **by_secret,
    )
    async def create_key(
        request: Request, environment_id: str, body: NewAccessKey | None = None, operator: Operator = known
    ) -> Response:
        """Make an access key. `apiSecret` is shown this once."""
        key, secret = await identity.create_access_key(environment_id, body.name if body else None)
        operator.changed(request, "access key created", tenantId=environment_id, keyId=key.id, name=key.name)
        return JSONResponse({"id": key.id, "name": key.name, "apiSecret": secret}, 201)

    @router.delete(
        "/environments/{environment_id:path}/access-keys/{key_id}",
        status_code=204,
        operation_id="revoke_access_key",
        **by_secret,
    )
    async def revoke_key(request: Request, environment_id: str, key_id: str, operator: Operator = known) -> Response:
        """Refuse tokens that were signed with it; every replica does within five seconds."""
        await identity.revoke_access_key(environment_id, key_id)
        operator.changed(request, "access key revoked", tenantId=environment_id, keyId=key_id)
        return Response(status_code=204)

    # Last: ids may have slashes in them, and this path would swallow those above.
    @router.delete(
        "/environments/{environment_id:path}", status_code=204, operation_id="delete_environment", **by_secret
    )
    async def delete(
        request: Request, environment_id: str, confirm: str = Query(""), operator: Operator = known
    ) -> Response:
        """Delete an environment with its conversations and keys. `confirm` repeats the id."""
        await delete_environment(request, identity, operator, environment_id, confirm)
        return Response(status_code=204)

    return router


async def delete_environment(
    request: Request, identity: Identity, operator: Operator, tenant_id: str, confirmed: str
) -> None:
    """Raises NotConfirmed, TenantNotFound."""
    tenant = await identity.tenant(tenant_id)
    if confirmed != tenant.id:
        raise NotConfirmed(tenant.id)
    await identity.delete_tenant(tenant.id)
    operator.changed(request, "environment deleted", tenantId=tenant.id, name=tenant.name)


async def uncached(request: Request) -> None:
    """Also for refusals: the door puts these on every answer."""
    incoming_of(request.scope).headers.append((b"cache-control", b"no-store"))


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {"id": tenant.id, "name": tenant.name, "createdAt": iso(tenant.created_at)}


def _key(key: AccessKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "createdAt": iso(key.created_at),
        "lastUsedAt": iso(key.last_used_at) if key.last_used_at else None,
        "hint": key.hint,
    }
