"""Every refusal of OpenAI and its relatives has its kind (`spec/providers.md` 4.8, 10.5, 11, 12)."""

import json
from typing import Any

import pytest

from penstock.providers.failures import (
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    ModelFailed,
    Overloaded,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    TimedOut,
    TooLarge,
    Unreachable,
    Unsupported,
    UpstreamConflict,
    UpstreamNotFound,
)
from penstock.providers.wires.openai import chat as openai_chat
from penstock.providers.wires.openai import responses as openai_responses


def said(message: str = "No.", code: Any = None, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


Row = tuple[int, Any, type[Failure]]

OPENAI: list[Row] = [
    (401, said("Incorrect API key provided: sk-ab***cd.", "invalid_api_key"), CredentialsRefused),
    (401, said("The account was deactivated.", "account_deactivated"), CredentialsRefused),
    (401, said("You have insufficient permissions. Missing scopes: model.request"), CredentialsRefused),
    (403, said(code="unsupported_country_region_territory"), PermissionRefused),
    (404, said("The model 'x' does not exist or you do not have access to it.", "model_not_found"), UpstreamNotFound),
    (400, said("The requested model 'x' does not exist.", "model_not_found"), UpstreamNotFound),
    (400, said(code="context_length_exceeded"), ContextTooLong),
    (400, said(code="string_above_max_length"), ContextTooLong),
    (400, said(code="content_policy_violation"), ContentFiltered),
    (400, said(code="invalid_prompt"), ContentFiltered),
    (400, said(code="moderation_blocked"), ContentFiltered),
    (400, said(code="unsupported_parameter"), RequestRefused),
    (400, said(code="unsupported_value"), RequestRefused),
    (400, said(code="invalid_value"), RequestRefused),
    (400, said(code="decimal_below_min_value"), RequestRefused),
    (400, said(code="missing_required_parameter"), RequestRefused),
    (400, said(code="invalid_function_parameters"), RequestRefused),
    (402, said(), CreditExhausted),
    (408, said(), TimedOut),
    (409, said(), UpstreamConflict),
    (413, said(), TooLarge),
    (429, said(code="rate_limit_exceeded", kind="tokens"), RateLimited),
    (429, said(code="insufficient_quota"), CreditExhausted),
    (400, said(code="billing_hard_limit_reached"), CreditExhausted),
    (429, said("Request too large for gpt-4.1 on tokens per min."), RateLimited),
    (500, said(kind="server_error"), Unreachable),
    (502, b"<html><title>Bad Gateway</title></html>", Unreachable),
    (504, b"", TimedOut),
    (503, said(code="engine_overloaded"), Overloaded),
    (503, said(code="slow_down"), Overloaded),
]
RELATIVES: list[Row] = [
    # Ollama
    (400, said("registry.ollama.ai/library/x does not support tools", kind="api_error"), Unsupported),
    (404, said('model "x" not found, try pulling it first', kind="api_error"), UpstreamNotFound),
    (404, b"404 page not found", UpstreamNotFound),
    # vLLM, SGLang
    (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you …",
            "code": 400,
        },
        ContextTooLong,
    ),
    (400, {"object": "error", "message": "Bad.", "type": "BadRequestError", "code": 400}, RequestRefused),
    (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}, UpstreamNotFound),
    (400, said('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'), Unsupported),
    # llama.cpp
    (
        400,
        said("the request exceeds the available context size, try increasing it", 400, "exceed_context_size_error"),
        ContextTooLong,
    ),
    (503, said("Loading model", 503, "unavailable_error"), Overloaded),
    (501, said("This feature is not enabled", 501, "not_supported_error"), Unsupported),
    # LM Studio, TGI
    (400, {"error": "The model has crashed."}, RequestRefused),
    (422, {"error": "Input validation error: `inputs` tokens", "error_type": "validation"}, RequestRefused),
    (429, {"error": "Model is overloaded", "error_type": "overloaded"}, RateLimited),
    # OpenRouter
    (402, said("Insufficient credits", 402), CreditExhausted),
    (403, said("Your input was flagged", 403, metadata={"reasons": ["x"], "flagged_input": "y"}), ContentFiltered),
    (502, said("Provider returned error", 502), Unreachable),
    (503, said("No provider fits", 503), Overloaded),
    (
        400,
        said("Provider returned error", 400, metadata={"raw": '{"error":{"message":"prompt is too long: 9"}}'}),
        ContextTooLong,
    ),
    # Groq
    (400, said("Failed to call a function.", "tool_use_failed"), ModelFailed),
    (413, said("Request too large for model `x`", "rate_limit_exceeded", "tokens"), TooLarge),
    (498, said("Flex tier capacity exceeded"), Overloaded),
    # DeepSeek
    (402, said("Insufficient Balance"), CreditExhausted),
    (422, said("Invalid parameters"), RequestRefused),
    # Mistral
    (401, {"detail": "Unauthorized"}, CredentialsRefused),
    (401, {"message": "Unauthorized", "request_id": "r"}, CredentialsRefused),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}, RequestRefused),
    (
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        UpstreamNotFound,
    ),
    (429, {"message": "Requests rate limit exceeded"}, RateLimited),
    (
        429,
        {"object": "error", "message": "Service tier capacity exceeded for this model.", "code": "3505"},
        RateLimited,
    ),
    (400, {"message": "Prompt contains 9 tokens, too large for model with 8 maximum context length"}, ContextTooLong),
    # Qwen
    (403, said("Access denied.", "AccessDenied.Unpurchased"), PermissionRefused),
    (429, said("Throttled.", "Throttling.RateQuota"), RateLimited),
    (429, said("Throttled.", "limit_requests"), RateLimited),
    (400, said("Access denied, your account is in arrears.", "Arrearage"), CreditExhausted),
    (400, said("Inappropriate content.", "data_inspection_failed"), ContentFiltered),
    (400, said("Range of input length should be [1, 30720]", "invalid_parameter_error"), ContextTooLong),
    (500, said("Internal.", "InternalError"), Unreachable),
    (503, said("Busy.", "ServiceUnavailable"), Overloaded),
]


@pytest.mark.parametrize("wire", [openai_chat.WIRE, openai_responses.WIRE], ids=["chat", "responses"])
@pytest.mark.parametrize("status, body, kind", OPENAI + RELATIVES)
def test_every_refusal_has_its_kind(wire: Any, status: int, body: Any, kind: type[Failure]) -> None:
    failure = wire.failure(status, [], body if isinstance(body, bytes) else json.dumps(body).encode())
    assert type(failure) is kind
    assert failure.upstream_status == status
    assert failure.message


def test_a_request_that_is_too_large_for_the_account_rests_no_key() -> None:
    body = json.dumps(said("Request too large for gpt-4.1 on tokens per min.")).encode()
    failure: Any = openai_chat.WIRE.failure(429, [], body)
    assert (failure.key_effect, failure.other_key, failure.other_backend) == (None, True, True)


def test_the_provider_may_forbid_a_second_try() -> None:
    body = json.dumps(said(code="tool_use_failed")).encode()
    once: Any = openai_chat.WIRE.failure(400, [], body)
    never: Any = openai_chat.WIRE.failure(400, [(b"x-should-retry", b"false")], body)
    assert (once.same_key_once, never.same_key_once) == (True, False)


@pytest.mark.parametrize("status, is_repeated", [(500, True), (400, True), (401, False)])
def test_the_provider_may_ask_for_a_second_try(status: int, is_repeated: bool) -> None:
    failure: Any = openai_chat.WIRE.failure(status, [(b"x-should-retry", b"true")], json.dumps(said("Oh")).encode())
    assert failure.same_key_once is is_repeated


def test_a_loading_model_says_when_to_come_back() -> None:
    body = json.dumps(said("Loading model", 503, "unavailable_error")).encode()
    assert openai_chat.WIRE.failure(503, [], body).retry_after_s == 2.0
    assert openai_chat.WIRE.failure(503, [(b"retry-after", b"7")], body).retry_after_s == 7.0
