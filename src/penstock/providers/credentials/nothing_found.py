"""What callers are told when the platform gives no identity: every source that was tried, in order (S041)."""

from collections.abc import Sequence

from penstock.providers.failures import NoUsableKey

_MAX_REASON_CHARS = 120


def nothing_found(whose: str, tried: Sequence[tuple[str, str]], *, fields: str, provider_key: str) -> NoUsableKey:
    """`tried` has each source with what became of it; `fields` are those of the entry that would do instead."""
    listed = "; ".join(f"{source}: {_short(outcome)}" for source, outcome in tried)
    return NoUsableKey(
        f"NoValidApiKeysFoundError: no {whose} credentials. Tried, in order: {listed}.",
        explanation=f"The PROVIDERS entry `{provider_key}` has no credentials of its own, "
        "and this machine offers no identity.",
        action=f"Set {fields} of the entry, or give this service an identity by one of the sources that were tried.",
    ).cleaned()


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _MAX_REASON_CHARS else text[: _MAX_REASON_CHARS - 1] + "…"
