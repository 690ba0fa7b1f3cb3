"""Refusals in the Messages format: how they are sorted, and what is said instead."""

import json
from typing import Any

import pytest

from penstock.providers.base import Amendment, Call, JsonSchema, Message, Quirks, Tool
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
    TooLarge,
    Unreachable,
    UpstreamConflict,
    UpstreamNotFound,
)
from penstock.providers.wires.anthropic.wire import WIRE

MODEL = "claude-sonnet-4-5"


def refused(kind: str, message: str) -> bytes:
    error = {"type": kind, "message": message}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


def google(code: int, status: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status}}).encode()


BAD = "invalid_request_error"


@pytest.mark.parametrize(
    "status, body, expected, words",
    [
        (400, refused(BAD, "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong, "prompt is too long: 9"),
        (
            400,
            refused(BAD, "input length and `max_tokens` exceed context limit: 5 + 6 > 8"),
            ContextTooLong,
            "exceed context limit",
        ),
        (
            400,
            refused(BAD, "Your credit balance is too low to access the Anthropic API."),
            CreditExhausted,
            "Your credit balance",
        ),
        (
            400,
            refused(BAD, "You have reached your specified API usage limits."),
            CreditExhausted,
            "You have reached",
        ),
        (400, refused(BAD, "This workspace is over its spend limit."), CreditExhausted, "spend limit"),
        (400, refused(BAD, "Output blocked by content filtering policy"), ContentFiltered, "Output blocked"),
        (400, refused(BAD, "messages: roles must alternate"), RequestRefused, "roles must alternate"),
        (400, refused(BAD, "tools.0.name: `invalid api key` is too short"), RequestRefused, "tools.0.name"),
        (400, refused(BAD, "metadata.user_id: `rate limit` is no id"), RequestRefused, "metadata.user_id"),
        (401, refused("authentication_error", "invalid x-api-key"), CredentialsRefused, "invalid x-api-key"),
        (402, refused("billing_error", "Pay first"), CreditExhausted, "Pay first"),
        (403, refused("permission_error", "Not allowed"), PermissionRefused, "Not allowed"),
        (404, refused("not_found_error", "model: claude-9"), UpstreamNotFound, "model: claude-9"),
        (409, refused("conflict_error", "Again"), UpstreamConflict, "Again"),
        (413, refused("request_too_large", "Request exceeds the maximum size"), TooLarge, "maximum size"),
        (413, b"<html><title>413 Too Large</title></html>", TooLarge, "413 Too Large"),
        (429, refused("rate_limit_error", "Slow down"), RateLimited, "Slow down"),
        (500, refused("api_error", "Internal server error"), Unreachable, "Internal server error"),
        (504, refused("timeout_error", "Late"), TimedOut, "Late"),
        (529, refused("overloaded_error", "Overloaded"), Overloaded, "Overloaded"),
        # Vertex AI, in its own words
        (400, google(400, "FAILED_PRECONDITION", "Not allowed here"), PermissionRefused, "Not allowed here"),
        (401, google(401, "UNAUTHENTICATED", "Expected OAuth 2 access token"), CredentialsRefused, "Expected OAuth 2"),
        (403, google(403, "PERMISSION_DENIED", "SERVICE_DISABLED: enable it"), PermissionRefused, "SERVICE_DISABLED"),
        (404, google(404, "NOT_FOUND", "Publisher Model `x` was not found"), UpstreamNotFound, "Publisher Model"),
        (429, google(429, "RESOURCE_EXHAUSTED", "Resource exhausted."), RateLimited, "Resource exhausted"),
        (
            429,
            b"[" + google(429, "RESOURCE_EXHAUSTED", "Resource exhausted.") + b"]",
            RateLimited,
            "Resource exhausted",
        ),
        # and in the model's, wrapped into its own
        (
            400,
            google(400, "INVALID_ARGUMENT", refused(BAD, "prompt is too long: 9 > 8").decode()),
            ContextTooLong,
            "prompt is too long: 9 > 8",
        ),
        (400, b"", RequestRefused, "400"),
        (503, b"[1]", Overloaded, "[1]"),
    ],
)
def test_every_refusal_is_sorted_and_keeps_its_words(
    status: int, body: bytes, expected: type[Failure], words: str
) -> None:
    failure = WIRE.failure(status, (), body)
    assert type(failure) is expected
    assert words in failure.message
    assert failure.upstream_status == status


def test_s040_a_refused_key_is_called_incorrect_as_at_openai() -> None:
    failure = WIRE.failure(401, (), refused("authentication_error", "invalid x-api-key"))
    assert failure.message == "Incorrect API key provided; the provider says: invalid x-api-key"


def test_a_refusal_of_one_word_becomes_a_sentence() -> None:
    assert WIRE.failure(529, (), refused("overloaded_error", "Overloaded")).message == "The provider says: Overloaded."


def test_an_empty_account_sets_its_key_aside_but_words_of_the_caller_do_not() -> None:
    own = WIRE.failure(400, (), refused(BAD, "Your credit balance is too low to access the Anthropic API."))
    quoted = WIRE.failure(400, (), refused(BAD, "messages.0: `your credit balance is too low` is not allowed"))
    assert isinstance(own, CreditExhausted)
    assert isinstance(quoted, CreditExhausted)
    assert (own.key_effect, quoted.key_effect) == ("bad", None)


def test_waiting_times_and_ids_are_read_from_the_headers() -> None:
    headers = [(b"retry-after", b"7"), (b"request-id", b"req_9")]
    failure = WIRE.failure(429, headers, refused("rate_limit_error", "Slow down"))
    assert isinstance(failure, RateLimited)
    assert (failure.retry_after_s, failure.upstream_request_id) == (7.0, "req_9")
    kept = WIRE.failure(529, [(b"x-should-retry", b"false")], refused("overloaded_error", "Overloaded"))
    assert isinstance(kept, Overloaded)
    assert not kept.same_key_once


# --- what is learnt -------------------------------------------------------------------------------------------------


def lesson(message: str, *, model: str = MODEL, quirks: Quirks | None = None, status: int = 400) -> Amendment | None:
    failure = WIRE.failure(status, (), refused(BAD, message))
    return WIRE.amended(failure, model, quirks or Quirks())


@pytest.mark.parametrize(
    "message, learnt",
    [
        (
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
            {"efforts": ("low", "medium", "high", "max")},
        ),
        ("output_config.effort: Extra inputs are not permitted", {"efforts": ()}),
        ("This model does not support the effort parameter.", {"efforts": ()}),
        (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".',
            {"thinking": "adaptive"},
        ),
        (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.',
            {"thinking": "adaptive", "efforts": None},
        ),
        ('"thinking.type.adaptive" is not supported for this model', {"thinking": "budget"}),
        ("adaptive thinking is not supported on this model", {"thinking": "budget"}),
        ('"thinking.type.disabled" is not supported for this model.', {"dropped": frozenset({"thinking"})}),
        ("thinking.adaptive.display: Extra inputs are not permitted", {"dropped": frozenset({"display"})}),
        ("This model does not support thinking.", {"dropped": frozenset({"thinking"}), "thinking": "off"}),
        ("temperature: Extra inputs are not permitted", {"dropped": frozenset({"temperature"})}),
        ("`temperature` and `top_p` cannot both be specified for this model", {"dropped": frozenset({"top_p"})}),
        ("`top_p` is deprecated for this model.", {"dropped": frozenset({"top_p"})}),
        ("system.0.cache_control: Extra inputs are not permitted", {"dropped": frozenset({"cache_control"})}),
        ("metadata: Extra inputs are not permitted", {"dropped": frozenset({"metadata"})}),
        (
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            {"dropped": frozenset({"prefill"})},
        ),
        (
            "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-x",
            {"max_output": 64_000},
        ),
        (
            "output_config.format: Extra inputs are not permitted",
            {"dropped": frozenset({"output_config.format"})},
        ),
        ("tools.0.custom.strict: Extra inputs are not permitted", {"dropped": frozenset({"strict"})}),
    ],
)
def test_what_a_model_does_not_accept_is_remembered(message: str, learnt: dict[str, Any]) -> None:
    found = lesson(message)
    assert found is not None
    assert {name: getattr(found.quirks, name) for name in learnt} == learnt
    assert found.lasts_s > 0


@pytest.mark.parametrize(
    "message, learnt",
    [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", {"opaque": False}),
        ("messages.3: `thinking` blocks cannot be modified", {"opaque": False}),
        (
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`.",
            {"thinking": "off"},
        ),
        ("Thinking may not be enabled when tool_choice forces tool use.", {"thinking": "off"}),
        (
            "output_config.format.schema: recursive schemas are not supported",
            {"dropped": frozenset({"output_config.format"})},
        ),
        ("input length and `max_tokens` exceed context limit: 5 + 6 > 8", {"dropped": frozenset({"max_tokens"})}),
    ],
)
def test_what_only_this_call_was_refused_for_is_not_remembered(message: str, learnt: dict[str, Any]) -> None:
    found = lesson(message)
    assert found is not None
    assert {name: getattr(found.quirks, name) for name in learnt} == learnt
    assert found.lasts_s == 0


def test_a_model_that_always_thinks_is_asked_for_its_tool_kindly() -> None:
    message = "Thinking may not be enabled when tool_choice forces tool use."
    found = lesson(message, model="claude-opus-5-5")
    assert found is not None
    assert (found.quirks.dropped, found.quirks.thinking) == (frozenset({"tool_choice"}), None)


@pytest.mark.parametrize(
    "message, status, quirks",
    [
        ("messages: roles must alternate", 400, Quirks()),
        ("temperature: Extra inputs are not permitted", 500, Quirks()),
        ("temperature: Extra inputs are not permitted", 400, Quirks(dropped=frozenset({"temperature"}))),
        ("foo: Extra inputs are not permitted", 400, Quirks()),
    ],
)
def test_other_refusals_teach_nothing(message: str, status: int, quirks: Quirks) -> None:
    assert lesson(message, status=status, quirks=quirks) is None


def test_what_was_learnt_changes_what_is_sent() -> None:
    def body(quirks: Quirks) -> dict[str, Any]:
        call = Call(
            messages=[Message(role="user", content="Hi")],
            temperature=0.5,
            answer_format=JsonSchema(schema={"type": "object", "properties": {"a": {}}}),
            tools=[Tool("f", "", {})],
        )
        sent: dict[str, Any] = json.loads(WIRE.request(call, MODEL, quirks).body)
        return sent

    assert {"temperature", "output_config"} <= set(body(Quirks()))
    for message, field in (
        ("temperature: Extra inputs are not permitted", "temperature"),
        ("output_config.format: Extra inputs are not permitted", "output_config"),
    ):
        found = lesson(message)
        assert found is not None
        assert field not in body(found.quirks)
