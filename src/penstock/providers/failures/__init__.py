"""What can go wrong at a provider.

One class per kind, what each kind permits next, how answers are sorted, and what the operator is told. Kinds, rules
and texts follow `spec/providers.md` 14 and 2.7. The `code` of a class is `upstream_` and its kind. A caller who went
away is no failure here: that is a cancelled task.
"""

from penstock.providers.failures.advice import explain_for
from penstock.providers.failures.answers import broken_finish, classify, from_event
from penstock.providers.failures.delays import MAX_RETRY_AFTER_S, SHORT_WAIT_S, retry_after
from penstock.providers.failures.kinds import (
    AllKeysResting,
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    KeyEffect,
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
    shape_mismatch,
    truncated,
)
from penstock.providers.failures.transport import from_transport, timed_out

__all__ = [
    "MAX_RETRY_AFTER_S",
    "SHORT_WAIT_S",
    "AllKeysResting",
    "ContentFiltered",
    "ContextTooLong",
    "CredentialsRefused",
    "CreditExhausted",
    "Failure",
    "KeyEffect",
    "ModelFailed",
    "NoUsableKey",
    "Overloaded",
    "PermissionRefused",
    "RateLimited",
    "RequestRefused",
    "ShapeMismatch",
    "TimedOut",
    "TooLarge",
    "Truncated",
    "Unreachable",
    "Unsupported",
    "UpstreamConflict",
    "UpstreamNotFound",
    "broken_finish",
    "classify",
    "explain_for",
    "from_event",
    "from_transport",
    "retry_after",
    "shape_mismatch",
    "timed_out",
    "truncated",
]
