"""When a prefix is worth the provider's cache, wherever Claude is called: a write costs more than plain input."""

from typing import Any

WORTH_CACHING_CHARS = 4096
"""About the shortest prefix that is kept at all (`spec/providers.md` 6.3); shorter marks are ignored."""


def chars_in(value: Any) -> int:
    """The texts of some blocks, all told."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(chars_in, value.values()))
    return sum(map(chars_in, value)) if isinstance(value, list) else 0
