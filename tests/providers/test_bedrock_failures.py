"""What Bedrock's refusals mean, what they teach, and how a call gets past them."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, get_args

import msgspec
import pytest

from penstock.errors import UpstreamError
from penstock.kit.clock import SystemClock
from penstock.kit.secret import Secret
from penstock.providers.attempts import Attempts
from penstock.providers.base import (
    Amendment,
    AwsKeys,
    Call,
    Delta,
    Finish,
    Message,
    ProviderConfig,
    Quirks,
    TextDelta,
    Tool,
)
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
    Unsupported,
    UpstreamNotFound,
    explain_for,
)
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider, Providers
from penstock.providers.wires.bedrock.wire import WIRE
from tests.fakes.dialects.base import Refusal, RefusalKind
from tests.fakes.dialects.bedrock import BEDROCK, REGION, secret_of
from tests.fakes.provider_server import Answers, Breaks, ProviderServer, Refuses, serving
from tests.providers.calls import deltas_of

BARE_ID = (
    "Invocation of model ID m with on-demand throughput isn't supported. Retry your request with the ID or ARN of an "
    "inference profile that contains this model."
)


def refused(status: int, kind: str, message: str, **fields: Any) -> Failure:
    headers = [(b"x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/".encode())] if kind else []
    failure = WIRE.failure(status, headers, json.dumps({"message": message} | fields).encode())
    assert isinstance(failure, Failure)
    return failure


TABLE: list[tuple[int, str, str, type[Failure]]] = [
    (
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
        PermissionRefused,
    ),
    (403, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: x", PermissionRefused),
    (403, "AccessDeniedException", "Access is denied: INVALID_PAYMENT_INSTRUMENT: no card", CreditExhausted),
    (403, "UnrecognizedClientException", "The security token included in the request is invalid.", CredentialsRefused),
    (403, "InvalidSignatureException", "The request signature does not match.", CredentialsRefused),
    (403, "ExpiredTokenException", "The security token included in the request is expired", CredentialsRefused),
    (403, "InvalidClientTokenId", "boom", CredentialsRefused),
    (403, "MissingAuthenticationToken", "boom", CredentialsRefused),
    (403, "RequestTimeTooSkewed", "boom", CredentialsRefused),
    (400, "ValidationException", "Input is too long for requested model.", ContextTooLong),
    (400, "ValidationException", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
    (400, "ValidationException", BARE_ID, RequestRefused),
    (400, "ValidationException", "The provided model identifier is invalid.", UpstreamNotFound),
    (400, "ValidationException", "Operation not allowed", PermissionRefused),
    (400, "ValidationException", "Output blocked by content filtering policy", ContentFiltered),
    (400, "ValidationException", "This model doesn't support tool use.", Unsupported),
    (400, "ValidationException", "The text field in the ContentBlock object is blank.", RequestRefused),
    (400, "ValidationException", "toolConfig.tools.0.name: `invalid api key` does not match", RequestRefused),
    (400, "ValidationException", "requestMetadata: `rate limit` is too long", RequestRefused),
    (400, "ServiceQuotaExceededException", "boom", CreditExhausted),
    (404, "ResourceNotFoundException", "This version has reached the end of its life.", UpstreamNotFound),
    (408, "ModelTimeoutException", "boom", TimedOut),
    (424, "ModelErrorException", "boom", Unreachable),
    (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
    (429, "TooManyRequestsException", "boom", RateLimited),
    (429, "ModelNotReadyException", "Model is not ready for inference.", Overloaded),
    (500, "InternalServerException", "boom", Unreachable),
    (503, "ServiceUnavailableException", "boom", Overloaded),
    (413, "", "boom", TooLarge),
    (502, "SurpriseException", "rate limit", Unreachable),
]


@pytest.mark.parametrize("status, kind, message, expected", TABLE)
def test_every_row_of_the_table_of_errors(status: int, kind: str, message: str, expected: type[Failure]) -> None:
    failure = refused(status, kind, message)
    assert type(failure) is expected
    assert failure.upstream_status == status
    assert failure.upstream_code == (kind or None)
    assert failure.message.startswith(f"{kind}: " if kind else message)
    assert failure.message.endswith(message)


@pytest.mark.parametrize("status, expected", [(429, RateLimited), (400, RequestRefused), (503, Overloaded)])
def test_a_models_own_error_counts_by_its_own_status(status: int, expected: type[Failure]) -> None:
    failure = refused(424, "ModelErrorException", "m", originalStatusCode=status, originalMessage="boom")
    assert type(failure) is expected
    assert failure.upstream_status == status
    assert failure.message == "ModelErrorException: boom"


def test_the_type_may_be_in_the_body_and_the_text_in_capitals() -> None:
    failure = WIRE.failure(429, [], b'{"__type":"com.amazon.coral#ThrottlingException","Message":"slow"}')
    assert type(failure) is RateLimited
    assert failure.message == "ThrottlingException: slow"


def test_a_page_of_something_in_between_is_no_type() -> None:
    failure = WIRE.failure(403, [], b"<html><title>Forbidden</title></html>")
    assert type(failure) is PermissionRefused
    assert failure.message == "An HTML page instead of an answer: Forbidden"


def test_s044_a_bare_id_has_the_words_that_operators_look_for() -> None:
    failure = refused(400, "ValidationException", BARE_ID)
    assert failure.message == f"ValidationException: model invocation not supported. {BARE_ID}"


def test_s044_the_profiles_of_the_region_are_named() -> None:
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    failure = explain_for(
        refused(400, "ValidationException", BARE_ID),
        provider_key="aws",
        provider_type="bedrock",
        details={"region": "eu-central-1"},
        model=model,
    )
    assert f"eu.{model}" in (failure.action or "")


def test_s043_a_missing_means_of_payment_keeps_its_marker() -> None:
    failure = refused(403, "AccessDeniedException", "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: no card")
    assert isinstance(failure, CreditExhausted)
    assert "INVALID_PAYMENT_INSTRUMENT" in failure.message


def test_a_refused_model_is_not_a_wrong_path() -> None:
    for failure in (
        refused(404, "ResourceNotFoundException", "boom"),
        refused(400, "ValidationException", "The provided model identifier is invalid."),
    ):
        assert isinstance(failure, UpstreamNotFound)
        assert not failure.wrong_path


def test_s042_a_model_that_was_not_granted_takes_no_key_from_the_others() -> None:
    failure = refused(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")
    assert failure.key_effect is None
    assert refused(403, "UnrecognizedClientException", "boom").key_effect == "bad"


@pytest.mark.parametrize(
    "resource, effect",
    [
        ("arn:aws:bedrock:eu-central-1:1:inference-profile/eu.anthropic.claude-opus-4-1-20250805-v1:0", None),
        ("arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc", None),
        ("arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0", None),
        ("arn:aws:bedrock:eu-central-1:1:*", "bad"),
    ],
)
def test_s042_a_policy_that_forbids_one_model_leaves_the_identity_for_the_others(resource: str, effect: Any) -> None:
    failure = refused(
        403,
        "AccessDeniedException",
        f"User: arn:aws:iam::1:user/u is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: "
        f"{resource} because no identity-based policy allows the action",
    )
    assert type(failure) is PermissionRefused
    assert (failure.key_effect, failure.other_key) == (effect, effect is not None)


def test_an_answer_says_when_it_was_given_and_under_which_id() -> None:
    date = "Fri, 20 Nov 2026 12:00:00 GMT"
    headers = [
        (b"x-amzn-errortype", b"InvalidSignatureException"),
        (b"date", date.encode()),
        (b"x-amzn-requestid", b"r-1"),
    ]
    failure = WIRE.failure(403, headers, b'{"message":"Signature expired: 20261120T110000Z"}')
    assert isinstance(failure, CredentialsRefused)
    assert failure.answered_at == date
    assert failure.upstream_request_id == "r-1"


def test_no_key_reaches_a_message() -> None:
    failure = refused(403, "InvalidSignatureException", "key AKIAIOSFODNN7EXAMPLE of Bearer abcdefghijkl is wrong")
    assert "AKIAIOSFODNN7EXAMPLE" not in failure.message
    assert "abcdefghijkl" not in failure.message


# --- what refusals teach ---------------------------------------------------------------------------------------------

PLAIN = Quirks()
TAUGHT: list[tuple[str, dict[str, Any], float]] = [
    ("This model doesn't support system prompts. Try again without one.", {"system": False}, 86_400),
    ("This model doesn't support tool use in streaming mode.", {"dropped": frozenset({"stream"})}, 86_400),
    ("This model doesn't support tool use.", {"tools": False}, 600),
    (
        "This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any.",
        {"tool_choices": frozenset({"none", "named"})},
        86_400,
    ),
    ("This model doesn't support the toolConfig.toolChoice field.", {"tool_choices": frozenset()}, 86_400),
    ("Thinking may not be enabled when tool_choice forces tool use.", {"tool_choices": frozenset()}, 0),
    ("messages.1.content.0: Invalid `signature` in `thinking` block", {"opaque": False}, 0),
    (
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        {"thinking": "off"},
        0,
    ),
    ('"thinking.type.enabled" is not supported for this model.', {"thinking": "adaptive"}, 86_400),
    (
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
        {"thinking": "adaptive"},
        86_400,
    ),
    (
        '"thinking.type.adaptive" is not supported for this model. Use "thinking.type.enabled" instead.',
        {"thinking": "budget"},
        86_400,
    ),
    ("adaptive thinking is not supported on this model", {"thinking": "budget"}, 86_400),
    (
        "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
        {"efforts": ("high", "low", "max", "medium")},
        86_400,
    ),
    (
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        {"dropped": frozenset({"topP"})},
        86_400,
    ),
    ("`temperature` is deprecated for this model.", {"dropped": frozenset({"temperature"})}, 86_400),
    ("top_p is not supported by this model", {"dropped": frozenset({"topP"})}, 86_400),
    (
        "Malformed input request: #/messages/6/content/0: extraneous key [cachePoint] is not permitted",
        {"dropped": frozenset({"cachePoint"})},
        86_400,
    ),
    ("This model doesn't support the stopSequences field.", {"dropped": frozenset({"stopSequences"})}, 86_400),
    ("This model doesn't support the outputConfig field.", {"dropped": frozenset({"outputConfig"})}, 86_400),
    ("This model does not support assistant message prefill.", {"dropped": frozenset({"prefill"})}, 86_400),
    (
        "This model doesn't support the reasoning_effort field.",
        {"dropped": frozenset({"reasoning_effort"})},
        86_400,
    ),
    (
        "The maximum tokens you requested exceeds the model limit of 4096.",
        {"max_output": 4096},
        86_400,
    ),
]


@pytest.mark.parametrize("message, learnt, lasts_s", TAUGHT)
def test_a_refusal_teaches_another_way(message: str, learnt: dict[str, Any], lasts_s: float) -> None:
    failure = refused(400, "ValidationException", message)
    amendment = WIRE.amended(failure, "m", PLAIN)
    expected = msgspec.structs.replace(PLAIN, **learnt)
    assert amendment == Amendment(quirks=expected, lasts_s=lasts_s, drops_tools="tools" in learnt)
    again = WIRE.amended(failure, "m", expected)
    assert again is None or again.quirks != expected


@pytest.mark.parametrize(
    "failure",
    [
        refused(400, "ValidationException", "The text field is blank."),
        refused(400, "ValidationException", BARE_ID),
        refused(403, "AccessDeniedException", "temperature is not supported"),
        refused(429, "ThrottlingException", "temperature is not supported"),
    ],
)
def test_other_refusals_teach_nothing(failure: Failure) -> None:
    assert WIRE.amended(failure, "m", PLAIN) is None


# --- over a socket, signed -------------------------------------------------------------------------------------------


HELLO = Message(role="user", content="Hi")


# With a tool that is not essential.
ASKED = Call(
    messages=[Message(role="system", content="S"), HELLO],
    tools=[Tool("look_up", "Looks it up.", {"type": "object"})],
    tools_optional=True,
    temperature=0.5,
)


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with serving(BEDROCK) as (server,):
        yield server
        assert not server.faults


@pytest.fixture
async def provider(server: ProviderServer) -> AsyncIterator[Provider]:
    keys = tuple(AwsKeys(key, Secret(secret_of(key))) for key in ("AKIAFIRST00000000000", "AKIASECOND0000000000"))
    config = ProviderConfig(
        key="aws", type="bedrock", name="AWS", base_url=server.url, credentials=keys, details=(("region", REGION),)
    )
    opened = Providers(open_provider_transport, SystemClock())
    yield opened.of(config)
    await opened.aclose()


async def ask(
    provider: Provider, attempts: Attempts | None = None, *, call: Call = ASKED, model: str = BEDROCK.model
) -> list[Delta]:
    return await deltas_of(provider, model, call, attempts)


async def test_a_signed_call_is_answered(provider: Provider, server: ProviderServer) -> None:
    deltas = await ask(provider)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Hello from the upstream."
    assert deltas[-1] == Finish("stop", "end_turn")
    (asked,) = server.asked
    assert (asked.model, asked.system, asked.texts) == (BEDROCK.model, "S", ("Hi",))


async def test_a_refused_key_costs_no_call(provider: Provider, server: ProviderServer) -> None:
    server.refused_keys.add("AKIAFIRST00000000000")
    for _ in range(3):
        assert isinstance((await ask(provider))[-1], Finish)


async def test_what_a_refusal_teaches_is_remembered(provider: Provider, server: ProviderServer) -> None:
    server.plays(_validation("This model doesn't support system prompts."), _validation("`temperature` is deprecated."))
    attempts = Attempts()
    await ask(provider, attempts)
    assert attempts.made == 3
    await ask(provider)
    assert [one.system for one in server.asked] == ["S", "", "", ""]
    assert "temperature" not in server.seen[-1].body.decode()


async def test_a_model_without_a_cache_is_asked_without_marks_and_takes_no_key(
    provider: Provider, server: ProviderServer
) -> None:
    said = "You invoked an unsupported model or your request did not allow prompt caching."
    server.plays(_refusal(403, "AccessDeniedException", said))
    long_call = msgspec.structs.replace(ASKED, messages=[Message(role="system", content="Long. " * 1000), HELLO])
    assert isinstance((await ask(provider, call=long_call))[-1], Finish)
    await ask(provider, call=long_call)
    assert [b"cachePoint" in one.body for one in server.seen] == [True, False, False]
    assert [key.state for key in provider.keys.states()] == ["ready", "ready"]


async def test_a_model_that_cannot_stream_tools_answers_whole(provider: Provider, server: ProviderServer) -> None:
    server.plays(_validation("This model doesn't support tool use in streaming mode."))
    deltas = await ask(provider)
    assert isinstance(deltas[-1], Finish)
    assert [one.stream for one in server.asked] == [True, False]


async def test_s053_tools_that_are_not_essential_are_left_out_for_a_model_without(
    provider: Provider, server: ProviderServer
) -> None:
    server.plays(_validation("This model doesn't support tool use."))
    assert isinstance((await ask(provider))[-1], Finish)
    assert [len(one.tools) for one in server.asked] == [1, 0]


async def test_a_failure_in_mid_stream_is_named(provider: Provider, server: ProviderServer) -> None:
    server.plays(Breaks("error", after=2))
    with pytest.raises(UpstreamError, match="InternalServerException: The system encountered"):
        await ask(provider)


@pytest.mark.parametrize("kind", get_args(RefusalKind))
async def test_every_refusal_of_the_fake_is_what_it_is_called(kind: Any) -> None:
    refusal: Refusal = BEDROCK.refusal(kind)
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
    failure = WIRE.failure(refusal.status, headers, json.dumps(refusal.body).encode())
    assert isinstance(failure, Failure)
    assert failure.kind == {"server_error": "upstream_unavailable"}.get(kind, kind)


ACTIONS = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")
BARE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "status, kind, said, expected, words",
    [
        pytest.param(
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            PermissionRefused,
            ("Model access", REGION, BARE, "`aws`", *(f"bedrock:{one}" for one in ACTIONS)),
            id="s042",
        ),
        pytest.param(
            403,
            "AccessDeniedException",
            "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: a valid payment instrument must be provided.",
            CreditExhausted,
            ("Marketplace", REGION, BARE),
            id="s043",
        ),
        pytest.param(
            400,
            "ValidationException",
            BARE_ID,
            RequestRefused,
            (f"`us.{BARE}`", f"`global.{BARE}`", "MODELS", REGION),
            id="s044",
        ),
        pytest.param(
            429,
            "ThrottlingException",
            "Too many tokens, please wait before trying again.",
            RateLimited,
            ("Service Quotas", REGION, "Ask again in 1 s"),
            id="s045",
        ),
    ],
)
async def test_s042_to_s045_a_refusal_keeps_its_words_and_says_what_to_do(
    provider: Provider,
    server: ProviderServer,
    status: int,
    kind: str,
    said: str,
    expected: type[Failure],
    words: Sequence[str],
) -> None:
    server.always_plays(_refusal(status, kind, said))
    with pytest.raises(expected) as caught:
        await ask(provider, model=BARE)
    failure = caught.value
    assert failure.message.startswith(f"{kind}: ")
    assert failure.message.endswith(said)
    assert failure.upstream_status == status
    told = f"{failure.explanation} {failure.action}"
    assert [word for word in words if word not in told] == []
    assert secret_of("AKIAFIRST00000000000") not in repr(vars(failure))


async def test_s045_a_throttled_account_rests_and_another_answers(provider: Provider, server: ProviderServer) -> None:
    server.plays(Refuses("rate_limited"))
    attempts = Attempts()
    assert isinstance((await ask(provider, attempts))[-1], Finish)
    assert [(one.key, one.outcome) for one in attempts.log] == [("0000", "rate_limited"), ("0000", "ok")]
    assert len({one.credential for one in server.asked}) == 2
    resting, ready = sorted(provider.keys.states(), key=lambda key: key.state, reverse=True)
    assert (resting.state, ready.state) == ("resting", "ready")
    assert 0 < resting.for_s <= 1


def test_a_model_that_is_being_loaded_is_asked_again_after_a_while() -> None:
    failure = refused(429, "ModelNotReadyException", "Model is not ready for inference.")
    assert (failure.same_key_once, failure.retry_after_s) == (True, 5.0)
    told = explain_for(failure, provider_key="aws", provider_type="bedrock")
    assert "loaded" in (told.explanation or "")
    assert "Ask again in 5 s" in (told.action or "")


@pytest.mark.parametrize(
    "model",
    [
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab/cd",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:provisioned-model/a1b2c3",
    ],
)
async def test_every_form_of_a_models_id_is_signed_as_it_is_sent(
    provider: Provider, server: ProviderServer, model: str
) -> None:
    assert isinstance((await ask(provider, model=model))[-1], Finish)
    assert server.asked[-1].model == model


async def test_keys_that_were_lent_are_sent_with_their_token_and_a_bedrock_key_as_it_is(server: ProviderServer) -> None:
    lent = AwsKeys("ASIALENT000000000000", Secret(secret_of("ASIALENT000000000000")), Secret("canary-session"))
    config = ProviderConfig(
        key="aws", type="bedrock", name="AWS", base_url=server.url, credentials=(lent,), details=(("region", REGION),)
    )
    with_key = msgspec.structs.replace(config, credentials=(), api_keys=(Secret("canary-bedrock-key"),))
    providers = Providers(open_provider_transport, SystemClock())
    for one in (config, with_key):
        assert isinstance((await ask(providers.of(one)))[-1], Finish)
    await providers.aclose()
    assert [one.headers.get("x-amz-security-token") for one in server.seen] == ["canary-session", None]
    assert [one.credential for one in server.asked] == ["ASIALENT000000000000", "canary-bedrock-key"]


async def test_s045_a_wait_that_is_asked_for_is_kept(provider: Provider, server: ProviderServer) -> None:
    server.always_plays(Refuses("rate_limited", retry_after_s=7))
    with pytest.raises(RateLimited) as caught:
        await ask(provider)
    assert caught.value.retry_after_s == 7


def _validation(message: str) -> Answers:
    return _refusal(400, "ValidationException", message)


def _refusal(status: int, kind: str, message: str) -> Answers:
    return Answers(status, json.dumps({"message": message}).encode(), (("x-amzn-errortype", f"{kind}:"),))
