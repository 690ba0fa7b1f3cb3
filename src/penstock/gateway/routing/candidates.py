"""Which backends may answer a call, in the order in which they are tried."""

from typing import ClassVar, Final

import msgspec

from penstock.errors import Unprocessable
from penstock.gateway.catalog.snapshot import Backend, Model, ModelNotFound, Snapshot
from penstock.gateway.identity.caller import Caller, MissingPermission

AGENT: Final = "agent-1"
AGENT_NAMES: Final = frozenset((AGENT, "auto"))
AGENT_PERMISSION: Final = "ai:models:agent"
ANY_MODEL_PERMISSION: Final = "models:use"


class Candidate(msgspec.Struct, frozen=True):
    model: Model
    backend: Backend


class ModelLacksFeature(Unprocessable):
    code: ClassVar[str] = "model_lacks_feature"


def candidates(
    snapshot: Snapshot, caller: Caller, name: str, feature: str | None = None, *, reasoning: bool = False
) -> tuple[Candidate, ...]:
    """The backends of the model `name`, best first; never empty.

    `agent-1` (also `auto`) stands for every model with `feature`, recommended ones first; with `reasoning` for those
    that can reason, if there are any. An id that stands at several providers resolves to those that the caller may use,
    in the order of MODELS. Raises ModelNotFound, MissingPermission, ModelLacksFeature.
    """
    if name in AGENT_NAMES:
        models = _for_agent(snapshot, caller, feature or "conversations", reasoning=reasoning)
    else:
        models = _allowed(caller, snapshot.find(name))
        if feature is not None:
            models = _with_feature(models, name, feature)
    found = tuple([Candidate(model, backend) for model in models for backend in model.backends])
    if not found:
        raise _not_served(snapshot, name)
    return found


def may_use(caller: Caller, model: Model) -> bool:
    permissions = caller.permissions
    return permissions.allows(ANY_MODEL_PERMISSION) or permissions.allows(model.permission)


def may_use_agent(caller: Caller) -> bool:
    permissions = caller.permissions
    return permissions.allows(ANY_MODEL_PERMISSION) or permissions.allows(AGENT_PERMISSION)


def _for_agent(snapshot: Snapshot, caller: Caller, feature: str, *, reasoning: bool) -> tuple[Model, ...]:
    if not may_use_agent(caller):
        raise MissingPermission((AGENT_PERMISSION,), caller.permissions)
    able = tuple(model for model in snapshot.for_feature(feature) if model.backends)
    return tuple(model for model in able if model.reasons) or able if reasoning else able


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
