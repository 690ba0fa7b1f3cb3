"""What is remembered and for how long, tenants and access keys, and that no secret can be found anywhere."""

import asyncio
import traceback
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from penstock.coordination.base import Coordination
from penstock.coordination.drivers import open_coordination
from penstock.database.engine import Database, open_database
from penstock.errors import InvalidRequest, PenstockError, Unauthenticated
from penstock.gateway.identity.errors import (
    AccessKeyNotFound,
    InvalidApiKey,
    InvalidToken,
    InvalidTokenSignature,
    SecretsUnreadable,
    TenantExists,
    TenantNotFound,
)
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.gateway.identity.tables import UserRow
from penstock.tables import metadata
from tests.gateway.identity.conftest import (
    MANAGEMENT_SECRET,
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


async def refuses(identity: Identity, header: bytes, kind: type[PenstockError]) -> bool:
    try:
        await identity.authenticate(header)
    except kind:
        return True
    return False


# What is remembered


@on_one_database
async def test_nothing_is_remembered_before_the_database_is_watched(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    header = tenancy.header()
    await identity.authenticate(header)
    assert identity.known(header) is None
    async with watching(identity):
        caller = await remembers(identity, header)
        assert identity.known(header) == caller
        assert identity.known(tenancy.header(sub="jane")) is None


@on_one_database
async def test_a_token_is_forgotten_when_it_expires(
    identity: Identity, tenancy: Tenancy, clock: MovableClock, database: Database
) -> None:
    now = int(clock.now().timestamp())
    header = tenancy.header(exp=now + 30)
    async with watching(identity):
        await remembers(identity, header)
        clock.move(now + 30 + 59 - clock.now().timestamp())
        assert identity.known(header) is not None
        clock.move(1.5)
        assert identity.known(header) is None
        assert await refuses(identity, header, InvalidToken)


@on_one_database
async def test_an_api_key_is_forgotten_when_it_expires(
    identity: Identity, tenancy: Tenancy, clock: MovableClock, database: Database
) -> None:
    _, key = await identity.create_api_key(tenancy.tenant_id, "k", expires_at=clock.now() + timedelta(seconds=10))
    async with watching(identity):
        await remembers(identity, bearer(key))
        clock.move(10)
        assert identity.known(bearer(key)) is None
        assert await refuses(identity, bearer(key), InvalidApiKey)


@on_one_database
async def test_nothing_is_remembered_for_more_than_five_minutes(
    identity: Identity, tenancy: Tenancy, clock: MovableClock, database: Database
) -> None:
    header = tenancy.header()
    async with watching(identity):
        await remembers(identity, header)
        clock.move(301)
        assert identity.known(header) is None
        assert (await identity.authenticate(header)).subject == "joe"


@on_one_database
async def test_a_key_in_its_own_header_is_known_as_a_bearer(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    _, key = await identity.create_api_key(tenancy.tenant_id, "k")
    async with watching(identity):
        await remembers(identity, tenancy.header())
        caller = await identity.authenticate(None, key.encode())
        assert identity.known(bearer(key)) == caller


async def test_a_revocation_is_seen_by_another_process_that_shares_only_the_database(
    identity: Identity, tenancy: Tenancy, database: Database, clock: MovableClock
) -> None:
    async with (
        aclosing(await open_coordination(None)) as elsewhere,
        aclosing(open_database(database.options)) as same_database,
        watching(make_identity(same_database, elsewhere, clock)) as other,
    ):
        made, key = await identity.create_api_key(tenancy.tenant_id, "k")
        await remembers(other, bearer(key))
        await remembers(other, tenancy.header())
        await identity.revoke_api_key(tenancy.tenant_id, made.id)
        await eventually(lambda: refuses(other, bearer(key), InvalidApiKey))
        await identity.revoke_access_key(tenancy.tenant_id, tenancy.key_id)
        await eventually(lambda: refuses(other, tenancy.header(), InvalidTokenSignature))


@on_one_database
async def test_a_revocation_is_broadcast_to_processes_that_share_the_coordination(
    identity: Identity, tenancy: Tenancy, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    other = make_identity(database, coordination, clock)
    async with watching(other):
        made, key = await identity.create_api_key(tenancy.tenant_id, "k")
        await remembers(other, bearer(key))
        await identity.revoke_api_key(tenancy.tenant_id, made.id)
        await eventually(lambda: other.known(bearer(key)) is None)


@on_one_database
async def test_the_process_that_changed_something_sees_it_at_once(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    made, key = await identity.create_api_key(tenancy.tenant_id, "k")
    async with watching(identity):
        await remembers(identity, bearer(key))
        await remembers(identity, tenancy.header())
        await identity.revoke_api_key(tenancy.tenant_id, made.id)
        assert identity.known(bearer(key)) is None
        assert await refuses(identity, bearer(key), InvalidApiKey)
        await identity.revoke_access_key(tenancy.tenant_id, tenancy.key_id)
        assert await refuses(identity, tenancy.header(), InvalidTokenSignature)
        _, secret = await identity.create_access_key(tenancy.tenant_id)
        assert (await identity.authenticate(bearer(tenancy.token(secret)))).subject == "joe"


@on_one_database
async def test_what_was_read_before_a_change_is_not_remembered_after_it(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    """Many authentications race with revocations; whichever wins, nothing revoked is known afterwards."""
    async with watching(identity):
        await remembers(identity, tenancy.header())
        for _ in range(10):
            made, key = await identity.create_api_key(tenancy.tenant_id, "k")
            await asyncio.gather(
                *(identity.authenticate(bearer(key)) for _ in range(5)),
                identity.revoke_api_key(tenancy.tenant_id, made.id),
                *(identity.authenticate(bearer(key)) for _ in range(5)),
                return_exceptions=True,
            )
            assert identity.known(bearer(key)) is None


@on_one_database
async def test_callers_who_are_remembered_go_on_while_the_database_is_away(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    header, other_token = tenancy.header(), tenancy.header(jti="another token of the same user")
    with capture_logs() as logs:
        async with watching(identity):
            await remembers(identity, header)
            async with database.transaction() as tx:
                await tx.execute(text("ALTER TABLE identity_revisions RENAME TO away"))
                await tx.execute(text("ALTER TABLE tenants RENAME TO tenants_away"))
            await eventually(lambda: any("cannot be read" in line["event"] for line in logs))
            assert identity.known(header) is not None
            assert (await identity.authenticate(other_token)).subject == "joe"
            async with database.transaction() as tx:
                await tx.execute(text("ALTER TABLE away RENAME TO identity_revisions"))
                await tx.execute(text("ALTER TABLE tenants_away RENAME TO tenants"))
            await eventually(lambda: any("can be read again" in line["event"] for line in logs))
            assert identity.known(header) is not None
    assert len([line for line in logs if "cannot be read" in line["event"]]) == 1


async def test_a_user_who_is_seen_first_by_many_requests_at_once_exists_once(
    identity: Identity, tenancy: Tenancy, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    other = make_identity(database, coordination, clock)
    headers = [tenancy.header(jti=number) for number in range(12)]
    callers = await asyncio.gather(
        *(who.authenticate(header) for header in headers for who in (identity, other)),
    )
    assert len({caller.user_id for caller in callers}) == 1
    async with database.reading() as tx:
        rows = (await tx.scalars(select(UserRow).where(UserRow.subject == "joe"))).all()
    assert [row.id for row in rows] == [callers[0].user_id]


async def test_subjects_that_look_alike_are_different_users(identity: Identity, tenancy: Tenancy) -> None:
    subjects = ["joe", "Joe", "joé", "joe ", " joe", "x" * 255, "😀" * 255, "a\nb"]
    callers = [await identity.authenticate(tenancy.header(sub=subject)) for subject in subjects]
    again = [await identity.authenticate(tenancy.header(sub=subject)) for subject in subjects]
    assert len({caller.user_id for caller in callers}) == len(subjects)
    assert [caller.user_id for caller in again] == [caller.user_id for caller in callers]


async def test_names_of_users_are_kept_as_far_as_they_can_be(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    odd: list[Any] = [{"name": "Joe\0\n😀", "email": 7}, {"name": "x" * 999}, "joe", None]
    for number, user in enumerate(odd):
        await identity.authenticate(tenancy.header(sub=f"user {number}", user=user))
    async with database.reading() as tx:
        rows = (await tx.scalars(select(UserRow).order_by(UserRow.subject))).all()
    assert [row.name for row in rows] == ["Joe😀", "x" * 255, None, None]
    assert {row.email for row in rows} == {None}


@on_one_database
async def test_s026_dropped_permissions_are_logged_once_per_user(
    identity: Identity, tenancy: Tenancy, database: Database
) -> None:
    bad = {"auth": {"ai": {"permissions": ["ai:admin"]}}}
    with capture_logs() as logs:
        for subject in ("joe", "joe", "jane"):
            await identity.authenticate(tenancy.header(sub=subject, **bad))
        await identity.authenticate(tenancy.header(sub="fine"))
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert len({line["userId"] for line in warned}) == len(warned) == 2
    assert "`ai:admin`" in warned[0]["found"]


# Tenants and access keys


async def test_tenants_have_ids_of_the_documented_form_or_the_given_one(identity: Identity) -> None:
    made = await identity.create_tenant("Acme")
    assert len(made.id) == 20
    assert made.id.isalnum()
    for tenant_id in ("a", "x" * 64, "ein Mandant", "2b6d5c1e-7c1c-4a53-a1f4-000000000000", "A"):
        assert (await identity.create_tenant(None, tenant_id)).name == tenant_id
    assert {tenant.id for tenant in await identity.tenants()} >= {made.id, "a", "A"}
    with pytest.raises(TenantExists):
        await identity.create_tenant("again", "a")
    for bad in ("", " ", "x" * 65, "a\0", " a", "a\n"):
        with pytest.raises(InvalidRequest):
            await identity.create_tenant("x", bad)


async def test_tenants_that_are_made_at_once_on_an_empty_database_are_all_made(
    database: Database, coordination: Coordination
) -> None:
    services = [make_identity(database, coordination) for _ in range(3)]
    made = await asyncio.gather(*(one.create_tenant(f"t{number}") for one in services for number in range(3)))
    assert {tenant.id for tenant in await services[0].tenants()} == {tenant.id for tenant in made}


async def test_access_keys_are_listed_without_their_secrets_and_revoked_by_their_tenant_only(
    identity: Identity, tenancy: Tenancy
) -> None:
    made, secret = await identity.create_access_key(tenancy.tenant_id)
    assert len(secret) == 60
    assert secret.isalnum()
    assert made.hint == secret[-4:]
    assert made.name == made.id
    assert [key.id for key in await identity.access_keys(tenancy.tenant_id)] == [tenancy.key_id, made.id]
    other = await identity.create_tenant("Other")
    with pytest.raises(AccessKeyNotFound):
        await identity.revoke_access_key(other.id, made.id)
    revoked = await identity.revoke_access_key(tenancy.tenant_id, made.id)
    assert revoked.revoked_at is not None
    assert revoked == (await identity.access_keys(tenancy.tenant_id))[1]
    with pytest.raises(TenantNotFound):
        await identity.access_keys("nobody")
    with pytest.raises(TenantNotFound):
        await identity.create_access_key("nobody")


async def test_a_minted_token_is_accepted_until_it_ends(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    token = await identity.mint_token(tenancy.tenant_id, "jane", ["ai:models:*"], ttl_s=60)
    caller = await identity.authenticate(bearer(token))
    assert (caller.subject, caller.permissions.granted) == ("jane", ("ai:models:*",))
    clock.move(122)
    assert await refuses(identity, bearer(token), InvalidToken)
    for bad in ({"ttl_s": 0}, {"ttl_s": 90_000}, {"subject": ""}, {"permissions": ["*"]}):
        with pytest.raises(InvalidRequest):
            await identity.mint_token(**{"tenant_id": tenancy.tenant_id, "subject": "x", **bad})  # type: ignore[arg-type]
    with pytest.raises(TenantNotFound):
        await identity.mint_token("nobody", "jane")
    await identity.revoke_access_key(tenancy.tenant_id, tenancy.key_id)
    with pytest.raises(AccessKeyNotFound):
        await identity.mint_token(tenancy.tenant_id, "jane")


# Secrets


@on_one_database
async def test_a_new_master_secret_before_the_old_one_keeps_every_key(
    identity: Identity, tenancy: Tenancy, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    _, key = await identity.create_api_key(tenancy.tenant_id, "k")
    rotated = make_identity(database, coordination, clock, "a newer secret", MASTER)
    await rotated.check_secrets()
    assert (await rotated.authenticate(bearer(key))).credential == "api_key"
    assert (await rotated.authenticate(tenancy.header())).subject == "joe"
    _, newer = await rotated.create_api_key(tenancy.tenant_id, "k2")
    only_new = make_identity(database, coordination, clock, "a newer secret")
    assert (await only_new.authenticate(bearer(newer))).credential == "api_key"


@on_one_database
async def test_a_changed_master_secret_is_named_as_the_cause(
    identity: Identity, tenancy: Tenancy, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    _, key = await identity.create_api_key(tenancy.tenant_id, "k")
    changed = make_identity(database, coordination, clock, "another secret")
    await identity.check_secrets()
    for attempt in (
        changed.check_secrets(),
        changed.authenticate(bearer(key)),
        changed.authenticate(tenancy.header()),
        changed.mint_token(tenancy.tenant_id, "joe"),
    ):
        with pytest.raises(SecretsUnreadable, match="cannot be read") as raised:
            await attempt
        assert "SECRETS_ENCRYPTION_KEY" in (raised.value.action or "")
    explained = await changed.explain_token(tenancy.token())
    assert explained.code == "secrets_unreadable"
    _, secret = await changed.create_access_key(tenancy.tenant_id)
    assert (await changed.authenticate(bearer(tenancy.token(secret)))).subject == "joe"


@on_one_database
async def test_a_sealed_secret_that_was_moved_to_another_tenant_opens_nothing_there(
    identity: Identity, tenancy: Tenancy, database: Database, clock: MovableClock
) -> None:
    other = await identity.create_tenant("Other")
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE access_keys SET tenant_id = :other"), {"other": other.id})
    with pytest.raises(SecretsUnreadable):
        await identity.authenticate(tenancy.header(aud=other.id))


def test_master_secrets_do_not_show_themselves() -> None:
    assert MASTER not in repr(MasterSecrets((MASTER,)))
    with pytest.raises(ValueError):
        MasterSecrets(())


async def test_no_secret_is_found_in_tables_logs_errors_or_reprs(
    identity: Identity, database: Database, coordination: Coordination, clock: MovableClock
) -> None:
    said: list[str] = []
    with capture_logs() as logs:
        tenancy = await new_tenancy(identity, clock)
        made, key = await identity.create_api_key(tenancy.tenant_id, "k", user_subject="joe")
        token = tenancy.token()
        await identity.authenticate(bearer(token))
        await identity.authenticate(bearer(key))
        stranger = make_identity(database, coordination, clock, "another secret")
        await identity.revoke_api_key(tenancy.tenant_id, made.id)
        await identity.revoke_access_key(tenancy.tenant_id, tenancy.key_id)
        attempts = [token, key, tenancy.token("y" * 60), tenancy.token(MANAGEMENT_SECRET), key[:-1], token[:-9]]
        for who in (identity, stranger):
            for attempt in attempts:
                said += await _everything_said(who, attempt)
    said += [repr(logs), repr(await identity.access_keys(tenancy.tenant_id))]
    said += [repr(await identity.api_keys(tenancy.tenant_id)), repr(vars(identity)), await _dump(database)]
    secrets = [tenancy.secret, key, key[16:48], token, token.split(".")[2], MASTER, MANAGEMENT_SECRET]
    for secret in secrets:
        for form in (secret, secret.encode().hex(), repr(secret.encode())[2:-1]):
            assert not [one for one in said if form in one]


async def _everything_said(identity: Identity, credential: str) -> list[str]:
    explained = await identity.explain_token(credential)
    try:
        await identity.authenticate(bearer(credential))
    except PenstockError as error:
        # Without the lines of our own source: those name variables, never what is in them.
        trace = "".join(traceback.format_exception(error))
        return [trace, f"{error.message}{error.explanation}{error.action}{error.data}", repr(explained)]
    raise AssertionError("accepted")


async def _dump(database: Database) -> str:
    lines = []
    async with database.reading() as tx:
        for table in metadata.sorted_tables:
            lines += [repr(tuple(row)) for row in await tx.execute(select(table))]
            lines += [bytes(cell).hex() for row in await tx.execute(select(table)) for cell in row if _is_bytes(cell)]
    return "\n".join(lines)


def _is_bytes(cell: object) -> bool:
    return isinstance(cell, bytes | memoryview)


# Explanations


async def test_s027_a_token_is_explained_step_by_step_and_on_after_a_failure(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    fine = await identity.explain_token(f"Bearer {tenancy.token()}\n")
    assert (fine.valid, fine.code) == (True, None)
    assert [step.name for step in fine.steps] == [
        "form",
        "environment",
        "algorithm",
        "signature",
        "claims",
        "clock",
        "permissions",
    ]
    assert all(step.passed for step in fine.steps)
    assert fine.claims is not None
    assert fine.claims["sub"] == "joe"
    assert fine.granted == ("ai:conversations:*", "ai:models:agent")
    bad = await identity.explain_token(
        tenancy.token("y" * 60, exp=1, auth={"ai": {"permissions": "*"}}, iat=clock.now().timestamp())
    )
    assert {step.name: step.passed for step in bad.steps} == {
        "form": True,
        "environment": True,
        "algorithm": True,
        "signature": False,
        "claims": True,
        "clock": False,
        "permissions": None,
    }
    assert bad.code == "invalid_jwt_signature"
    assert bad.action


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "text_, code",
    [
        ("", "invalid_jwt"),
        ("hunter2", "invalid_jwt"),
        ("Bearer", "invalid_jwt"),
        ("\udcff", "invalid_jwt"),
        ("sgk_x", "invalid_api_key"),
        ("a.b.c", "invalid_jwt"),
    ],
)
async def test_s027_anything_at_all_can_be_explained(
    identity: Identity, database: Database, text_: str, code: str
) -> None:
    explained = await identity.explain_token(text_)
    assert (explained.valid, explained.code) == (False, code)
    assert explained.steps[-1].passed is False
    msgspec.json.encode(explained)


async def test_s027_the_explanation_agrees_with_what_a_request_is_told(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    now = clock.now().timestamp()
    tokens = [
        tenancy.token(),
        tenancy.token(aud="nobody"),
        tenancy.token(aud=["a"], sub=...),
        tenancy.token("y" * 60, "HS384"),
        tenancy.token(MANAGEMENT_SECRET),
        tenancy.token(sub=...),
        tenancy.token(exp=now - 100, iat=now + 100),
        tenancy.token(aud="nobody", exp=1),
    ]
    _, key = await identity.create_api_key(tenancy.tenant_id, "k")
    for credential in [*tokens, key]:
        code = None
        try:
            await identity.authenticate(bearer(credential))
        except Unauthenticated as error:
            code = error.code
        explained = await identity.explain_token(credential)
        assert (explained.code, explained.valid) == (code, code is None)
