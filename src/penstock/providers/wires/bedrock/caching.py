"""Marks for the prompt cache: the end of the system prompt, and of what the next call will repeat (9.4, 6.3)."""

from typing import Any

from penstock.providers.wires.anthropic.caching import WORTH_CACHING_CHARS, chars_in

CACHE_FIELD = "cachePoint"
"""In `Quirks.dropped`: the model has no cache."""

_POINT = {CACHE_FIELD: {"type": "default"}}


def mark_prefixes(body: dict[str, Any]) -> None:
    """The end of each long prefix of a Converse body is marked, so that the next call reads it from the cache."""
    system: list[Any] = body.get("system", [])
    history: list[Any] = body["messages"][:-1]
    size = chars_in(system)
    if size >= WORTH_CACHING_CHARS:
        system.append(_POINT)
    if history and size + chars_in(history) >= WORTH_CACHING_CHARS:
        history[-1]["content"].append(_POINT)
