"""Connecting MCP servers over HTTP, with tokens of real users."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from subprocess import run

import httpx
import pytest
from fastapi import FastAPI

from penstock.editor.mcp.api import mcp_routes
from penstock.editor.mcp.servers import McpServer
from penstock.editor.mcp.service import Mcp
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.http.door import Door
from penstock.http.origins import Origins
from penstock.http.routes import install_handlers
from tests.editor.mcp.conftest import Rooms
from tests.editor.mcp.test_oauth import authority_of, personal
from tests.fakes.mcp_authority import Authority
from tests.fakes.mcp_server import McpFake, running_mcp


@dataclass
class Front:
    client: httpx.AsyncClient
    identity: Identity
    router: FastAPI
    mcp: Mcp
    fake: McpFake

    async def user(self, tenant_id: str, subject: str) -> dict[str, str]:
        token = await self.identity.mint_token(tenant_id, subject, ("ai:conversations:*",))
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def front(rooms: Rooms) -> AsyncIterator[Front]:
    with running_mcp(authority=Authority()) as fake:
        mcp = rooms.open(personal(fake), McpServer(name="plain", url=fake.url))
        masters = MasterSecrets(("master secret of the tests",))
        identity = Identity(rooms.database, rooms.coordination.broadcast, masters)
        for tenant_id in ("first", "second"):
            await identity.create_tenant(tenant_id, tenant_id)
            await identity.create_access_key(tenant_id)
        router = FastAPI(openapi_url="/v1/api/doc.json")
        install_handlers(router)
        router.include_router(mcp_routes(identity, mcp))
        door = Door(calls={}, router=router, origins=Origins(()), max_body_bytes=100_000, request_log=None)
        transport = httpx.ASGITransport(door)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://penstock/v1/mcp/oauth") as client:
            yield Front(client, identity, router, mcp, fake)


async def test_o24_a_user_connects_and_disconnects(front: Front) -> None:
    ann, client = await front.user("first", "ann"), front.client
    assert (await client.get("/status", headers=ann)).json() == {"servers": {"crm": {"connected": False}}}
    begun = await client.post("/crm/initialize", headers=ann)
    assert begun.status_code == 200
    assert begun.json()["connected"] is False
    code, state = authority_of(front.fake).authorize(begun.json()["authorizationUrl"])
    done = await client.post("/crm/complete", headers=ann, json={"code": code, "state": state})
    assert (done.status_code, done.json()) == (200, {"connected": True})
    shown = (await client.get("/status", headers=ann)).json()["servers"]["crm"]
    assert shown["connected"] is True
    assert shown["expiresAt"].endswith("Z")
    assert (await client.post("/crm/initialize", headers=ann)).json() == {"connected": True}
    gone = await client.delete("/crm", headers=ann)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await client.get("/status", headers=ann)).json() == {"servers": {"crm": {"connected": False}}}


async def test_users_of_one_name_in_two_tenants_are_two_users(front: Front) -> None:
    mine, theirs = await front.user("first", "ann"), await front.user("second", "ann")
    begun = await front.client.post("/crm/initialize", headers=mine)
    code, state = authority_of(front.fake).authorize(begun.json()["authorizationUrl"])
    stolen = await front.client.post("/crm/complete", headers=theirs, json={"code": code, "state": state})
    assert stolen.status_code == 400
    done = await front.client.post("/crm/complete", headers=mine, json={"code": code, "state": state})
    assert done.status_code == 200
    shown = await front.client.get("/status", headers=theirs)
    assert shown.json() == {"servers": {"crm": {"connected": False}}}


async def test_o25_a_state_that_is_not_valid_is_answered_with_its_code_and_what_to_do(front: Front) -> None:
    ann = await front.user("first", "ann")
    answer = await front.client.post("/crm/complete", headers=ann, json={"code": "x", "state": "canary"})
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["code"]) == (400, 400, "mcp-oauth-invalid-state")
    assert "initialize" in body["action"]
    assert "canary" not in answer.text


@pytest.mark.parametrize("name", ["none", "plain", "%00", "a%20b", "x" * 500, "%F0%9F%98%80"])
async def test_an_unknown_server_is_not_found_whatever_is_asked_of_it(front: Front, name: str) -> None:
    ann, client = await front.user("first", "ann"), front.client
    answers = [
        await client.post(f"/{name}/initialize", headers=ann),
        await client.post(f"/{name}/complete", headers=ann, json={"code": "x", "state": "y"}),
        await client.delete(f"/{name}", headers=ann),
    ]
    assert [one.status_code for one in answers] == [404] * 3
    assert {one.json()["code"] for one in answers} == {"mcp-server-not-found"}


async def test_nothing_is_told_without_a_token(front: Front) -> None:
    for method, path in (
        ("GET", "/status"),
        ("POST", "/crm/initialize"),
        ("POST", "/crm/complete"),
        ("DELETE", "/crm"),
    ):
        assert (await front.client.request(method, path)).status_code == 401
    assert front.fake.asked == []


async def test_w25_a_server_that_cannot_be_connected_is_a_bad_gateway_with_an_explanation(front: Front) -> None:
    authority_of(front.fake).metadata["token_endpoint"] = "https://10.0.0.1/token"
    ann = await front.user("first", "ann")
    answer = await front.client.post("/crm/initialize", headers=ann)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (502, "mcp-authorization-failed")
    assert "not public" in body["explanation"]
    assert "OUTBOUND_ALLOW" in body["action"]


@pytest.mark.parametrize("body", [{}, {"code": "x"}, {"code": "", "state": "y"}, {"code": 1, "state": "y"}, []])
async def test_a_body_that_lacks_something_is_refused_by_name(front: Front, body: object) -> None:
    ann = await front.user("first", "ann")
    answer = await front.client.post("/crm/complete", headers=ann, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request-data")


async def test_the_document_lists_the_operations_under_a_tag(front: Front) -> None:
    paths = front.router.openapi()["paths"]
    assert {path.removeprefix("/v1/mcp/oauth") for path in paths} == {
        *("/status", "/{server_name}", "/{server_name}/initialize", "/{server_name}/complete")
    }
    assert all(one["tags"] == ["MCP"] for path in paths.values() for one in path.values())


def test_the_room_is_imported_without_the_sdk() -> None:
    check = "import sys, penstock.editor.mcp.api; sys.exit(any(one in sys.modules for one in ('mcp', 'httpx2')))"
    assert run([sys.executable, "-c", check], check=False).returncode == 0
