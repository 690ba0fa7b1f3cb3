"""From an answer, or an event of a stream, to a failure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.providers.failures.delays import capped, delay_in_text, retry_after, seconds_of
from penstock.providers.failures.kinds import MAX_RAW_CHARS, Failure, ModelFailed, Overloaded
from penstock.providers.failures.said import Said, payload_of, plain_text, said_in
from penstock.providers.failures.sorting import describe, sort_by_status, sort_without_status
from penstock.providers.json_text import encode_json
from penstock.providers.masking import mask
from penstock.providers.transport.base import Header

_HEADERS_READ = frozenset({b"x-request-id", b"request-id", b"x-amzn-requestid", b"x-should-retry", b"date"})
_BROKEN_FINISHES = frozenset({"error", "abort", "insufficient_system_resource"})


def classify(status: int, headers: Sequence[Header], body: bytes, *, secrets: Iterable[str] = ()) -> Failure:
    """What an answer other than 2xx means. `secrets` are revealed keys to mask; forms of keys are always masked."""
    payload = payload_of(body)
    said = said_in(payload) if payload is not None else Said(message=plain_text(body))
    failure = sort_by_status(status, said)
    failure.upstream_status = status
    describe(failure, status, said)
    failure.retry_after_s = retry_after(headers, body)
    found = {name: value for name, value in headers if name in _HEADERS_READ}
    request_id = found.get(b"x-request-id") or found.get(b"request-id") or found.get(b"x-amzn-requestid")
    failure.upstream_request_id = request_id.decode("latin-1")[:200] if request_id else None
    failure.answered_at = found[b"date"].decode("latin-1")[:100] if b"date" in found else None
    if found.get(b"x-should-retry", b"").strip().lower() == b"false":
        failure.forbid_retries()
    failure.raw = mask(body[: 4 * MAX_RAW_CHARS].decode("utf-8", "replace"), secrets)[:MAX_RAW_CHARS]
    return failure.cleaned(secrets)


def from_event(payload: Any, *, name: bytes | None = None) -> Failure | None:
    """The failure that a decoded event of a 200 stream carries, None when it is an ordinary one.

    `name` is the event's name: whatever an event called `error` has as data is an error.
    """
    if isinstance(payload, list):
        payload = next((one for one in payload if isinstance(one, dict)), None)
    if name == b"error" and not isinstance(payload, dict):
        payload = {"message": payload if isinstance(payload, str) else ""}
    if not isinstance(payload, dict):
        return None
    if not (name == b"error" or _is_error(payload)):
        return _finished_in_error(payload)
    said = said_in(payload)
    if said.number is not None and said.number >= 400:
        failure = sort_by_status(said.number, said)
        failure.upstream_status = said.number
    else:
        failure = sort_without_status(said)
    describe(failure, said.number, said)
    failure.retry_after_s = capped(seconds_of(said.retry_after) or delay_in_text(said.message))
    failure.raw = mask(encode_json(payload)[: 4 * MAX_RAW_CHARS].decode("utf-8", "replace"))[:MAX_RAW_CHARS]
    return failure.cleaned()


def broken_finish(reason: str) -> Failure | None:
    """The failure that a finish reason stands for; None for a good one."""
    if reason not in _BROKEN_FINISHES:
        return None
    failure: Failure
    if reason == "insufficient_system_resource":
        failure = Overloaded("The provider has run out of capacity.")
    else:
        failure = ModelFailed("The model broke off its answer with an error.")
    failure.upstream_code = reason
    failure.explanation = f"The stream ended with the finish reason `{reason}`."
    return failure


def _is_error(payload: Mapping[str, Any]) -> bool:
    return bool(payload.get("error")) or payload.get("object") == "error" or payload.get("type") == "error"


def _finished_in_error(payload: Mapping[str, Any]) -> Failure | None:
    choices = payload.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        if isinstance(reason, str) and reason in _BROKEN_FINISHES:
            return broken_finish(reason)
    return None
