"""Tenants are renamed, deleted and declared; access keys say when they were used."""

import asyncio
from contextlib import aclosing
from typing import Any

import jwt
import pytest
from sqlalchemy import insert, select

from penstock.coordination.base import Coordination
from penstock.coordination.drivers import open_coordination
from penstock.database.engine import Database
from penstock.database.failures import BrokenReference
from penstock.errors import InvalidRequest
from penstock.gateway.identity.declared import DeclaredTenant, GivenKey, read_declared
from penstock.gateway.identity.errors import (
    AccessKeyExists,
    InvalidApiKey,
    InvalidTokenPayload,
    TenantExists,
    TenantNotFound,
)
from penstock.gateway.identity.service import Identity
from penstock.gateway.identity.tables import AccessKeyRow, ApiKeyRow, TenantRow, UserRow
from penstock.kit.secret import Secret
from penstock.tables import metadata
from tests.gateway.identity.conftest import (
    MASTER,
    MovableClock,
    Tenancy,
    bearer,
    eventually,
    make_identity,
    new_tenancy,
    remembers,
    watching,
)

on_one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SECRET = "a secret that was made elsewhere"


def given(secret: str = SECRET, **more: Any) -> GivenKey:
    return GivenKey(Secret(secret), **more)


async def rows_left(database: Database, tenant_id: str) -> int:
    async with database.reading() as tx:
        found = [
            len((await tx.scalars(select(table).where(table.tenant_id == tenant_id))).all())
            for table in (UserRow, AccessKeyRow, ApiKeyRow)
        ]
        return sum(found) + (await tx.get(TenantRow, tenant_id) is not None)


async def keep_a_conversation(database: Database, tenant_id: str) -> None:
    """What another room has of the tenant's first user."""
    table = metadata.tables["mcp_connections"]
    async with database.transaction() as tx:
        user = (await tx.scalars(select(UserRow).where(UserRow.tenant_id == tenant_id))).first()
        assert user is not None
        values = {"server": "tools", "sealed": b"x", "connected_at": user.created_at}
        await tx.execute(insert(table).values(tenant_id=tenant_id, user_id=user.id, **values))


# Names and deletion


async def test_a_tenant_is_renamed(identity: Identity, tenancy: Tenancy) -> None:
    renamed = await identity.rename_tenant(tenancy.tenant_id, "Acme & Sons")
    assert (renamed.name, (await identity.tenant(tenancy.tenant_id)).name) == ("Acme & Sons", "Acme & Sons")
    with pytest.raises(InvalidRequest):
        await identity.rename_tenant(tenancy.tenant_id, " ")
    with pytest.raises(TenantNotFound):
        await identity.rename_tenant("nobody", "x")


async def test_a_deleted_tenant_is_gone_for_everybody_at_once(identity: Identity, tenancy: Tenancy) -> None:
    _, api_key = await identity.create_api_key(tenancy.tenant_id, "one")
    await identity.authenticate(bearer(api_key))
    await identity.authenticate(tenancy.header())
    await identity.delete_tenant(tenancy.tenant_id)
    with pytest.raises(InvalidTokenPayload):
        await identity.authenticate(tenancy.header())
    with pytest.raises(InvalidApiKey):
        await identity.authenticate(bearer(api_key))
    assert await identity.tenants() == []
    for work in (identity.access_keys, identity.delete_tenant, identity.create_access_key, identity.tenant):
        with pytest.raises(TenantNotFound):
            await work(tenancy.tenant_id)


@on_one_database
async def test_another_process_refuses_a_deleted_tenant_soon(
    identity: Identity, tenancy: Tenancy, database: Database, clock: MovableClock
) -> None:
    async with aclosing(await open_coordination(None)) as apart, watching(make_identity(database, apart, clock)) as far:
        header = tenancy.header()
        await remembers(far, header)
        await identity.delete_tenant(tenancy.tenant_id)
        await eventually(lambda: far.known(header) is None)
        with pytest.raises(InvalidTokenPayload):
            await far.authenticate(header)


async def test_the_rows_of_a_deleted_tenant_go_when_nothing_refers_to_them(
    identity: Identity, tenancy: Tenancy, database: Database, clock: MovableClock
) -> None:
    other = await new_tenancy(identity, clock)
    await identity.create_api_key(tenancy.tenant_id, "one")
    await identity.authenticate(tenancy.header())
    await keep_a_conversation(database, tenancy.tenant_id)
    await identity.delete_tenant(tenancy.tenant_id)
    before = await rows_left(database, tenancy.tenant_id)
    with pytest.raises(BrokenReference):
        await identity.forget_tenant(tenancy.tenant_id)
    assert (await identity.deleted_tenants(), await rows_left(database, tenancy.tenant_id)) == (
        [tenancy.tenant_id],
        before,
    )
    async with database.transaction() as tx:
        await tx.execute(metadata.tables["mcp_connections"].delete())
    await identity.forget_tenant(tenancy.tenant_id)
    assert (await rows_left(database, tenancy.tenant_id), await identity.deleted_tenants()) == (0, [])
    assert await rows_left(database, other.tenant_id) == 2


async def test_a_tenant_that_was_not_deleted_is_never_forgotten(identity: Identity, tenancy: Tenancy) -> None:
    await identity.forget_tenant(tenancy.tenant_id)
    assert await identity.authenticate(tenancy.header())


async def test_the_id_of_a_deleted_tenant_is_free_once_its_rows_are_gone(identity: Identity) -> None:
    await identity.create_tenant("First", "acme")
    await identity.delete_tenant("acme")
    with pytest.raises(TenantExists) as refused:
        await identity.create_tenant("Second", "acme")
    assert "still being removed" in (refused.value.explanation or "")
    await identity.forget_tenant("acme")
    assert (await identity.create_tenant("Second", "acme")).name == "Second"


@on_one_database
async def test_keys_of_a_deleted_tenant_do_not_stand_in_the_way_of_a_new_master_secret(
    identity: Identity, tenancy: Tenancy, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    await identity.create_api_key(tenancy.tenant_id, "one")
    await identity.delete_tenant(tenancy.tenant_id)
    await make_identity(database, coordination, clock, "another master secret").check_secrets()


# Given keys


async def test_a_tenant_is_made_with_the_secrets_it_is_given(identity: Identity, clock: MovableClock) -> None:
    await identity.create_tenant("Acme", "acme", [given(name="theirs")])
    clock.move(1)
    await identity.create_access_key("acme", "short", "1234567890")
    assert (await identity.authenticate(Tenancy("acme", "", SECRET, clock).header())).tenant_id == "acme"
    assert (await identity.authenticate(bearer(await identity.mint_token("acme", "joe")))).tenant_id == "acme"
    keys = await identity.access_keys("acme")
    assert [(key.name, key.hint, key.id != "") for key in keys] == [("theirs", "here", True), ("short", "90", True)]


async def test_a_tenant_whose_key_id_is_taken_is_not_made_at_all(identity: Identity) -> None:
    await identity.create_tenant("First", "first", [given(id="shared")])
    with pytest.raises(AccessKeyExists):
        await identity.create_tenant("Second", "second", [given(id="shared")])
    assert [tenant.id for tenant in await identity.tenants()] == ["first"]


@pytest.mark.parametrize("secret", ["123456789", "x" * 121, "a line\nbreak in it"])
@on_one_database
async def test_secrets_of_another_form_are_refused(identity: Identity, tenancy: Tenancy, secret: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await identity.create_access_key(tenancy.tenant_id, secret=secret)
    assert secret not in f"{refused.value.message}{refused.value.explanation}{refused.value.action}"


# Declared tenants


async def test_a_declared_tenant_is_made_once_by_several_processes(
    database: Database, clock: MovableClock, identity: Identity, coordination: Coordination
) -> None:
    declared = DeclaredTenant("acme", "Acme", (given(), given("another secret of theirs", id="mine", name="Mine")))
    others = [make_identity(database, coordination, clock) for _ in range(3)]
    await asyncio.gather(*(one.declare_tenant(declared) for one in (identity, *others)))
    await identity.declare_tenant(declared)
    assert [(tenant.id, tenant.name) for tenant in await identity.tenants()] == [("acme", "Acme")]
    assert len(await identity.access_keys("acme")) == 2
    assert await identity.authenticate(Tenancy("acme", "", SECRET, clock).header())


async def test_a_declaration_changes_names_and_secrets_and_leaves_other_keys(
    identity: Identity, clock: MovableClock
) -> None:
    await identity.declare_tenant(DeclaredTenant("acme", "Acme", (given(id="mine"),)))
    _, by_hand = await identity.create_access_key("acme", "by hand")
    await identity.declare_tenant(
        DeclaredTenant("acme", "New name", (given("a rotated secret, of 32 characters", id="mine"),))
    )
    assert [tenant.name for tenant in await identity.tenants()] == ["New name"]
    tenancy = Tenancy("acme", "", "a rotated secret, of 32 characters", clock)
    assert await identity.authenticate(tenancy.header())
    assert await identity.authenticate(bearer(tenancy.token(by_hand)))
    assert not (await identity.explain_token(tenancy.token(SECRET))).valid


async def test_a_declared_key_that_was_revoked_stays_revoked(identity: Identity, clock: MovableClock) -> None:
    declared = DeclaredTenant("acme", None, (given(), given("another secret of theirs", id="mine")))
    await identity.declare_tenant(declared)
    for key in await identity.access_keys("acme"):
        await identity.revoke_access_key("acme", key.id)
    await identity.declare_tenant(declared)
    assert all(key.revoked_at for key in await identity.access_keys("acme"))


@on_one_database
async def test_a_key_without_an_id_is_known_again_under_a_new_master_secret(
    identity: Identity, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    declared = DeclaredTenant("acme", None, (given(),))
    await identity.declare_tenant(declared)
    await make_identity(database, coordination, clock, "a new master secret", MASTER).declare_tenant(declared)
    assert len(await identity.access_keys("acme")) == 1


@on_one_database
async def test_a_declared_key_id_of_another_tenant_is_refused(identity: Identity) -> None:
    await identity.declare_tenant(DeclaredTenant("first", None, (given(id="shared"),)))
    await identity.declare_tenant(DeclaredTenant("second"))
    with pytest.raises(AccessKeyExists):
        await identity.declare_tenant(DeclaredTenant("second", None, (given(id="shared"),)))


def test_a_declaration_is_read_and_does_not_show_its_secrets() -> None:
    text = '[{"id": "acme", "name": "Acme", "accessKeys": [{"id": "one", "secret": "%s"}, {"secret": "1234567890"}]}]'
    (found,) = read_declared(text % SECRET)
    assert (found.id, found.name, [key.id for key in found.keys]) == ("acme", "Acme", ["one", None])
    assert found.keys[0].secret.reveal() == SECRET
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[{", "is not valid JSON"),
        ('{"id": "x"}', "does not have the right shape: expected `array`, got `object`"),
        ('[{"name": "x"}]', "missing required field `id`"),
        ('[{"id": "x", "accesKeys": []}]', "unknown field `accesKeys`"),
        ('[{"id": "x"}, {"id": "x"}]', "has the same id twice"),
        ('[{"id": ""}]', "is not usable at [0].id"),
        ('[{"id": "x", "accessKeys": [{"secret": "leak-me"}]}]', "is not usable at [0].accessKeys: A secret has 10"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused_without_its_values(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|does)") as refused:
        read_declared(text)
    assert says in str(refused.value)
    assert "leak-me" not in str(refused.value)


# When keys were used


async def test_an_access_key_says_when_it_was_last_used(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    async def used() -> list[Any]:
        return [key.last_used_at for key in await identity.access_keys(tenancy.tenant_id)]

    assert await used() == [None]
    first = clock.now()
    await identity.authenticate(tenancy.header())
    await identity.key_use.write()
    assert await used() == [first]
    clock.move(60)
    await identity.authenticate(tenancy.header())
    await identity.key_use.write()
    assert await used() == [first]
    clock.move(300)
    await identity.authenticate(tenancy.header())
    await identity.key_use.write()
    assert await used() == [clock.now()]


@on_one_database
async def test_uses_are_written_beside_requests_and_at_the_end(identity: Identity, tenancy: Tenancy) -> None:
    async with watching(identity):
        await identity.authenticate(tenancy.header())
    (key,) = await identity.access_keys(tenancy.tenant_id)
    assert key.last_used_at is not None


@on_one_database
async def test_a_refused_token_does_not_count_as_use(identity: Identity, tenancy: Tenancy) -> None:
    expired = tenancy.token(exp=0)
    assert jwt.decode(expired, options={"verify_signature": False})["aud"] == tenancy.tenant_id
    assert not (await identity.explain_token(expired)).valid
    await identity.explain_token(tenancy.token())
    await identity.key_use.write()
    (key,) = await identity.access_keys(tenancy.tenant_id)
    assert key.last_used_at is None
