"""Failures below HTTP, in the words that operators search for (`spec/providers.md` 14.5)."""

from collections.abc import Mapping

from penstock.providers.failures.kinds import Failure, TimedOut, Unreachable
from penstock.providers.transport.base import LimitName, Phase, TransportError, TransportTimeout


def from_transport(error: TransportError) -> Failure:
    """The failure that a broken exchange stands for. Set it as the cause: `raise from_transport(error) from error`."""
    if isinstance(error, TransportTimeout):
        return timed_out(error.limit, error.after_s, detail=error.detail, phase=error.phase)
    failure = Unreachable(f"{error.name}: {error.detail}")
    failure.phase = error.phase
    failure.explanation, failure.action = _reason_of(error.name)
    return failure.cleaned()


_REASONS: Mapping[str, tuple[str, str]] = {
    "ECONNREFUSED": (
        "Nothing listens at that address.",
        "Check that the model server runs and listens on an address that this service can reach, not on its own "
        "127.0.0.1 only. Inside a container, localhost is the container itself: use the host's name there "
        "(`host.docker.internal`, or the host gateway) in the base URL.",
    ),
    "ECONNRESET": ("The provider closed the connection in the middle of the exchange.", "Ask again."),
    "EPIPE": ("The provider closed the connection while the request was being sent.", "Ask again."),
    "ENOTFOUND": (
        "The name of the provider's host does not exist.",
        "Check the host in the base URL; inside a container, names of other containers need a shared network.",
    ),
    "EAI_AGAIN": (
        "The name of the provider's host could not be looked up: the name server does not answer.",
        "Check the DNS of this machine or container network.",
    ),
    "ETRUNCATED": ("The provider's answer was cut off before its announced end.", "Ask again."),
    "EPROTO": (
        "What listens there does not speak HTTP.",
        "Check the scheme and the port of the base URL: `https` for a plain port, or the other way round?",
    ),
    "EMSGSIZE": ("The provider's answer is larger than this service accepts.", "Ask for less in one call."),
}


def _reason_of(name: str) -> tuple[str, str]:
    if name.startswith("CERT_"):
        return (
            "The provider's certificate could not be verified.",
            "If a private authority signed it, set `tls.caFile` of the provider's entry to its certificate.",
        )
    return _REASONS.get(
        name, ("The connection to the provider failed.", "Check the network between here and the provider.")
    )


_LIMIT_VARIABLES: Mapping[LimitName, str] = {
    "connect": "LLM_CONNECT_TIMEOUT_MS",
    "first_byte": "LLM_TIMEOUT_MS",
    "idle": "LLM_IDLE_TIMEOUT_MS",
    "total": "timeouts.totalMs",
}
_LIMIT_SENTENCES: Mapping[LimitName, str] = {
    "connect": "ETIMEDOUT: no connection to the provider within {seconds} s ({setting}).",
    "first_byte": "The provider sent nothing for {seconds} s ({setting}).",
    "idle": "The provider fell silent in the middle of its answer for {seconds} s ({setting}).",
    "total": "The provider's answer was not complete after {seconds} s ({setting}).",
}
_LIMIT_ACTIONS: Mapping[LimitName, str] = {
    "connect": "Check that firewalls and proxies let this service reach the provider's host; raise {variable} if it is "
    "only slow.",
    "first_byte": "A local model may still be loading, and a reasoning model may think for minutes: raise {variable}, "
    "load the model beforehand, or use a faster one.",
    "idle": "Raise {variable} if this model thinks in silence for long; otherwise look for an overloaded server.",
    "total": "Raise {variable}, or ask for a shorter answer.",
}


_USUAL_PLACE = "a setting of this service, or `timeouts` of the entry"
_LIMIT_PLACES: Mapping[LimitName, str] = {"total": "all attempts together have that long, by `timeouts` of the entry"}


def timed_out(limit: LimitName, after_s: float, *, detail: str = "", phase: Phase | None = None) -> Failure:
    """A limit has struck: the sentence names it, its variable and its value, and what to do.

    Also for limits that are kept above the transport (first content). A connection that does not come about counts
    as unavailable, as every other way of not being connected does.
    """
    variable = _LIMIT_VARIABLES[limit]
    message = _LIMIT_SENTENCES[limit].format(seconds=f"{after_s:g}", setting=f"{variable}={after_s * 1000:.0f}")
    kind = Unreachable if limit == "connect" else TimedOut
    failure = kind(
        message,
        explanation=f"The limit {variable} has struck: {_LIMIT_PLACES.get(limit, _USUAL_PLACE)}."
        + (f" ({detail})" if detail else ""),
        action=_LIMIT_ACTIONS[limit].format(variable=variable),
    )
    failure.phase = phase
    return failure.cleaned()
