"""API keys: their form, and S031: unknown, revoked, expired and mistyped are four different answers."""

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.database.engine import Database
from penstock.errors import InvalidRequest, PenstockError
from penstock.gateway.identity.api_keys import key_from_seed, new_key, parse_key
from penstock.gateway.identity.errors import ApiKeyExists, ApiKeyNotFound, InvalidApiKey, TenantNotFound
from penstock.gateway.identity.service import Identity
from penstock.kit.ids import BASE62, base62
from tests.gateway.identity.conftest import MovableClock, Tenancy, bearer


async def reason(identity: Identity, key: str) -> str:
    with pytest.raises(InvalidApiKey) as raised:
        await identity.authenticate(bearer(key))
    error = raised.value
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.explanation
    assert error.action
    assert key not in f"{error.message} {error.explanation} {error.action} {error.data}"
    assert error.data is not None
    return str(error.data["reason"])


async def test_an_api_key_works_as_bearer_and_in_its_own_header(identity: Identity, tenancy: Tenancy) -> None:
    made, key = await identity.create_api_key(tenancy.tenant_id, "nightly job")
    for caller in (
        await identity.authenticate(bearer(key)),
        await identity.authenticate(None, key.encode()),
        await identity.authenticate(b"Basic cHJveHk=", key.encode()),
    ):
        assert (caller.tenant_id, caller.credential, caller.credential_id) == (tenancy.tenant_id, "api_key", made.id)
        assert caller.user_id == caller.subject == f"key:{made.id}"
        assert caller.permissions.granted == ("models:use", "models:list")


async def test_an_api_key_may_act_for_a_user_who_is_the_same_as_the_one_of_the_tokens(
    identity: Identity, tenancy: Tenancy
) -> None:
    made, key = await identity.create_api_key(tenancy.tenant_id, "joe's", user_subject="joe", permissions=["models:*"])
    by_key = await identity.authenticate(bearer(key))
    by_token = await identity.authenticate(tenancy.header())
    assert by_key.subject == "joe"
    assert made.user_id == by_key.user_id == by_token.user_id
    assert by_key.permissions.allows("models:use")


async def test_s031_unknown_revoked_expired_and_mistyped_keys_are_told_apart(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    in_an_hour = clock.now() + timedelta(hours=1)
    made, key = await identity.create_api_key(tenancy.tenant_id, "one", expires_at=in_an_hour)
    revoked, revoked_key = await identity.create_api_key(tenancy.tenant_id, "two")
    await identity.revoke_api_key(tenancy.tenant_id, revoked.id)
    assert (await identity.authenticate(bearer(key))).credential_id == made.id
    clock.move(3600)
    assert await reason(identity, key) == "expired"
    assert await reason(identity, revoked_key) == "revoked"
    assert await reason(identity, new_key()) == "unknown"
    assert await reason(identity, key[:-1] + ("A" if key[-1] != "A" else "B")) == "mistyped"
    assert await reason(identity, key[:-1]) == "mistyped"
    assert await reason(identity, "sgk_x") == "mistyped"


async def test_s031_a_guessed_secret_learns_nothing_about_a_revoked_or_expired_key(
    identity: Identity, tenancy: Tenancy
) -> None:
    made, _ = await identity.create_api_key(tenancy.tenant_id, "one")
    await identity.revoke_api_key(tenancy.tenant_id, made.id)
    guess = _with_checksum(f"sgk_{made.id}{'0' * 32}")
    assert await reason(identity, guess) == "unknown"


async def test_a_given_key_is_taken_once_and_only_in_the_right_form(identity: Identity, tenancy: Tenancy) -> None:
    key = new_key()
    _, same = await identity.create_api_key(tenancy.tenant_id, "given", key=key)
    assert same == key
    assert (await identity.authenticate(bearer(key))).credential == "api_key"
    with pytest.raises(ApiKeyExists):
        await identity.create_api_key(tenancy.tenant_id, "again", key=key)
    with pytest.raises(ApiKeyExists):
        await identity.create_api_key(tenancy.tenant_id, "again", user_subject="joe", key=key)
    with pytest.raises(InvalidRequest):
        await identity.create_api_key(tenancy.tenant_id, "given", key="sgk_mine")


async def test_another_tenants_keys_are_neither_listed_nor_revoked(identity: Identity, tenancy: Tenancy) -> None:
    other = await identity.create_tenant("Other")
    made, key = await identity.create_api_key(tenancy.tenant_id, "mine")
    assert await identity.api_keys(other.id) == []
    with pytest.raises(ApiKeyNotFound):
        await identity.revoke_api_key(other.id, made.id)
    assert (await identity.authenticate(bearer(key))).tenant_id == tenancy.tenant_id
    assert [one.id for one in await identity.api_keys(tenancy.tenant_id)] == [made.id]
    for tenant_id in ("nobody", ""):
        with pytest.raises(TenantNotFound):
            await identity.create_api_key(tenant_id, "x")
        with pytest.raises(TenantNotFound):
            await identity.api_keys(tenant_id)


async def test_revoking_twice_keeps_the_first_instant(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    made, _ = await identity.create_api_key(tenancy.tenant_id, "one")
    first = await identity.revoke_api_key(tenancy.tenant_id, made.id)
    clock.move(60)
    assert await identity.revoke_api_key(tenancy.tenant_id, made.id) == first
    assert first.revoked_at is not None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "arguments, param",
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"user_subject": ""}, "user"),
        ({"user_subject": "x" * 256}, "user"),
        ({"user_subject": "a\0b"}, "user"),
        ({"permissions": ["ai:*"]}, "permissions"),
        ({"permissions": ["models:use"] * 201}, "permissions"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
async def test_what_cannot_be_kept_is_refused_with_the_name_of_the_field(
    identity: Identity, tenancy: Tenancy, database: Database, arguments: dict[str, Any], param: str
) -> None:
    with pytest.raises(PenstockError) as raised:
        await identity.create_api_key(tenancy.tenant_id, **{"name": "x", **arguments})
    assert (raised.value.status, raised.value.param) == (400, param)
    assert await identity.api_keys(tenancy.tenant_id) == []


def test_new_keys_have_the_documented_form_and_are_never_the_same() -> None:
    keys = {new_key() for _ in range(500)}
    assert len(keys) == 500
    for key in keys:
        parsed = parse_key(key)
        assert len(key) == 54
        assert key.startswith(f"sgk_{parsed.id}")
        assert len(parsed.id) == 12
        assert key.endswith(parsed.last4)


def test_a_seed_makes_the_same_key_every_time_and_another_seed_another() -> None:
    assert key_from_seed(b"a" * 32) == key_from_seed(b"a" * 32)
    assert parse_key(key_from_seed(b"a" * 32)).id != parse_key(key_from_seed(b"b" * 32)).id


@given(st.integers(4, 53), st.sampled_from(BASE62))
def test_s031_one_wrong_character_anywhere_is_noticed_without_asking_anybody(position: int, character: str) -> None:
    key = new_key()
    changed = key[:position] + character + key[position + 1 :]
    if changed == key:
        return
    with pytest.raises(InvalidApiKey) as raised:
        parse_key(changed)
    assert raised.value.data == {"reason": "mistyped"}


@given(st.text())
def test_no_text_that_begins_like_a_key_breaks_the_parser(text: str) -> None:
    with pytest.raises(InvalidApiKey):
        parse_key("sgk_" + text)


def _with_checksum(body: str) -> str:
    return body + base62(zlib.crc32(body.encode()), 6)
