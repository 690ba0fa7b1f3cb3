"""The identity that AWS gives a machine: each source, their order, renewal, and what is said without one (S041)."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.kit.secret import Secret
from penstock.providers.attempts import Attempts
from penstock.providers.base import AwsKeys, ProviderConfig
from penstock.providers.credentials.base import Authorizer
from penstock.providers.credentials.opening import open_authorizers
from penstock.providers.failures import CredentialsRefused, NoUsableKey, PermissionRefused
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider
from penstock.providers.transport.base import Limits, Origin, Request, Transport
from penstock.providers.transport.drivers import open_transport
from tests.coordination.clock import MovableClock
from tests.fakes.clouds import AWS_SECRET, CANARY, Clouds, Reply, clouds
from tests.providers.calls import Neutral, call

Open = Callable[[], Authorizer]

_OTHERS = """
AWS_BEARER_TOKEN_BEDROCK AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE
AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_ROLE_SESSION_NAME AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
AWS_EC2_METADATA_DISABLED
""".split()  # noqa: SIM905


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clouds]:
    """A machine with no other AWS identity than that of its instance metadata."""
    with clouds() as found:
        for name in _OTHERS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", found.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", found.url)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        yield found


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    found = open_transport()
    yield found
    await found.aclose()


@pytest.fixture
def opened(machine: Clouds, transport: Transport, clock: MovableClock) -> Open:
    config = ProviderConfig(
        key="mine",
        type="bedrock",
        name="mine",
        base_url=machine.url,
        details=(("region", "eu-central-1"),),
    )

    def open_one() -> Authorizer:
        (found,) = open_authorizers("aws", config, transport, clock)
        return found

    return open_one


def request(cloud: Clouds) -> Request:
    origin = Origin("http", "127.0.0.1", cloud.port)
    return Request(b"POST", origin, b"/model/m%3A0/converse", ((b"content-type", b"application/json"),), b"{}")


async def key_id_of(identity: Authorizer, cloud: Clouds, transport: Transport) -> str:
    """The access key with which a request is signed that the model accepts."""
    sent = await identity.authorize(request(cloud))
    response = await transport.send(sent, Limits())
    try:
        await response.read_all()
    finally:
        response.close()
    assert response.status == 200
    headers = dict(sent.headers)
    return headers[b"authorization"].decode().partition("Credential=")[2].partition("/")[0]


async def settled() -> None:
    while [task for task in asyncio.all_tasks() if "_try" in repr(task.get_coro())]:
        await asyncio.sleep(0.01)


def refusal(code: str) -> CredentialsRefused:
    error = CredentialsRefused(f"{code}: The security token included in the request is expired")
    error.upstream_code, error.upstream_status = code, 403
    return error


async def test_the_environment_comes_first(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-session")
    identity = opened()
    assert await key_id_of(identity, machine, transport) == "AKIDEXAMPLE"
    assert machine.seen[-1].headers["x-amz-security-token"] == "canary-session"
    assert identity.hint == "MPLE"
    assert machine.given == 0


async def test_a_bedrock_key_of_the_environment_is_a_bearer(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "canary-bedrock-api-key\n")
    sent = await opened().authorize(request(machine))
    assert dict(sent.headers)[b"authorization"] == b"Bearer canary-bedrock-api-key"


async def test_a_web_identity_is_exchanged_and_its_file_read_again_each_time(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("canary-web-identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    # A default profile with a role does not come before it.
    (tmp_path / "config").write_text("[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Environment\n")
    identity = opened()
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"
    assert machine.asked("/")[0].form["Action"] == "AssumeRoleWithWebIdentity"
    (tmp_path / "token").unlink()
    assert identity.refused(refusal("ExpiredTokenException"))
    with pytest.raises(NoUsableKey, match=r"web identity: .*No such file"):
        await identity.authorize(request(machine))


async def test_a_profile_whose_role_is_assumed_with_another_profile(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {AWS_SECRET}\n"
    )
    (tmp_path / "config").write_text("[profile work]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert await key_id_of(opened(), machine, transport) == "ASIAEXAMPLE00001"
    assert machine.asked("/")[0].form["Action"] == "AssumeRole"


async def test_keys_of_the_shared_file(machine: Clouds, opened: Open, transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {AWS_SECRET}\n"
    )
    assert await key_id_of(opened(), machine, transport) == "AKIDEXAMPLE"


def sso_profile(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, token: str, ends_at: str = "2099-01-01T00:00:00Z"
) -> None:
    """As `aws sso login` leaves it; the folder of its cache is fixed when botocore is imported."""
    session = "sso_session = mine\nsso_account_id = 123456789012\nsso_role_name = writer\n"
    start = "[sso-session mine]\nsso_region = eu-central-1\nsso_start_url = https://mine.awsapps.com/start\n"
    (folder / "config").write_text(f"[profile work]\n{session}{start}")
    cache = folder / "sso"
    cache.mkdir()
    kept = {"accessToken": token, "expiresAt": ends_at, "startUrl": "https://mine.awsapps.com/start"}
    (cache / f"{hashlib.sha1(b'mine').hexdigest()}.json").write_text(json.dumps(kept))
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_PROFILE", "work")


async def test_a_login_to_sso_gives_the_keys_of_its_role(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sso_profile(tmp_path, monkeypatch, token="canary-sso")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", machine.url)
    identity = opened()
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"
    asked = machine.asked("/federation/credentials")[0]
    assert asked.query == {"role_name": "writer", "account_id": "123456789012"}
    assert {one.reveal() for one in identity.secrets} == {AWS_SECRET, f"{CANARY}1"}


async def test_s041_a_login_to_sso_that_has_ended_is_named_and_not_replaced_by_the_machine(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sso_profile(tmp_path, monkeypatch, token="canary-sso-of-yesterday")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", machine.url)
    with pytest.raises(NoUsableKey, match=r"shared files: .*SSO session .*expired") as caught:
        await opened().authorize(request(machine))
    assert "canary" not in caught.value.message
    assert not machine.asked("/latest/")


async def test_a_container_gives_its_role(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{machine.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-container")
    assert await key_id_of(opened(), machine, transport) == "ASIAEXAMPLE00001"
    assert not machine.asked("/latest/")


async def test_instance_metadata_is_asked_once_for_all_and_the_log_names_the_key(
    machine: Clouds, opened: Open, transport: Transport, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = opened()
    found = await asyncio.gather(*(key_id_of(identity, machine, transport) for _ in range(50)))
    assert set(found) == {"ASIAEXAMPLE00001"}
    assert [one.method for one in machine.asked("/latest/")] == ["PUT", "GET", "GET"]
    assert identity.hint == "0001"
    logged = "".join(capsys.readouterr())
    assert "instance metadata" in logged
    assert "0001" in logged
    assert not [word for word in (CANARY, AWS_SECRET, "ASIAEXAMPLE", "imds-session") if word in logged + repr(identity)]


async def test_keys_are_renewed_ten_minutes_before_they_end_and_the_old_ones_used_meanwhile(
    machine: Clouds, opened: Open, transport: Transport, clock: MovableClock
) -> None:
    machine.lasts_s = 7200
    identity = opened()
    await key_id_of(identity, machine, transport)
    clock.move(7200 - 620)
    await key_id_of(identity, machine, transport)
    await settled()
    assert machine.given == 1
    clock.move(40)
    machine.has_metadata = False
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"
    await settled()
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"
    machine.has_metadata = True
    clock.move(31)
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"
    await settled()
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00002"


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
async def test_keys_that_aws_no_longer_knows_are_fetched_again(
    machine: Clouds, opened: Open, transport: Transport, code: str
) -> None:
    identity = opened()
    await key_id_of(identity, machine, transport)
    assert identity.refused(refusal(code))
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00002"
    assert not identity.refused(refusal("AccessDeniedException: no"))


async def test_s041_without_any_identity_the_error_lists_every_source_in_order(
    machine: Clouds, opened: Open, clock: MovableClock, transport: Transport
) -> None:
    machine.has_metadata = False
    identity = opened()
    results = await asyncio.gather(*(identity.authorize(request(machine)) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(error, NoUsableKey) for error in results)
    message = str(results[0])
    assert message.startswith("NoValidApiKeysFoundError: ")
    sources = ["environment", "web identity", "shared files", "container", "instance metadata"]
    places = [message.index(source) for source in sources]
    assert places == sorted(places)
    assert not message.endswith("…")
    asked = len(machine.seen)
    with pytest.raises(NoUsableKey):
        await identity.authorize(request(machine))
    assert len(machine.seen) == asked
    machine.has_metadata = True
    clock.move(20)
    assert await key_id_of(identity, machine, transport) == "ASIAEXAMPLE00001"


async def test_s041_half_a_pair_in_the_environment_is_named_and_not_passed_over(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    with pytest.raises(NoUsableKey, match=r"NoValidApiKeysFoundError: .*AWS_SECRET_ACCESS_KEY"):
        await opened().authorize(request(machine))
    assert machine.given == 0


async def test_s041_a_profile_that_does_not_exist_is_named(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lost")
    with pytest.raises(NoUsableKey, match="lost"):
        await opened().authorize(request(machine))


async def test_no_proxy_of_the_environment_gets_between_us_and_the_identity(
    machine: Clouds, opened: Open, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    (tmp_path / "token").write_text("canary-web-identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    assert await key_id_of(opened(), machine, transport) == "ASIAEXAMPLE00001"


async def test_a_refusal_of_sts_is_quoted_without_secrets(
    machine: Clouds, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("canary-web-identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    said: Any = (
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not this role.</Message></Error></ErrorResponse>"
    )
    machine.refusals.append(Reply(403, said))
    with pytest.raises(NoUsableKey, match=r"web identity: .*AccessDenied.*Not this role") as caught:
        await opened().authorize(request(machine))
    assert "canary" not in repr(vars(caught.value)) + str(caught.value)


async def test_a_call_from_a_machine_whose_clock_is_wrong_is_sent_again_at_the_right_time(
    machine: Clouds, clock: MovableClock
) -> None:
    config = ProviderConfig(
        key="mine",
        type="bedrock",
        name="mine",
        base_url=machine.url,
        credentials=(AwsKeys("AKIDEXAMPLE", Secret(AWS_SECRET)),),
        details=(("region", "eu-central-1"),),
    )
    late = {"__type": "InvalidSignatureException", "message": "Signature expired: 20260519T103000Z is now earlier than"}
    machine.aws_now = clock.now() + timedelta(hours=2)
    machine.aws_refusals.extend([Reply(403, late), Reply(403, {"__type": "AccessDeniedException", "message": "no"})])
    attempts = Attempts()
    provider = Provider(config, open_provider_transport(config), clock)
    try:
        with pytest.raises(PermissionRefused, match="AccessDeniedException"):
            await provider.open("amazon.nova-lite-v1:0", Neutral(call()), attempts)
    finally:
        await provider.aclose()
    assert [one.headers["x-amz-date"] for one in machine.seen] == ["20260519T103000Z", "20260519T123000Z"]
    assert [one.key for one in attempts.log] == ["MPLE", "MPLE"]
    assert machine.seen[0].path == "/model/amazon.nova-lite-v1%3A0/converse-stream"
