"""`GET /v1/models/1`: the models as the editor lists them (`spec/editor-api.md` 5)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends, Response

from penstock.editor.access import authentication
from penstock.errors import NotFound
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import ContextLimits, Model, Problem, Snapshot
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.identity.service import Identity
from penstock.gateway.routing.candidates import AGENT, may_use, may_use_agent

VERSION: Final = "1"
_FAMILIES = ("conversations", "reviews", "actions")
_CHAT = "conversations"
_AGENT_NAME = "Agent"
_AGENT_DESCRIPTION = "Chooses a suitable model for each request."
_NOTHING_USABLE = "No model can answer at present, so this one cannot either."


class Limits(msgspec.Struct, frozen=True, rename="camel"):
    """What is enforced: characters, counts, bytes."""

    max_context_length: int
    max_files: int
    max_file_size: int
    max_image_size: int
    max_total_file_size: int
    max_total_pdf_file_pages: int


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    provider: str
    recommended: bool
    allowed: bool
    features: list[str]
    limits: Limits
    capabilities: dict[str, dict[str, bool]]


def models_shown(snapshot: Snapshot, caller: Caller, *, searches: bool = False) -> dict[str, Any]:
    """The whole answer. `problems` and `permissions` are there only when they explain something missing.

    `searches`: a service for web search is configured.
    """
    items = _ordered(_agent(snapshot, caller, searches), _items(snapshot, caller, searches))
    answer: dict[str, Any] = {
        "items": items,
        "models": [{"id": item.id, "allowed": item.allowed, "features": item.features} for item in items],
    }
    if not _usable(snapshot):
        answer["problems"] = [_problem(one) for one in snapshot.problems if one.severity == "error"]
    if caller.permissions.shape or caller.permissions.dropped:
        answer["permissions"] = _found(caller.permissions)
    return answer


def _usable(snapshot: Snapshot) -> Sequence[Model]:
    return [model for model in snapshot.models if model.features and model.backends]


def _items(snapshot: Snapshot, caller: Caller, searches: bool) -> list[Item]:
    models = _usable(snapshot)
    stand_in = None
    if not any(model.recommended for model in models):
        # CKEditor shows recommended models only: without one its picker would be empty.
        stand_in = next((model for model in models if may_use(caller, model)), None)
    seen: set[str] = set()
    items = []
    for model in models:
        # An id that stands at several providers means the first; the others are asked for as `provider:id`.
        name = f"{model.provider_key}:{model.id}" if model.id in seen else model.id
        seen.add(model.id)
        is_recommended = model.recommended or model is stand_in
        items.append(_item(model, name, caller, recommended=is_recommended, searches=searches))
    return items


def _item(model: Model, name: str, caller: Caller, *, recommended: bool, searches: bool) -> Item:
    return Item(
        id=name,
        name=model.name,
        description=model.description,
        provider=model.backends[0].provider.name or model.provider_key,
        recommended=recommended,
        allowed=may_use(caller, model),
        features=sorted(model.features),
        limits=_limits([model.limits]),
        capabilities=_capabilities(caller, [model], searches),
    )


def _agent(snapshot: Snapshot, caller: Caller, searches: bool) -> Item:
    """It chooses by size too, so it promises what the most able model for chats can take."""
    models = _usable(snapshot)
    chat = [model for model in models if model.has_feature(_CHAT)]
    return Item(
        id=AGENT,
        name=_AGENT_NAME,
        description=_AGENT_DESCRIPTION if models else _why_nothing(snapshot),
        provider=_AGENT_NAME,
        recommended=True,
        allowed=bool(models) and may_use_agent(caller),
        features=[family for family in _FAMILIES if any(_touches(model, family) for model in models)],
        limits=_limits([model.limits for model in chat] or [ContextLimits()]),
        capabilities=_capabilities(caller, chat, searches),
    )


def _ordered(agent: Item, items: Iterable[Item]) -> list[Item]:
    """The editor takes the first as its default and does not look at `allowed`."""
    return sorted(
        (agent, *items), key=lambda item: (not item.allowed, item is not agent and item.allowed, not item.recommended)
    )


def _touches(model: Model, family: str) -> bool:
    return any(feature.partition(".")[0] == family for feature in model.features)


def _limits(all_limits: Sequence[ContextLimits]) -> Limits:
    return Limits(*(max(getattr(limits, name) for limits in all_limits) for name in Limits.__struct_fields__))


def _capabilities(caller: Caller, models: Sequence[Model], searches: bool) -> dict[str, dict[str, bool]]:
    allows = caller.permissions.allows
    return {
        "webSearch": {
            # A switch must not promise a search that nobody makes (`spec/editor-api.md` 10.1).
            "enabled": searches and any(model.web_search for model in models),
            "allowed": allows("ai:conversations:webSearch"),
        },
        "reasoning": {
            "enabled": any(model.reasons for model in models),
            # A switch without effect is not offered (S055).
            "allowed": allows("ai:conversations:reasoning") and any(model.reasons for model in models),
        },
    }


def _why_nothing(snapshot: Snapshot) -> str:
    first = next((one for one in snapshot.problems if one.severity == "error"), None)
    if first is None:
        return f"{_NOTHING_USABLE} MODELS lists none with a feature; ask your administrator."
    return f"{_NOTHING_USABLE} {first.variable}{first.path}: {first.message} {first.fix}"


def _problem(problem: Problem) -> dict[str, str]:
    return {
        "severity": problem.severity,
        "variable": problem.variable,
        "path": problem.path,
        "message": problem.message,
        "fix": problem.fix,
    }


def _found(permissions: Permissions) -> dict[str, Any]:
    return {
        "explanation": permissions.describe(),
        "dropped": [{"entry": entry, "reason": reason} for entry, reason in permissions.dropped],
    }


class NoSuchVersion(NotFound):
    def __init__(self, found: str) -> None:
        super().__init__(
            f"There is no version `{found[:80]}` of the model list; the only one is `{VERSION}`."
            if found
            else f"The model list needs its version in the path; the only one is `{VERSION}`.",
            action=f"Ask for `GET /v1/models/{VERSION}`.",
        )


def model_routes(identity: Identity, catalog: Catalog, *, searches: bool) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["Models"])
    authenticated = Depends(authentication(identity))

    @router.get("/{version}", operation_id="editor_models")
    async def models(version: str, caller: Caller = authenticated) -> Response:
        """The models this token may choose from, and what each can do. The version is always 1."""
        if version != VERSION:
            raise NoSuchVersion(version)
        shown = models_shown(catalog.current, caller, searches=searches)
        return Response(msgspec.json.encode(shown), media_type="application/json")

    @router.get("", include_in_schema=False)
    @router.get("/", include_in_schema=False)
    async def unversioned(caller: Caller = authenticated) -> Response:
        raise NoSuchVersion("")

    return router
