"""The service that lends keys is down or busy: that is no missing identity, and another backend may answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.providers.base import ProviderConfig
from penstock.providers.credentials.aws_ambient import AwsAmbientIdentity
from penstock.providers.credentials.base import Authorizer
from penstock.providers.failures import Unreachable
from penstock.providers.transport.base import Origin, Request
from tests.coordination.clock import MovableClock
from tests.fakes.clouds import Clouds, Reply, clouds

ASKED = Request(
    b"POST", Origin("https", "h", 443), b"/model/m/converse", ((b"content-type", b"application/json"),), b""
)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clouds]:
    """A machine whose only identity is a token to be exchanged at STS."""
    with clouds() as found:
        for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / "token").write_text("canary-web-identity")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", found.url)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        yield found


@pytest.fixture
def identity(cloud: Clouds) -> Authorizer:
    details = (("region", "eu-central-1"),)
    config = ProviderConfig(key="mine", type="bedrock", name="mine", base_url=cloud.url, details=details)
    return AwsAmbientIdentity(config, "eu-central-1", MovableClock())


async def not_reached(identity: Authorizer) -> Unreachable:
    with pytest.raises(Unreachable, match="web identity") as caught:
        await identity.authorize(ASKED)
    assert caught.value.other_backend
    assert caught.value.key_effect is None
    assert "canary" not in repr(vars(caught.value))
    return caught.value


async def test_a_token_service_that_is_down_is_named_and_asked_again_by_the_next_call(
    identity: Authorizer, monkeypatch: pytest.MonkeyPatch, cloud: Clouds
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in (await not_reached(identity)).message
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", cloud.url)
    assert b"Credential=ASIAEXAMPLE" in dict((await identity.authorize(ASKED)).headers)[b"authorization"]


@pytest.mark.parametrize("status, code", [(503, "ServiceUnavailable"), (400, "Throttling")])
async def test_a_busy_token_service_is_no_missing_identity(
    identity: Authorizer, cloud: Clouds, status: int, code: str
) -> None:
    said = f"<ErrorResponse><Error><Code>{code}</Code><Message>Slow down.</Message></Error></ErrorResponse>"
    cloud.refusals.extend([Reply(status, said)] * 2)  # botocore tries twice itself
    assert "Slow down." in (await not_reached(identity)).message
