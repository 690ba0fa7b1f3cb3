"""Token counts as OpenAI and its many relatives report them, and the guess when nobody does."""

import math
from collections.abc import Mapping
from typing import Any

from penstock.providers.base import Usage

CHARS_PER_TOKEN = 4


def usage_of(reported: Any) -> Usage | None:
    """Read a `usage` object; None when it is not one, or has no counts (`spec/providers.md` 2.4)."""
    if not isinstance(reported, dict) or not ("prompt_tokens" in reported or "completion_tokens" in reported):
        return None
    prompt = _details(reported, "prompt_tokens_details")
    completion = _details(reported, "completion_tokens_details")
    read = _first(
        prompt.get("cached_tokens"),
        reported.get("prompt_cache_hit_tokens"),  # DeepSeek
        reported.get("num_cached_tokens"),  # Mistral
        reported.get("cached_tokens"),  # Moonshot
    )
    return Usage(
        input_tokens=_count(reported.get("prompt_tokens")),
        output_tokens=_count(reported.get("completion_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_first(completion.get("reasoning_tokens"), reported.get("reasoning_tokens")),
    )


def reported_usage(chunk: Mapping[str, Any]) -> Any:
    """The usage object of a chunk or answer, wherever it stands; None when it has none."""
    usage = chunk.get("usage")
    if usage is None:
        groq = chunk.get("x_groq")
        usage = groq.get("usage") if isinstance(groq, dict) else None
    return usage


def mismatched(usage: Usage, reported: Any) -> bool:
    """The provider's total is more than 2 % away from the sum of its parts."""
    total = _count(reported.get("total_tokens")) if isinstance(reported, dict) else 0
    return bool(total) and abs(total - usage.input_tokens - usage.output_tokens) > total * 0.02


def estimated(sent_bytes: int, received_chars: int) -> Usage:
    """About four characters a token, rounded up."""
    return Usage(
        input_tokens=math.ceil(sent_bytes / CHARS_PER_TOKEN),
        output_tokens=math.ceil(received_chars / CHARS_PER_TOKEN),
        estimated=True,
    )


def _details(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}


def _first(*values: Any) -> int:
    return next((count for value in values if (count := _count(value))), 0)


def _count(value: Any) -> int:
    """A count that may be a float or text; nonsense and negative numbers are 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        return max(int(value), 0)
    except (ValueError, OverflowError):
        return 0
