"""What Bedrock's errors mean, as answers and as frames of a stream (`spec/providers.md` 9.6 and 9.8).

The type of an error decides, and where a type stands for many things, its text. A type is translated into the status
that means the same everywhere, so that the one table of statuses and texts holds here, too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.failures import (
    CredentialsRefused,
    Failure,
    ModelFailed,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    UpstreamNotFound,
    classify,
)
from penstock.providers.failures.said import payload_of
from penstock.providers.json_text import encode_json
from penstock.providers.transport.base import Header

_STATUSES: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 401,
    "InvalidSignatureException": 401,
    "SignatureDoesNotMatch": 401,
    "IncompleteSignatureException": 401,
    "ExpiredTokenException": 401,
    "ExpiredToken": 401,
    "InvalidClientTokenId": 401,
    "MissingAuthenticationToken": 401,
    "MissingAuthenticationTokenException": 401,
    "RequestTimeTooSkewed": 401,
    "RequestExpired": 401,
    "ValidationException": 400,
    "ServiceQuotaExceededException": 402,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "ConflictException": 409,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "InternalServerException": 500,
    "ModelErrorException": 500,
    "ModelStreamErrorException": 500,
    "ModelNotReadyException": 503,
    "ServiceUnavailableException": 503,
}
# Of these the status of the model itself counts, when they name it.
_PASSED_ON = frozenset({"ModelErrorException", "ModelStreamErrorException"})

# Bedrock does not say when to come back. Its own SDKs begin with a second, and wait longer for a model to be loaded.
_PAUSES_S: Mapping[str, float] = {
    "ThrottlingException": 1.0,
    "TooManyRequestsException": 1.0,
    "ModelNotReadyException": 5.0,
}
_LOADING = "An imported model that nobody has called for some minutes is unloaded, and now it is being loaded again."

# Policies grant one model and not the other: the identity that may not call this one is good for the rest.
_OF_ONE_MODEL = re.compile(r"on resource: \S*(?:model|profile)/")

_PAYMENT = "INVALID_PAYMENT_INSTRUMENT"
# Words that operators look for, and that Bedrock has other words for (14.5).
_KNOWN_AS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile("on-demand throughput"), "model invocation not supported"),
    (re.compile("doesn't support tool use(?! in streaming)"), "the model does not support tools"),
    (re.compile("doesn't support (?:the )?image"), "the model does not support images"),
)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An error as Bedrock words it. `type` is `ThrottlingException` and the like, empty when nothing says it."""

    type: str
    message: str
    original_status: int | None = None


def failure_of(status: int, headers: Sequence[Header], body: bytes) -> Failure:
    """For an answer other than 2xx."""
    sent = _sent(_type_in(headers), payload_of(body))
    return _classified(sent, status, headers, body)


def failure_of_exception(name: str, payload: bytes) -> Failure:
    """For a frame of the kind `exception`: its names begin with a small letter."""
    sent = _sent(name[:1].upper() + name[1:], payload_of(payload))
    if not sent.message:
        sent = msgspec.structs.replace(sent, message=payload[:500].decode("utf-8", "replace").strip())
    return _in_stream(sent)


def failure_of_error(code: str, message: str) -> Failure:
    """For a frame of the kind `error`."""
    return _in_stream(_sent(code[:1].upper() + code[1:], {"message": message}))


def type_in_body(payload: Mapping[str, Any]) -> str:
    """The name behind the namespace of `__type`; empty when there is none."""
    named = payload.get("__type")
    return _bare(named) if isinstance(named, str) else ""


def _type_in(headers: Sequence[Header]) -> str:
    named = next((value for name, value in headers if name == b"x-amzn-errortype"), b"")
    return _bare(named.decode("latin-1"))


def _bare(named: str) -> str:
    return named.partition(":")[0].rpartition("#")[2].strip()[:100]


def _sent(kind: str, payload: Mapping[str, Any] | None) -> Sent:
    payload = payload or {}
    texts = (payload.get(name) for name in ("originalMessage", "message", "Message"))
    status = payload.get("originalStatusCode")
    is_status = isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599
    return Sent(
        type=kind or type_in_body(payload),
        message=_as_known(next((text for text in texts if isinstance(text, str) and text), "")),
        original_status=status if is_status else None,
    )


def _as_known(message: str) -> str:
    known = next((words for pattern, words in _KNOWN_AS if pattern.search(message)), None)
    return message if known is None else f"{known}. {message}"


def _in_stream(sent: Sent) -> Failure:
    if sent.type not in _STATUSES and sent.original_status is None:
        return _worded(ModelFailed(""), sent)
    status = _STATUSES.get(sent.type, 500)
    return _classified(sent, status, (), encode_json({"message": sent.message}))


def _classified(sent: Sent, status: int, headers: Sequence[Header], body: bytes) -> Failure:
    meaning = _meaning(sent, status)
    failure = classify(meaning, headers, _with_message(sent, body))
    if sent.type == "ValidationException" and isinstance(failure, CredentialsRefused | RateLimited):
        failure = _as_refused_request(failure)
    # A model's own status is what the provider's answer was about; otherwise the answer's own.
    failure.upstream_status = meaning if sent.type in _PASSED_ON and sent.original_status else status
    if isinstance(failure, UpstreamNotFound) and sent.type != "UnknownOperationException" and sent.type:
        failure.wrong_path = False
    if isinstance(failure, PermissionRefused) and _OF_ONE_MODEL.search(sent.message):
        failure.other_key, failure.key_effect = False, None
    if failure.retry_after_s is None:
        failure.retry_after_s = _PAUSES_S.get(sent.type)
    if sent.type == "ModelNotReadyException":
        failure.explanation = _LOADING
    return _worded(failure, sent)


def _as_refused_request(failure: Failure) -> Failure:
    """AWS has types for keys and limits: in a complaint about a request such words are the caller's own, repeated."""
    refused = RequestRefused(failure.message)
    refused.upstream_request_id, refused.raw = failure.upstream_request_id, failure.raw
    return refused


def _meaning(sent: Sent, status: int) -> int:
    if sent.type in _PASSED_ON and sent.original_status is not None:
        return sent.original_status
    if sent.type == "AccessDeniedException" and _PAYMENT in sent.message:
        return 402
    if sent.type == "ValidationException" and "operation not allowed" in sent.message.lower():
        return 403
    # The type of a 5xx may be anything; it stays one (14.2).
    return _STATUSES.get(sent.type, status) if status < 500 or sent.type in _STATUSES else status


def _with_message(sent: Sent, body: bytes) -> bytes:
    """`Message` and `originalMessage` under the name that everybody else uses."""
    return encode_json({"message": sent.message}) if sent.message else body


def _worded(failure: Failure, sent: Sent) -> Failure:
    """The form that runbooks look for: `{Type}: {message}` (14.5)."""
    said = sent.message or failure.message
    failure.message = f"{sent.type}: {said}" if sent.type else said or "The provider reported an error without a text."
    failure.upstream_code = sent.type or failure.upstream_code
    return failure.cleaned()
