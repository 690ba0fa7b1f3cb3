"""The permission matcher (`spec/editor-api.md` 4.2). Filled by the identity room."""

from collections.abc import Sequence

import msgspec


class Permissions(msgspec.Struct, frozen=True):
    """What a credential may do. `dropped` are entries that grant nothing, each with the reason."""

    granted: tuple[str, ...] = ()
    dropped: Sequence[tuple[str, str]] = ()

    def allows(self, permission: str) -> bool:
        return permission in self.granted

    def describe(self) -> str:
        return ""
