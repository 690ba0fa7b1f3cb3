"""Which model answers a call on editor content (`spec/editor-api.md` 6.10, O-19 and O-20)."""

from collections.abc import Sequence

import msgspec

from penstock.editor.calls.errors import ContentTooLong, NoModelFor
from penstock.gateway.catalog.snapshot import ModelNotFound
from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.permissions import Permissions
from penstock.gateway.inference.service import Inference
from penstock.gateway.routing.agent import Needs
from penstock.gateway.routing.candidates import AGENT, AGENT_NAMES, ANY_MODEL_PERMISSION, Candidate


class Chosen(msgspec.Struct, frozen=True):
    """Who may answer, best first. `caller` is the one whose call it is to the models: they let it pass."""

    caller: Caller
    model: str
    feature: str
    found: Sequence[Candidate]


def chosen_by_us(inference: Inference, caller: Caller, feature: str, length: int) -> Chosen:
    """The models that are set up for `feature`, those that name it itself first.

    Which model does it is our choice, not the user's: nobody needs a permission for it. `length` is in characters.
    Raises NoModelFor, ContentTooLong.
    """
    ours = msgspec.structs.replace(caller, permissions=Permissions.of(ANY_MODEL_PERMISSION))
    found = _candidates(inference, ours, AGENT, feature, length)
    found = sorted(found, key=lambda one: feature not in one.model.features)
    return Chosen(ours, AGENT, feature, _that_fit(found, length))


def chosen_by_caller(inference: Inference, caller: Caller, model: str, feature: str, length: int) -> Chosen:
    """Raises ModelNotFound, MissingPermission, ModelLacksFeature, NoModelFor, ContentTooLong."""
    return Chosen(caller, model, feature, _that_fit(_candidates(inference, caller, model, feature, length), length))


def _candidates(inference: Inference, caller: Caller, model: str, feature: str, length: int) -> Sequence[Candidate]:
    try:
        return inference.candidates(caller, model, feature, Needs(characters=length))
    except ModelNotFound as error:
        if model in AGENT_NAMES:
            raise NoModelFor(feature) from error
        raise


def _that_fit(found: Sequence[Candidate], length: int) -> Sequence[Candidate]:
    fitting = [one for one in found if one.model.limits.max_context_length >= length]
    if not fitting:
        largest = max(found, key=lambda one: one.model.limits.max_context_length).model
        raise ContentTooLong(length, largest.limits.max_context_length, largest.slug)
    return fitting
