"""What can go wrong on purpose: one tree, ordered by what the caller can do about it.

A class fixes `status`, `code` and whether trying again can help; rooms add subclasses that name their own
failures. Every error carries three sentences: `message` (what happened), `explanation` (why) and `action` (what
to do). The faces of `http/faces.py` render these three and nothing else; `__cause__` goes to our log only.

`code` is snake case here; each face has its own spelling of it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class PenstockError(Exception):
    """A failure with an answer. `message`, `explanation` and `action` are read by the caller: no secrets in them.

    `data` is extra, machine-readable detail. `retry_after_s` is sent as `Retry-After` by every face.
    `param` names the offending field of the request, dotted (`messages.0.role`).
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        explanation: str | None = None,
        action: str | None = None,
        data: Mapping[str, Any] | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.explanation = explanation
        self.action = action
        self.data = data
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(PenstockError):
    """The request cannot be understood or breaks a rule; sending it again unchanged will fail again."""

    status, code = 400, "invalid_request"


class Unprocessable(PenstockError):
    """The request is well formed, but this model or deployment cannot do it."""

    status, code = 422, "unprocessable"


class PayloadTooLarge(PenstockError):
    status, code = 413, "payload_too_large"


class HeadersTooLarge(PenstockError):
    status, code = 431, "headers_too_large"


class UnsupportedMediaType(PenstockError):
    status, code = 415, "unsupported_media_type"


class MethodNotAllowed(PenstockError):
    status, code = 405, "method_not_allowed"


class RequestTimeout(PenstockError):
    """The client took too long to send its request."""

    status, code = 408, "request_timeout"


class Unauthenticated(PenstockError):
    status, code = 401, "unauthenticated"


class Forbidden(PenstockError):
    status, code = 403, "forbidden"


class NotFound(PenstockError):
    """Not there, or not the caller's: the two are not told apart."""

    status, code = 404, "not_found"


class Conflict(PenstockError):
    status, code = 409, "conflict"


class LimitReached(PenstockError):
    status, code, retryable = 429, "limit_reached", True


class BudgetExhausted(PenstockError):
    status, code = 429, "budget_exhausted"


class Unavailable(PenstockError):
    """Something that this service needs is down or full for now."""

    status, code, retryable = 503, "unavailable", True


class UpstreamError(PenstockError):
    """A model provider failed. `providers/failures.py` has one class per kind of failure.

    `upstream_status` is the provider's HTTP status, None when the transport failed; `upstream_code` is its own code or
    type, as it spells it.
    """

    status, code = 502, "upstream_error"
    upstream_status: int | None = None
    upstream_code: str | None = None


class UpstreamRefused(UpstreamError):
    """The provider answered, and the answer is no."""

    code = "upstream_refused"


class UpstreamUnavailable(UpstreamError):
    code, retryable = "upstream_unavailable", True


class UpstreamTimeout(UpstreamError):
    status, code, retryable = 504, "upstream_timeout", True


class InternalError(PenstockError):
    """A bug. The caller learns the request id; everything else is in our log under that id."""
