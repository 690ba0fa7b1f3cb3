"""From the two documents to a snapshot. What can be repaired is, with a warning; the rest is refused all at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.gateway.catalog.documents import Document, Refused, Source
from penstock.gateway.catalog.fields import Notes
from penstock.gateway.catalog.models import demo_model, discovered_model, read_models
from penstock.gateway.catalog.provider_types import DEMO
from penstock.gateway.catalog.providers import demo_provider, read_providers
from penstock.gateway.catalog.snapshot import Model, Problem, Snapshot
from penstock.providers.base import ProviderConfig
from penstock.providers.transport.base import Limits


class CatalogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """None for a source means that its variable is not set. `limits` is where the entries' `timeouts` start."""

    providers: Source | None = None
    models: Source | None = None
    strict: bool = False
    limits: Limits = Limits()


Discovered = Mapping[str, Sequence[str]]
"""Names of models that providers list, by the key of the provider. They count while MODELS is not set."""


def load_catalog(options: CatalogOptions, version: int = 1, discovered: Discovered | None = None) -> Snapshot:
    """Read the sources and make the snapshot. Raises Refused, with the problems of both documents."""
    problems: list[Problem] = []
    providers = _document(options.providers, problems)
    models = _document(options.models, problems)
    if problems:
        raise Refused(problems)
    return read_catalog(
        providers, models, options.limits, strict=options.strict, version=version, discovered=discovered
    )


def read_catalog(
    providers: Document | None,
    models: Document | None,
    limits: Limits,
    *,
    strict: bool = False,
    version: int = 1,
    discovered: Discovered | None = None,
) -> Snapshot:
    """Raises Refused. A model whose provider has no wire in this version stays visible, without a backend.

    Without `providers` there is the demo provider; without both, the demo model too.
    """
    about_providers, configs = _read_providers(providers, limits)
    refused = about_providers.refusals > 0
    about_models, found = _read_models(models, None if refused else configs, strict=strict)
    if models is None and providers is None:
        found = (demo_model(configs[DEMO]),)
    elif models is None and discovered:
        found = _discovered(configs, discovered)
    problems = [*about_providers.problems, *about_models.problems]
    if refused or about_models.refusals:
        raise Refused(problems)
    if not any(model.backends for model in found):
        problems.insert(0, _nothing_usable(models, about_models, has_providers=providers is not None))
    return Snapshot(
        version=version,
        providers=configs,
        models=found,
        by_name=_names(found),
        problems=tuple(problems),
    )


def _discovered(configs: Mapping[str, ProviderConfig], discovered: Discovered) -> tuple[Model, ...]:
    return tuple(
        discovered_model(configs[key], name) for key, names in discovered.items() if key in configs for name in names
    )


def _document(source: Source | None, problems: list[Problem]) -> Document | None:
    try:
        return source.read() if source else None
    except Refused as refused:
        problems += refused.problems
        return None


def _read_providers(document: Document | None, limits: Limits) -> tuple[Notes, dict[str, ProviderConfig]]:
    if document is None:
        return Notes(_nowhere("PROVIDERS")), {DEMO: demo_provider(limits)}
    notes, value = _opened(document)
    return notes, {} if notes.refusals else read_providers(value, notes, limits)


def _read_models(
    document: Document | None, configs: dict[str, ProviderConfig] | None, *, strict: bool
) -> tuple[Notes, tuple[Model, ...]]:
    if document is None:
        return Notes(_nowhere("MODELS")), ()
    notes, value = _opened(document)
    return notes, () if notes.refusals else read_models(value, configs, notes, strict=strict)


def _opened(document: Document) -> tuple[Notes, Any]:
    """The parsed document, with what is wrong with the JSON itself already noted."""
    notes = Notes(document)
    try:
        value = document.value()
    except Refused as refused:
        notes.problems += refused.problems
        notes.refusals += 1
        return notes, None
    for path in document.repeated_keys():
        notes.warn(path, "is given more than once; the last one counts.", "Remove the others.")
    return notes, value


def _nowhere(variable: str) -> Document:
    return Document(variable, "", "")


def _nothing_usable(models: Document | None, notes: Notes, *, has_providers: bool) -> Problem:
    """The sentence behind an empty picker (S057); it stands first, because callers are shown the first error."""
    consequence = "Callers see `agent-1` only, and it cannot answer."
    if models is None:
        fix = "Set MODELS, or MODELS_FILE: an array with `id`, `provider`, `description` and `features` of each model."
        return Problem("error", "MODELS", "", f"is not set, so no model can be used. {consequence}", fix)
    if not has_providers:
        fix = "Set PROVIDERS, or PROVIDERS_FILE."
        message = f"names providers, but PROVIDERS is not set, so no model can be used. {consequence}"
        return notes.document.at("error", (), message, fix)
    reasons = sum(problem.severity == "error" for problem in notes.problems)
    fix = "See the problems of its entries." if reasons else "Add an entry with at least one feature."
    return notes.document.at("error", (), f"has no entry that can be used. {consequence}", fix)


def _names(models: Iterable[Model]) -> dict[str, tuple[Model, ...]]:
    found: dict[str, list[Model]] = {}
    for model in models:
        for name in dict.fromkeys((model.slug, f"{model.provider_key}:{model.id}", model.id)):
            found.setdefault(name, []).append(model)
    return {name: tuple(bearers) for name, bearers in found.items()}
