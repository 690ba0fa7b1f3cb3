"""What Google's errors mean: the usual sorting, refined by the details that only Google sends (7.6, 8.5)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.providers.failures import (
    MAX_RETRY_AFTER_S,
    ContentFiltered,
    CredentialsRefused,
    Failure,
    ModelFailed,
    PermissionRefused,
    RateLimited,
    Unsupported,
    classify,
    from_event,
)
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import Header

_BUSY_FOR_S = 5.0
"""Capacity that all customers share frees up in 2 to 10 s (8.5)."""
_DAILY_QUOTA_REST_S = 3600.0

_STATUS_OF_WORD: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_BAD_KEY = re.compile(r"API key (?:not valid|expired)", re.IGNORECASE)
_NO_KEYS_HERE = re.compile(r"expected oauth ?2 access token", re.IGNORECASE)
_POLICY = re.compile(r"constraints/\w|organi[sz]ation policy", re.IGNORECASE)
NO_TOOLS = re.compile(r"function calling is not (?:enabled|supported)", re.IGNORECASE)
_ABOUT_KEY = frozenset(
    {
        *(
            "API_KEY_SERVICE_BLOCKED",
            "SERVICE_DISABLED",
            "CONSUMER_SUSPENDED",
            "CONSUMER_INVALID",
            "BILLING_DISABLED",
            "USER_PROJECT_DENIED",
        ),
        *("API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    }
)
"""Reasons that hold for whatever is asked with this key or of this project."""
_ABOUT_ACCOUNT = re.compile(r"billing|location", re.IGNORECASE)


def failure_of(status: int, headers: Sequence[Header], body: bytes) -> Failure:
    failure = classify(status, headers, body)
    try:
        payload = lenient_json(body.strip())
    except NotJson:
        payload = None
    return _refined(failure, status, _error_in(payload))


def event_failure(payload: Any, *, name: bytes | None = None) -> Failure | None:
    """The failure that a frame of a 200 stream carries, None when it is an ordinary one."""
    error = _error_in(payload)
    word = error.get("status")
    if error and not isinstance(error.get("code"), int) and isinstance(word, str) and word in _STATUS_OF_WORD:
        error = {**error, "code": _STATUS_OF_WORD[word]}
        payload = {"error": error}
    failure = from_event(payload, name=name)
    return None if failure is None else _refined(failure, failure.upstream_status, error)


def _error_in(payload: Any) -> Mapping[str, Any]:
    """The error object, also of the first of an array. Empty when there is none."""
    if isinstance(payload, list):
        payload = next((one for one in payload if isinstance(one, dict)), None)
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) else {}


def _refined(failure: Failure, status: int | None, error: Mapping[str, Any]) -> Failure:
    reason = next((one["reason"] for one in _details(error) if isinstance(one.get("reason"), str)), None)
    if status == 429:
        _wait(failure, error)
        failure.reason = failure.reason or _short(reason)
        return failure
    if status in (400, 401, 403, 412):
        failure = _sorted(failure, status, reason)
        failure.reason = _short(reason)
        _name_reason(failure)
    return failure.cleaned()


def _short(reason: str | None) -> str | None:
    return reason[:100] if reason else None


def _sorted(failure: Failure, status: int, reason: str | None) -> Failure:
    """The same failure, as the kind that it really is."""
    message = failure.message
    if _POLICY.search(message):
        # The whole project is bound by it: no other key helps, and this one is good for other models.
        refused = _as(PermissionRefused, failure)
        refused.other_key, refused.key_effect = False, None
        if "by organisation policy" not in message.lower():
            refused.message = f"Blocked by organisation policy: {message}"
        return refused
    if reason == "API_KEY_INVALID" or (status == 400 and _BAD_KEY.match(message)):
        refused = _as(CredentialsRefused, failure)
        refused.message = f"Incorrect API key provided. {message}"
        return refused
    if status == 400 and failure.upstream_code == "FAILED_PRECONDITION":
        refused = _as(PermissionRefused, failure)
        if not _ABOUT_ACCOUNT.search(message):
            refused.key_effect = None
        return refused
    if status == 400 and NO_TOOLS.search(message):
        unsupported = _as(Unsupported, failure)
        unsupported.message = f"The model does not support tools. {message}"
        return unsupported
    if status == 403:
        _judge_key(failure, reason)
    return failure


def wants_token(status: int | None, message: str, reason: str | None) -> bool:
    """A key was refused because it is none of Google's tokens. Tokens that have expired are told in the same words."""
    is_token = (reason or "").startswith("ACCESS_TOKEN")
    return status == 401 and not is_token and _NO_KEYS_HERE.search(message) is not None


def _judge_key(failure: Failure, reason: str | None) -> None:
    """A denied permission says `models/x (or it may not exist)`: a name that is mistyped must not cost the key."""
    if reason == "IAM_PERMISSION_DENIED":
        failure.other_key, failure.key_effect = True, None
    elif reason in _ABOUT_KEY:
        failure.other_key, failure.key_effect = True, "bad"


def _name_reason(failure: Failure) -> None:
    """Operators search for these words (14.5)."""
    named = isinstance(failure, CredentialsRefused | PermissionRefused)
    if named and failure.reason and failure.reason not in failure.message:
        failure.message = f"{failure.reason}: {failure.message}"


def _as(kind: type[Failure], failure: Failure) -> Failure:
    other = kind(failure.message)
    other.upstream_status = failure.upstream_status
    other.upstream_code = failure.upstream_code
    other.upstream_request_id = failure.upstream_request_id
    other.answered_at = failure.answered_at
    other.retry_after_s = failure.retry_after_s
    other.raw = failure.raw
    return other


def _wait(failure: Failure, error: Mapping[str, Any]) -> None:
    quotas = [one["quotaId"] for one in _violations(error) if isinstance(one.get("quotaId"), str)]
    daily = next((quota for quota in quotas if "PerDay" in quota), None)
    failure.reason = _short(daily or next(iter(quotas), None))
    if not isinstance(failure, RateLimited):
        return
    if daily is not None:
        failure.rest_s = _DAILY_QUOTA_REST_S
        failure.retry_after_s = MAX_RETRY_AFTER_S
    elif failure.retry_after_s is None:
        failure.retry_after_s = _retry_delay(error) or _BUSY_FOR_S


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    """Of an error inside a stream, where no headers speak. Durations are written as seconds: `38s`, `0.5s`."""
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d{1,9}(?:\.\d+)?s", delay):
            return min(float(delay[:-1]), MAX_RETRY_AFTER_S)
    return None


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    yield from (one for one in (details if isinstance(details, list) else ()) if isinstance(one, dict))


def _violations(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for detail in _details(error):
        violations = detail.get("violations")
        yield from (one for one in (violations if isinstance(violations, list) else ()) if isinstance(one, dict))


# --- failures that a good frame stands for ---------------------------------------------------------------------------

_ONCE_MORE = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"})
"""The same request may well succeed (2.6)."""


def blocked_prompt(reason: str, said: str | None) -> Failure:
    return _filtered(f"The provider's content filter refused the prompt ({reason}).", reason, said)


def withheld_answer(reason: str, said: str | None) -> Failure:
    return _filtered(f"The provider's content filter withheld the answer ({reason}).", reason, said)


def _filtered(message: str, reason: str, said: str | None) -> Failure:
    failure = ContentFiltered(f"{message} {said}" if said else message)
    failure.upstream_code = reason[:100]
    failure.upstream_status = 200
    return failure.cleaned()


def broken_answer(reason: str, said: str | None) -> Failure:
    failure = ModelFailed(f"The model broke off its answer ({reason})." + (f" {said}" if said else ""))
    failure.upstream_code = reason[:100]
    failure.upstream_status = 200
    failure.same_key_once = reason in _ONCE_MORE
    failure.explanation = f"The stream ended with the finish reason `{reason[:100]}`."
    return failure.cleaned()
