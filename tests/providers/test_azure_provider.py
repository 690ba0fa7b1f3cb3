"""Azure over a real socket: both styles of address, its headers, what is learnt of a deployment, its refusals (5)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.providers.base import Finish
from penstock.providers.failures import (
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    Overloaded,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    TimedOut,
    Unreachable,
    UpstreamNotFound,
)
from penstock.providers.provider import Providers
from penstock.providers.wires.openai.chat import WIRE
from tests.fakes.dialects.base import Asked, Refusal, RefusalKind, Says
from tests.fakes.dialects.openai import AZURE, KEY, OPENAI_RESPONSES
from tests.fakes.provider_server import Answers, ProviderServer, Refuses, serving
from tests.providers.calls import LOOK_UP, call, config_of, deltas_of, text_of

HI = call()
TOOLS = call(tools=(LOOK_UP,))


class _Deployments:
    """A resource that takes any path, so that paths can be looked at; Responses under /openai/v1 alone."""

    kind, model, content_type = "azure", "prod-chat", AZURE.content_type

    def entry(self, url: str, *keys: str) -> dict[str, Any]:
        return AZURE.entry(url, *keys)

    def asked(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Asked | None:
        sent = json.loads(body)
        is_chat = target.partition("?")[0].endswith("/chat/completions")
        if not (is_chat or target == "/openai/v1/responses"):
            return None
        return Asked(model="chat" if is_chat else "responses", stream=sent["stream"], credential=headers.get("api-key"))

    def other(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Refusal:
        return AZURE.other(method, target, headers, body)

    def frames(self, says: Says, asked: Asked) -> list[bytes]:
        return (AZURE if asked.model == "chat" else OPENAI_RESPONSES).frames(says, asked)

    def whole(self, says: Says, asked: Asked) -> bytes:
        return AZURE.whole(says, asked)

    def refusal(self, kind: RefusalKind, *, retry_after_s: int | None = None) -> Refusal:
        return AZURE.refusal(kind, retry_after_s=retry_after_s)

    def broken(self) -> bytes:
        return AZURE.broken()


@pytest.fixture(scope="module")
def running() -> Iterator[list[ProviderServer]]:
    with serving(AZURE, _Deployments()) as servers:
        yield servers


@pytest.fixture
def azure(running: list[ProviderServer]) -> Iterator[ProviderServer]:
    running[0].reset()
    yield running[0]
    assert running[0].faults == []


@pytest.fixture
def resource(running: list[ProviderServer]) -> ProviderServer:
    running[1].reset()
    return running[1]


def targets(server: ProviderServer) -> list[str]:
    return [one.target for one in server.seen]


def tools_refused() -> Answers:
    message = (
        "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. To use function "
        "tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    error = {"message": message, "type": "invalid_request_error", "param": "reasoning_effort", "code": None}
    return Answers(400, json.dumps({"error": error}).encode())


async def test_a_strict_azure_takes_what_we_send(azure: ProviderServer, providers: Providers) -> None:
    provider = providers.of(config_of(azure))
    asked = call(max_output_tokens=5, temperature=0.5, user_ref="u", tools=(LOOK_UP,), parallel_tool_calls=True)
    assert await text_of(provider, "prod-chat", asked) == "Hello from the upstream."
    (seen,) = azure.seen
    assert seen.target == "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == KEY
    assert "authorization" not in seen.headers


@pytest.mark.parametrize(
    "version, target",
    [
        ("2024-10-21", "/openai/deployments/team%2Fa%20b/chat/completions?api-version=2024-10-21"),
        ("2025-04-01-preview", "/openai/deployments/team%2Fa%20b/chat/completions?api-version=2025-04-01-preview"),
        ("v1", "/openai/v1/chat/completions"),
        ("preview", "/openai/v1/chat/completions?api-version=preview"),
        ("latest", "/openai/v1/chat/completions"),
    ],
)
async def test_the_version_chooses_the_style_of_the_address(
    resource: ProviderServer, providers: Providers, version: str, target: str
) -> None:
    await text_of(providers.of(config_of(resource, apiVersion=version)), "team/a b", HI)
    assert targets(resource) == [target]
    assert json.loads(resource.seen[0].body)["model"] == "team/a b"


async def test_responses_are_asked_for_under_v1_also_with_a_dated_version(
    resource: ProviderServer, providers: Providers
) -> None:
    assert await text_of(providers.of(config_of(resource, api="responses")), "prod-chat", HI)
    assert targets(resource) == ["/openai/v1/responses"]
    assert json.loads(resource.seen[0].body)["model"] == "prod-chat"
    assert resource.seen[0].headers["api-key"] == KEY


async def test_a_surface_that_the_entry_names_is_kept_whatever_is_refused(
    resource: ProviderServer, providers: Providers
) -> None:
    provider = providers.of(config_of(resource, api="chat"))
    resource.plays(tools_refused())
    with pytest.raises(RequestRefused, match="/v1/responses"):
        await text_of(provider, "prod-chat", TOOLS)
    assert [target.partition("?")[0] for target in targets(resource)] == [
        "/openai/deployments/prod-chat/chat/completions"
    ]


async def test_a_deployment_that_reasons_is_found_out_and_remembered(
    resource: ProviderServer, providers: Providers
) -> None:
    provider = providers.of(config_of(resource))
    resource.plays(tools_refused())
    assert await text_of(provider, "prod-chat", TOOLS) == "Hello from the upstream."
    assert await text_of(provider, "prod-chat", TOOLS) == "Hello from the upstream."
    chat = "/openai/deployments/prod-chat/chat/completions?api-version=2024-10-21"
    assert targets(resource) == [chat, "/openai/v1/responses", "/openai/v1/responses"]
    await text_of(provider, "prod-chat", HI)  # without tools nothing was refused
    assert targets(resource)[-1] == chat


async def test_an_older_version_gets_the_older_name_of_the_output_limit(
    resource: ProviderServer, providers: Providers
) -> None:
    refused = {"error": {"message": "Unrecognized request argument supplied: max_completion_tokens", "code": None}}
    resource.plays(Answers(400, json.dumps(refused).encode()))
    await text_of(providers.of(config_of(resource)), "prod-chat", call(max_output_tokens=5))
    first, second = (json.loads(one.body) for one in resource.seen)
    assert ("max_completion_tokens" in first, second["max_tokens"]) == (True, 5)
    assert "max_completion_tokens" not in second


async def test_an_older_version_is_not_asked_for_token_counts(resource: ProviderServer, providers: Providers) -> None:
    provider = providers.of(config_of(resource))
    refused = {"error": {"message": "Unrecognized request argument supplied: stream_options", "code": None}}
    resource.plays(Answers(400, json.dumps(refused).encode()))
    await text_of(provider, "prod-chat", HI)
    await text_of(provider, "prod-chat", HI)
    assert ["stream_options" in json.loads(one.body) for one in resource.seen] == [True, False, False]


async def test_s050_a_struck_filter_is_said_in_words(azure: ProviderServer, providers: Providers) -> None:
    azure.plays(Refuses("content_filtered"))
    with pytest.raises(ContentFiltered) as caught:
        await text_of(providers.of(config_of(azure)), "prod-chat", HI)
    assert caught.value.message == (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "The filter found: violence (medium), jailbreak."
    )
    assert "{" not in f"{caught.value.message}{caught.value.explanation}{caught.value.action}"
    assert len(azure.seen) == 1


async def test_s050_a_filter_that_strikes_while_the_answer_runs_ends_it_with_its_reason(
    azure: ProviderServer, providers: Providers
) -> None:
    azure.plays(Says(finish="content_filter"))
    assert Finish("content_filter", "content_filter") in await deltas_of(
        providers.of(config_of(azure)), "prod-chat", HI
    )


async def test_s048_an_unknown_deployment_is_named(azure: ProviderServer, providers: Providers) -> None:
    azure.plays(Refuses("not_found"))
    with pytest.raises(UpstreamNotFound) as caught:
        await text_of(providers.of(config_of(azure)), "prod-chat", HI)
    assert (caught.value.upstream_code, caught.value.wrong_path) == ("DeploymentNotFound", False)
    assert "prod-chat" in str(caught.value.explanation)


ERRORS: list[tuple[int, Any, type[Failure]]] = [
    (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}, CredentialsRefused),
    (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing."}, CredentialsRefused),
    (403, {"error": {"code": "403", "message": "Access denied due to Virtual Network rules."}}, PermissionRefused),
    (403, {"error": {"code": "AuthenticationTypeDisabled", "message": "Key access is disabled."}}, PermissionRefused),
    (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}, UpstreamNotFound),
    (404, {"error": {"code": "404", "message": "Resource not found"}}, UpstreamNotFound),
    (404, b"", UpstreamNotFound),
    (400, {"error": {"code": "content_filter", "message": "The response was filtered."}}, ContentFiltered),
    (400, {"error": {"code": "context_length_exceeded", "message": "Too long."}}, ContextTooLong),
    (400, {"error": {"code": "OperationNotSupported", "message": "Not with this model."}}, RequestRefused),
    (400, {"error": {"code": "BadRequest", "message": "Bad."}}, RequestRefused),
    (429, {"error": {"code": "429", "message": "Please retry after 10 seconds."}}, RateLimited),
    (429, {"error": {"code": "RateLimitReached", "message": "Slow down."}}, RateLimited),
    (429, {"error": {"code": "insufficient_quota", "message": "No credit."}}, CreditExhausted),
    (408, {"error": {"code": "Timeout", "message": "Operation was timeout."}}, TimedOut),
    (500, {"error": {"code": "InternalServerError", "message": "Internal server error"}}, Unreachable),
    (502, b"<html><title>502 Bad Gateway</title></html>", Unreachable),
    (503, {"error": {"code": "ServiceUnavailable", "message": "Unavailable"}}, Overloaded),
    (504, b"", TimedOut),
]


@pytest.mark.parametrize("status, body, kind", ERRORS)
def test_every_refusal_of_azure_has_its_kind(status: int, body: Any, kind: type[Failure]) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = WIRE.failure(status, [], raw)
    assert type(failure) is kind
    if kind is UpstreamNotFound:
        assert failure.wrong_path is (b"DeploymentNotFound" not in raw)  # type: ignore[attr-defined]


def test_a_filter_result_of_any_shape_leaves_the_sentence_alone() -> None:
    for inner in (None, 7, {}, {"content_filter_result": 7}, {"content_filter_result": {"x": 7, "y": {"filtered": 1}}}):
        error = {"code": "content_filter", "message": "It was filtered. More.", "innererror": inner}
        assert WIRE.failure(400, [], json.dumps({"error": error}).encode()).message == "It was filtered. More."
