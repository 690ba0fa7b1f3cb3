"""Which kind an error is: by status, by the provider's code, by its words (`spec/providers.md` 14.2)."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from penstock.providers.failures.kinds import (
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
    ShapeMismatch,
    TimedOut,
    TooLarge,
    Unreachable,
    Unsupported,
    UpstreamConflict,
    UpstreamNotFound,
)
from penstock.providers.failures.said import Said

_BY_STATUS: Mapping[int, type[Failure]] = {
    401: CredentialsRefused,
    402: CreditExhausted,
    403: PermissionRefused,
    404: UpstreamNotFound,
    405: Unsupported,
    408: TimedOut,
    409: UpstreamConflict,
    413: TooLarge,
    425: UpstreamConflict,
    429: RateLimited,
    498: Overloaded,
    499: UpstreamConflict,
    501: Unsupported,
    503: Overloaded,
    504: TimedOut,
    524: TimedOut,
    529: Overloaded,
}

_NOT_FOUND_CODES = frozenset({"model_not_found", "DeploymentNotFound"})
# Not the scopes of keys, which are called `model.request` and the like.
_ABOUT_MODEL = re.compile(r"\b(?:model|deployment)s?\b(?![.:]\w)", re.IGNORECASE)

_BILLING_CODES = ("insufficient_quota", "billing_hard_limit_reached", "arrearage", "insufficient_balance")

_BY_CODE: Sequence[tuple[type[Failure], tuple[str, ...]]] = (
    (
        ContextTooLong,
        (
            "context_length_exceeded",
            "exceed_context_size_error",
            "model_context_window_exceeded",
            "string_above_max_length",
        ),
    ),
    (
        ContentFiltered,
        (
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "data_inspection_failed",
            "invalid_prompt",
            "responsibleaipolicyviolation",
        ),
    ),
    (CreditExhausted, _BILLING_CODES),
    (CredentialsRefused, ("api_key_invalid", "invalid_api_key", "invalid_grant")),
    (UpstreamNotFound, ("model_not_found", "deploymentnotfound", "invalid_model")),
)

_BY_TEXT: Sequence[tuple[type[Failure], tuple[str, ...]]] = (
    (
        ContextTooLong,
        (
            "maximum context length",
            "maximum context limit",
            "exceed context limit",
            "longer than the model's context length",
            "input tokens exceed the configured limit",
            "exceeds the available context size",
            "exceeds the maximum number of tokens",
            "prompt is too long",
            "input is too long for requested model",
            "range of input length should be",
            "too large for model with",
            "maximum input length is",
            "current length is",
            "reduce the length of the messages",
        ),
    ),
    (
        ContentFiltered,
        (
            "content management policy",
            "rejected as a result of our safety system",
            "content filtering policy",
        ),
    ),
    (
        CreditExhausted,
        (
            "credit balance is too low",
            "spend limit",
            "specified api usage limits",
            "insufficient balance",
            "exceeded your current quota",
            "invalid_payment_instrument",
        ),
    ),
    (
        CredentialsRefused,
        (
            "api_key_invalid",
            "api key not valid",
            "api key expired",
            "incorrect api key",
            "invalid api key",
            "invalid_grant",
        ),
    ),
    (
        Unsupported,
        (
            "does not support tools",
            "tool choice requires",
            "does not support image",
            "image input",
            "doesn't support counting tokens",
            "invalid content type. image_url is only supported",
        ),
    ),
    (
        UpstreamNotFound,
        (
            "model_not_found",
            "deploymentnotfound",
            "model identifier is invalid",
            "is not found for api version",
            "try pulling it first",
            "invalid model",
        ),
    ),
    (RateLimited, ("rate limit", "too many requests", "throttl")),
)

# Codes that settle it only where no status speaks.
_BY_STATUSLESS_CODE: Sequence[tuple[type[Failure], tuple[str, ...]]] = (
    (RateLimited, ("rate_limit_exceeded", "rate_limit_error", "throttling", "limit_requests")),
    (Overloaded, ("engine_overloaded", "slow_down", "overloaded_error", "unavailable_error", "unavailable")),
    (Unreachable, ("server_error", "internal_server_error", "internalservererror", "internalerror", "api_error")),
    (CreditExhausted, ("billing_error",)),
    (UpstreamConflict, ("conflict_error",)),
    (CredentialsRefused, ("authentication_error", "unauthenticated")),
    (PermissionRefused, ("permission_error", "permission_denied", "access_denied")),
    (UpstreamNotFound, ("not_found_error", "notfounderror")),
    (TimedOut, ("timeout_error", "timeout")),
    (TooLarge, ("request_too_large",)),
    (ModelFailed, ("tool_use_failed",)),
    (RequestRefused, ("invalid_request_error", "badrequesterror", "invalid_request", "validation")),
)


def sort_by_status(status: int, said: Said) -> Failure:
    if status in (400, 413, 422):
        if any(code.lower() == "tool_use_failed" for code in said.codes):
            return ModelFailed("")
        return _by_code_or_text(said) or _BY_STATUS.get(status, RequestRefused)("")
    if status == 429:
        return _too_many(said)
    if status == 403:
        return _forbidden(said)
    if status in _BY_STATUS:
        return _BY_STATUS[status]("")
    return Unreachable("") if status >= 500 else ShapeMismatch("") if status < 400 else RequestRefused("")


def _by_code_or_text(said: Said) -> Failure | None:
    codes = {code.lower() for code in said.codes}
    for kind, known in _BY_CODE:
        if codes.intersection(known):
            return kind("")
    text = said.message.lower()
    for kind, patterns in _BY_TEXT:
        if any(pattern in text for pattern in patterns):
            failure = kind("")
            # Messages repeat what the caller sent: words alone may move this call on, but take no key from others.
            failure.key_effect = None
            return failure
    return ContentFiltered("") if "flagged" in text and "moderation" in text else None


def _forbidden(said: Said) -> Failure:
    """A refusal of the prompt or of one model says nothing about the key, nor does a page of something in between."""
    if said.flagged:
        return ContentFiltered("")
    failure = PermissionRefused("")
    if _NOT_FOUND_CODES.intersection(said.codes) or said.param == "model" or _ABOUT_MODEL.search(said.message):
        failure.other_key, failure.key_effect = False, None
    elif not said.is_structured:
        failure.key_effect = None
    return failure


def _too_many(said: Said) -> Failure:
    if any(code.lower() in _BILLING_CODES for code in said.codes):
        return CreditExhausted("")
    failure = RateLimited("")
    if said.message.startswith("Request too large for"):
        # The request alone exceeds this account's allowance: waiting does not help, and the key is fine.
        failure.key_effect = None
    return failure


def sort_without_status(said: Said) -> Failure:
    if failure := _by_code_or_text(said):
        return failure
    codes = {code.lower() for code in said.codes}
    for kind, known in _BY_STATUSLESS_CODE:
        if codes.intersection(known):
            return kind("")
    return ModelFailed("")


def describe(failure: Failure, status: int | None, said: Said) -> None:
    """Fill in message and code; keep the words that operators search for (`spec/providers.md` 14.5)."""
    failure.upstream_code = said.codes[0][:100] if said.codes else None
    failure.param = said.param
    message = said.message.strip()
    if not message and status is not None:
        message = f"The provider answered {status}{_phrase(status)} and no text."
    if "DeploymentNotFound" in said.codes and "DeploymentNotFound" not in message:
        message = f"DeploymentNotFound: {message}"
    failure.message = message or "The provider reported an error without a text."
    if isinstance(failure, UpstreamNotFound):
        speaks_of_model = "model" in message.lower() or "deployment" in message.lower() or said.param == "model"
        failure.wrong_path = not speaks_of_model and not _NOT_FOUND_CODES.intersection(said.codes)
        if failure.wrong_path and "Not Found" not in failure.message:
            failure.message = f"Not Found: {failure.message}"


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
