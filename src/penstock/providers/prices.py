"""What a call costs: prices per million tokens, and the one formula (`spec/providers.md` 17.1).

Money is decimal here, and whole micros (millionths of a US dollar) outside. An unknown price gives None, never 0.
"""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Literal

import msgspec

from penstock.providers.base import Usage

Source = Literal["configuration", "upstream", "genai-prices"]

_MILLION = Decimal(1_000_000)
_NOTHING = Decimal(0)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens; `per_request` per call. None: not known, or not charged by itself.

    What is cached and has no rate of its own costs what other input costs; the longer cache costs what the shorter one
    does; reasoning costs what other output costs.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    per_request: Decimal | None = None

    @property
    def is_known(self) -> bool:
        """There is something to compute with."""
        return any(getattr(self, name) is not None for name in self.__struct_fields__)


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """The rates of a call whose whole input is larger than `above_input` tokens; they hold for all of its tokens."""

    above_input: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """`tiers` rise by `above_input`."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()

    def rates_for(self, input_tokens: int) -> Rates:
        for tier in reversed(self.tiers):
            if input_tokens > tier.above_input:
                return tier.rates
        return self.rates


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A price, and where it was found: enough to explain a bill later. `model` is the list's own name for the model."""

    price: Price
    source: Source
    version: str = ""
    model: str = ""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one call cost, and by whose word."""

    micros: int
    source: Source
    version: str = ""
    model: str = ""


def charge_of(usage: Usage, *, override: Price | None = None, listed: Priced | None = None) -> Charge | None:
    """The charge by the first source that knows: the operator, the provider itself, the list. None: unpriced."""
    if override is not None:
        micros = cost_micros(override, usage)
        return None if micros is None else Charge(micros=micros, source="configuration")
    stated = _stated(usage.upstream_cost)
    if stated is not None:
        return Charge(micros=to_micros(stated), source="upstream")
    micros = cost_micros(listed.price, usage) if listed is not None else None
    if micros is None or listed is None:
        return None
    return Charge(micros=micros, source=listed.source, version=listed.version, model=listed.model)


def cost_micros(price: Price, usage: Usage) -> int | None:
    """`cost` in whole micros."""
    found = cost(price, usage)
    return None if found is None else to_micros(found)


def to_micros(dollars: Decimal) -> int:
    """Rounded up: what costs anything is never written down as free, and no call by more than one micro too high."""
    return int((dollars * _MILLION).to_integral_value(ROUND_CEILING))


def cost(price: Price, usage: Usage) -> Decimal | None:
    """Exact US dollars. None when a kind of token that was used has no rate."""
    rates = price.rates_for(usage.input_tokens)
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    long_cached = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    cache_write = _first(rates.cache_write, rates.input)
    thought = min(usage.reasoning_tokens, usage.output_tokens) if rates.reasoning is not None else 0
    parts = (
        (max(0, usage.input_tokens - cached), rates.input),
        (usage.cache_read_tokens, _first(rates.cache_read, rates.input)),
        (usage.cache_write_tokens - long_cached, cache_write),
        (long_cached, _first(rates.cache_write_1h, cache_write)),
        (usage.output_tokens - thought, rates.output),
        (thought, rates.reasoning),
    )
    total = _NOTHING
    for tokens, rate in parts:
        if not tokens:
            continue
        if rate is None:
            return None
        total += tokens * rate
    return total / _MILLION + (rates.per_request or _NOTHING)


def _first(*rates: Decimal | None) -> Decimal | None:
    return next((rate for rate in rates if rate is not None), None)


def _stated(text: str | None) -> Decimal | None:
    """What the provider wrote, when it is an amount."""
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    # The exponent of hostile text could fill the memory once it is written out.
    return amount if amount.is_finite() and amount >= 0 and -30 <= amount.adjusted() <= 6 else None


def tiers_of(rates_by_start: Sequence[tuple[int, Rates]]) -> tuple[Tier, ...]:
    """Tiers in their order, from `(above_input, rates)` in any."""
    return tuple(
        Tier(above_input=start, rates=rates) for start, rates in sorted(rates_by_start, key=lambda one: one[0])
    )
