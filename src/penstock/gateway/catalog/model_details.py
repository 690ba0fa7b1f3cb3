"""`facts` and `price` of an entry of MODELS: the operator's word on what a model can do and what it costs.

Both are ours, beyond the reference's configuration, and optional; every field of them is, too.

    "facts": {"contextTokens": 128000, "outputTokens": 16384, "images": true, "documents": false, "audio": false,
              "tools": true, "reasoning": false, "structuredOutput": true}
    "price": {"input": "2.50", "output": 10, "cacheRead": "1.25", "cacheWrite": "3.125", "cacheWrite1h": "5",
              "tiers": [{"aboveInput": 200000, "input": "5"}]}

Prices are US dollars per million tokens, as decimal strings or numbers. A tier holds for the whole of a call whose
input is larger than `aboveInput` tokens; what it does not name costs what it costs below.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from penstock.gateway.catalog.fields import Fields
from penstock.providers.base import ProviderConfig
from penstock.providers.facts import Facts, facts_of
from penstock.providers.prices import Price, Rates, tiers_of

_FLAGS = {
    "images": "images",
    "documents": "documents",
    "audio": "audio",
    "tools": "tools",
    "reasoning": "reasoning",
    "structuredOutput": "structured_output",
}
_RATES = {
    "input": "input",
    "output": "output",
    "cacheRead": "cache_read",
    "cacheWrite": "cache_write",
    "cacheWrite1h": "cache_write_1h",
}
_MOST_TOKENS = 2**40
_HIGHEST_RATE = 1_000_000
_MOST_DECIMALS = 9
_MOST_TIERS = 20


def read_facts(fields: Fields) -> Facts:
    given = fields.object("facts")
    if given is None:
        return Facts()
    flags: dict[str, Any] = {ours: given.flag(name) for name, ours in _FLAGS.items()}
    facts = Facts(
        context_tokens=given.whole("contextTokens", 1, _MOST_TOKENS),
        output_tokens=given.whole("outputTokens", 1, _MOST_TOKENS),
        **flags,
    )
    given.close()
    return facts


def known_facts(fields: Fields, provider: ProviderConfig, model: str, given: Facts, *, wants_reasoning: bool) -> Facts:
    """What is known of the model, with a warning for every promise that cannot be kept."""
    facts = facts_of(provider, model, given)
    for name, ours in _FLAGS.items():
        if getattr(given, ours) is True and getattr(facts, ours) is False and ours != "reasoning":
            message = f"says that `{name}` works, but what is spoken with `{provider.key}` has no words for it."
            fields.warn("facts", message, f"Remove `{name}`.")
    if (wants_reasoning or given.reasoning is True) and facts.reasoning is False:
        _warn_of_reasoning(fields, provider, model)
    return facts


def _warn_of_reasoning(fields: Fields, provider: ProviderConfig, model: str) -> None:
    """S055: the switch is shown as not allowed, rather than as one that does nothing."""
    if provider.type == "openai-compatible" and dict(provider.details).get("flavor", "auto") == "auto":
        message = f"switches reasoning, but how the server of `{provider.key}` does that is not known: not allowed."
        fix = (
            f'If it is one that can, set "flavor" in the entry `{provider.key}` of PROVIDERS, for example "openrouter" '
            'or "deepseek"; otherwise remove `reasoning`.'
        )
    else:
        message = f"switches reasoning, but for `{model}` at `{provider.key}` that has no effect: not allowed."
        fix = "Remove `reasoning`, or set `facts.reasoning` to true if the model can."
    fields.warn("capabilities", message, fix)


def read_price(fields: Fields) -> Price | None:
    given = fields.object("price")
    if given is None:
        return None
    rates = _rates(given, Rates())
    tiers = [_tier(tier, rates) for tier in _tiers(given)]
    given.close()
    if not rates.is_known:
        given.notes.warn(given.path, "has no price in it, so it is ignored.", 'Add "input" and "output".')
        return None
    return Price(rates=rates, tiers=tiers_of([tier for tier in tiers if tier is not None]))


def _rates(given: Fields, below: Rates) -> Rates:
    found = {ours: _rate(given, name) for name, ours in _RATES.items()}
    return msgspec.structs.replace(below, **{name: rate for name, rate in found.items() if rate is not None})


def _tiers(given: Fields) -> list[Fields]:
    value = given.raw("tiers")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value) or len(value) > _MOST_TIERS:
        given.refuse("tiers", "is not a short array of objects.", 'Expected [{"aboveInput": 200000, "input": "5"}].')
        return []
    return [Fields(one, (*given.path, "tiers", place), given.notes) for place, one in enumerate(value)]


def _tier(given: Fields, below: Rates) -> tuple[int, Rates] | None:
    rates = _rates(given, below)
    if not given.has("aboveInput"):
        given.missing("aboveInput", "the tokens of input above which the tier holds")
    start = given.whole("aboveInput", 0, _MOST_TOKENS)
    given.close()
    return None if start is None else (start, rates)


def _rate(given: Fields, name: str) -> Decimal | None:
    value = given.raw(name)
    if value is None:
        return None
    rate = _decimal(value)
    if rate is None:
        given.refuse(name, "is not a price.", 'Expected US dollars per million tokens: "2.50", or 2.5.')
    return rate


def _decimal(value: Any) -> Decimal | None:
    """The number as it was written; None for what is none, or cannot be a price."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        rate = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not rate.is_finite() or not 0 <= rate <= _HIGHEST_RATE:
        return None
    exponent = rate.as_tuple().exponent
    return rate if isinstance(exponent, int) and exponent >= -_MOST_DECIMALS else None
