"""One class per kind of failure, and what each kind permits next (`spec/providers.md` 14.1 and 2.7)."""

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from penstock.errors import UpstreamError, UpstreamRefused, UpstreamTimeout, UpstreamUnavailable
from penstock.providers.json_text import well_formed
from penstock.providers.masking import mask
from penstock.providers.transport.base import Phase

MAX_MESSAGE_CHARS = 500
MAX_RAW_CHARS = 4096

KeyEffect = Literal["bad", "rest"]


class Failure(UpstreamError):
    """An UpstreamError of a known kind.

    The policy attributes say what may be tried before anything has reached the caller; afterwards nothing may. They
    are set by the class; single failures narrow them (`x-should-retry: false`).
    `message` is the provider's own short sentence, masked; `explanation` and `action` are ours (`explain_for`).
    """

    kind: ClassVar[str]

    other_key: bool = False
    """Another key of the same entry may be tried at once."""
    other_backend: bool = False
    same_key_once: bool = False
    """The same key may be tried once more, after a short pause."""
    key_effect: KeyEffect | None = None
    """What it says about the key: `bad` is refused, `rest` is too busy (`keys.py`)."""
    rest_s: float | None = None
    """How long the key rests, where that is longer than any caller is asked to wait: a quota of the day is used up."""
    reason: str | None = None
    """The provider's word that is more precise than `upstream_code`: Google's `ErrorInfo.reason`, the id of a quota."""

    upstream_request_id: str | None = None
    answered_at: str | None = None
    """The `Date` of the provider's answer, unread: what its clock says."""
    phase: Phase | None = None
    raw: str = ""
    """The beginning of the provider's answer, masked; for our log."""

    def forbid_retries(self) -> None:
        """The provider says that the same again makes no sense. With the key of another account it is not the same."""
        self.same_key_once = False
        if type(self).key_effect != "bad":
            self.other_key = self.other_backend = False

    def cleaned(self, secrets: Iterable[str] = ()) -> Self:
        """This failure, its message on one line, masked and short; codes and names of fields are masked as well."""
        secrets = tuple(secrets)
        # Masked before it is cut: half a key would not be recognised.
        message = mask(well_formed(" ".join(self.message.split())), secrets)
        if len(message) > MAX_MESSAGE_CHARS:
            message = message[: MAX_MESSAGE_CHARS - 1] + "…"
        self.message = message
        self.args = (message,)
        self.raw = mask(self.raw, secrets)
        self.upstream_code = _masked(self.upstream_code, secrets)
        self.param = _masked(self.param, secrets)
        self.reason = _masked(self.reason, secrets)
        return self


def _masked(word: str | None, secrets: Iterable[str]) -> str | None:
    return mask(word, secrets) if word else word


class CredentialsRefused(Failure, UpstreamRefused):
    kind, code = "auth", "upstream_auth"
    other_key = True
    key_effect: KeyEffect | None = "bad"


class NoUsableKey(CredentialsRefused):
    """Every key of the entry has been refused lately."""

    other_key = False
    key_effect: KeyEffect | None = None


class PermissionRefused(Failure, UpstreamRefused):
    kind, code = "permission", "upstream_permission"
    other_key = True
    key_effect: KeyEffect | None = "bad"


class CreditExhausted(Failure, UpstreamRefused):
    kind, code = "billing", "upstream_billing"
    other_key, other_backend = True, True
    key_effect: KeyEffect | None = "bad"


class UpstreamNotFound(Failure, UpstreamRefused):
    """No such model, deployment or path. `wrong_path`: nothing in the answer speaks of a model."""

    kind, code = "not_found", "upstream_not_found"
    wrong_path: bool = False


class RateLimited(Failure, UpstreamRefused):
    kind, status, code, retryable = "rate_limited", 429, "upstream_rate_limited", True
    other_key, other_backend = True, True
    key_effect: KeyEffect | None = "rest"


class AllKeysResting(RateLimited):
    """No request was sent: every key that is not refused is resting. `retry_after_s` is the shortest wait."""

    other_key = False
    key_effect: KeyEffect | None = None


class Overloaded(Failure, UpstreamUnavailable):
    kind, status, code = "overloaded", 503, "upstream_overloaded"
    other_backend, same_key_once = True, True


class ContextTooLong(Failure, UpstreamRefused):
    kind, status, code = "context_too_long", 400, "upstream_context_too_long"


class TooLarge(Failure, UpstreamRefused):
    kind, status, code = "too_large", 413, "upstream_too_large"


class ContentFiltered(Failure, UpstreamRefused):
    kind, status, code = "content_filtered", 400, "upstream_content_filtered"


class RequestRefused(Failure, UpstreamRefused):
    kind, status, code = "invalid_request", 400, "upstream_invalid_request"


class Unsupported(Failure, UpstreamRefused):
    kind, status, code = "unsupported", 400, "upstream_unsupported"


class UpstreamConflict(Failure, UpstreamUnavailable):
    kind, status, code = "conflict", 503, "upstream_conflict"
    other_backend, same_key_once = True, True


class TimedOut(Failure, UpstreamTimeout):
    kind = "timeout"
    other_backend = True


class Unreachable(Failure, UpstreamUnavailable):
    """No connection, a broken one, or a 5xx. Broken kept connections are replaced by the transport."""

    kind = "upstream_unavailable"
    other_backend = True


class ModelFailed(Failure, UpstreamUnavailable):
    """The model broke off without a status that says why."""

    kind, code = "upstream_error", "upstream_error"
    other_backend = True


class ShapeMismatch(Failure, UpstreamUnavailable):
    """The answer is not in the format that this provider speaks."""

    kind, code, retryable = "shape_mismatch", "upstream_shape_mismatch", False
    other_backend = True


class Truncated(Failure, UpstreamUnavailable):
    """The stream ended without a finish reason. What was delivered stays with the caller."""

    kind, code = "truncated", "upstream_truncated"
    other_backend = True


def shape_mismatch(what: str, seen: bytes = b"") -> ShapeMismatch:
    """`what` completes `The provider answered with …`; `seen` is the beginning of what came."""
    failure = ShapeMismatch(
        f"The provider answered with {what}.",
        explanation="Something between this service and the model answers in another format than the model does.",
        action="Check the provider's base URL, and proxies on the way to it.",
    )
    failure.raw = mask(seen[:MAX_RAW_CHARS].decode("utf-8", "replace"))
    return failure


def truncated(*, empty: bool) -> Truncated:
    """`empty`: not even a first piece of an answer came."""
    if empty:
        return Truncated(
            "The provider's stream ended before an answer began.",
            explanation="Local servers do this when the prompt does not fit the context given to the model.",
            action="Shorten the prompt, or load the model with a larger context length.",
        )
    return Truncated(
        "The provider's stream ended before the answer was complete.",
        explanation="The connection was closed without a finish reason.",
        action="Ask again. If it happens often, look for a proxy that limits the duration of a connection.",
    )
