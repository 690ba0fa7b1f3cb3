"""What Google's refusals mean, on both of its platforms, and what is learnt from them."""

import json
from typing import Any

import pytest

from penstock.providers.base import Call, JsonSchema, Message, Quirks, Tool
from penstock.providers.failures import (
    ContextTooLong,
    CredentialsRefused,
    Failure,
    ModelFailed,
    Overloaded,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    TimedOut,
    Unreachable,
    Unsupported,
    UpstreamConflict,
    UpstreamNotFound,
)
from penstock.providers.wires.gemini.failures import event_failure
from penstock.providers.wires.gemini.wire import WIRE

PLAIN = Quirks()


def info(reason: str, service: str = "generativelanguage.googleapis.com") -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": {"service": service}}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(*ids: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": one} for one in ids]}


def error(code: int, status: str, message: str, *details: Any) -> dict[str, Any]:
    found = {"code": code, "message": message, "status": status}
    return {"error": found | ({"details": list(details)} if details else {})}


def failure(body: dict[str, Any], status: int | None = None) -> Failure:
    found = WIRE.failure(status or body["error"]["code"], [], json.dumps(body).encode())
    assert isinstance(found, Failure)
    return found


NOT_VALID = "API key not valid. Please pass a valid API key."
NOT_SUPPORTED = (
    "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials."
)
IAM = "Permission 'aiplatform.endpoints.predict' denied on resource '//x/models/gemini-x' (or it may not exist)."
DISABLED = "Vertex AI API has not been used in project p before or it is disabled."
POLICY = "Organization Policy constraint constraints/vertexai.allowedModels violated for projects/p"
PREDICT = "aiplatform.googleapis.com"

TABLE: dict[str, tuple[dict[str, Any], type[Failure], str]] = {
    "a bad key": (
        error(400, "INVALID_ARGUMENT", NOT_VALID, info("API_KEY_INVALID")),
        CredentialsRefused,
        f"API_KEY_INVALID: Incorrect API key provided. {NOT_VALID}",
    ),
    "a bad key without details": (
        error(400, "INVALID_ARGUMENT", NOT_VALID),
        CredentialsRefused,
        f"Incorrect API key provided. {NOT_VALID}",
    ),
    "an expired key": (
        error(400, "INVALID_ARGUMENT", "API key expired. Please renew it.", info("API_KEY_INVALID")),
        CredentialsRefused,
        "API_KEY_INVALID: Incorrect API key provided. API key expired. Please renew it.",
    ),
    "too much context": (
        error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        ContextTooLong,
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
    ),
    "a location": (
        error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        PermissionRefused,
        "User location is not supported for the API use.",
    ),
    "any other 400": (error(400, "INVALID_ARGUMENT", "Bad field."), RequestRefused, "Bad field."),
    "no tools": (
        error(400, "INVALID_ARGUMENT", "Function calling is not enabled for models/gemma-3-1b-it"),
        Unsupported,
        "The model does not support tools. Function calling is not enabled for models/gemma-3-1b-it",
    ),
    "a token": (
        error(401, "UNAUTHENTICATED", "Request had invalid credentials.", info("ACCESS_TOKEN_EXPIRED", PREDICT)),
        CredentialsRefused,
        "ACCESS_TOKEN_EXPIRED: Request had invalid credentials.",
    ),
    "a suspended consumer": (
        error(403, "PERMISSION_DENIED", "Consumer has been suspended.", info("CONSUMER_SUSPENDED")),
        PermissionRefused,
        "CONSUMER_SUSPENDED: Consumer has been suspended.",
    ),
    "a model": (
        error(404, "NOT_FOUND", "models/x is not found for API version v1beta, or is not supported."),
        UpstreamNotFound,
        "models/x is not found for API version v1beta, or is not supported.",
    ),
    "a publisher's model": (
        error(404, "NOT_FOUND", "Publisher Model `x` was not found or your project does not have access to it."),
        UpstreamNotFound,
        "Publisher Model `x` was not found or your project does not have access to it.",
    ),
    "too fast": (error(429, "RESOURCE_EXHAUSTED", "Slower.", retry("38s")), RateLimited, "Slower."),
    "cancelled": (error(499, "CANCELLED", "Cancelled."), UpstreamConflict, "Cancelled."),
    "broken": (error(500, "INTERNAL", "Oops."), Unreachable, "Oops."),
    "overloaded": (error(503, "UNAVAILABLE", "The model is overloaded."), Overloaded, "The model is overloaded."),
    "late": (error(504, "DEADLINE_EXCEEDED", "Late."), TimedOut, "Late."),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_refusal_is_of_its_kind_as_an_answer_and_inside_a_stream(name: str) -> None:
    body, kind, message = TABLE[name]
    for found in (failure(body), event_failure(body), event_failure([body])):
        assert found is not None
        assert (type(found), found.message) == (kind, message)
        assert found.upstream_status == body["error"]["code"]
    array = WIRE.failure(body["error"]["code"], [], json.dumps([body]).encode())
    assert (type(array), array.message) == (kind, message)


def test_s047_a_bad_key_is_set_aside_and_the_word_of_the_documentation_is_kept() -> None:
    found = failure(error(400, "INVALID_ARGUMENT", NOT_VALID, info("API_KEY_INVALID")))
    assert (found.reason, found.upstream_code) == ("API_KEY_INVALID", "INVALID_ARGUMENT")
    assert (found.key_effect, found.other_key) == ("bad", True)


def test_a_400_that_repeats_a_callers_words_takes_no_key_from_others() -> None:
    found = failure(error(400, "INVALID_ARGUMENT", 'Invalid value "API key not valid" at x'))
    assert found.key_effect is None


def test_s047_a_disabled_api_is_named_and_every_key_of_that_project_is_set_aside() -> None:
    found = failure(error(403, "PERMISSION_DENIED", DISABLED, info("SERVICE_DISABLED", PREDICT)))
    assert isinstance(found, PermissionRefused)
    assert found.message == f"SERVICE_DISABLED: {DISABLED}"
    assert (found.reason, found.key_effect, found.other_key) == ("SERVICE_DISABLED", "bad", True)


def test_s047_a_policy_of_the_organisation_is_named_and_no_other_key_is_tried() -> None:
    for code, status in ((400, "FAILED_PRECONDITION"), (403, "PERMISSION_DENIED")):
        found = failure(error(code, status, POLICY))
        assert isinstance(found, PermissionRefused)
        assert found.message == f"Blocked by organisation policy: {POLICY}"
        assert (found.key_effect, found.other_key) == (None, False)


def test_a_denied_permission_may_be_a_mistyped_model_so_the_key_stays() -> None:
    found = failure(error(403, "PERMISSION_DENIED", IAM, info("IAM_PERMISSION_DENIED", PREDICT)))
    assert isinstance(found, PermissionRefused)
    assert found.message == f"IAM_PERMISSION_DENIED: {IAM}"
    assert (found.key_effect, found.other_key) == (None, True)


@pytest.mark.parametrize(
    "message, effect",
    [("User location is not supported.", "bad"), ("Please enable billing.", "bad"), ("Precondition failed.", None)],
)
def test_a_failed_precondition_costs_the_key_only_if_it_is_about_the_account(message: str, effect: str | None) -> None:
    assert failure(error(400, "FAILED_PRECONDITION", message)).key_effect == effect


def test_s060_a_quota_of_the_day_rests_the_key_for_an_hour_and_says_so_in_its_id() -> None:
    quotas = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "GenerateRequestsPerDay-FreeTier")
    body = error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", retry("38s"), quotas)
    for found in (failure(body), event_failure(body)):
        assert isinstance(found, RateLimited)
        assert (found.rest_s, found.retry_after_s) == (3600.0, 120.0)
        assert found.reason == "GenerateRequestsPerDay-FreeTier"


@pytest.mark.parametrize("details, wait", [((retry("38s"),), 38.0), ((retry("0.5s"),), 0.5), ((), 5.0)])
def test_s060_the_wait_is_the_providers_or_five_seconds(details: tuple[Any, ...], wait: float) -> None:
    body = error(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", *details)
    for found in (failure(body), event_failure(body)):
        assert isinstance(found, RateLimited)
        assert (found.retry_after_s, found.rest_s) == (wait, None)


@pytest.mark.parametrize("wait", ["-1s", "soon", "1e9s", "9999999999999999s", "", 5, None])
def test_a_wait_that_is_none_is_not_taken(wait: Any) -> None:
    found = event_failure(error(429, "RESOURCE_EXHAUSTED", "x", {"retryDelay": wait}))
    assert found is not None
    assert found.retry_after_s == 5.0


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><title>502</title>", b"[]", b"[1]", b'{"error":"x"}', b'{"error":{"details":[1,{"reason":2}]}}'],
)
@pytest.mark.parametrize("status", [400, 401, 403, 429, 502])
def test_errors_of_any_other_shape_are_failures_too(status: int, body: bytes) -> None:
    found = WIRE.failure(status, [], body)
    assert isinstance(found, Failure)
    assert found.message


# --- what is learnt --------------------------------------------------------------------------------------------------


def refused(message: str, status: int = 400, **fields: Any) -> Failure:
    found = RequestRefused(message)
    found.upstream_status = status
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def learnt(message: str, model: str = "gemini-2.5-flash", quirks: Quirks = PLAIN) -> Quirks | None:
    amendment = WIRE.amended(refused(message), model, quirks)
    return None if amendment is None else amendment.quirks


MISSING = "Function call is missing a thought_signature in functionCall parts."


@pytest.mark.parametrize("message", [MISSING, "Corrupted thought signature.", "Invalid thoughtSignature."])
def test_a_refused_signature_is_left_out_for_this_call_only(message: str) -> None:
    amendment = WIRE.amended(refused(message), "gemini-3-flash", PLAIN)
    assert amendment is not None
    assert (amendment.quirks, amendment.lasts_s) == (Quirks(opaque=False), 0.0)
    assert WIRE.amended(refused(message), "gemini-3-flash", amendment.quirks) is None


def test_an_answer_that_lacked_a_signature_is_asked_for_again_without() -> None:
    broken = ModelFailed("x")
    broken.upstream_code = "MISSING_THOUGHT_SIGNATURE"
    amendment = WIRE.amended(broken, "gemini-3-flash", PLAIN)
    assert amendment is not None
    assert not amendment.quirks.opaque


LADDERS: dict[str, tuple[str, list[tuple[str, Quirks | None]]]] = {
    "a level that a model lacks": (
        "gemini-3-flash",
        [
            ("Thinking level MINIMAL is not supported for this model.", Quirks(efforts=("low", "medium", "high"))),
            ("Thinking level LOW is not supported for this model.", Quirks(efforts=("medium", "high"))),
        ],
    ),
    "no levels at all": (
        "somebody-elses",
        [
            ("Thinking level is not supported for this model.", Quirks(thinking="budget")),
            ("Thinking budget is not supported for this model.", Quirks(thinking="none")),
            ("Thinking is not enabled for this model.", None),
        ],
    ),
    "thinking that cannot be switched off": (
        "gemini-2.5-flash",
        [
            (
                "Budget 0 is invalid. This model only works in thinking mode.",
                Quirks(efforts=("minimal", "low", "medium", "high")),
            ),
            (
                "The thinking budget 128 is invalid. Please choose a value between 512 and 24576.",
                Quirks(thinking="dynamic"),
            ),
            ("The thinking budget -1 is invalid.", Quirks(thinking="none")),
        ],
    ),
    "levels instead of budgets": (
        "gemini-2.5-pro",
        [("Thinking budget is not supported for this model. Use a thinking level.", Quirks(thinking="level"))],
    ),
}


@pytest.mark.parametrize("name", LADDERS)
def test_thinking_that_is_refused_is_asked_for_otherwise_and_in_the_end_not_at_all(name: str) -> None:
    model, steps = LADDERS[name]
    quirks = PLAIN
    for message, then in steps:
        found = learnt(message, model, quirks)
        assert found == then
        quirks = found or quirks


@pytest.mark.parametrize(
    "message, then",
    [
        ("Developer instruction is not enabled for models/gemma-9", Quirks(system=False)),
        ("The input system_instruction is not supported.", Quirks(system=False)),
        ("Function calling is not enabled for models/x", Quirks(tools=False)),
        (
            "Function calling with a response mime type: 'application/json' is unsupported",
            Quirks(dropped=frozenset({"responseMimeType"})),
        ),
        ("JSON mode is not enabled for models/x", Quirks(dropped=frozenset({"responseMimeType"}))),
        (
            "Penalty is not enabled for models/x",
            Quirks(dropped=frozenset({"presencePenalty", "frequencyPenalty"})),
        ),
        (
            "Invalid JSON payload received. Unknown name \"parametersJsonSchema\" at 'tools[0]': Cannot find field.",
            Quirks(dropped=frozenset({"parametersJsonSchema"})),
        ),
        (
            "Invalid JSON payload received. Unknown name \"response_json_schema\" at 'x': Cannot find field.",
            Quirks(dropped=frozenset({"responseJsonSchema"})),
        ),
        ("Invalid JSON payload received. Unknown name \"foo\" at 'x': Cannot find field.", None),
        ("Something else.", None),
    ],
)
def test_what_a_model_refuses_is_learnt_once(message: str, then: Quirks | None) -> None:
    assert learnt(message) == then
    if then is not None:
        assert learnt(message, quirks=then) is None


def test_s053_only_calls_that_make_sense_without_tools_lose_them() -> None:
    amendment = WIRE.amended(refused("Function calling is not enabled for models/x"), "x", PLAIN)
    assert amendment is not None
    assert amendment.drops_tools


def test_a_schema_that_is_too_much_is_told_in_words_for_this_call_only() -> None:
    words = "The specified schema produces a constraint that has too many states for serving."
    amendment = WIRE.amended(refused(words), "gemini-2.5-flash", PLAIN)
    assert amendment is not None
    assert amendment.lasts_s == 0.0
    call = Call(messages=[Message(role="user", content="Hi")], answer_format=JsonSchema(schema={"type": "object"}))
    assert b"generationConfig" not in WIRE.request(call, "gemini-2.5-flash", amendment.quirks).body


def test_a_refusal_of_another_status_teaches_nothing() -> None:
    assert WIRE.amended(refused("Thinking level is not supported", 500), "gemini-3-flash", PLAIN) is None


@pytest.mark.parametrize(
    "body",
    [
        error(401, "UNAUTHENTICATED", NOT_SUPPORTED, info("CREDENTIALS_MISSING", PREDICT)),
        error(401, "UNAUTHENTICATED", "Invalid credentials. Expected OAuth 2 access token, login cookie or other."),
        error(403, "PERMISSION_DENIED", "Requests are blocked.", info("API_KEY_SERVICE_BLOCKED", PREDICT)),
    ],
)
def test_a_key_that_vertex_refuses_on_the_projects_path_is_tried_on_the_short_one_before_it_is_set_aside(
    body: dict[str, Any],
) -> None:
    found = failure(body)
    amendment = WIRE.amended(found, "gemini-2.5-flash", PLAIN)
    assert amendment is not None
    assert amendment.quirks == Quirks(short_path=True)
    assert found.key_effect == "bad"  # once there is nothing left to try
    assert WIRE.amended(found, "gemini-2.5-flash", amendment.quirks) is None


def test_a_token_that_has_expired_is_no_matter_of_the_path() -> None:
    words = "Invalid credentials. Expected OAuth 2 access token, login cookie or other."
    found = failure(error(401, "UNAUTHENTICATED", words, info("ACCESS_TOKEN_EXPIRED", PREDICT)))
    assert (found.key_effect, WIRE.amended(found, "gemini-2.5-flash", PLAIN)) == ("bad", None)


def test_the_gemini_api_has_no_short_path() -> None:
    found = failure(error(403, "PERMISSION_DENIED", "Blocked.", info("API_KEY_SERVICE_BLOCKED")))
    assert (found.key_effect, WIRE.amended(found, "gemini-2.5-flash", PLAIN)) == ("bad", None)


def test_what_is_learnt_changes_the_request() -> None:
    call = Call(
        messages=[Message(role="system", content="S"), Message(role="user", content="Hi")],
        tools=[Tool("f", "F", {"type": "object", "properties": {"q": {}}})],
        presence_penalty=0.1,
        reasoning="low",
    )
    model = "gemini-3-flash"
    before = WIRE.request(call, model, PLAIN)
    for message in ("Thinking level LOW is not supported", "System instruction is refused", "Penalty is not enabled"):
        quirks = learnt(message, model)
        assert quirks is not None
        assert WIRE.request(call, model, quirks) != before
