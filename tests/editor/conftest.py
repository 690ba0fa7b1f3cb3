"""Editors for the tests of this room: clients of real services, and a conversation service without HTTP around it."""

import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from penstock.coordination.memory import Memory
from penstock.database.engine import Database
from penstock.editor.conversations.composing import Composing
from penstock.editor.conversations.service import ConversationOptions, Conversations
from penstock.editor.conversations.tables import MessageRow
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.identity.caller import Caller, TenantId, UserId
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.identity.tables import PartnerRow, TenantRow, UserRow
from penstock.gateway.inference.service import Inference
from penstock.kit.clock import SystemClock
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Providers
from penstock.settings import load_settings
from penstock.storage.base import Storage
from penstock.storage.doomed import DoomedBlobs
from penstock.storage.drivers import open_storage
from tests.conftest import need_server
from tests.databases import fresh_database_env
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.service import Service, redis_env, service_env, start_service

EVERYTHING = ["ai:conversations:*", "ai:models:*"]


class Tenant:
    """An environment of a running service, with a secret that signs whatever a test wants to claim."""

    def __init__(self, service: Service, tenant_id: str = "") -> None:
        self.id = tenant_id or str(service.cli("tenant", "create", "Editors")["id"])
        self.secret = str(service.cli("access-key", "create", "--tenant", self.id)["secret"])

    def claims(self, user: str = "user-1", permissions: Any = EVERYTHING) -> dict[str, Any]:
        now = int(time.time())
        return {
            "aud": self.id,
            "sub": user,
            "iat": now,
            "exp": now + 3600,
            "auth": {"ai": {"permissions": permissions}},
        }

    def headers(self, user: str = "user-1", permissions: Any = EVERYTHING) -> dict[str, str]:
        return {"Authorization": "Bearer " + jwt.encode(self.claims(user, permissions), self.secret, algorithm="HS256")}


Editor = Callable[..., EditorClient]


@pytest.fixture(scope="session")
def tenant(running_service: Service) -> Tenant:
    return Tenant(running_service)


@pytest.fixture(scope="session")
def other_tenant(running_service: Service) -> Tenant:
    return Tenant(running_service, running_service.tenant_id)


@pytest.fixture
def upstream(service: Service) -> Upstream:
    return service.upstream


@pytest.fixture
def editors(service: Service, tenant: Tenant) -> Iterator[Editor]:
    """Opens editors: `editors("user-2", permissions=[...])`."""
    with ExitStack() as stack:

        def opened(user: str = "user-1", *, of: Tenant = tenant, at: str = "", **more: Any) -> EditorClient:
            return stack.enter_context(EditorClient(at or service.url, of.headers(user, **more)))

        yield opened


@pytest.fixture
def editor(editors: Editor, request: pytest.FixtureRequest) -> EditorClient:
    """An editor of a user who has no conversations yet."""
    return editors(f"user of {request.node.name}"[:200])


@dataclass
class Replicas:
    """Two processes on one database and one Redis, in front of one upstream."""

    first: Service
    second: Service
    tenant: Tenant
    upstream: Upstream

    def editor(self, replica: Service, user: str = "user-1") -> EditorClient:
        return EditorClient(replica.url, self.tenant.headers(user))


@pytest.fixture(scope="module")
def replicas() -> Iterator[Replicas]:
    need_server("redis")
    with ExitStack() as stack:
        shared = stack.enter_context(fresh_database_env("postgres"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        shared |= stack.enter_context(redis_env())
        env = service_env(upstream, folder, **shared)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: stack.enter_context(start_service(env, upstream)), range(2))
        yield Replicas(first, second, Tenant(first), upstream)


# --- without HTTP ----------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """The conversation service over one database, and the means to build more of them, as other replicas would."""

    database: Database
    upstream: Upstream
    coordination: Memory
    inference: Inference
    storage: Storage
    conversations: Conversations
    another: Callable[[], Conversations]
    built: Callable[[Composing, ConversationOptions], Conversations]

    async def rows(self) -> list[MessageRow]:
        from sqlalchemy import select

        async with self.database.reading() as tx:
            return list(await tx.scalars(select(MessageRow).order_by(MessageRow.position)))


_CHAT = {"provider": "mock", "description": "", "features": ["conversations"]}
_MODELS = [
    {"id": "one", "recommended": True, **_CHAT},
    {"id": "searching", "capabilities": {"webSearch": True}, **_CHAT},
    {"id": "toolless", "capabilities": {"webSearch": True}, "facts": {"tools": False}, **_CHAT},
]


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        settings = load_settings(service_env(upstream, tmp_path, MODELS=json.dumps(_MODELS)), tmp_path)
        catalog = Catalog(settings.catalog, settings.snapshot)
        providers = Providers(open_provider_transport, SystemClock())
        stack.push_async_callback(providers.aclose)
        coordination = Memory()
        stack.push_async_callback(coordination.aclose)

        storage = await open_storage(settings.storage, database)
        stack.push_async_callback(storage.aclose)
        inference = Inference(catalog, providers)

        def another() -> Conversations:
            return built(Composing(inference, storage, None, None), ConversationOptions(lock_wait_s=0.3))

        def built(composing: Composing, options: ConversationOptions) -> Conversations:
            return Conversations(
                database=database,
                catalog=catalog,
                inference=inference,
                leases=coordination.leases,
                broadcast=coordination.broadcast,
                composing=composing,
                doomed=DoomedBlobs(database, storage, SystemClock()),
                moderation=None,
                options=options,
            )

        await _add_people(database)
        yield Room(database, upstream, coordination, inference, storage, another(), another, built)


async def _add_people(database: Database) -> None:
    now = SystemClock().now()
    async with database.transaction() as tx:
        tx.add(PartnerRow(id="partner", name="Partner", created_at=now))
        await tx.flush()
        tx.add_all(TenantRow(id=one, partner_id="partner", name=one, created_at=now) for one in ("acme", "other"))
        await tx.flush()
        for name in ("ann", "bob"):
            tx.add(UserRow(id=name, tenant_id="acme", subject=name, created_at=now, last_seen_at=now))
        tx.add(UserRow(id="zoe", tenant_id="other", subject="zoe", created_at=now, last_seen_at=now))


def caller(user: str = "ann", tenant: str = "acme", permissions: list[str] | None = None) -> Caller:
    return Caller(
        tenant_id=TenantId(tenant),
        user_id=UserId(user),
        subject=user,
        credential="editor_token",
        credential_id="key",
        permissions=Permissions.from_claim(EVERYTHING if permissions is None else permissions),
    )


def eventually(condition: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
