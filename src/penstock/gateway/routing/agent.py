"""How `agent-1` chooses among models: by feature, capability, size and price (`spec/editor-api.md` 5.2, O-21).

The order is a function of its arguments: the same call finds the same model, on every replica.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from penstock.gateway.catalog.snapshot import Backend, Model

PriceOf = Callable[[Backend], Decimal | None]
"""What a backend costs, for comparing only; None: not known."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks of a model beyond its feature. `characters` are those of the texts that are sent."""

    reasoning: bool = False
    web_search: bool = False
    images: bool = False
    documents: bool = False
    """PDF files whose text cannot be read: only a model that reads them as they are can help."""
    tools: bool = False
    characters: int = 0


NOTHING: Final = Needs()


class Ranked(msgspec.Struct, frozen=True):
    model: Model
    why: str


def ranked(models: Sequence[Model], feature: str, needs: Needs, price_of: PriceOf) -> Sequence[Ranked]:
    """All of `models`, best first.

    A model that cannot hold the texts comes after all that can, one that lacks a capability after those that have it.
    Then chats go to the recommended model (without one: the first of MODELS), everything else to a model that is set up
    for nothing but its family, which is how operators say "use the small one for this". Then the cheaper one is first.
    """
    if not models:
        return ()
    favourite = next((model for model in models if model.recommended), models[0])
    prices = {model.slug: _price(model, price_of) for model in models}

    def rank(model: Model) -> tuple[int, int, int, int, int, Decimal]:
        price = prices[model.slug]
        return (
            max(0, needs.characters - model.limits.max_context_length),
            len(missing(model, needs)),
            0 if _is_special(model, feature) else 1,
            0 if model.recommended or model is favourite else 1,
            0 if price is not None else 1,
            price or Decimal(0),
        )

    ordered = sorted(models, key=rank)
    return [Ranked(model, _why(model, models, feature, needs, prices[model.slug])) for model in ordered]


def missing(model: Model, needs: Needs) -> Sequence[str]:
    """What the call needs and the model, as far as is known, does not have."""
    facts = [backend.facts for backend in model.backends]
    lacks = {
        "reasoning": needs.reasoning and not model.reasons,
        "web search": needs.web_search and not model.web_search,
        "pictures": needs.images and all(one.images is False for one in facts),
        "documents": needs.documents and all(one.documents is False for one in facts),
        "tools": needs.tools and all(one.tools is False for one in facts),
    }
    return [name for name, is_lacking in lacks.items() if is_lacking]


def _is_special(model: Model, feature: str) -> bool:
    family = feature.partition(".")[0]
    if family == "conversations" and feature == family:
        return False
    return all(one.partition(".")[0] == family for one in model.features)


def _price(model: Model, price_of: PriceOf) -> Decimal | None:
    prices = [price for backend in model.backends if (price := price_of(backend)) is not None]
    return min(prices, default=None)


def _why(model: Model, models: Sequence[Model], feature: str, needs: Needs, price: Decimal | None) -> str:
    """For the log: what put the model where it is."""
    if len(models) == 1:
        return f"the only model for {feature}"
    reasons = []
    if needs.characters and any(other.limits.max_context_length < needs.characters for other in models):
        reasons.append(f"holds {needs.characters} characters")
    reasons += [
        f"has {name}"
        for name in _NAMES
        if getattr(needs, _NAMES[name])
        and name not in missing(model, needs)
        and any(name in missing(other, needs) for other in models)
    ]
    if _is_special(model, feature):
        reasons.append(f"is set up for {feature.partition('.')[0]} alone")
    elif model.recommended:
        reasons.append("recommended")
    if not reasons and price is not None:
        reasons.append(f"the cheapest that is left, at {price} dollars")
    return ", ".join(reasons) or "first in MODELS"


_NAMES = {
    "reasoning": "reasoning",
    "web search": "web_search",
    "pictures": "images",
    "documents": "documents",
    "tools": "tools",
}
