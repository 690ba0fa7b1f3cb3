"""Signatures of Bedrock requests: the known ones, and that what is signed is what is sent."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kit.secret import Secret
from penstock.providers.base import AwsKeys, ProviderConfig
from penstock.providers.credentials.aws import AwsKeysIdentity, sign
from penstock.providers.credentials.opening import open_authorizers
from penstock.providers.failures import CredentialsRefused
from penstock.providers.transport.base import Limits, Origin, Request, Transport
from penstock.providers.transport.drivers import open_transport
from tests.coordination.clock import MovableClock
from tests.fakes.clouds import AWS_SECRET, Clouds, Seen, clouds, signature_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'
KEYS = AwsKeys("AKIDEXAMPLE", Secret(AWS_SECRET))


def request(target: bytes, origin: Origin, body: bytes = BODY) -> Request:
    headers = (
        (b"content-type", b"application/json"),
        (b"accept", b"application/vnd.amazon.eventstream"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"penstock/1"),
        (b"x-team", b"writers"),
    )
    return Request(b"POST", origin, target, headers, body)


def signed(found: Request) -> dict[bytes, bytes]:
    names = [name for name, _ in found.headers]
    assert len(set(names)) == len(names)
    return dict(found.headers)


@pytest.mark.parametrize(
    ("token", "names", "signature"),
    [
        (None, "content-type;host;x-amz-date", "28c734dc2d70cfe99d3c516b5e48d7d0497a66cc3de18a9961b3c72aa7edbd30"),
        (
            Secret("TOKEN"),
            "content-type;host;x-amz-date;x-amz-security-token",
            "5592bc69964bcccc09ea638c0e2a2db59508ab9e47d11f7ad8ea61e53620cc93",
        ),
    ],
)
def test_a_known_request_has_its_known_signature(token: Secret | None, names: str, signature: str) -> None:
    target = b"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
    origin = Origin("https", "bedrock-runtime.us-east-1.amazonaws.com", 443)
    found = sign(request(target, origin), AwsKeys("AKIDEXAMPLE", Secret(SECRET), token), "us-east-1", NOON)
    headers = signed(found)
    assert found.target == target
    assert headers[b"x-amz-date"] == b"20261120T120000Z"
    assert headers.get(b"x-amz-security-token") == (b"TOKEN" if token else None)
    scope = "AKIDEXAMPLE/20261120/us-east-1/bedrock/aws4_request"
    expected = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    assert headers[b"authorization"] == expected.encode()


@settings(max_examples=80)
@given(
    model=st.text(st.characters(codec="utf-8", exclude_characters=".", categories=("L", "N", "P", "S")), min_size=1),
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"]),
    body=st.binary(max_size=200),
    token=st.none() | st.just("TOKEN"),
    port=st.sampled_from([443, 8443]),
    query=st.sampled_from(["", "?maxResults=5", "?nextToken=a%2Fb&maxResults=5"]),
)
def test_every_signature_is_that_of_the_definition(
    model: str, region: str, body: bytes, token: str | None, port: int, query: str
) -> None:
    path = f"/model/{quote(model, safe='')}/converse"
    keys = AwsKeys("AKIDEXAMPLE", Secret(AWS_SECRET), Secret(token) if token else None)
    found = sign(request((path + query).encode(), Origin("https", "h.example", port), body), keys, region, NOON)
    headers = {name.decode(): value.decode() for name, value in found.headers}
    headers["host"] = "h.example" if port == 443 else f"h.example:{port}"
    queried = {"": {}, "?maxResults=5": {"maxResults": "5"}}.get(query, {"nextToken": "a/b", "maxResults": "5"})
    assert (
        signature_of(Seen("POST", path, queried, headers, body), {"AKIDEXAMPLE": AWS_SECRET})
        == headers["authorization"]
    )


def test_a_request_that_is_signed_again_has_one_signature() -> None:
    origin = Origin("https", "h", 443)
    once = sign(request(b"/model/m/converse", origin), KEYS, "us-east-1", NOON)
    later = NOON + timedelta(hours=1)
    assert signed(sign(once, KEYS, "us-east-1", later)) == signed(
        sign(request(b"/model/m/converse", origin), KEYS, "us-east-1", later)
    )


# --- over a socket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cloud() -> Iterator[Clouds]:
    with clouds() as found:
        yield found


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    found = open_transport()
    yield found
    await found.aclose()


async def answered(transport: Transport, found: Request) -> int:
    response = await transport.send(found, Limits())
    try:
        await response.read_all()
        return response.status
    finally:
        response.close()


@pytest.mark.parametrize(
    "model",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab/cd",
        "a b+c=d&e%41~_-",
        "é漢",
    ],
)
async def test_what_is_signed_is_what_arrives(cloud: Clouds, transport: Transport, model: str) -> None:
    origin = Origin("http", "127.0.0.1", cloud.port)
    target = f"/model/{quote(model, safe='')}/converse-stream"
    identity = AwsKeysIdentity(KEYS, "us-east-1", MovableClock())
    assert await answered(transport, await identity.authorize(request(target.encode(), origin))) == 200
    assert cloud.seen[0].path == target
    assert "user-agent" not in cloud.seen[0].headers["authorization"]


async def test_a_changed_body_is_not_accepted(cloud: Clouds, transport: Transport) -> None:
    found = sign(request(b"/model/m/converse", Origin("http", "127.0.0.1", cloud.port)), KEYS, "us-east-1", NOON)
    changed = Request(found.method, found.origin, found.target, found.headers, BODY.replace(b"hi", b"ho"))
    assert await answered(transport, changed) == 403


def skewed(
    at: datetime | None, message: str = "Signature expired: 20261120T120000Z is now earlier"
) -> CredentialsRefused:
    error = CredentialsRefused(f"InvalidSignatureException: {message}")
    error.upstream_code, error.upstream_status = "InvalidSignatureException", 403
    error.answered_at = None if at is None else format_datetime(at, usegmt=True)
    return error


async def test_a_wrong_clock_is_corrected_once_by_what_aws_says() -> None:
    clock = MovableClock()
    identity = AwsKeysIdentity(KEYS, "us-east-1", clock)
    plain = request(b"/model/m/converse", Origin("https", "h", 443))
    assert not identity.refused(skewed(None))
    assert not identity.refused(skewed(clock.now() + timedelta(seconds=5)))
    assert not identity.refused(skewed(clock.now() + timedelta(hours=1), "The signature does not match"))
    right = clock.now() + timedelta(minutes=20)
    assert identity.refused(skewed(right))
    assert not identity.refused(skewed(right))  # the clock is right now: it is something else
    assert signed(await identity.authorize(plain))[b"x-amz-date"] == right.strftime("%Y%m%dT%H%M%SZ").encode()
    clock.move(60)
    after = right + timedelta(seconds=60)
    assert signed(await identity.authorize(plain))[b"x-amz-date"] == after.strftime("%Y%m%dT%H%M%SZ").encode()


async def test_several_credentials_are_several_identities(transport: Transport) -> None:
    config = ProviderConfig(
        key="mine",
        type="bedrock",
        name="mine",
        base_url="https://bedrock-runtime.eu-central-1.amazonaws.com",
        credentials=(KEYS, AwsKeys("AKIDOTHER", Secret("canary-other"))),
        details=(("region", "eu-central-1"),),
    )
    found = open_authorizers("aws", config, transport, MovableClock())
    assert [one.hint for one in found] == ["MPLE", "THER"]
    plain = request(b"/model/m/converse", Origin("https", "h", 443))
    for identity, key_id in zip(found, ("AKIDEXAMPLE", "AKIDOTHER"), strict=True):
        sent = signed(await identity.authorize(plain))[b"authorization"].decode()
        assert f"Credential={key_id}/20260519/eu-central-1/bedrock/aws4_request" in sent
        assert "canary" not in sent + repr(identity)
