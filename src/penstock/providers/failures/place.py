"""Where a failure happened, in the names of this installation."""

from collections.abc import Mapping

import msgspec

Advice = tuple[str, str]
"""Explanation and action."""


class Place(msgspec.Struct, frozen=True):
    """`details` are the fields of the entry that only its type has: region, project, location, resourceName…"""

    provider_key: str
    key_hint: str | None
    model: str
    base_url: str
    type: str
    details: Mapping[str, str]

    @property
    def entry(self) -> str:
        return f"the PROVIDERS entry `{self.provider_key}`"

    @property
    def Entry(self) -> str:  # noqa: N802
        """At the beginning of a sentence."""
        return f"The PROVIDERS entry `{self.provider_key}`"

    @property
    def credential(self) -> str:
        if not self.key_hint:
            return "a call without a key"
        if "@" in self.key_hint:
            return f"the service account `{self.key_hint}`"
        return f"the key ending in `{self.key_hint}`"

    @property
    def region(self) -> str:
        return self.details.get("region", "?")

    @property
    def resource(self) -> str:
        name = self.details.get("resourceName")
        return f"`{name}`" if name else f"at `{self.base_url}`"
