"""Environments and their access keys."""

from collections import Counter
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Request, Response

from penstock.gateway.identity.service import Identity
from penstock.panel.desk import Desk
from penstock.panel.gate import Operator
from penstock.panel.management_api import delete_environment
from penstock.panel.pages import go, wants_part

_ALL = "/panel/environments"


def environment_routes(desk: Desk) -> APIRouter:
    router, identity = desk.router(), desk.services.identity
    reading, changing = Depends(desk.gate.signed_in), Depends(desk.gate.form)

    @router.get(_ALL)
    async def environments(request: Request, deleted: str = "", operator: Operator = reading) -> Response:
        keys = Counter(key.tenant_id for key in await identity.active_access_keys())
        listed = [(tenant, keys[tenant.id]) for tenant in await identity.tenants()]
        return desk.show(request, operator, "environments.html", environments=listed, deleted=deleted[:100])

    @router.post(_ALL)
    async def create(request: Request, name: str = Form(""), operator: Operator = changing) -> Response:
        tenant = await identity.create_tenant(name)
        operator.changed(request, "environment created", tenantId=tenant.id, name=tenant.name)
        return go(request, f"{_ALL}/{quote(tenant.id, safe='')}")

    @router.get(_ALL + "/{environment_id:path}")
    async def environment(request: Request, environment_id: str, operator: Operator = reading) -> Response:
        return await _shown(desk, request, operator, environment_id)

    @router.post(_ALL + "/{environment_id:path}/name")
    async def rename(
        request: Request, environment_id: str, name: str = Form(""), operator: Operator = changing
    ) -> Response:
        tenant = await identity.rename_tenant(environment_id, name)
        operator.changed(request, "environment renamed", tenantId=tenant.id, name=tenant.name)
        return go(request, f"{_ALL}/{quote(tenant.id, safe='')}")

    @router.post(_ALL + "/{environment_id:path}/delete")
    async def delete(
        request: Request, environment_id: str, confirm: str = Form(""), operator: Operator = changing
    ) -> Response:
        name = (await identity.tenant(environment_id)).name
        await delete_environment(request, identity, operator, environment_id, confirm.strip())
        return go(request, f"{_ALL}?{urlencode({'deleted': name})}")

    @router.post(_ALL + "/{environment_id:path}/access-keys")
    async def create_key(
        request: Request, environment_id: str, name: str = Form(""), operator: Operator = changing
    ) -> Response:
        key, secret = await identity.create_access_key(environment_id, name.strip() or None)
        operator.changed(request, "access key created", tenantId=environment_id, keyId=key.id, name=key.name)
        return await _shown(desk, request, operator, environment_id, new_key=key, new_secret=secret)

    @router.post(_ALL + "/{environment_id:path}/access-keys/{key_id}/revoke")
    async def revoke_key(request: Request, environment_id: str, key_id: str, operator: Operator = changing) -> Response:
        key = await identity.revoke_access_key(environment_id, key_id)
        operator.changed(request, "access key revoked", tenantId=environment_id, keyId=key.id)
        return await _shown(desk, request, operator, environment_id, revoked_key=key)

    return router


async def _shown(desk: Desk, request: Request, operator: Operator, environment_id: str, **about: Any) -> Response:
    """The page, or for htmx its list of keys. A new secret is in this answer and in no other."""
    identity: Identity = desk.services.identity
    tenant, keys = await identity.tenant(environment_id), await identity.access_keys(environment_id)
    return desk.show(
        request,
        operator,
        "_access_keys.html" if wants_part(request) else "environment.html",
        environment=tenant,
        active_keys=[key for key in keys if key.revoked_at is None],
        revoked_keys=[key for key in keys if key.revoked_at is not None],
        new_key=about.get("new_key"),
        new_secret=about.get("new_secret"),
        revoked_key=about.get("revoked_key"),
    )
