"""Token counts as OpenAI and its many relatives report them, and the guess when nobody does."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from penstock.providers.base import Usage
from penstock.providers.json_text import encode_json

_MOST = 10**12
"""More tokens than any call has: a count beyond is no count, and would not fit where it is kept."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class _Details(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None


class PlainUsage(msgspec.Struct, gc=False):
    """A usage object as OpenAI itself writes it. One that does not decode as this is read by `usage_of`."""

    prompt_tokens: _Count
    completion_tokens: _Count
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    num_cached_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: int | float | str | None = None

    def neutral(self) -> Usage | None:
        """None when a count that only a relative of OpenAI sends is there."""
        if (self.prompt_cache_hit_tokens or self.num_cached_tokens or self.cached_tokens) or self.reasoning_tokens:
            return None
        prompt, completion = self.prompt_tokens_details or _NO_DETAILS, self.completion_tokens_details or _NO_DETAILS
        return Usage(
            input_tokens=self.prompt_tokens,
            output_tokens=self.completion_tokens,
            cache_read_tokens=prompt.cached_tokens or 0,
            cache_write_tokens=prompt.cache_write_tokens or 0,
            reasoning_tokens=completion.reasoning_tokens or 0,
            upstream_cost=cost_of(self.cost),
        )


_NO_DETAILS = _Details()


def usage_of(reported: Any) -> Usage | None:
    """Read a `usage` object; None when it is not one, or has no counts that can be (`spec/providers.md` 2.4)."""
    if not _counts(reported, "prompt_tokens", "completion_tokens"):
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
    if not _counts(reported, "input_tokens", "output_tokens"):
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


def _counts(reported: Any, given: str, made: str) -> bool:
    """Whether at least one of the two is there, and neither is absurd: then a guess is better."""
    if not isinstance(reported, dict) or not (given in reported or made in reported):
        return False
    return all((_number(reported.get(name)) or 0) <= _MOST for name in (given, made))


def _details(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}


def _first(*values: Any) -> int:
    return next((count for value in values if (count := _count(value))), 0)


def _count(value: Any) -> int:
    """A count that may be a float or text; nonsense, negative and absurd numbers are 0."""
    number = _number(value)
    return number if number is not None and 0 <= number <= _MOST else 0


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def visible_chars(delta: Mapping[str, Any]) -> int:
    """How much of a message or delta the caller gets to see, for an estimate."""
    shown = (delta.get("content"), delta.get("refusal"), delta.get("tool_calls"), delta.get("function_call"))
    return sum(map(_chars, shown)) + _chars(delta.get("reasoning_content") or delta.get("reasoning"))


def _chars(value: Any) -> int:
    """The size of a text, or about that of the texts inside a list or object."""
    if isinstance(value, str):
        return len(value)
    return len(encode_json(value)) if value and isinstance(value, list | dict) else 0
