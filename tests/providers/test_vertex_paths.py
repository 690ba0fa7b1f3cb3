"""Where models of Google and Vertex are called, with which headers, and what is tried when a key is refused there."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from penstock.errors import UpstreamError
from penstock.kit.clock import SystemClock
from penstock.kit.secret import Secret
from penstock.providers.base import (
    Call,
    Message,
    Opaque,
    ProviderConfig,
    ServiceAccount,
    Tool,
    ToolCall,
)
from penstock.providers.failures import CredentialsRefused, ModelFailed
from penstock.providers.provider import Provider, Providers
from penstock.providers.vendors import VENDORS, base_url_of, wire_for
from penstock.providers.wires.gemini.signatures import PLACEHOLDER, on_call
from tests.fakes.dialects.google_rules import check_labels
from tests.fakes.elsewhere import Elsewhere
from tests.fakes.wire_server import Script, Seen, WireServer, chunked, ok
from tests.fakes.wire_server import Wire as Line
from tests.providers.calls import call, text_of
from tests.providers.conftest import Serve
from tests.providers.gemini_streams import MODEL, TAIL, frame, text

KEY = "AIzaCanaryOfTheKey0001"
STREAM = (frame(text("Hi")) + TAIL).replace("\n", "\r\n").encode()
GOOD = chunked(STREAM)
PLACE = {"project": "my project", "location": "europe-west4"}
IN_PLACE = b"/v1beta1/projects/my%20project/locations/europe-west4"


def config(server: WireServer, kind: str = "vertex", **more: Any) -> ProviderConfig:
    fields: dict[str, Any] = {"api_keys": (Secret(KEY),), "details": tuple(PLACE.items()) if kind == "vertex" else ()}
    version = "v1beta1" if kind == "vertex" else "v1beta"
    base_url = f"http://127.0.0.1:{server.port}/{version}"
    return ProviderConfig(key="mine", type=kind, name="mine", base_url=base_url, **(fields | more))


def refusal(code: int, message: str, **more: Any) -> bytes:
    body = json.dumps({"error": {"code": code, "message": message} | more}).encode()
    return ok(body, b"content-type: application/json", status=b"%d X" % code)


def answering(*answers: Callable[[Seen], bytes] | bytes) -> Script:
    """One answer after another, on any connection; the last one for ever."""
    left = list(answers)

    async def script(line: Line) -> None:
        while True:
            seen = await line.request()
            answer = left.pop(0) if len(left) > 1 else left[0]
            await line.send(answer if isinstance(answer, bytes) else answer(seen))

    return script


async def ask(provider: Provider, model: str, asked: Call | None = None) -> str:
    return await text_of(provider, model, asked or call("Hello"))


@pytest.mark.parametrize(
    "location, base",
    [
        ("us-central1", "https://us-central1-aiplatform.googleapis.com/v1beta1"),
        ("europe-west4", "https://europe-west4-aiplatform.googleapis.com/v1beta1"),
        ("global", "https://aiplatform.googleapis.com/v1beta1"),
        ("us", "https://aiplatform.us.rep.googleapis.com/v1beta1"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com/v1beta1"),
    ],
)
def test_each_kind_of_location_has_its_host(location: str, base: str) -> None:
    assert base_url_of("vertex", {"location": location, "project": "p"}) == base


@pytest.mark.parametrize(
    "model, wire",
    [
        ("gemini-2.5-flash", "gemini"),
        ("models/gemini-2.5-flash", "gemini"),
        ("google/gemini-2.5-flash", "gemini"),
        ("publishers/google/models/gemini-2.5-flash", "gemini"),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-flash", "gemini"),
        ("claude-sonnet-4-5@20250929", "anthropic"),
        ("anthropic/claude-sonnet-4-5", "anthropic"),
        ("publishers/anthropic/models/claude-sonnet-4-5", "anthropic"),
        ("meta/llama-4-maas", "openai_chat"),
        ("google/gemma-4-it-maas", "openai_chat"),
        ("publishers/meta/models/llama-4-maas", "openai_chat"),
        ("deepseek-ai/deepseek-v4", "openai_chat"),
    ],
)
def test_the_name_of_a_model_says_how_it_is_spoken_to(model: str, wire: str) -> None:
    assert wire_for(VENDORS["vertex"], model) == wire


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.5-flash",
        "models/gemini-2.5-flash",
        "google/gemini-2.5-flash",
        "publishers/google/models/gemini-2.5-flash",
        "projects/p/locations/l/publishers/google/models/gemini-2.5-flash",
    ],
)
async def test_every_spelling_of_a_gemini_leads_to_the_projects_own_path(
    serve: Serve, providers: Providers, model: str
) -> None:
    server = await serve(answering(GOOD))
    assert await ask(providers.of(config(server)), model) == "Hi"
    (seen,) = server.requests
    path = b"/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert (seen.method, seen.target) == (b"POST", IN_PLACE + path)
    assert seen.header(b"x-goog-api-key") == KEY.encode()
    assert seen.header(b"authorization") is None
    assert seen.header(b"content-type") == b"application/json"
    assert json.loads(seen.body) == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


async def test_a_version_in_a_models_name_keeps_its_sign(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(GOOD))
    await ask(providers.of(config(server)), "gemini-tuned@20250101")
    assert b"/models/gemini-tuned@20250101:stream" in server.requests[0].target


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash"])
async def test_google_is_called_with_and_without_the_prefix(serve: Serve, providers: Providers, model: str) -> None:
    server = await serve(answering(GOOD))
    assert await ask(providers.of(config(server, "google")), model) == "Hi"
    (seen,) = server.requests
    assert seen.target == b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert seen.header(b"x-goog-api-key") == KEY.encode()
    assert KEY.encode() not in seen.target


async def test_a_service_account_is_sent_as_a_token(serve: Serve, providers: Providers) -> None:
    def answer(seen: Seen) -> bytes:
        if seen.target == b"/token":
            return ok(b'{"access_token":"ya29.canary","expires_in":3599}', b"content-type: application/json")
        return GOOD

    server = await serve(answering(answer))
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = ServiceAccount("me@p.test", Secret(pem.decode()), token_uri=f"http://127.0.0.1:{server.port}/token")
    provider = providers.of(config(server, api_keys=(), credentials=(account,)))
    assert await ask(provider, "gemini-2.5-flash") == "Hi"
    seen = server.requests[-1]
    assert seen.header(b"authorization") == b"Bearer ya29.canary"
    assert seen.header(b"x-goog-api-key") is None


EXPRESS = refusal(
    401,
    "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials.",
    status="UNAUTHENTICATED",
)
BLOCKED = refusal(
    403,
    "Requests to this API are blocked.",
    status="PERMISSION_DENIED",
    details=[{"reason": "API_KEY_SERVICE_BLOCKED", "metadata": {"service": "aiplatform.googleapis.com"}}],
)


@pytest.mark.parametrize("refused", [EXPRESS, BLOCKED])
async def test_a_key_for_the_express_mode_finds_the_short_path_once(
    serve: Serve, providers: Providers, refused: bytes
) -> None:
    server = await serve(answering(lambda seen: refused if b"/projects/" in seen.target else GOOD))
    provider = providers.of(config(server))
    assert await ask(provider, "gemini-2.5-flash") == "Hi"
    assert await ask(provider, "gemini-2.5-flash") == "Hi"
    short = b"/v1beta1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert [seen.target for seen in server.requests][1:] == [short, short]
    assert all(one.state == "ready" for one in provider.keys.states())


async def test_the_short_path_is_that_of_the_global_address(serve: Serve) -> None:
    server = await serve(answering(lambda seen: EXPRESS if b"/projects/" in seen.target else GOOD))
    transport = Elsewhere(server.origin)
    base_url = base_url_of("vertex", PLACE)
    provider = Provider(msgspec.structs.replace(config(server), base_url=base_url), transport, SystemClock())
    try:
        for _ in range(2):
            assert await ask(provider, "gemini-2.5-flash") == "Hi"
    finally:
        await provider.aclose()
    model = "publishers/google/models/gemini-2.5-flash:streamGenerateContent"
    express = f"https://aiplatform.googleapis.com/v1/{model}"
    regional = f"https://europe-west4-aiplatform.googleapis.com{IN_PLACE.decode()}/{model}"
    assert transport.called == [regional, express, express]
    assert all(seen.target.endswith(b"?alt=sse") for seen in server.requests)
    assert [one.state for one in provider.keys.states()] == ["ready"]


async def test_a_key_that_is_none_of_googles_is_set_aside_at_once(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(lambda seen: GOOD if seen.header(b"x-goog-api-key") == b"good-key" else EXPRESS))
    provider = providers.of(config(server, "google", api_keys=(Secret("bad-key-0001"), Secret("good-key"))))
    for _ in range(3):
        assert await ask(provider, "gemini-2.5-flash") == "Hi"
    sent = [seen.header(b"x-goog-api-key") for seen in server.requests]
    assert sent == [b"bad-key-0001", b"good-key", b"good-key", b"good-key"]


async def test_who_asks_is_a_label_on_vertex_and_nothing_at_google(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(GOOD))
    for kind in ("vertex", "google"):
        await ask(providers.of(config(server, kind)), "gemini-2.5-flash", call(user_ref="Jo"))
    bodies = [json.loads(seen.body) for seen in server.requests]
    assert [one.get("labels") for one in bodies] == [{"user": "jo"}, None]
    check_labels(bodies[0]["labels"])


async def test_s061_a_key_that_is_refused_on_both_paths_is_the_callers_error(
    serve: Serve, providers: Providers
) -> None:
    invalid = refusal(400, "API key not valid.", status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])
    server = await serve(answering(lambda seen: EXPRESS if b"/projects/" in seen.target else invalid))
    provider = providers.of(config(server))
    with pytest.raises(CredentialsRefused, match="API_KEY_INVALID"):
        await ask(provider, "gemini-2.5-flash")
    assert len(server.requests) == 2
    assert [one.state for one in provider.keys.states()] == ["bad"]


async def test_a_refused_signature_is_replaced_for_this_call_only(serve: Serve, providers: Providers) -> None:
    block = Opaque("gemini", MODEL, on_call("SIGNED", "a"))
    asked = Call(
        messages=[
            Message(role="user", content="Hello"),
            Message(role="assistant", tool_calls=[ToolCall("a", "f", "{}")], opaque=[block]),
            Message(role="tool", tool_call_id="a", content="found"),
        ],
        tools=[Tool("f", "F", {})],
    )
    refused = refusal(400, "Corrupted thought signature.", status="INVALID_ARGUMENT")
    server = await serve(answering(lambda seen: refused if b"SIGNED" in seen.body else GOOD))
    provider = providers.of(config(server, "google"))
    for _ in range(2):
        assert await ask(provider, MODEL, asked) == "Hi"
    assert [b"SIGNED" in seen.body for seen in server.requests] == [True, False, True, False]
    assert PLACEHOLDER.encode() in server.requests[1].body


async def test_what_a_model_refuses_is_left_out_from_then_on(serve: Serve, providers: Providers) -> None:
    refused = refusal(400, "Thinking level MINIMAL is not supported for this model.", status="INVALID_ARGUMENT")
    server = await serve(answering(lambda seen: refused if b"MINIMAL" in seen.body else GOOD))
    provider = providers.of(config(server, "google"))
    for _ in range(2):
        assert await ask(provider, MODEL, call(reasoning="off")) == "Hi"
    levels = [json.loads(seen.body)["generationConfig"]["thinkingConfig"]["thinkingLevel"] for seen in server.requests]
    assert levels == ["MINIMAL", "LOW", "LOW"]


async def test_a_malformed_answer_is_asked_for_once_more(serve: Serve, providers: Providers) -> None:
    malformed = chunked(frame(finish="MALFORMED_FUNCTION_CALL").encode())
    server = await serve(answering(malformed, GOOD))
    assert await ask(providers.of(config(server, "google")), MODEL) == "Hi"
    server = await serve(answering(malformed))
    with pytest.raises(ModelFailed):
        await ask(providers.of(config(server, "google")), MODEL)
    assert len(server.requests) == 2


async def test_the_key_is_never_shown_even_if_the_provider_repeats_it(serve: Serve, providers: Providers) -> None:
    server = await serve(answering(refusal(403, f"Consumer 'api_key:{KEY}' has been suspended.")))
    with pytest.raises(UpstreamError) as caught:
        await ask(providers.of(config(server, "google")), MODEL)
    assert KEY not in f"{caught.value.message} {caught.value.explanation} {caught.value.action}"
