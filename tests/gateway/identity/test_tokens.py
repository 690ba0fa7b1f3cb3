"""Editor tokens, through the front door of the identity room: the matrix of T-06 and the words of S020 to S028."""

import base64
import json
from contextlib import suppress
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PenstockError, Unauthenticated
from penstock.gateway.identity.credentials import bearer as credential_of
from penstock.gateway.identity.credentials import presented
from penstock.gateway.identity.errors import CredentialMissing, InvalidToken
from penstock.gateway.identity.service import Identity
from penstock.gateway.identity.tokens import (
    MAX_TOKEN_BYTES,
    Keyring,
    SigningKey,
    audience,
    check_algorithm,
    check_clock,
    check_signature,
    permissions_of,
    read_token,
    required_claims,
)
from penstock.kit.clock import iso
from tests.gateway.identity.conftest import DAY_S, MANAGEMENT_SECRET, MovableClock, Tenancy, bearer


async def refusal(identity: Identity, header: bytes | None, x_api_key: bytes | None = None) -> PenstockError:
    with pytest.raises(Unauthenticated) as raised:
        await identity.authenticate(header, x_api_key)
    error = raised.value
    assert error.explanation
    assert error.action
    said = f"{error.message} {error.explanation} {error.action} {error.data}"
    secret_part = (header or x_api_key or b"").decode("latin-1").removeprefix("Bearer ")
    assert len(secret_part) < 30 or secret_part not in said
    assert MANAGEMENT_SECRET not in said
    return error


async def test_t_06_a_good_token_makes_a_caller(identity: Identity, tenancy: Tenancy) -> None:
    caller = await identity.authenticate(tenancy.header(user={"name": "Joe", "email": "joe@example.org"}))
    assert (caller.tenant_id, caller.subject, caller.credential) == (tenancy.tenant_id, "joe", "editor_token")
    assert caller.credential_id == tenancy.key_id
    assert caller.user_id.startswith("user_")
    assert caller.permissions.allows("ai:conversations:write")


async def test_t_06_what_is_not_in_the_contract_is_ignored(identity: Identity, tenancy: Tenancy) -> None:
    odd: dict[str, Any] = {"iss": "elsewhere", "nbf": 9e11, "jti": 7, "user": "joe", "admin": True}
    assert (await identity.authenticate(tenancy.header(**odd))).subject == "joe"
    assert (await identity.authenticate(tenancy.header().replace(b"Bearer", b"bearer"))).subject == "joe"


async def test_t_06_a_token_expired_by_59_s_is_accepted_and_by_61_s_is_not(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    header = tenancy.header()
    clock.move(3600 + 59 - clock.now().timestamp() % 1)
    assert (await identity.authenticate(header)).subject == "joe"
    clock.move(2)
    error = await refusal(identity, header)
    assert error.code == "invalid_jwt"


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"secret": "x" * 60}, "invalid_jwt_signature"),
        ({"secret": MANAGEMENT_SECRET}, "invalid_jwt_signature"),
        ({"algorithm": "HS384", "secret": "x" * 60}, "invalid_jwt_signature"),
        ({"algorithm": "none", "secret": "x" * 60}, "invalid_jwt_signature"),
        ({"aud": ...}, "invalid_jwt_payload"),
        ({"aud": ["a"]}, "invalid_jwt_payload"),
        ({"aud": "someone-else"}, "invalid_jwt_payload"),
        ({"aud": "a\0b"}, "invalid_jwt_payload"),
        ({"aud": ""}, "invalid_jwt_payload"),
        ({"aud": "x" * 70}, "invalid_jwt_payload"),
        ({"aud": "😀" * 64}, "invalid_jwt_payload"),
        ({"aud": "x' OR '1'='1"}, "invalid_jwt_payload"),
        ({"sub": ...}, "invalid_jwt_payload"),
        ({"sub": ""}, "invalid_jwt_payload"),
        ({"sub": 7}, "invalid_jwt_payload"),
        ({"sub": "x" * 256}, "invalid_jwt_payload"),
        ({"sub": "a\0b"}, "invalid_jwt_payload"),
        ({"iat": ...}, "invalid_jwt_payload"),
        ({"iat": "1"}, "invalid_jwt_payload"),
        ({"exp": ...}, "invalid_jwt_payload"),
        ({"exp": True}, "invalid_jwt_payload"),
        ({"exp": None}, "invalid_jwt_payload"),
        ({"exp": -(10**30)}, "invalid_jwt"),
        ({"iat": 10**30}, "invalid_jwt"),
        ({"iat": 0}, "invalid_jwt"),
    ],
)
async def test_t_06_each_fault_has_its_code(
    identity: Identity, tenancy: Tenancy, changes: dict[str, Any], code: str
) -> None:
    changes = dict(changes)
    algorithm, secret = changes.pop("algorithm", "HS256"), changes.pop("secret", None)
    if algorithm == "none":
        token = jwt.encode(tenancy.claims(**changes), "", algorithm="none")
    else:
        token = tenancy.token(secret, algorithm, **changes)
    assert (await refusal(identity, bearer(token))).code == code


async def test_t_06_permissions_as_a_string_are_accepted_and_grant_nothing(
    identity: Identity, tenancy: Tenancy
) -> None:
    caller = await identity.authenticate(tenancy.header(auth={"ai": {"permissions": "ai:conversations:*"}}))
    assert not caller.permissions.allows("ai:conversations:read")


async def test_s020_a_token_signed_with_the_management_secret_is_told_so(identity: Identity, tenancy: Tenancy) -> None:
    error = await refusal(identity, bearer(tenancy.token(MANAGEMENT_SECRET)))
    assert error.code == "invalid_jwt_signature"
    assert "signed with the management secret (ENVIRONMENTS_MANAGEMENT_SECRET_KEY)" in (error.explanation or "")


async def test_s021_a_wrong_secret_is_answered_with_the_environment_and_the_number_of_keys_tried(
    identity: Identity, tenancy: Tenancy
) -> None:
    error = await refusal(identity, bearer(tenancy.token("x" * 60)))
    assert f"Tried 1 active access key of the environment `{tenancy.tenant_id}`" in (error.explanation or "")
    _, second = await identity.create_access_key(tenancy.tenant_id)
    error = await refusal(identity, bearer(tenancy.token("x" * 60)))
    assert "Tried 2 active access keys" in (error.explanation or "")
    assert (await identity.authenticate(bearer(tenancy.token(second)))).subject == "joe"


async def test_s021_a_revoked_access_key_is_named_and_an_environment_without_keys_says_so(
    identity: Identity, tenancy: Tenancy
) -> None:
    await identity.revoke_access_key(tenancy.tenant_id, tenancy.key_id)
    error = await refusal(identity, tenancy.header())
    assert error.code == "invalid_jwt_signature"
    assert f"access key `{tenancy.key_id}`, which was revoked" in (error.explanation or "")
    error = await refusal(identity, bearer(tenancy.token("x" * 60)))
    assert "There is no active access key" in (error.explanation or "")


async def test_s022_an_rs256_token_is_told_the_algorithm_found_and_the_one_expected(
    identity: Identity, tenancy: Tenancy
) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    error = await refusal(identity, bearer(tenancy.token(pem, "RS256")))
    assert error.code == "invalid_jwt_signature"
    assert "names `RS256`; expected `HS256`" in (error.explanation or "")


async def test_s023_an_unknown_a_missing_and_an_array_audience_are_told_apart(
    identity: Identity, tenancy: Tenancy
) -> None:
    unknown = await refusal(identity, tenancy.header(aud="nobody"))
    assert "`aud` is `nobody`; there is no environment of that id" in (unknown.explanation or "")
    missing = await refusal(identity, tenancy.header(aud=...))
    assert "`aud` is missing" in (missing.explanation or "")
    array = await refusal(identity, tenancy.header(aud=[tenancy.tenant_id]))
    assert "`aud` is an array; expected a string" in (array.explanation or "")
    for error in (unknown, missing, array):
        assert error.code == "invalid_jwt_payload"
        assert tenancy.tenant_id not in f"{error.message} {error.explanation} {error.action}"


async def test_s024_an_expired_token_is_told_by_how_much_and_what_the_server_thinks_the_time_is(
    identity: Identity, tenancy: Tenancy, clock: MovableClock
) -> None:
    now = int(clock.now().timestamp())
    clock.move(now - clock.now().timestamp())
    expired = await refusal(identity, tenancy.header(iat=now - 1000, exp=now - 300))
    assert (expired.code, expired.message) == ("invalid_jwt", "The token has expired.")
    assert "expired 300 s ago" in (expired.explanation or "")
    future = await refusal(identity, tenancy.header(iat=now + 61))
    assert "`iat` is 61 s ahead" in (future.explanation or "")
    old = await refusal(identity, tenancy.header(iat=now - DAY_S - 61))
    assert f"issued {DAY_S + 61} s ago" in (old.explanation or "")
    for error in (expired, future, old):
        assert f"The server's clock says {iso(clock.now())}" in (error.explanation or "")
    for fine in ({"iat": now + 60}, {"iat": now - DAY_S - 60}, {"exp": now - 60}):
        assert (await identity.authenticate(tenancy.header(**fine))).subject == "joe"


async def test_s025_an_environment_works_the_moment_its_creation_has_returned(
    identity: Identity, clock: MovableClock
) -> None:
    tenant = await identity.create_tenant("New", tenant_id="made by hand")
    _, secret = await identity.create_access_key(tenant.id)
    assert (await identity.authenticate(Tenancy(tenant.id, "", secret, clock).header())).tenant_id == "made by hand"


@pytest.mark.parametrize(
    "changes, found",
    [
        ({"auth": ...}, "`auth` is missing"),
        ({"auth": "all"}, "`auth` is a string"),
        ({"auth": {}}, "`ai` is missing"),
        ({"auth": {"ai": {}}}, "`auth.ai` is there without it"),
        ({"auth": {"ai": {"useAllFeatures": True}}}, "`auth.ai.useAllFeatures` is not a permission"),
        ({"auth": {"useAllFeatures": True}}, "`auth.useAllFeatures` is not a permission"),
        ({"auth": ..., "useAllFeatures": True}, "`useAllFeatures` is not a permission"),
        ({"auth": {"ai": {"permissions": "*"}}}, "is the string `*`; expected an array of strings"),
    ],
)
def test_s026_a_token_without_a_usable_list_says_what_stands_there(changes: dict[str, Any], found: str) -> None:
    token = Tenancy("t", "k", "x" * 60, MovableClock()).token(**changes)
    permissions = permissions_of(read_token(token))
    assert permissions.granted == ()
    assert found in permissions.describe()


NOT_A_TOKEN = [
    (b"", "header is empty"),
    (b"   ", "header is empty"),
    (b"Bearer", "Nothing follows"),
    (b"Bearer   ", "Nothing follows"),
    (b"hunter2hunter2", "does not begin with `Bearer `"),
    (b"eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJhIn0.c2ln", "bare token, without the word `Bearer`"),
    (b"sgk_0123456789", "API key without the word `Bearer`"),
    (b"Basic am9lOmpvZQ==", "scheme `Basic`; expected `Bearer`"),
    (b"Bearer Bearer eyJ.eyJ.x", "says `Bearer` twice"),
    (b"Bearer hunter2", "neither an API key, which begins with `sgk_`, nor a JWT"),
    (b"Bearer a.b.c.d.e", "this has 5 parts"),
    (b"Bearer a b.c.d", "is not base64url"),
    (b"Bearer W10.W10.W10", "first part, the header, is no JSON object"),
    (b"Bearer e30.e30.!", "third part, the signature, is not base64url"),
    (b"Bearer e30.W10.", "second part, the payload, is no JSON object"),
    (b"Bearer \xff\xfe", "characters that no token"),
    (b"Bearer " + b"x" * (MAX_TOKEN_BYTES + 1), "longer than 8192"),
]


@pytest.mark.parametrize("header, said", NOT_A_TOKEN)
def test_s028_what_is_no_token_is_told_what_it_is(header: bytes, said: str) -> None:
    with pytest.raises(InvalidToken) as raised:
        read_token(credential_of(presented(header)))
    assert said in (raised.value.explanation or "")
    assert raised.value.action
    assert "hunter2" not in f"{raised.value.message}{raised.value.explanation}{raised.value.action}"


def test_s028_a_missing_header_is_told_apart_but_has_the_same_code() -> None:
    with pytest.raises(CredentialMissing) as raised:
        credential_of(presented(None))
    assert raised.value.code == "invalid_jwt"


def test_the_bearer_counts_before_the_api_key_header_which_counts_before_any_other_scheme() -> None:
    assert presented(b"Bearer a", b"b") == b"Bearer a"
    assert presented(None, b"b") == b"Bearer b"
    assert presented(b"Basic x", b"b") == b"Bearer b"
    assert presented(b"Basic x", None) == b"Basic x"
    assert presented(b"Basic x", b"") == b"Basic x"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("payload", ["[" * 6000, '{"a":1e999}', '{"a":"\\ud800"}', "{", "", "\xff", "nul", "1"])
def test_payloads_that_are_no_json_object_are_unreadable_tokens(payload: str) -> None:
    encoded = base64.urlsafe_b64encode(payload.encode("latin-1")).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        read_token(f"{part({'alg': 'HS256'})}.{encoded}.c2ln")


def test_unreadable_access_keys_are_the_operators_fault_and_say_which_variable_changed() -> None:
    token = read_token(Tenancy("t", "k", "x" * 60, MovableClock()).token())
    with pytest.raises(PenstockError) as raised:
        check_signature(token, Keyring("t", unreadable=1), None)
    assert raised.value.code == "secrets_unreadable"
    assert "the file secret.key in STATE_DIR" in (raised.value.explanation or "")
    assert "SECRETS_ENCRYPTION_KEY" in (raised.value.explanation or "")
    assert "ENVIRONMENTS_MANAGEMENT_SECRET_KEY" in (raised.value.explanation or "")


KEYRING = Keyring("t", active=(SigningKey("k", "k", b"the secret of the only key there is"),))


def check_all(text: str) -> None:
    """Every check there is, without a database."""
    token = read_token(credential_of(presented(text.encode("latin-1"))))
    audience(token)
    check_algorithm(token)
    check_signature(token, KEYRING, MANAGEMENT_SECRET)
    check_clock(required_claims(token), MovableClock().now())


@given(st.binary(max_size=200))
def test_no_header_whatsoever_does_anything_but_be_refused(raw: bytes) -> None:
    for text in (raw.decode("latin-1"), "Bearer " + raw.decode("latin-1")):
        with pytest.raises(Unauthenticated):
            check_all(text)


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
claims = st.dictionaries(st.sampled_from(["aud", "sub", "iat", "exp", "auth", "user"]), values)
headers = st.dictionaries(st.sampled_from(["alg", "typ", "kid"]), st.sampled_from(["HS256", "none", "RS256", "", 7]))


@given(headers, claims, st.binary(max_size=40))
def test_no_token_with_a_made_up_signature_is_ever_accepted(
    header: dict[str, Any], payload: dict[str, Any], signature: bytes
) -> None:
    signed = f"{part(header)}.{part(payload)}"
    with pytest.raises(Unauthenticated):
        check_all(f"Bearer {signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


@given(claims)
def test_whatever_a_signed_token_claims_it_is_accepted_or_refused_but_never_breaks(payload: dict[str, Any]) -> None:
    token = read_token(jwt.encode({"x": 1, **payload}, KEYRING.active[0].secret, algorithm="HS256"))
    assert check_signature(token, KEYRING, None) is KEYRING.active[0]
    permissions_of(token).describe()
    with suppress(Unauthenticated):
        check_clock(required_claims(token), MovableClock().now())
