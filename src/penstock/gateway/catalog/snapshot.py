"""The catalog at one instant: immutable, so that a call in flight keeps the one it began with."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from penstock.errors import NotFound
from penstock.providers.base import ProviderConfig
from penstock.providers.facts import Facts
from penstock.providers.prices import Price


class ModelNotFound(NotFound):
    code: ClassVar[str] = "model_not_found"


class ContextLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`spec/editor-api.md` 9.1. Characters, counts and bytes."""

    max_context_length: int = 256_000
    max_files: int = 100
    max_file_size: int = 7_340_032
    max_image_size: int = 5_000_000
    max_total_file_size: int = 31_457_280
    max_total_pdf_file_pages: int = 100


class Backend(msgspec.Struct, frozen=True):
    """One model at one provider. `upstream_model` is the provider's own name for it.

    `price` is the operator's own, which comes before the provider's word and the price list.
    """

    provider: ProviderConfig
    upstream_model: str
    facts: Facts = Facts()
    price: Price | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What callers ask for by name. `slug` is `provider/id` and unique; `id` may stand at several providers."""

    slug: str
    id: str
    provider_key: str
    name: str
    description: str = ""
    recommended: bool = False
    features: frozenset[str] = frozenset()
    media: frozenset[str] = frozenset()
    """What it does beside chat: `embeddings`, `images`, `audio`. No matter of the editor's."""
    web_search: bool = False
    reasoning: bool = False
    limits: ContextLimits = ContextLimits()
    backends: tuple[Backend, ...] = ()

    def has_feature(self, feature: str) -> bool:
        """An umbrella value (`actions`) includes its family (`actions.translate`)."""
        return feature in self.features or feature.partition(".")[0] in self.features or feature in self.media

    @property
    def reasons(self) -> bool:
        """Set up to reason, and a backend is there on which the switch has an effect, as far as is known (S055)."""
        return self.reasoning and any(backend.facts.reasoning is not False for backend in self.backends)

    @property
    def permission(self) -> str:
        return f"ai:models:{self.provider_key}:{self.id}"


class Problem(msgspec.Struct, frozen=True):
    """Something the operator should know. `variable` and `path` say where (`MODELS`, `[2].provider`).

    `error`: it does not work. `warning`: it works, after a repair or with a doubt. `info`: nothing to mend.
    `source` is where the value came from, `line` and `column` (from 1) the place in its JSON text, and `context` that
    line with everything but structure and field names blanked out.
    """

    severity: Literal["error", "warning", "info"]
    variable: str
    path: str
    message: str
    fix: str
    source: str = ""
    line: int | None = None
    column: int | None = None
    context: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`models` keeps the order of `MODELS`. `by_name` has every slug, `provider:id`, and id (a shared id: the list)."""

    version: int
    providers: Mapping[str, ProviderConfig]
    models: tuple[Model, ...]
    by_name: Mapping[str, tuple[Model, ...]]
    problems: tuple[Problem, ...] = ()

    def find(self, name: str) -> tuple[Model, ...]:
        """The models of that name, in order. Raises ModelNotFound, with the nearest names."""
        found = self.by_name.get(name)
        if found is None:
            raise self._unknown(name)
        return found

    def for_feature(self, feature: str) -> tuple[Model, ...]:
        """Models that have `feature`, recommended first, then in order (`spec/editor-api.md` O-19)."""
        able = [model for model in self.models if model.has_feature(feature)]
        return tuple(sorted(able, key=lambda model: not model.recommended))

    def _unknown(self, name: str) -> ModelNotFound:
        import difflib

        nearest = difflib.get_close_matches(name, self.by_name.keys(), n=3, cutoff=0.5)
        errors = [problem for problem in self.problems if problem.severity == "error"]
        its_own = [problem for problem in errors if f"`{name}`" in problem.message]
        if nearest and not its_own:
            action = "Did you mean " + ", ".join(f"`{one}`" for one in nearest) + "?"
        elif errors:
            reason = (its_own or errors)[0]
            action = f"{reason.variable}{reason.path}: {reason.message} {reason.fix}"
        else:
            action = "List the models that this service offers, and use one of their ids."
        return ModelNotFound(
            f"Model `{name[:200]}` does not exist.",
            explanation="No model of that name is configured, or its entry in MODELS was skipped.",
            action=action,
            param="model",
        )
