"""What an operator is told of entries without keys: whose identity they will use (S041)."""

from collections.abc import Mapping

from penstock.gateway.catalog.documents import written
from penstock.gateway.catalog.snapshot import Problem, Snapshot
from penstock.providers.base import ProviderConfig
from penstock.providers.vendors import VENDORS

_GIVERS: Mapping[str, tuple[str, str]] = {
    "aws": ("AWS", "neither `credentials` nor `apiKeys`"),
    "google": ("Google Cloud", "neither `credentials` nor `apiKeys`"),
    "entra": ("Azure", "no `apiKeys`"),
}


def uses_platform(config: ProviderConfig) -> bool:
    """The entry has no keys of its own, and is of a type that can do without."""
    has_own = bool(config.api_keys or config.credentials)
    return VENDORS[config.type].credentials is not None and config.ambient and not has_own


def remarks(snapshot: Snapshot) -> tuple[Problem, ...]:
    """One for each such entry. It is no mistake, but whoever forgot the keys should learn it here."""
    return tuple(_remark(config) for config in snapshot.providers.values() if uses_platform(config))


def _remark(config: ProviderConfig) -> Problem:
    giver, lacks = _GIVERS[VENDORS[config.type].credentials or ""]
    return Problem(
        "info",
        "PROVIDERS",
        written((config.key,)),
        f"has {lacks}: the identity that {giver} gives this machine is used.",
        f"`penstock providers check {config.key}` tries it.",
    )
