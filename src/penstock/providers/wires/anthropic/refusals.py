"""Answers of the Messages format other than 2xx (`spec/providers.md` 6.7), Google's form included (8.4, 8.5)."""

from collections.abc import Sequence
from typing import Any

from penstock.errors import UpstreamError
from penstock.providers.failures import (
    CredentialsRefused,
    CreditExhausted,
    Failure,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    classify,
)
from penstock.providers.json_text import NotJson, encode_json, lenient_json
from penstock.providers.transport.base import Header

_OWN_CREDIT = ("Your credit balance", "You have reached your specified")
_KEY_REFUSED = "Incorrect API key provided"


def refusal(status: int, headers: Sequence[Header], body: bytes) -> UpstreamError:
    payload = _payload(body)
    inner = _wrapped(payload)
    failure = classify(status, headers, body if inner is None else encode_json(inner))
    if isinstance(failure, CreditExhausted) and failure.message.startswith(_OWN_CREDIT):
        # The beginning is the provider's own sentence, not the caller's words: the account is empty.
        failure.key_effect = "bad"
    if isinstance(failure, CredentialsRefused) and _error(payload).get("type") == "authentication_error":
        failure.message = f"{_KEY_REFUSED}; the provider says: {failure.message}"
        failure.cleaned()
    as_sentence(failure)
    if status != 400:
        return failure
    if _error(payload).get("status") == "FAILED_PRECONDITION" and inner is None:
        # Google says so where a project may not use a model at all: nothing is wrong with the key.
        refused = _as(PermissionRefused, failure)
        refused.other_key, refused.key_effect = False, None
        return refused
    if isinstance(failure, CredentialsRefused | RateLimited) and failure.upstream_code == "invalid_request_error":
        # Anthropic has statuses for these: in a 400 such words are the caller's own, repeated.
        return _as(RequestRefused, failure)
    return failure


def as_sentence(failure: Failure) -> None:
    """`Overloaded` alone, which is all that is said of it, tells a reader nothing."""
    if failure.message.isalpha():
        failure.message = f"The provider says: {failure.message}."


def _as(kind: type[Failure], failure: Failure) -> Failure:
    """The same refusal as one of another kind."""
    other = kind(failure.message)
    other.upstream_status, other.upstream_code = failure.upstream_status, failure.upstream_code
    other.upstream_request_id, other.raw = failure.upstream_request_id, failure.raw
    return other


def _payload(body: bytes) -> Any:
    try:
        payload = lenient_json(body.strip())
    except NotJson:
        return None
    if isinstance(payload, list):  # Google wraps the errors of streams
        payload = next((one for one in payload if isinstance(one, dict)), None)
    return payload


def _wrapped(payload: Any) -> Any:
    """The model's own error, which Vertex AI hands on as the text of its own; None when there is none."""
    message = _error(payload).get("message")
    if not isinstance(message, str) or not message.lstrip().startswith("{"):
        return None
    inner = _payload(message.encode("utf-8", "replace"))
    return inner if _error(inner) else None


def _error(payload: Any) -> dict[str, Any]:
    error = payload.get("error") if isinstance(payload, dict) else None
    return error if isinstance(error, dict) else {}
