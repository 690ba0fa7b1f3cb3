"""A tenant with keys on every database, a clock that can be moved, and tokens as anybody could make them."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import jwt
import msgspec
import pytest

from penstock.coordination.base import Coordination
from penstock.coordination.drivers import open_coordination
from penstock.database.engine import Database
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.kit.clock import to_milliseconds

MASTER = "a master secret that tests look for"
MANAGEMENT_SECRET = "the management secret that opens the panel"
DAY_S = 24 * 3600


class MovableClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.instant = to_milliseconds(datetime.now(UTC))

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    def move(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


class Tenancy(msgspec.Struct):
    """One tenant, its first access key, and tokens for it."""

    tenant_id: str
    key_id: str
    secret: str
    clock: MovableClock

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token. A claim that is set to `...` is left out."""
        issued_at = int(self.clock.now().timestamp())
        claims: dict[str, Any] = {
            "aud": self.tenant_id,
            "sub": "joe",
            "iat": issued_at,
            "exp": issued_at + 3600,
            "auth": {"ai": {"permissions": ["ai:conversations:*", "ai:models:agent"]}},
        }
        return {name: value for name, value in (claims | changes).items() if value is not ...}

    def token(self, secret: str | None = None, algorithm: str = "HS256", **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), secret or self.secret, algorithm=algorithm)

    def header(self, **changes: Any) -> bytes:
        return bearer(self.token(**changes))


def bearer(credential: str) -> bytes:
    return b"Bearer " + credential.encode()


def make_identity(
    database: Database, coordination: Coordination, clock: MovableClock | None = None, *masters: str
) -> Identity:
    return Identity(
        database,
        coordination.broadcast,
        MasterSecrets(masters or (MASTER,)),
        MANAGEMENT_SECRET,
        clock or MovableClock(),
    )


async def new_tenancy(identity: Identity, clock: MovableClock) -> Tenancy:
    tenant = await identity.create_tenant("Acme")
    key, secret = await identity.create_access_key(tenant.id, "first")
    return Tenancy(tenant.id, key.id, secret, clock)


@asynccontextmanager
async def watching(identity: Identity) -> AsyncIterator[Identity]:
    """As the running service does it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(identity.watch)
        yield identity
        tasks.cancel_scope.cancel()


async def eventually(holds: Callable[[], Any], within_s: float = 10.0) -> None:
    """Wait until `holds()` is true; its coroutine is awaited when it gives one."""
    deadline = time.monotonic() + within_s
    while True:
        answer = holds()
        if not isinstance(answer, bool):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < deadline, "it never came true"
        await anyio.sleep(0.02)


async def remembers(identity: Identity, header: bytes) -> Caller:
    """Authenticate until the answer is remembered, which needs a first look at the database."""
    caller: list[Caller] = []

    async def known() -> bool:
        caller[:] = [await identity.authenticate(header)]
        return identity.known(header) is not None

    await eventually(known)
    return caller[0]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def coordination() -> AsyncIterator[Coordination]:
    async with aclosing(await open_coordination(None)) as opened:
        yield opened


@pytest.fixture
async def identity(database: Database, coordination: Coordination, clock: MovableClock) -> Identity:
    return make_identity(database, coordination, clock)


@pytest.fixture
async def tenancy(identity: Identity, clock: MovableClock) -> Tenancy:
    return await new_tenancy(identity, clock)
