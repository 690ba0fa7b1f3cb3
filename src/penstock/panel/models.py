"""The models: which there are, what each can do, how its provider fares, and why one is hidden (S056, S057)."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from penstock.gateway.catalog.snapshot import Backend, Model, Problem, Snapshot
from penstock.gateway.inference.provider_health import provider_health
from penstock.panel.desk import Desk
from penstock.panel.gate import Operator
from penstock.panel.overview import by_weight
from penstock.panel.pages import go
from penstock.providers.facts import STATED

_ABOUT_MODELS = ("MODELS", "MODELS_FILE")
_WORDS = {
    "images": "images",
    "documents": "PDF files",
    "audio": "audio",
    "tools": "tools",
    "reasoning": "reasoning",
    "structured_output": "structured output",
}


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `hidden` says why the editor does not offer it; `health` is that of its provider."""

    model: Model
    hidden: str = ""
    health: str = "unused"
    knows: tuple[tuple[str, bool | None], ...] = ()
    context_tokens: int | None = None
    output_tokens: int | None = None
    price: str = ""


def model_page_routes(desk: Desk) -> APIRouter:
    router, services = desk.router(), desk.services
    reading, changing = Depends(desk.gate.signed_in), Depends(desk.gate.form)

    @router.get("/panel/models")
    async def models(request: Request, again: str = "", operator: Operator = reading) -> Response:
        snapshot = services.catalog.current
        health = {one["key"]: one for one in provider_health(services.catalog, services.providers)}
        return desk.show(
            request,
            operator,
            "models.html",
            models=[_shown(model, health) for model in snapshot.models],
            skipped=_skipped(snapshot),
            remarks=_remarks(snapshot),
            providers=list(health.values()),
            refused=services.catalog.refused,
            is_watched=services.catalog.is_watched,
            was_read_again=bool(again),
        )

    @router.post("/panel/models/read-again")
    async def read_again(request: Request, operator: Operator = changing) -> Response:
        is_usable = await services.catalog.read_again("panel")
        operator.changed(request, "providers and models read again", outcome="usable" if is_usable else "refused")
        return go(request, "/panel/models?again=1")

    return router


def _shown(model: Model, health: Mapping[str, Mapping[str, Any]]) -> Shown:
    backend = model.backends[0] if model.backends else None
    facts = backend.facts if backend else None
    return Shown(
        model=model,
        hidden=_why_hidden(model),
        health=health.get(model.provider_key, {}).get("status", "unused"),
        knows=tuple((_WORDS[name], getattr(facts, name)) for name in STATED) if facts else (),
        context_tokens=facts.context_tokens if facts else None,
        output_tokens=facts.output_tokens if facts else None,
        price=_price(backend),
    )


def _why_hidden(model: Model) -> str:
    if not model.backends:
        return "This version cannot speak to its provider."
    if not model.features:
        return (
            f"It has no feature of the editor: it is there for {', '.join(sorted(model.media))} on the OpenAI surface."
        )
    return ""


def _price(backend: Backend | None) -> str:
    """The operator's own word; what the price list says is looked up with the first call."""
    if backend is None or backend.price is None:
        return ""
    rates = backend.price.rates
    return f"{_dollars(rates.input)} in, {_dollars(rates.output)} out"


def _dollars(rate: object) -> str:
    return "?" if rate is None else f"${rate}"


def _skipped(snapshot: Snapshot) -> list[Problem]:
    """Entries that made no model, and what keeps all of them from working."""
    return [one for one in _of_models(snapshot) if one.severity == "error" or "hidden" in one.message]


def _remarks(snapshot: Snapshot) -> list[Problem]:
    skipped = _skipped(snapshot)
    return by_weight([one for one in snapshot.problems if one not in skipped])


def _of_models(snapshot: Snapshot) -> Iterable[Problem]:
    return (one for one in snapshot.problems if one.variable in _ABOUT_MODELS)
