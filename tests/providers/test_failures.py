"""How answers of providers are sorted, what may be tried next, and what people are told."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.providers.failures import (
    MAX_RETRY_AFTER_S,
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    ModelFailed,
    NoUsableKey,
    Overloaded,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    ShapeMismatch,
    TimedOut,
    TooLarge,
    Truncated,
    Unreachable,
    Unsupported,
    UpstreamConflict,
    UpstreamNotFound,
    classify,
    explain_for,
    from_event,
    from_transport,
    retry_after,
    timed_out,
)
from penstock.providers.transport.base import Header, LimitName, TransportError, TransportTimeout

CANARY = "sk-proj-CANARY0123456789abcdef"


def openai(message: str = "m", code: str | None = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


# Each row: status, body, class, a part of the message that must survive.
TABLE: list[tuple[int, bytes, type[Failure], str]] = [
    # OpenAI
    (
        401,
        openai("Incorrect API key provided: sk-abc***xyz.", "invalid_api_key"),
        CredentialsRefused,
        "Incorrect API key",
    ),
    (401, openai("Deactivated", "account_deactivated"), CredentialsRefused, "Deactivated"),
    (403, openai("Country", "unsupported_country_region_territory"), PermissionRefused, "Country"),
    (
        404,
        openai("The model 'x' does not exist or you do not have access to it.", "model_not_found"),
        UpstreamNotFound,
        "x",
    ),
    (400, openai("The requested model 'x' does not exist.", "model_not_found"), UpstreamNotFound, "does not exist"),
    (400, openai("too long", "context_length_exceeded"), ContextTooLong, "too long"),
    (400, openai("too long", "string_above_max_length"), ContextTooLong, "too long"),
    (400, openai("no", "content_policy_violation"), ContentFiltered, "no"),
    (400, openai("no", "invalid_prompt"), ContentFiltered, "no"),
    (400, openai("no", "moderation_blocked"), ContentFiltered, "no"),
    (400, openai("no", "unsupported_parameter", "invalid_request_error"), RequestRefused, "no"),
    (400, openai("no", "decimal_below_min_value"), RequestRefused, "no"),
    (402, openai("pay"), CreditExhausted, "pay"),
    (408, openai("late"), TimedOut, "late"),
    (409, openai("busy"), UpstreamConflict, "busy"),
    (413, openai("big"), TooLarge, "big"),
    (429, openai("slow down", "rate_limit_exceeded", "requests"), RateLimited, "slow down"),
    (429, openai("no money", "insufficient_quota"), CreditExhausted, "no money"),
    (400, openai("no money", "billing_hard_limit_reached"), CreditExhausted, "no money"),
    (500, openai("maximum context length", "server_error"), Unreachable, "maximum context length"),
    (502, b"", Unreachable, "502 Bad Gateway"),
    (503, openai("later", "engine_overloaded"), Overloaded, "later"),
    (504, b"", TimedOut, "504 Gateway Timeout"),
    (524, b"", TimedOut, "524"),
    (529, b"", Overloaded, "529"),
    (425, b"", UpstreamConflict, "425"),
    (499, b"", UpstreamConflict, "499"),
    (418, b"", RequestRefused, "418"),
    (302, b"", ShapeMismatch, "302"),
    # Ollama
    (
        400,
        openai("registry.ollama.ai/library/x does not support tools", kind="api_error"),
        Unsupported,
        "does not support tools",
    ),
    (
        404,
        openai('model "x" not found, try pulling it first', kind="api_error"),
        UpstreamNotFound,
        "try pulling it first",
    ),
    (404, b"404 page not found", UpstreamNotFound, "Not Found"),
    # vLLM
    (
        400,
        b'{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}',
        RequestRefused,
        "bad",
    ),
    (
        404,
        b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}',
        UpstreamNotFound,
        "x",
    ),
    (404, b'{"detail":"Not Found"}', UpstreamNotFound, "Not Found"),
    (
        400,
        openai("This model's maximum context length is 8 tokens. However, you requested 9 tokens"),
        ContextTooLong,
        "maximum context length",
    ),
    (
        400,
        openai('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        Unsupported,
        "tool choice requires",
    ),
    # llama.cpp
    (
        400,
        b'{"error":{"code":400,"message":"the request exceeds the available context size",'
        b'"type":"exceed_context_size_error"}}',
        ContextTooLong,
        "available context size",
    ),
    (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', Overloaded, "Loading model"),
    (501, b'{"error":{"code":501,"message":"not built","type":"not_supported_error"}}', Unsupported, "not built"),
    # LM Studio, TGI
    (400, b'{"error":"Trying to keep the first 9 tokens when context overflows"}', RequestRefused, "context overflows"),
    (422, b'{"error":"Input validation error","error_type":"validation"}', RequestRefused, "Input validation"),
    (429, b'{"error":"Model is overloaded","error_type":"overloaded"}', RateLimited, "overloaded"),
    # OpenRouter
    (402, b'{"error":{"code":402,"message":"Insufficient credits"},"user_id":"u"}', CreditExhausted, "credits"),
    (
        403,
        b'{"error":{"code":403,"message":"Flagged","metadata":{"reasons":["x"],"flagged_input":"y"}}}',
        ContentFiltered,
        "Flagged",
    ),
    (502, b'{"error":{"code":502,"message":"Provider returned error"}}', Unreachable, "Provider returned error"),
    (503, b'{"error":{"code":503,"message":"No provider fits"}}', Overloaded, "No provider"),
    (
        400,
        b'{"error":{"code":400,"message":"Provider returned error","metadata":{"provider_name":"X","raw":'
        b'"{\\"error\\":{\\"message\\":\\"prompt is too long: 9 > 8\\",\\"type\\":\\"invalid_request_error\\"}}"}}}',
        ContextTooLong,
        "prompt is too long",
    ),
    # Groq
    (
        400,
        openai("Failed to call a function.", "tool_use_failed", "invalid_request_error"),
        ModelFailed,
        "Failed to call",
    ),
    (413, openai("Request too large for model x on tokens per minute", "rate_limit_exceeded"), TooLarge, "too large"),
    (498, b"", Overloaded, "498"),
    # DeepSeek
    (402, openai("Insufficient Balance"), CreditExhausted, "Insufficient Balance"),
    (400, openai("Insufficient Balance"), CreditExhausted, "Insufficient Balance"),
    (422, openai("bad field"), RequestRefused, "bad field"),
    # Mistral
    (401, b'{"detail":"Unauthorized"}', CredentialsRefused, "Unauthorized"),
    (401, b'{"message":"Unauthorized","request_id":"r"}', CredentialsRefused, "Unauthorized"),
    (
        422,
        b'{"detail":[{"loc":["body","messages",0,"role"],"msg":"bad role","type":"enum"}]}',
        RequestRefused,
        "body.messages.0.role: bad role",
    ),
    (
        400,
        b'{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}',
        UpstreamNotFound,
        "x",
    ),
    (429, b'{"message":"Requests rate limit exceeded"}', RateLimited, "rate limit"),
    (
        429,
        b'{"object":"error","message":"Service tier capacity exceeded for this model.","code":"3505"}',
        RateLimited,
        "capacity",
    ),
    (
        400,
        b'{"message":"Prompt too large for model with 8 maximum context length"}',
        ContextTooLong,
        "too large for model",
    ),
    # Qwen
    (400, openai("arrears", "Arrearage"), CreditExhausted, "arrears"),
    (400, openai("inspected", "data_inspection_failed"), ContentFiltered, "inspected"),
    (400, openai("Range of input length should be [1, 9]"), ContextTooLong, "Range of input"),
    (403, openai("no", "AccessDenied.Unpurchased"), PermissionRefused, "no"),
    (429, openai("no", "Throttling.RateQuota"), RateLimited, "no"),
    # A status that is wrong, and bodies that are not JSON
    (400, openai("Too many requests, throttled"), RateLimited, "throttled"),
    (400, openai("Incorrect API key provided"), CredentialsRefused, "Incorrect API key"),
    (
        502,
        b"<html><head><title>502 Bad Gateway</title></head></html>",
        Unreachable,
        "HTML page instead of an answer: 502",
    ),
    (500, b"Internal Server Error", Unreachable, "Internal Server Error"),
    (405, b'{"detail":"Method Not Allowed"}', Unsupported, "Method Not Allowed"),
    (400, b'"just a string"', RequestRefused, "just a string"),
    (400, b"[]", RequestRefused, "[]"),
    (400, b"\xff\xfe", RequestRefused, "\ufffd"),
]


@pytest.mark.parametrize("status, body, kind, words", TABLE, ids=[f"{row[0]}-{row[1][:50]!r}" for row in TABLE])
def test_an_error_answer_is_sorted_and_keeps_its_words(
    status: int, body: bytes, kind: type[Failure], words: str
) -> None:
    failure = classify(status, [], body)
    assert type(failure) is kind
    assert words in failure.message
    assert failure.upstream_status == status


POLICY: list[tuple[type[Failure], str, int, bool, bool, bool, str | None]] = [
    (CredentialsRefused, "auth", 502, True, False, False, "bad"),
    (NoUsableKey, "auth", 502, False, False, False, None),
    (PermissionRefused, "permission", 502, True, False, False, "bad"),
    (CreditExhausted, "billing", 502, True, True, False, "bad"),
    (UpstreamNotFound, "not_found", 502, False, False, False, None),
    (RateLimited, "rate_limited", 429, True, True, False, "rest"),
    (Overloaded, "overloaded", 503, False, True, True, None),
    (ContextTooLong, "context_too_long", 400, False, False, False, None),
    (TooLarge, "too_large", 413, False, False, False, None),
    (ContentFiltered, "content_filtered", 400, False, False, False, None),
    (RequestRefused, "invalid_request", 400, False, False, False, None),
    (Unsupported, "unsupported", 400, False, False, False, None),
    (UpstreamConflict, "conflict", 503, False, True, True, None),
    (TimedOut, "timeout", 504, False, True, False, None),
    (Unreachable, "upstream_unavailable", 502, False, True, False, None),
    (ModelFailed, "upstream_error", 502, False, True, False, None),
    (ShapeMismatch, "shape_mismatch", 502, False, True, False, None),
    (Truncated, "truncated", 502, False, True, False, None),
]


@pytest.mark.parametrize("kind, word, status, other_key, other_backend, same_key, effect", POLICY)
def test_each_kind_says_what_may_be_tried_next(
    kind: type[Failure],
    word: str,
    status: int,
    other_key: bool,
    other_backend: bool,
    same_key: bool,
    effect: str | None,
) -> None:
    failure = kind("m")
    assert (failure.kind, failure.status) == (word, status)
    assert failure.code == (word if word.startswith("upstream_") else f"upstream_{word}")
    policy = (failure.other_key, failure.other_backend, failure.same_key_once, failure.key_effect)
    assert policy == (other_key, other_backend, same_key, effect)


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_provider_that_forbids_retries_is_obeyed(status: int) -> None:
    failure = classify(status, [(b"x-should-retry", b"false")], openai())
    assert [failure.other_key, failure.other_backend, failure.same_key_once] == [False, False, False]


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "invalid x-api-key"), (403, "no"), (402, "pay"), (400, "Your credit balance is too low")],
)
def test_a_refused_key_is_replaced_also_where_the_provider_forbids_to_try_it_again(status: int, words: str) -> None:
    failure = classify(status, [(b"x-should-retry", b"false")], openai(words))
    assert failure.other_key
    assert not failure.same_key_once


def test_a_request_over_the_allowance_of_a_minute_says_nothing_about_the_key() -> None:
    failure = classify(429, [], openai("Request too large for gpt-x: Limit 10, Requested 20", "rate_limit_exceeded"))
    assert failure.other_key
    assert failure.key_effect is None


@pytest.mark.parametrize("words", ["Incorrect API key provided", "insufficient balance", "too many requests"])
def test_words_that_the_caller_may_have_sent_move_the_call_on_and_set_no_key_aside(words: str) -> None:
    failure = classify(400, [], openai(f"temperature: expected a number, got '{words}'", "invalid_type"))
    assert failure.other_key
    assert failure.key_effect is None
    event = from_event({"error": {"message": words}})
    assert event is not None
    assert event.key_effect is None


def test_a_code_that_refuses_the_key_sets_it_aside_whatever_the_status() -> None:
    assert classify(400, [], openai("no", "API_KEY_INVALID")).key_effect == "bad"


@pytest.mark.parametrize(
    ("body", "other_key", "effect"),
    [
        (openai("Project `p` does not have access to model `gpt-x`", "model_not_found"), False, None),
        (openai("You are not allowed to sample from this model", "forbidden"), False, None),
        (openai("Missing scopes: model.request"), True, "bad"),
        (openai("Country, region, or territory not supported", "unsupported_country_region_territory"), True, "bad"),
        (b"<html><title>Blocked by the firewall</title></html>", True, None),
        (b"Forbidden", True, None),
    ],
)
def test_a_403_sets_a_key_aside_only_when_it_is_about_the_key(body: bytes, other_key: bool, effect: str | None) -> None:
    failure = classify(403, [], body)
    assert (failure.kind, failure.other_key, failure.key_effect) == ("permission", other_key, effect)


def test_the_providers_request_id_and_code_are_kept_for_the_log() -> None:
    failure = classify(500, [(b"x-request-id", b"req_1")], openai(code="server_error"))
    assert (failure.upstream_request_id, failure.upstream_code) == ("req_1", "server_error")


def test_of_a_refusal_that_repeats_the_request_without_end_the_message_is_found_and_the_request_is_not_shown() -> None:
    prompt = 'my \\"message\\": \\"canary\\" of a prompt ' * 5_000
    told = '{"detail":[{"loc":["body"],"msg":"Input should be a \\"list\\"","input":"' + prompt
    assert classify(422, [], told.encode()).message == 'Input should be a "list"'
    lost = '{"input":"' + prompt
    assert "canary" not in classify(422, [], lost.encode()).message
    assert classify(500, [], b"{oops}").message == "{oops}"


def test_a_long_message_is_cut_and_stands_on_one_line() -> None:
    failure = classify(500, [], openai("a \n b\t" + "x" * 1000))
    assert failure.message.startswith("a b x")
    assert len(failure.message) == 500


def test_no_secret_survives_in_what_an_error_carries() -> None:
    body = openai(f"Incorrect API key provided: {CANARY}. Bearer {CANARY}; own-secret-value")
    failure = classify(401, [], body, secrets=["own-secret-value"])
    for text in (failure.message, failure.raw, str(failure), repr(failure.args)):
        assert "CANARY" not in text
        assert "own-secret-value" not in text
    assert "Incorrect API key provided: ***" in failure.message


def test_a_key_at_the_place_where_the_message_is_cut_does_not_survive_in_half() -> None:
    failure = classify(500, [], openai("x" * 480 + " " + CANARY))
    assert "CANA" not in failure.message


# --- when to come back

AT = datetime.now(UTC) + timedelta(hours=1)
DELAYS: list[tuple[list[Header], bytes, float | None]] = [
    ([(b"retry-after-ms", b"1500"), (b"retry-after", b"9")], b"", 1.5),
    ([(b"retry-after", b"7")], b"", 7.0),
    ([(b"retry-after", b"0.5")], b"", 0.5),
    ([(b"retry-after", b"0")], b"", 0.0),
    ([(b"retry-after", b"86400")], b"", 120.0),
    ([(b"retry-after", b"-1")], b"", None),
    ([(b"retry-after", b"nan")], b"", None),
    ([(b"retry-after", b"soon")], b"", None),
    ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")], b"", None),
    ([], b'{"error":{"details":[{"@type":"RetryInfo","retryDelay":"38s"}]}}', 38.0),
    ([], b'{"error":{"details":[{"retryDelay":"0.5s"}]}}', 0.5),
    ([], b'{"error":{"message":"m","retry_after":3}}', 3.0),
    ([], b'{"error":{"message":"m","metadata":{"retry_after":4}}}', 4.0),
    ([(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"1m2.5s")], b"", 62.5),
    ([(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"120ms")], b"", 0.12),
    ([(b"x-ratelimit-remaining-requests", b"5"), (b"x-ratelimit-reset-requests", b"6s")], b"", None),
    ([], openai("Rate limit reached. Please try again in 6.2s. Visit"), 6.2),
    ([], openai("Please retry after 10 seconds."), 10.0),
    ([], openai("try again in 1m30s"), 90.0),
    ([], openai("no idea"), None),
    ([], b"", None),
]


@pytest.mark.parametrize("headers, body, expected", DELAYS)
def test_the_delay_is_read_wherever_it_stands(headers: list[Header], body: bytes, expected: float | None) -> None:
    assert retry_after(headers, body) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"retry-after", format_datetime(AT, usegmt=True).encode())],
        [
            (b"anthropic-ratelimit-tokens-remaining", b"0"),
            (b"anthropic-ratelimit-tokens-reset", AT.isoformat().encode()),
        ],
    ],
)
def test_an_instant_becomes_a_delay(headers: list[Header]) -> None:
    delay = retry_after(headers, b"")
    assert delay == MAX_RETRY_AFTER_S


def test_s045_the_providers_delay_is_passed_on() -> None:
    assert classify(429, [(b"retry-after", b"7")], openai()).retry_after_s == 7.0


# --- errors inside streams

EVENTS: list[tuple[object, bytes | None, type[Failure], str]] = [
    ({"error": {"message": "boom", "type": "server_error", "code": None}}, None, Unreachable, "boom"),
    ({"object": "error", "message": "boom", "code": 400}, None, RequestRefused, "boom"),
    ({"object": "error", "message": "boom", "code": 40303}, None, ModelFailed, "boom"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}, b"error", Overloaded, "boom"),
    ({"type": "error", "code": "rate_limit_exceeded", "message": "boom"}, b"error", RateLimited, "boom"),
    ({"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}}, None, Overloaded, "boom"),
    ([{"error": {"code": 429, "message": "boom"}}], None, RateLimited, "boom"),
    (
        {
            "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
            "error": {"code": 502, "message": "boom", "metadata": {"provider_name": "X", "raw": "it broke"}},
        },
        None,
        Unreachable,
        "it broke",
    ),
    (
        {"error": {"message": "boom", "code": "tool_use_failed", "failed_generation": "x", "status_code": 400}},
        b"error",
        ModelFailed,
        "boom",
    ),
    ({"error": "plain text"}, b"error", ModelFailed, "plain text"),
    ({"error": "plain text"}, None, ModelFailed, "plain text"),
    ({"message": "boom"}, b"error", ModelFailed, "boom"),
    ("boom", b"error", ModelFailed, "boom"),
    (None, b"error", ModelFailed, "without a text"),
    ({"choices": [{"delta": {}, "finish_reason": "error"}]}, None, ModelFailed, "broke off"),
    ({"choices": [{"delta": {}, "finish_reason": "abort"}]}, None, ModelFailed, "broke off"),
    ({"choices": [{"finish_reason": "insufficient_system_resource"}]}, None, Overloaded, "capacity"),
    ({"error": {"message": "prompt is too long"}}, None, ContextTooLong, "too long"),
]


@pytest.mark.parametrize("payload, name, kind, words", EVENTS)
def test_an_error_inside_a_stream_is_recognised(
    payload: object, name: bytes | None, kind: type[Failure], words: str
) -> None:
    failure = from_event(payload, name=name)
    assert type(failure) is kind
    assert words in failure.message


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [{"delta": {"content": "x"}, "finish_reason": None}], "error": None},
        {"choices": []},
        {"choices": None, "error": ""},
        {"type": "ping"},
        {"choices": [{"finish_reason": ["error"]}]},
        [],
        "text",
        None,
        7,
    ],
)
def test_an_ordinary_event_is_no_error(payload: object) -> None:
    assert from_event(payload) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "detail", "metadata", "raw", "choices", "loc", "msg", "type"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from([200, 400, 403, 404, 422, 429, 503]))
def test_any_json_body_is_sorted(body: object, status: int) -> None:
    assert isinstance(classify(status, [], json.dumps(body).encode()), Failure)
    failure = from_event(body, name=b"error")
    assert isinstance(failure, Failure)


@given(st.binary(max_size=300), st.lists(st.tuples(st.sampled_from([b"retry-after", b"retry-after-ms"]), st.binary())))
def test_any_body_and_header_is_sorted(body: bytes, headers: list[Header]) -> None:
    assert isinstance(classify(500, headers, body), Unreachable)


@pytest.mark.parametrize("depth", [50, 500, 5000])
def test_an_error_nested_without_end_is_sorted_too(depth: int) -> None:
    body = b'{"error":{"metadata":{"raw":' * depth + b"{}" + b"}}}" * depth
    assert isinstance(classify(400, [], body), RequestRefused)
    body = b'{"message":' * depth + b'"x"' + b"}" * depth
    assert isinstance(classify(400, [], body), RequestRefused)


# --- below HTTP


def test_s052_a_refused_connection_names_the_word_the_address_and_the_ways_out() -> None:
    error = TransportError("ECONNREFUSED", "connect 127.0.0.1:11434", "connect")
    failure = explain_for(
        from_transport(error), provider_key="local", model="llama", base_url="http://localhost:11434/v1"
    )
    assert isinstance(failure, Unreachable)
    assert failure.message == "ECONNREFUSED: connect 127.0.0.1:11434"
    assert failure.explanation is not None
    assert "`local`" in failure.explanation
    assert "http://localhost:11434/v1" in failure.explanation
    assert failure.action is not None
    assert "host.docker.internal" in failure.action
    assert "listens on an address" in failure.action


@pytest.mark.parametrize(
    "name, words",
    [
        ("ECONNRESET", "closed the connection"),
        ("EPIPE", "being sent"),
        ("ENOTFOUND", "does not exist"),
        ("EAI_AGAIN", "looked up"),
        ("CERT_HAS_EXPIRED", "certificate"),
        ("EPROTO", "does not speak HTTP"),
        ("ETRUNCATED", "cut off"),
        ("EMSGSIZE", "larger"),
        ("EWHATEVER", "connection"),
    ],
)
def test_every_broken_exchange_keeps_its_word_and_has_an_explanation(name: str, words: str) -> None:
    failure = from_transport(TransportError(name, "connect a:1", "connect"))
    assert failure.message.startswith(f"{name}: ")
    assert failure.explanation is not None
    assert words in failure.explanation
    assert failure.action
    assert failure.phase == "connect"


@pytest.mark.parametrize(
    "limit, after_s, setting, kind",
    [
        ("first_byte", 180.0, "LLM_TIMEOUT_MS=180000", TimedOut),
        ("idle", 90.0, "LLM_IDLE_TIMEOUT_MS=90000", TimedOut),
        ("total", 300.0, "timeouts.totalMs=300000", TimedOut),
        ("connect", 10.0, "LLM_CONNECT_TIMEOUT_MS=10000", Unreachable),
    ],
)
def test_s054_a_limit_that_strikes_is_named_with_its_variable_and_value(
    limit: LimitName, after_s: float, setting: str, kind: type[Failure]
) -> None:
    failure = from_transport(TransportTimeout(limit, after_s, "read", "headers"))
    assert type(failure) is kind
    assert setting in failure.message
    assert f"{after_s:g} s" in failure.message
    assert failure.action is not None
    assert setting.partition("=")[0] in failure.action
    assert timed_out(limit, after_s).message == failure.message


# --- what people are told


def told(failure: UpstreamError, base_url: str = "https://api.openai.com/v1") -> str:
    explained = explain_for(failure, provider_key="main", key_hint="wxyz", model="gpt-x", base_url=base_url)
    return f"{explained.explanation} {explained.action}"


def test_s040_a_refused_key_names_the_entry_and_its_last_four_characters() -> None:
    failure = classify(401, [], openai("Incorrect API key provided: sk-12***wxyz.", "invalid_api_key"))
    text = told(failure)
    assert "Incorrect API key provided" in failure.message
    assert "`main`" in text
    assert "`wxyz`" in text


def test_a_missing_key_is_told_apart_from_a_refused_one() -> None:
    failure = explain_for(classify(401, [], openai()), provider_key="main")
    assert failure.action == "Set `apiKeys` of the PROVIDERS entry `main`."


def test_s051_a_base_url_without_v1_is_told_how_it_should_be() -> None:
    for body in (b"404 page not found", b'{"detail":"Not Found"}'):
        failure = classify(404, [], body)
        assert isinstance(failure, UpstreamNotFound)
        assert failure.wrong_path
        assert "Not Found" in failure.message
        assert "`http://h:11434/v1`" in told(failure, "http://h:11434")


def test_an_unknown_model_is_no_wrong_path() -> None:
    failure = classify(404, [], openai("The model 'x' does not exist", "model_not_found"))
    assert isinstance(failure, UpstreamNotFound)
    assert not failure.wrong_path


def test_s053_a_model_without_tools_is_told_so() -> None:
    failure = classify(400, [], openai("registry.ollama.ai/library/x does not support tools"))
    text = told(failure)
    assert "does not support tools" in failure.message
    assert "tool template" in text
    assert "`gpt-x`" in text


def test_s059_a_project_without_the_model_is_pointed_to_its_access() -> None:
    text = told(classify(404, [], openai("The model 'x' does not exist or you do not have access to it.")))
    assert "project" in text
    assert "`wxyz`" in text


def test_s050_a_content_filter_is_one_readable_sentence() -> None:
    failure = classify(
        400, [], openai("The response was filtered due to our content management policy.", "content_filter")
    )
    assert isinstance(failure, ContentFiltered)
    assert "{" not in failure.message + told(failure)
    assert "harmless" in told(failure)


@pytest.mark.parametrize("kind", [row[0] for row in POLICY])
def test_every_kind_is_explained_with_the_name_of_the_entry(kind: type[Failure]) -> None:
    assert "`main`" in told(kind("m"))


def test_the_keys_of_the_entry_are_masked_when_the_failure_is_explained() -> None:
    failure = classify(500, [], openai("no for plain-old-key"))
    explain_for(failure, provider_key="main", secrets=["plain-old-key"])
    assert failure.message == "no for ***"
    assert "plain-old-key" not in failure.raw


def test_an_error_of_another_room_is_left_alone() -> None:
    error = UpstreamError("m")
    assert explain_for(error, provider_key="main") is error
    assert error.explanation is None
