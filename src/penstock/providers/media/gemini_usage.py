"""Token counts as Google's models report them."""

from typing import Any

from penstock.providers.base import Usage


def usage_of(reported: Any) -> Usage | None:
    if not isinstance(reported, dict) or "promptTokenCount" not in reported:
        return None

    def count(name: str) -> int:
        value = reported.get(name)
        return max(value, 0) if isinstance(value, int) else 0

    thought = count("thoughtsTokenCount")
    return Usage(
        input_tokens=count("promptTokenCount") + count("toolUsePromptTokenCount"),
        output_tokens=count("candidatesTokenCount") + thought,
        cache_read_tokens=count("cachedContentTokenCount"),
        reasoning_tokens=thought,
    )
