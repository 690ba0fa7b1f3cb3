"""MODELS: what callers may ask for (`spec/editor-api.md` 13)."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.gateway.catalog.fields import Fields, Notes
from penstock.gateway.catalog.model_details import known_facts, read_facts, read_price
from penstock.gateway.catalog.provider_types import DEMO
from penstock.gateway.catalog.snapshot import Backend, ContextLimits, Model
from penstock.providers.base import ProviderConfig
from penstock.providers.facts import facts_of

_TONES = ("casual", "direct", "friendly", "confident", "professional")

FEATURES: Mapping[str, tuple[str, ...]] = {
    "conversations": ("conversations.titleGeneration",),
    "reviews": (
        "reviews.correctness",
        "reviews.clarity",
        "reviews.readability",
        "reviews.make-longer",
        "reviews.make-shorter",
        *(f"reviews.make-tone-{tone}" for tone in _TONES),
        "reviews.translate",
    ),
    "actions": (
        "actions.make-longer",
        "actions.make-shorter",
        "actions.continue",
        *(f"actions.make-tone-{tone}" for tone in _TONES),
        "actions.translate",
        "actions.fix-grammar",
        "actions.improve-writing",
    ),
}
"""Every umbrella value with its family."""

MEDIA_FEATURES = ("embeddings", "images", "audio")
"""Ours: what a model does beside chat. A model with these alone is not shown in the editor."""

_KNOWN = frozenset(FEATURES) | {feature for family in FEATURES.values() for feature in family}
_AGENT_NAMES = frozenset({"agent-1", "auto"})
_ANTHROPIC_FILE_BYTES = 5_242_880
_IMAGE_BYTES = 5_000_000
_LARGEST = 2**53


def demo_model(provider: ProviderConfig) -> Model:
    return Model(
        slug=f"{DEMO}/penstock-demo",
        id="penstock-demo",
        provider_key=provider.key,
        name="Penstock demo",
        description="Built in: it needs no provider and no key, and writes without understanding.",
        recommended=True,
        features=frozenset(FEATURES),
        backends=(Backend(provider, "penstock-demo"),),
    )


def discovered_model(provider: ProviderConfig, name: str) -> Model:
    """A model that a provider lists, where MODELS says nothing (`spec/editor-api.md` W-35)."""
    return Model(
        slug=f"{provider.key}/{name}",
        id=name,
        provider_key=provider.key,
        name=name,
        description=f"Found at {provider.name or provider.key}.",
        features=frozenset(FEATURES),
        backends=(Backend(provider, name, facts_of(provider, name)),),
    )


def read_models(
    value: Any, providers: Mapping[str, ProviderConfig] | None, notes: Notes, *, strict: bool
) -> tuple[Model, ...]:
    """Every entry that can be shown, in order. With `strict` an unknown provider refuses the document.

    `providers` is None when PROVIDERS was refused: the entries are checked, but nothing can be said of their provider.
    """
    if not isinstance(value, list):
        notes.refuse((), "is not a JSON array.", 'Expected an array: [{"id": "…", "provider": "…", …}].')
        return ()
    found: dict[tuple[str, str], Model] = {}
    for place, entry in enumerate(value):
        if not isinstance(entry, dict):
            notes.refuse((place,), "is not an object.", 'Expected {"id": "…", "provider": "…", …}.')
            continue
        model = _read_model(Fields(entry, (place,), notes), providers, strict=strict)
        if model is None:
            continue
        if found.pop((model.provider_key, model.id), None) is not None:
            notes.warn((place,), f"repeats the model `{model.slug}`; this last one counts.", "Remove the others.")
        found[model.provider_key, model.id] = model
    models = tuple(found.values())
    _check_recommended(models, notes)
    _check_coverage(models, notes)
    return models


def _read_model(fields: Fields, providers: Mapping[str, ProviderConfig] | None, *, strict: bool) -> Model | None:
    model_id = fields.required("id", "the provider's name for the model")
    provider_key = fields.required("provider", "a key of PROVIDERS")
    features, media = _features(fields)
    description = fields.text("description")
    if description is None:
        fields.warn("description", "is missing; the tooltip stays empty.", "Say in a sentence what the model is for.")
    name, recommended = fields.text("name"), fields.flag("recommended")
    capabilities = fields.object("capabilities")
    web_search = reasoning = None
    if capabilities is not None:
        web_search, reasoning = capabilities.flag("webSearch"), capabilities.flag("reasoning")
        capabilities.close()
    provider = providers.get(provider_key or "") if providers else None
    limits = _limits(fields, provider)
    given, price = read_facts(fields), read_price(fields)
    fields.close()
    if model_id is None or provider_key is None or providers is None:
        return None
    if provider is None:
        _report_unknown(fields, model_id, provider_key, providers, strict=strict)
        return None
    if not features and not media:
        fields.warn("features", f"has nothing usable, so `{model_id}` is hidden.", 'Add for example "conversations".')
        return None
    if model_id in _AGENT_NAMES:
        message = f"`{model_id}` is the name of the built-in agent, which is what callers get."
        fields.warn("id", message, f"Ask for `{provider_key}/{model_id}`.")
    facts = known_facts(fields, provider, model_id, given, wants_reasoning=reasoning is True)
    return Model(
        slug=f"{provider_key}/{model_id}",
        id=model_id,
        provider_key=provider_key,
        name=name or model_id,
        description=description or "",
        recommended=recommended is True,
        features=features,
        media=media,
        web_search=web_search is True,
        reasoning=reasoning is True,
        limits=limits,
        backends=(Backend(provider, model_id, facts=facts, price=price),),
    )


def _report_unknown(
    fields: Fields, model_id: str, provider_key: str, providers: Iterable[str], *, strict: bool
) -> None:
    keys = list(providers)
    near = difflib.get_close_matches(provider_key, keys, n=1, cutoff=0.5)
    message = f"`{model_id}` is skipped: its provider `{provider_key[:80]}` is not in PROVIDERS."
    listed = ", ".join(f"`{key}`" for key in keys[:10]) or "none that can be used"
    fix = f"Did you mean `{near[0]}`?" if near else f"PROVIDERS has {listed}."
    report = fields.notes.refuse if strict else fields.notes.error
    report((*fields.path, "provider"), message, fix)


def _features(fields: Fields) -> tuple[frozenset[str], frozenset[str]]:
    """Those of the editor, and those beside chat."""
    given = fields.texts("features")
    for feature in given:
        if feature not in _KNOWN and feature not in MEDIA_FEATURES:
            near = difflib.get_close_matches(feature, sorted(_KNOWN.union(MEDIA_FEATURES)), n=1)
            fix = f"Did you mean `{near[0]}`?" if near else f"Use {', '.join(FEATURES)}, or one of their family."
            fields.warn("features", f"has `{feature[:80]}`, which is no feature; it is ignored.", fix)
    return frozenset(given) & _KNOWN, frozenset(given).intersection(MEDIA_FEATURES)


def _limits(fields: Fields, provider: ProviderConfig | None) -> ContextLimits:
    base = ContextLimits()
    given = fields.object("contextLimits")
    largest_file = given.whole("maxFileSize", 0, _LARGEST) if given else None
    if largest_file is None:
        is_anthropic = provider is not None and provider.type == "anthropic"
        largest_file = _ANTHROPIC_FILE_BYTES if is_anthropic else base.max_file_size
    largest_image = min(largest_file, _IMAGE_BYTES)
    if given is None:
        return msgspec.structs.replace(base, max_file_size=largest_file, max_image_size=largest_image)

    def given_or(name: str, default: int) -> int:
        value = given.whole(name, 0, _LARGEST)
        return default if value is None else value

    found = ContextLimits(
        max_context_length=given_or("maxContextLength", base.max_context_length),
        max_files=given_or("maxFiles", base.max_files),
        max_file_size=largest_file,
        max_image_size=given_or("maxImageSize", largest_image),
        max_total_file_size=given_or("maxTotalFileSize", base.max_total_file_size),
        max_total_pdf_file_pages=given_or("maxTotalPdfFilePages", base.max_total_pdf_file_pages),
    )
    given.close()
    return found


def _check_recommended(models: Sequence[Model], notes: Notes) -> None:
    recommended = [model.slug for model in models if model.recommended]
    if len(recommended) > 1:
        notes.warn((), f"recommends {len(recommended)} models; editors expect one.", "Keep `recommended` at one.")


def _check_coverage(models: Sequence[Model], notes: Notes) -> None:
    usable = [model for model in models if model.backends]
    if not usable:
        return
    missing: list[str] = []
    for umbrella, family in FEATURES.items():
        uncovered = [one for one in (umbrella, *family) if not any(model.has_feature(one) for model in usable)]
        missing += [f"{umbrella} (all of it)"] if len(uncovered) == len(family) + 1 else uncovered
    if missing:
        message = f"has no model for {', '.join(missing)}; what asks for it is refused."
        notes.warn((), message, "Add them to the `features` of a model; an umbrella such as `actions` has its family.")
