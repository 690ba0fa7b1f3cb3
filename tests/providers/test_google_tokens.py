"""Google's tokens: how they are asked for, kept, renewed and refused, through real sockets."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from penstock.errors import UpstreamError
from penstock.gateway.catalog.private_keys import repaired
from penstock.kit.secret import Secret
from penstock.providers.attempts import Attempts
from penstock.providers.base import ProviderConfig, ServiceAccount
from penstock.providers.credentials.base import Authorizer
from penstock.providers.credentials.bearer import Token
from penstock.providers.credentials.expiring import Fetched
from penstock.providers.credentials.opening import open_authorizers
from penstock.providers.credentials.token_endpoints import Said
from penstock.providers.failures import CredentialsRefused, NoUsableKey, Unreachable
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider
from penstock.providers.transport.base import Origin, Request
from tests.coordination.clock import MovableClock
from tests.fakes.clouds import CANARY, Clouds, Reply, clouds
from tests.providers.calls import Neutral, call

EMAIL = "writer@mine.iam.gserviceaccount.com"
Open = Callable[..., Authorizer]

_VARIABLES = ("GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK", "GCE_METADATA_ROOT")


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """Private and public, as PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()


@pytest.fixture
def cloud(key: tuple[str, str]) -> Iterator[Clouds]:
    with clouds() as found:
        found.google_keys[EMAIL] = key[1]
        yield found


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def opened(clock: MovableClock) -> AsyncIterator[Open]:
    transports = []

    def open_one(config: ProviderConfig) -> Authorizer:
        transports.append(open_provider_transport(config))
        (found,) = open_authorizers("google", config, transports[-1], clock)
        return found

    yield open_one
    for transport in transports:
        await transport.aclose()


@pytest.fixture
def machine(cloud: Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clouds:
    """A machine with no other Google identity than that of its metadata server."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{cloud.port}")
    return cloud


def entry(cloud: Clouds, *accounts: ServiceAccount, **more: Any) -> ProviderConfig:
    return ProviderConfig(
        key="mine",
        type="vertex",
        name="mine",
        base_url=f"{cloud.url}/v1beta1",
        credentials=accounts,
        details=(("location", "global"), ("project", "mine")),
        **more,
    )


def account(cloud: Clouds, pem: str, **more: Any) -> ServiceAccount:
    return ServiceAccount(client_email=EMAIL, private_key=Secret(pem), token_uri=f"{cloud.url}/token", **more)


def request() -> Request:
    return Request(b"POST", Origin("http", "h", 80), b"/", ((b"content-type", b"application/json"),), b"{}")


async def token_of(identity: Authorizer) -> str:
    sent = dict((await identity.authorize(request())).headers)
    assert sent[b"content-type"] == b"application/json"
    return sent[b"authorization"].decode().removeprefix("Bearer ")


async def settled(cloud: Clouds, count: int) -> None:
    """Until so many tokens were given out and have arrived."""
    while cloud.given < count:
        await asyncio.sleep(0.01)
    while [task for task in asyncio.all_tasks() if "_try" in repr(task.get_coro())]:
        await asyncio.sleep(0.01)


def unauthorized() -> UpstreamError:
    error = CredentialsRefused("expired")
    error.upstream_status = 401
    return error


async def test_fifty_calls_at_a_time_share_one_fetch(cloud: Clouds, opened: Open, key: tuple[str, str]) -> None:
    identity = opened(entry(cloud, account(cloud, key[0], key_id="the-key")))
    assert identity.hint == EMAIL
    assert set(await asyncio.gather(*(token_of(identity) for _ in range(50)))) == {f"{CANARY}1"}
    assert await token_of(identity) == f"{CANARY}1"
    assert len(cloud.asked("/token")) == 1


async def test_a_token_is_renewed_in_the_background_before_it_ends(
    cloud: Clouds, opened: Open, clock: MovableClock, key: tuple[str, str]
) -> None:
    identity = opened(entry(cloud, account(cloud, key[0])))
    assert await token_of(identity) == f"{CANARY}1"
    clock.move(3600 - 310)
    assert await token_of(identity) == f"{CANARY}1"
    assert cloud.given == 1
    clock.move(20)
    assert set(await asyncio.gather(*(token_of(identity) for _ in range(10)))) == {f"{CANARY}1"}
    await settled(cloud, 2)
    assert await token_of(identity) == f"{CANARY}2"
    assert cloud.given == 2


async def test_the_old_token_is_used_while_it_lasts_when_it_cannot_be_renewed(
    cloud: Clouds, opened: Open, clock: MovableClock, key: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    identity = opened(entry(cloud, account(cloud, key[0])))
    await token_of(identity)
    cloud.refusals.extend([Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})] * 2)
    clock.move(3600 - 200)
    for _ in range(5):
        assert await token_of(identity) == f"{CANARY}1"
        await settled(cloud, 1)
    assert len(cloud.asked("/token")) == 2  # not once for every call
    clock.move(200)
    with pytest.raises(CredentialsRefused):
        await token_of(identity)
    assert await token_of(identity) == f"{CANARY}2"
    assert CANARY not in "".join(capsys.readouterr())


async def test_a_caller_who_goes_away_takes_the_token_from_nobody(
    cloud: Clouds, opened: Open, key: tuple[str, str]
) -> None:
    identity = opened(entry(cloud, account(cloud, key[0])))
    cloud.flowing.clear()
    first, second = (asyncio.create_task(token_of(identity)) for _ in range(2))
    while not cloud.asked("/token"):
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    cloud.flowing.set()
    assert await second == f"{CANARY}1"
    assert len(cloud.asked("/token")) == 1


async def test_a_refused_token_is_dropped_once_for_all_who_had_it(
    cloud: Clouds, opened: Open, key: tuple[str, str]
) -> None:
    identity = opened(entry(cloud, account(cloud, key[0])))
    await token_of(identity)
    assert identity.refused(unauthorized())
    assert await token_of(identity) == f"{CANARY}2"
    assert identity.refused(unauthorized())  # of another call, with the first token
    assert await token_of(identity) == f"{CANARY}2"
    other = CredentialsRefused("no")
    other.upstream_status = 403
    assert not identity.refused(other)


async def test_a_call_whose_token_was_revoked_is_sent_again_with_a_new_one(
    cloud: Clouds, clock: MovableClock, key: tuple[str, str]
) -> None:
    config = entry(cloud, account(cloud, key[0]))
    provider = Provider(config, open_provider_transport(config), clock)
    cloud.revoked.add(f"{CANARY}1")
    attempts = Attempts()
    try:
        (await provider.open("meta/llama", Neutral(call()), attempts)).close()
    finally:
        await provider.aclose()
    assert [(one.outcome, one.key) for one in attempts.log] == [("auth", EMAIL), ("ok", EMAIL)]
    assert cloud.asked("/v1beta1/projects/mine/locations/global/endpoints/openapi/chat/completions")


async def test_a_provider_that_refuses_every_token_is_asked_twice(
    cloud: Clouds, clock: MovableClock, key: tuple[str, str]
) -> None:
    config = entry(cloud, account(cloud, key[0]))
    provider = Provider(config, open_provider_transport(config), clock)
    cloud.revoked.update(f"{CANARY}{number}" for number in range(9))
    attempts = Attempts()
    try:
        with pytest.raises(CredentialsRefused) as caught:
            await provider.open("meta/llama", Neutral(call()), attempts)
    finally:
        await provider.aclose()
    assert attempts.made == 2
    assert CANARY not in f"{caught.value} {caught.value.explanation} {caught.value.raw}"


def _single_line(pem: str) -> str:
    return pem.replace("\n", " ")


@pytest.mark.parametrize(
    "mangle",
    [
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\\\\n"),
        lambda pem: pem.replace("\n", ""),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", "\\r\\n"),
        lambda pem: f'"{pem}"',
        lambda pem: f"'{_single_line(pem)}'",
        _single_line,
    ],
)
async def test_s046_a_mangled_key_signs_as_the_whole_one(
    cloud: Clouds, opened: Open, key: tuple[str, str], mangle: Callable[[str], str]
) -> None:
    identity = opened(entry(cloud, account(cloud, repaired(mangle(key[0])))))
    assert await token_of(identity) == f"{CANARY}1"


async def test_s046_a_key_that_google_does_not_know_is_an_invalid_grant(cloud: Clouds, opened: Open) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    identity = opened(entry(cloud, account(cloud, pem)))
    with pytest.raises(CredentialsRefused, match="invalid_grant: Invalid JWT Signature") as caught:
        await token_of(identity)
    assert not identity.refused(caught.value)
    assert caught.value.key_effect == "bad"
    assert "PRIVATE" not in repr(vars(caught.value))


async def test_s046_a_wrong_clock_is_named(cloud: Clouds, opened: Open, key: tuple[str, str]) -> None:
    text = (
        "Invalid JWT: Token must be a short-lived token (60 minutes). Check your iat and exp values in the JWT claim."
    )
    cloud.refusals.append(Reply(400, {"error": "invalid_grant", "error_description": text}))
    with pytest.raises(CredentialsRefused, match=r"invalid_grant: .* The clock of this machine is \d+ s behind"):
        await token_of(opened(entry(cloud, account(cloud, key[0]))))


@pytest.mark.parametrize(
    "busy",
    [
        Reply(429, {"error": "rate_limit_exceeded"}),
        Reply(503, "an error page"),
        Reply(400, {"error": "temporarily_unavailable"}),
    ],
)
async def test_a_busy_token_service_is_asked_again(
    cloud: Clouds, opened: Open, key: tuple[str, str], busy: Reply
) -> None:
    cloud.refusals.append(busy)
    assert await token_of(opened(entry(cloud, account(cloud, key[0])))) == f"{CANARY}1"


async def test_a_token_service_that_stays_down_is_a_provider_that_cannot_be_reached(
    cloud: Clouds, opened: Open, key: tuple[str, str]
) -> None:
    cloud.refusals.extend([Reply(500, {})] * 3)
    identity = opened(entry(cloud, account(cloud, key[0])))
    with pytest.raises(Unreachable) as caught:
        await token_of(identity)
    assert caught.value.other_backend
    assert await token_of(identity) == f"{CANARY}1"  # it is not held against the account


@pytest.mark.parametrize(
    "error", [{"code": 400, "message": "No such account.", "status": "INVALID_ARGUMENT"}, ["No such account."], 5]
)
async def test_a_refusal_of_any_shape_is_a_refusal(
    cloud: Clouds, opened: Open, key: tuple[str, str], error: Any
) -> None:
    cloud.refusals.append(Reply(400, {"error": error}))
    with pytest.raises(CredentialsRefused, match=r"No such account|status 400"):
        await token_of(opened(entry(cloud, account(cloud, key[0]))))


@pytest.mark.parametrize("body", ["no json", {}, {"access_token": 5}, {"access_token": "a\r\nx: y"}, ["x"]])
async def test_an_answer_without_a_token_is_no_token(
    cloud: Clouds, opened: Open, key: tuple[str, str], body: Any
) -> None:
    cloud.refusals.append(Reply(200, body))
    with pytest.raises(Unreachable, match="without a token"):
        await token_of(opened(entry(cloud, account(cloud, key[0]))))


async def test_a_token_is_not_asked_for_where_others_can_read_it(
    opened: Open, cloud: Clouds, key: tuple[str, str]
) -> None:
    elsewhere = ServiceAccount(EMAIL, Secret(key[0]), token_uri="http://oauth2.example/token")
    with pytest.raises(Unreachable, match="everybody on the way"):
        await token_of(opened(entry(cloud, elsewhere)))


async def test_tokens_are_fetched_with_the_authorities_of_the_entry(
    opened: Open, key: tuple[str, str], tmp_path: Path
) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with clouds(server) as cloud:
        cloud.google_keys[EMAIL] = key[1]
        trusting = entry(cloud, account(cloud, key[0]), ca_file=str(tmp_path / "ca.pem"))
        assert await token_of(opened(trusting)) == f"{CANARY}1"
        with pytest.raises(Unreachable, match="CERT_"):
            await token_of(opened(entry(cloud, account(cloud, key[0]))))


# --- ambient ---------------------------------------------------------------------------------------------------------


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


async def test_s041_the_file_of_the_variable_is_used(
    machine: Clouds, opened: Open, key: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = {"type": "service_account", "client_email": EMAIL, "private_key": key[0], "project_id": "other"}
    path = write(tmp_path / "account.json", {**file, "token_uri": f"{machine.url}/token"})
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    identity = opened(entry(machine))
    assert identity.hint is None
    assert await token_of(identity) == f"{CANARY}1"
    assert identity.hint == EMAIL


async def test_s041_the_login_of_gcloud_is_used_with_its_quota_project(
    machine: Clouds, opened: Open, tmp_path: Path
) -> None:
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "canary-refresh"}
    more = {"token_uri": f"{machine.url}/token", "quota_project_id": "billed"}
    write(tmp_path / "gcloud" / "application_default_credentials.json", {**user, **more})
    sent = dict((await opened(entry(machine)).authorize(request())).headers)
    assert sent[b"authorization"] == f"Bearer {CANARY}1".encode()
    assert sent[b"x-goog-user-project"] == b"billed"


async def test_s041_the_metadata_server_is_used_and_the_log_names_the_account(
    machine: Clouds, opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = opened(entry(machine))
    assert await token_of(identity) == f"{CANARY}1"
    assert identity.hint == "machine@mine.iam.gserviceaccount.com"
    logged = "".join(capsys.readouterr())
    assert "machine@mine.iam.gserviceaccount.com" in logged
    assert CANARY not in logged


async def test_s041_a_federated_identity_is_exchanged(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "subject").write_text("canary-subject")
    federated = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{machine.url}/v1/token",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    path = write(tmp_path / "federated.json", federated)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    identity = opened(entry(machine))
    assert await token_of(identity) == f"{CANARY}1"
    machine.refusals.append(Reply(400, {"error": "invalid_grant", "error_description": "not this subject"}))
    assert identity.refused(unauthorized())
    with pytest.raises(CredentialsRefused, match="invalid_grant"):
        await token_of(identity)


async def test_s041_without_any_identity_the_error_lists_what_was_tried(machine: Clouds, opened: Open) -> None:
    machine.has_metadata = False
    identity = opened(entry(machine))
    with pytest.raises(NoUsableKey) as caught:
        await token_of(identity)
    message = caught.value.message
    assert message.startswith("NoValidApiKeysFoundError: ")
    places = [message.index(word) for word in ("GOOGLE_APPLICATION_CREDENTIALS", "gcloud", "metadata server")]
    assert places == sorted(places)
    asked = len(machine.seen)
    with pytest.raises(NoUsableKey):
        await token_of(identity)
    assert len(machine.seen) == asked


async def test_s041_an_identity_is_found_when_it_appears(machine: Clouds, opened: Open, clock: MovableClock) -> None:
    machine.has_metadata = False
    identity = opened(entry(machine))
    with pytest.raises(NoUsableKey):
        await token_of(identity)
    machine.has_metadata = True
    clock.move(20)
    assert await token_of(identity) == f"{CANARY}1"


async def test_s041_a_broken_file_is_not_replaced_by_the_machines_identity(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "lost.json"))
    with pytest.raises(NoUsableKey, match=r"NoValidApiKeysFoundError.*names a file that is not there"):
        await token_of(opened(entry(machine)))
    assert not machine.seen


def test_an_entry_that_wants_no_ambient_identity_gets_none(cloud: Clouds, clock: MovableClock) -> None:
    config = entry(cloud, ambient=False)
    assert not open_authorizers("google", config, open_provider_transport(config), clock)


async def test_the_metadata_server_is_never_asked_through_the_entrys_proxy(machine: Clouds, opened: Open) -> None:
    behind = entry(machine, proxy=Secret("http://127.0.0.1:9"))
    assert await token_of(opened(behind)) == f"{CANARY}1"


def test_what_holds_a_token_does_not_show_it() -> None:
    said = Said(200, ((b"x", b"canary-1"),), b"canary-2", {"access_token": "canary-3"})
    fetched = Fetched(Token(Secret("canary-4")), 60.0, "source", "identity")
    assert "canary" not in repr(said) + repr(fetched) + str(said)
