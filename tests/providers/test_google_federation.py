"""Google identities that are exchanged or borrowed: each kind of file, and what a refused exchange says."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.kit.clock import SystemClock
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig, ServiceAccount
from penstock.providers.credentials.base import Authorizer
from penstock.providers.credentials.opening import open_authorizers
from penstock.providers.failures import CredentialsRefused, Failure, Unreachable
from penstock.providers.transport.base import Origin, Request
from tests.fakes.clouds import CANARY, Clouds, Reply, clouds
from tests.fakes.elsewhere import Elsewhere

File = Callable[..., Authorizer]

_JWT = "urn:ietf:params:oauth:token-type:jwt"
_POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
_BORROWED = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/borrowed@p.test:generateAccessToken"
_USER = {
    "type": "authorized_user",
    "client_id": "c",
    "client_secret": "canary-client",
    "refresh_token": "canary-refresh",
}


@pytest.fixture
def cloud() -> Iterator[Clouds]:
    with clouds() as found:
        yield found


@pytest.fixture
async def elsewhere(cloud: Clouds) -> AsyncIterator[Elsewhere]:
    found = Elsewhere(Origin("http", "127.0.0.1", cloud.port))
    yield found
    await found.aclose()


@pytest.fixture
def identity(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> File:
    """The identity that a file of those fields stands for."""

    def open_one(**fields: Any) -> Authorizer:
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(fields))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        (found,) = open_authorizers("google", entry(), elsewhere, SystemClock())
        return found

    return open_one


def entry(*accounts: ServiceAccount) -> ProviderConfig:
    return ProviderConfig(key="mine", type="vertex", name="mine", base_url="https://v.test", credentials=accounts)


def exchanged(cloud: Clouds, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    token_url = f"{cloud.url}/v1/token"
    fields = {"audience": _POOL, "subject_token_type": _JWT, "token_url": token_url, "credential_source": source}
    return {"type": "external_account", **fields, **more}


async def token_of(found: Authorizer) -> str:
    request = Request(b"POST", Origin("https", "v.test", 443), b"/", (), b"{}")
    return dict((await found.authorize(request)).headers)[b"authorization"].decode().removeprefix("Bearer ")


async def refused(found: Authorizer) -> Failure:
    with pytest.raises(Failure) as caught:
        await token_of(found)
    return caught.value


async def test_s041_a_login_borrows_a_service_account(identity: File, cloud: Clouds, elsewhere: Elsewhere) -> None:
    found = identity(
        type="impersonated_service_account", service_account_impersonation_url=_BORROWED, source_credentials=_USER
    )
    assert await token_of(found) == f"{CANARY}2"
    assert elsewhere.called == ["https://oauth2.googleapis.com/token", _BORROWED]
    (asked,) = [one for one in cloud.seen if one.path.endswith(":generateAccessToken")]
    assert asked.headers["authorization"] == f"Bearer {CANARY}1"
    assert json.loads(asked.body)["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert found.hint == "borrowed@p.test"


async def test_s041_a_service_account_that_may_not_be_borrowed_is_refused_in_googles_words(
    identity: File, cloud: Clouds
) -> None:
    denied = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource."
    cloud.borrowing = Reply(403, {"error": {"code": 403, "message": denied, "status": "PERMISSION_DENIED"}})
    failure = await refused(
        identity(
            type="impersonated_service_account", service_account_impersonation_url=_BORROWED, source_credentials=_USER
        )
    )
    assert isinstance(failure, CredentialsRefused)
    assert denied in failure.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in failure.message
    assert failure.upstream_status == 403


async def test_s041_a_program_gives_the_token_that_is_exchanged(
    identity: File, cloud: Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = {"version": 1, "success": True, "token_type": _JWT, "id_token": "canary-subject"}
    program = tmp_path / "program.py"
    program.write_text(f"import json, time\nprint(json.dumps({said!r} | {{'expiration_time': int(time.time()) + 99}}))")
    source = {"executable": {"command": f"{sys.executable} {program}", "timeout_millis": 20_000}}
    failure = await refused(identity(**exchanged(cloud, source)))
    assert "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES" in failure.message
    monkeypatch.setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
    assert await token_of(identity(**exchanged(cloud, source))) == f"{CANARY}1"


async def test_s041_an_identity_of_aws_is_exchanged_without_showing_its_secret(
    identity: File, cloud: Clouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-aws")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    source = {
        "environment_id": "aws1",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    }
    aws = "urn:ietf:params:aws:token-type:aws4_request"
    assert await token_of(identity(**exchanged(cloud, source, subject_token_type=aws))) == f"{CANARY}1"
    (asked,) = cloud.asked("/v1/token")
    assert "sts.eu-central-1.amazonaws.com" in asked.form["subject_token"]
    assert b"canary-of-aws" not in asked.body


async def test_s041_a_login_of_a_workforce_is_renewed(identity: File, cloud: Clouds) -> None:
    found = identity(
        type="external_account_authorized_user",
        audience=_POOL,
        token_url=f"{cloud.url}/v1/oauthtoken",
        client_id="c",
        client_secret="canary-client",
        refresh_token="canary-refresh",
    )
    assert await token_of(found) == f"{CANARY}1"
    assert cloud.asked("/v1/oauthtoken")[0].form["grant_type"] == "refresh_token"


async def test_s041_an_exchange_that_is_refused_says_why(identity: File, cloud: Clouds, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("canary-subject")
    why = "The audience in ID Token does not match the expected audience."
    cloud.refusals.append(Reply(400, {"error": "invalid_grant", "error_description": why}))
    failure = await refused(identity(**exchanged(cloud, {"file": str(tmp_path / "subject")})))
    assert isinstance(failure, CredentialsRefused)
    assert f"invalid_grant: {why}" in failure.message


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_exchange_that_is_busy_is_not_held_against_the_identity(
    identity: File, cloud: Clouds, tmp_path: Path, status: int
) -> None:
    (tmp_path / "subject").write_text("canary-subject")
    cloud.refusals.append(Reply(status, {"error": "busy"}))
    found = identity(**exchanged(cloud, {"file": str(tmp_path / "subject")}))
    failure = await refused(found)
    assert isinstance(failure, Unreachable)
    assert (failure.key_effect, failure.other_backend) == (None, True)
    assert await token_of(found) == f"{CANARY}1"


@pytest.mark.parametrize("kind", ["gdch_service_account", None, "x" * 500])
async def test_s041_a_file_of_another_type_is_named(identity: File, kind: Any) -> None:
    failure = await refused(identity(type=kind))
    assert "cannot be used here" in failure.message
    assert len(failure.message) < 200


async def test_a_token_service_that_repeats_what_it_was_sent_gives_nothing_away(identity: File, cloud: Clouds) -> None:
    cloud.refusals.append(
        Reply(400, {"error": "invalid_grant", "error_description": "Bad canary-refresh of c with canary-client"})
    )
    failure = await refused(identity(**_USER, token_uri=f"{cloud.url}/token"))
    assert failure.message == "invalid_grant: Bad *** of c with ***"


@pytest.mark.parametrize(
    "address",
    [
        "http://oauth2.googleapis.com/token",
        "http://10.0.0.1/token",
        "https://me:canary@oauth2.test/token",
        "https://oauth2.test/to ken",
        "https://oauth2.test:99999/token",
        "https://[oauth2.test/token",
        "https:///token",
        "ftp://oauth2.test/token",
        "https://oauth2.test/tökén",
        "",
    ],
)
async def test_a_token_is_asked_for_at_no_address_that_others_could_read(
    identity: File, cloud: Clouds, elsewhere: Elsewhere, address: str
) -> None:
    account = ServiceAccount("me@p.test", Secret("none"), token_uri=address)
    for found in (
        identity(**_USER, token_uri=address or " "),
        identity(**exchanged(cloud, {"url": address, "headers": {}})),
        *open_authorizers("google", entry(account), elsewhere, SystemClock()),
    ):
        failure = await refused(found)
        assert "canary" not in failure.message
    assert elsewhere.called == []
    assert cloud.seen == []
