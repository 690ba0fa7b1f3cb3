"""How failures look to a user of the official Python SDK: classes, sentences, and what is tried again."""

import tempfile
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from penstock.gateway.identity.api_keys import new_key
from tests.fakes.openai_upstream import CutShort, EndWithoutFinish, Finish, Raw, Stall, Text, Wait, running_upstream
from tests.sdk.answers import refusal
from tests.sdk.conftest import options
from tests.service import Service, service_env, start_service, with_tenant

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


def ask(client: OpenAI, model: str = "mock/one", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=HELLO, **more)


def ask_with_key(service: Service, key: str) -> openai.AuthenticationError:
    """With retries allowed, as in an application: none of them may happen."""
    with (
        OpenAI(**options(service, api_key=key, max_retries=2)) as client,
        pytest.raises(openai.AuthenticationError) as e,
    ):
        ask(client)
    assert service.upstream.requests == []
    return e.value


def other_letter(letter: str) -> str:
    return "a" if letter != "a" else "b"


# --- keys and permissions ---------------------------------------------------------------------------------------------


def test_s031_a_mistyped_key_is_told_from_an_unknown_one(service: Service) -> None:
    mistyped = service.api_key[:20] + other_letter(service.api_key[20]) + service.api_key[21:]
    error = ask_with_key(service, mistyped)
    assert error.code == "invalid_api_key"
    assert error.type == "authentication_error"
    assert "mistyped" in error.message
    assert "checksum" in error.message
    assert error.request_id is not None
    assert error.request_id.startswith("req_")


def test_s031_a_key_cut_off_while_copying_says_how_long_it_should_be(service: Service) -> None:
    error = ask_with_key(service, service.api_key[:-4])
    assert "54 characters; this one has 50" in error.message


def test_s031_an_unknown_key_is_a_key_of_nobody(service: Service) -> None:
    error = ask_with_key(service, new_key())
    assert "unknown" in error.message
    assert "penstock api-key create" in error.message


def test_s031_a_revoked_key_says_when_it_was_revoked(service: Service) -> None:
    made = service.cli("api-key", "create", "--tenant", service.tenant_id, "--name", "revoked")
    service.cli("api-key", "revoke", made["id"], "--tenant", service.tenant_id)
    error = ask_with_key(service, made["key"])
    assert "was revoked at 20" in error.message


@pytest.mark.parametrize("key", ["hello", "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"])
def test_s031_a_key_of_another_service_is_refused_with_a_hint(service: Service, key: str) -> None:
    error = ask_with_key(service, key)
    assert "sgk_" in error.message
    assert key not in error.message


def test_without_a_key_the_sdk_learns_how_to_send_one(service: Service) -> None:
    with OpenAI(**options(service)) as client, pytest.raises(openai.AuthenticationError) as e:
        ask(client, extra_headers={"Authorization": openai.omit})
    assert "Authorization: Bearer" in e.value.message
    assert e.value.response.headers["www-authenticate"] == "Bearer"


def test_a_key_that_may_only_list_is_denied_calls(service: Service) -> None:
    made = service.cli(
        "api-key", "create", "--tenant", service.tenant_id, "--name", "lists", "--permission", "models:list"
    )
    with OpenAI(**options(service, api_key=made["key"], max_retries=2)) as client:
        assert "mock/one" in [model.id for model in client.models.list()]
        with pytest.raises(openai.PermissionDeniedError) as e:
            ask(client)
    assert e.value.type == "permission_error"
    assert service.upstream.requests == []


# --- what was asked ---------------------------------------------------------------------------------------------------


def test_an_unknown_model_is_not_found_and_the_nearest_is_named(service: Service, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as e:
        ask(client, "mock/onne")
    assert e.value.code == "model_not_found"
    assert e.value.param == "model"
    assert "mock/one" in e.value.message


@pytest.mark.parametrize("name", ["mock/onne", "nobody/nothing/at/all", "ö?#%"])
def test_an_unknown_model_is_not_found_among_the_models(service: Service, client: OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as e:
        client.models.retrieve(name)
    assert e.value.code == "model_not_found"


def test_an_operation_that_is_not_served_is_not_found(service: Service, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as e:
        client.responses.create(model="mock/one", input="Hello")
    assert "/oai/v1/responses" in e.value.message
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(model="mock/one", input="Hello")


def test_a_request_that_cannot_be_used_names_the_field(service: Service, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="mock/one", messages=[])
    assert (e.value.type, e.value.param) == ("invalid_request_error", "messages")
    assert service.upstream.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_provider_keeps_its_sentence(service: Service, client: OpenAI, stream: bool) -> None:
    service.upstream.plays(
        refusal(400, "temperature must be below 2", type="invalid_request_error", param="temperature", code="too_high")
    )
    with pytest.raises(openai.BadRequestError) as e:
        ask(client.with_options(max_retries=2), temperature=9, stream=stream)
    assert "temperature must be below 2" in e.value.message
    assert e.value.type == "invalid_request_error"
    assert len(service.upstream.chats) == 1


def test_a_conversation_that_is_too_long_has_the_code_that_applications_look_for(
    service: Service, client: OpenAI
) -> None:
    sentence = "This model's maximum context length is 10 tokens."
    service.upstream.plays(refusal(400, sentence, code="context_length_exceeded", param="messages"))
    with pytest.raises(openai.BadRequestError) as e:
        ask(client)
    assert e.value.code == "context_length_exceeded"
    assert sentence in e.value.message


# --- what is tried again ----------------------------------------------------------------------------------------------


def test_a_rate_limit_says_when_to_come_back(service: Service, client: OpenAI, spare_model: str) -> None:
    service.upstream.plays(refusal(429, "slow down", ("retry-after", "7"), code="rate_limit_exceeded"))
    with pytest.raises(openai.RateLimitError) as e:
        ask(client, spare_model)
    assert e.value.type == "rate_limit_error"
    assert e.value.response.headers["retry-after"] == "7"
    assert "x-should-retry" not in e.value.response.headers


def test_the_sdk_comes_back_when_it_was_told_to(service: Service, client: OpenAI, spare_model: str) -> None:
    service.upstream.plays(refusal(429, "slow down", ("retry-after", "1")))
    completion = ask(client.with_options(max_retries=1), spare_model)
    assert completion.choices[0].message.content == "Hello from the upstream."
    assert len(service.upstream.chats) == 2


def test_an_account_without_credit_is_not_tried_again(service: Service, client: OpenAI, spare_model: str) -> None:
    service.upstream.plays(refusal(429, "You exceeded your current quota.", code="insufficient_quota"))
    with pytest.raises(openai.APIStatusError) as e:
        ask(client.with_options(max_retries=2), spare_model)
    assert e.value.response.headers["x-should-retry"] == "false"
    assert "exceeded your current quota" in e.value.message
    assert len(service.upstream.chats) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_s040_a_refused_key_of_the_provider_is_not_the_callers_and_is_not_tried_again(
    service: Service, client: OpenAI, spare_model: str, stream: bool
) -> None:
    service.upstream.plays(refusal(401, "Incorrect API key provided.", code="invalid_api_key"))
    with pytest.raises(openai.InternalServerError) as e:
        ask(client.with_options(max_retries=2), spare_model, stream=stream)
    assert e.value.status_code == 502
    assert e.value.type == "api_error"
    assert e.value.response.headers["x-should-retry"] == "false"
    assert "Incorrect API key provided" in e.value.message
    assert len(service.upstream.chats) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_provider_that_fails_once_is_tried_again(service: Service, client: OpenAI, status: int) -> None:
    service.upstream.plays(refusal(status, "oops"))
    completion = ask(client.with_options(max_retries=1))
    assert completion.choices[0].message.content == "Hello from the upstream."
    assert len(service.upstream.chats) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_keeps_failing_is_an_internal_server_error(
    service: Service, client: OpenAI, stream: bool
) -> None:
    service.upstream.always_plays(refusal(500, "oops"))
    with pytest.raises(openai.InternalServerError) as e:
        ask(client.with_options(max_retries=1), stream=stream)
    assert "oops" in e.value.message
    assert "x-should-retry" not in e.value.response.headers
    assert len(service.upstream.chats) == 2


# --- streams that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        (Raw(b'data: {"error":{"message":"it broke","type":"server_error"}}\n\n'), EndWithoutFinish()),
        (CutShort(),),
        (EndWithoutFinish(),),
    ],
)
def test_a_stream_that_fails_in_the_middle_raises_after_its_text(
    service: Service, client: OpenAI, ending: tuple[Any, ...]
) -> None:
    service.upstream.plays(Text("so far"), Wait(0.1), *ending)
    stream = iter(ask(client, stream=True))
    assert next(stream).choices[0].delta.content == "so far"
    with pytest.raises(openai.APIError) as e:
        next(stream)
    assert e.value.type == "api_error"
    assert (e.value.code or "").startswith("upstream_")
    assert not isinstance(e.value, openai.APIConnectionError)


def test_the_stream_helper_raises_too(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("so far"), Wait(0.1), CutShort())
    with (
        client.chat.completions.stream(model="mock/one", messages=HELLO) as stream,
        pytest.raises(openai.APIError, match=r"closed|complete|cut off"),
    ):
        stream.get_final_completion()


async def test_the_asynchronous_client_raises_the_same(service: Service, async_client: AsyncOpenAI) -> None:
    service.upstream.plays(Text("so far"), Wait(0.1), CutShort())
    stream = await async_client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass
    with pytest.raises(openai.NotFoundError):
        await async_client.chat.completions.create(model="mock/onne", messages=HELLO)


def test_a_service_that_dies_in_the_middle_is_a_connection_error() -> None:
    with tempfile.TemporaryDirectory() as directory, running_upstream() as upstream:
        upstream.plays(Text("so far"), Stall())
        with start_service(service_env(upstream, Path(directory)), upstream) as service:
            with_tenant(service)
            with OpenAI(**options(service)) as client:
                stream = iter(ask(client, stream=True))
                assert next(stream).choices[0].delta.content == "so far"
                service.process.kill()
                with pytest.raises(openai.APIConnectionError):
                    next(stream)
                with pytest.raises(openai.APIConnectionError):
                    ask(client)


def test_after_a_failure_the_same_client_goes_on(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("so far"), CutShort())
    with pytest.raises(openai.APIError):
        list(ask(client, stream=True))
    service.upstream.plays(Text("well"), Finish())
    assert ask(client).choices[0].message.content == "well"
