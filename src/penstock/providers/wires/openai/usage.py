"""Token counts as OpenAI and its many relatives report them, and the guess when nobody does."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from penstock.providers.base import Usage
from penstock.providers.json_text import encode_json


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class PlainUsage(msgspec.Struct, gc=False):
    """A usage object as OpenAI itself writes it. One that does not decode as this is read by `usage_of`."""

    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    num_cached_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: int | float | str | None = None

    def neutral(self) -> Usage | None:
        """None when a count is negative, or one that only a relative of OpenAI sends is there."""
        if self.prompt_tokens < 0 or self.completion_tokens < 0:
            return None
        if (self.prompt_cache_hit_tokens or self.num_cached_tokens or self.cached_tokens) or self.reasoning_tokens:
            return None
        prompt, completion = self.prompt_tokens_details or _NO_DETAILS, self.completion_tokens_details or _NO_DETAILS
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            cache_read_tokens=max(prompt.cached_tokens or 0, 0),
            cache_write_tokens=max(prompt.cache_write_tokens or 0, 0),
            reasoning_tokens=max(completion.reasoning_tokens or 0, 0),
            upstream_cost=cost_of(self.cost),
        )


_NO_DETAILS = _Details()


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
        upstream_cost=cost_of(reported.get("cost")),
    )


def responses_usage_of(reported: Any) -> Usage | None:
    """The same for the Responses surface, whose counts have names of their own."""
    if not isinstance(reported, dict) or not ("input_tokens" in reported or "output_tokens" in reported):
        return None
    given, made = _details(reported, "input_tokens_details"), _details(reported, "output_tokens_details")
    return Usage(
        input_tokens=_count(reported.get("input_tokens")),
        output_tokens=_count(reported.get("output_tokens")),
        cache_read_tokens=_count(given.get("cached_tokens")),
        cache_write_tokens=_count(given.get("cache_write_tokens")),
        reasoning_tokens=_count(made.get("reasoning_tokens")),
        upstream_cost=cost_of(reported.get("cost")),
    )


def cost_of(value: Any) -> str | None:
    """An amount of US dollars as plain decimal digits, as OpenRouter states it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    # A text may be any number at all: one without end is none, and a great power of ten would fill the memory.
    return f"{amount:f}" if amount.is_finite() and amount >= 0 and abs(amount.adjusted()) < 30 else None


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


def visible_chars(delta: Mapping[str, Any]) -> int:
    """How much of a message or delta the caller gets to see, for an estimate."""
    shown = (delta.get("content"), delta.get("refusal"), delta.get("tool_calls"))
    return sum(map(_chars, shown)) + _chars(delta.get("reasoning_content") or delta.get("reasoning"))


def _chars(value: Any) -> int:
    """The size of a text, or about that of the texts inside a list or object."""
    if isinstance(value, str):
        return len(value)
    return len(encode_json(value)) if value and isinstance(value, list | dict) else 0
