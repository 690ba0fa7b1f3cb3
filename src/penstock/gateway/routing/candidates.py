"""Which backends may answer a call, in the order in which they are tried."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Final

import msgspec

from penstock.errors import Unprocessable
from penstock.gateway.catalog.snapshot import Backend, Model, ModelNotFound, Snapshot
from penstock.gateway.identity.caller import Caller, MissingPermission
from penstock.gateway.routing.agent import NOTHING, Needs, PriceOf, ranked

AGENT: Final = "agent-1"
AGENT_NAMES: Final = frozenset((AGENT, "auto"))
AGENT_PERMISSION: Final = "ai:models:agent"
ANY_MODEL_PERMISSION: Final = "models:use"


class Candidate(msgspec.Struct, frozen=True):
    """`why` says why the agent chose it, for the log; empty for a model that was asked for by its name."""

    model: Model
    backend: Backend
    why: str = ""


def _unpriced(_: Backend) -> Decimal | None:
    return None


class ModelLacksFeature(Unprocessable):
    code: ClassVar[str] = "model_lacks_feature"


def candidates(
    snapshot: Snapshot,
    caller: Caller,
    name: str,
    feature: str | None = None,
    *,
    needs: Needs = NOTHING,
    price_of: PriceOf = _unpriced,
) -> tuple[Candidate, ...]:
    """The backends of the model `name`, best first; never empty.

    `agent-1` (also `auto`) stands for every model with `feature`, in the order of `agent.ranked`. An id that stands at
    several providers resolves to those that the caller may use, in the order of MODELS. Raises ModelNotFound,
    MissingPermission, ModelLacksFeature.
    """
    if name in AGENT_NAMES:
        feature = feature or "conversations"
        able = _for_agent(snapshot, caller, feature)
        found = [(one.model, one.why) for one in ranked(able, feature, needs, price_of)]
    else:
        models = _allowed(caller, snapshot.find(name))
        if feature is not None:
            models = _with_feature(models, name, feature)
        found = [(model, "") for model in models]
    backends = tuple([Candidate(model, backend, why) for model, why in found for backend in model.backends])
    if not backends:
        raise _not_served(snapshot, name)
    return backends


def may_use(caller: Caller, model: Model) -> bool:
    permissions = caller.permissions
    return permissions.allows(ANY_MODEL_PERMISSION) or permissions.allows(model.permission)


def may_use_agent(caller: Caller) -> bool:
    permissions = caller.permissions
    return permissions.allows(ANY_MODEL_PERMISSION) or permissions.allows(AGENT_PERMISSION)


def _for_agent(snapshot: Snapshot, caller: Caller, feature: str) -> Sequence[Model]:
    if not may_use_agent(caller):
        raise MissingPermission((AGENT_PERMISSION,), caller.permissions)
    return [model for model in snapshot.models if model.backends and model.has_feature(feature)]


def _allowed(caller: Caller, models: tuple[Model, ...]) -> tuple[Model, ...]:
    if caller.permissions.allows(ANY_MODEL_PERMISSION):
        return models
    allowed = tuple(model for model in models if may_use(caller, model))
    if not allowed:
        raise MissingPermission(tuple(model.permission for model in models), caller.permissions)
    return allowed


def _with_feature(models: tuple[Model, ...], name: str, feature: str) -> tuple[Model, ...]:
    able = tuple(model for model in models if model.has_feature(feature))
    if not able:
        has = ", ".join(sorted(models[0].features)) or "none"
        raise ModelLacksFeature(
            f"The model `{name}` is not set up for `{feature}`.",
            explanation=f"Its `features` in MODELS are: {has}.",
            action=f"Choose another model, or add `{feature}` to its `features`.",
            param="model",
        )
    return able


def _not_served(snapshot: Snapshot, name: str) -> ModelNotFound:
    """S057: say why nothing is there to answer."""
    errors = [problem for problem in snapshot.problems if problem.severity == "error"]
    reason = "; ".join(f"{one.variable}{one.path}: {one.message}" for one in errors[:3])
    return ModelNotFound(
        f"No model is there to answer for `{name[:200]}`.",
        explanation=reason or "No configured model has what this call needs.",
        action=errors[0].fix if errors else "Configure at least one model with this feature in MODELS.",
        param="model",
    )
