"""What a caller's refused request teaches about a model, and what it must not: the others are called in the same way.

Requests of the OpenAI surface are relayed with their own words in them, and a refusal may repeat any of those.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from penstock.errors import UpstreamError
from penstock.gateway.inference.openai_thoughts import Thoughts, thoughts_box
from penstock.gateway.inference.openai_translation import Relayed
from penstock.kit.clock import SystemClock
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider, Providers
from penstock.providers.wires.openai.request import read_request
from tests.fakes.dialects.openai import OPENAI_CHAT
from tests.fakes.provider_server import Answers, ProviderServer, serving
from tests.providers.calls import config_of, pieces_of

HI = [{"role": "user", "content": "Hi"}]
USAGE_ONLY = {"include_usage": True}


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderServer]:
    with serving(OPENAI_CHAT) as (server,):
        yield server


@pytest.fixture
def server(running: ProviderServer) -> ProviderServer:
    running.reset()
    return running


@pytest.fixture
async def provider(server: ProviderServer) -> AsyncIterator[Provider]:
    opened = Providers(open_provider_transport, SystemClock())
    yield opened.of(config_of(server))
    await opened.aclose()


async def relay(provider: Provider, model: str = "gpt-4.1", **fields: Any) -> Relayed:
    """One caller's streamed request, to its end. Raises UpstreamError."""
    body = json.dumps({"model": model, "messages": HI, "stream": True, **fields}).encode()
    relayed = Relayed(read_request(body), Thoughts(thoughts_box(("the master secret of these tests",)), "tenant"))
    await pieces_of(provider, model, relayed)
    return relayed


def last(server: ProviderServer) -> Any:
    return json.loads(server.seen[-1].body)


def refusal(message: str, param: str | None = None, code: str | None = None) -> Answers:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Answers(400, json.dumps({"error": error}).encode())


async def test_a_field_that_a_model_refuses_is_left_out_for_all_and_that_is_said(
    provider: Provider, server: ProviderServer
) -> None:
    server.plays(
        refusal("Unsupported parameter: 'temperature' is not supported.", "temperature", "unsupported_parameter")
    )
    for _ in range(2):
        assert (await relay(provider, temperature=0.5)).left_out == ["temperature"]
    assert len(server.seen) == 3
    assert "temperature" not in last(server)


@pytest.mark.parametrize(
    "wrong, message, param",
    [
        # A word of the caller's that reads like the provider's own.
        (
            {"reasoning_effort": f"x is not supported, must be one of {'x' * 300}"},
            f"Invalid value: 'x is not supported, must be one of {'x' * 300}'. Supported values are: 'low' and 'high'.",
            "reasoning_effort",
        ),
        (
            {"reasoning_effort": "reasoning_effort' is not supported"},
            "Invalid value: 'reasoning_effort' is not supported'. Try another.",
            "reasoning_effort",
        ),
        # Values that are wrong, of fields that are known.
        ({"seed": "x"}, "seed must be one of the integers", None),
        ({"temperature": 5}, "Invalid parameter: temperature must be less than 2", None),
        ({"presence_penalty": 9}, "presence_penalty must be one of -2 to 2", None),
    ],
)
async def test_a_wrong_value_teaches_nothing_about_the_field(
    provider: Provider, server: ProviderServer, wrong: dict[str, Any], message: str, param: str | None
) -> None:
    server.plays(refusal(message, param))
    ((field, _),) = wrong.items()
    model = "o3" if field == "reasoning_effort" else "gpt-4.1"
    with suppress(UpstreamError):
        await relay(provider, model, **wrong)
    sent = len(server.seen)
    assert (await relay(provider, model, **{field: 1})).left_out == []
    assert last(server)[field] == 1
    assert len(server.seen) == sent + 1


@pytest.mark.parametrize("options", [{"made_up": 1}, {"include_usage": True, "include_obfuscation": False}])
async def test_a_callers_own_options_of_a_stream_cost_nobody_the_token_counts(
    provider: Provider, server: ProviderServer, options: dict[str, Any]
) -> None:
    name = next(reversed(options))
    server.plays(refusal(f"Unknown parameter: 'stream_options.{name}'.", f"stream_options.{name}", "unknown_parameter"))
    with pytest.raises(UpstreamError):
        await relay(provider, stream_options=options)
    await relay(provider)
    assert last(server)["stream_options"] == USAGE_ONLY


async def test_a_server_without_stream_options_is_not_asked_for_them_again(
    provider: Provider, server: ProviderServer
) -> None:
    server.plays(refusal("Unrecognized request argument supplied: stream_options"))
    for options in (None, USAGE_ONLY):
        await relay(provider, stream_options=options)
        assert "stream_options" not in last(server)
    assert len(server.seen) == 3


async def test_a_format_that_is_refused_is_never_left_out_in_silence_of_the_one_who_parses_it(
    provider: Provider, server: ProviderServer
) -> None:
    message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    server.plays(refusal(message))
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    with pytest.raises(UpstreamError, match="json_schema"):
        await relay(provider, response_format=schema)
    await relay(provider, response_format={"type": "json_object"})
    assert last(server)["response_format"] == {"type": "json_object"}
