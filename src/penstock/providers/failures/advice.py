"""What the operator should do: each kind explained with the names of this installation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.errors import UpstreamError
from penstock.providers.failures.cloud_advice import cloud_advice, wait
from penstock.providers.failures.kinds import (
    AllKeysResting,
    ContentFiltered,
    ContextTooLong,
    CredentialsRefused,
    CreditExhausted,
    Failure,
    ModelFailed,
    NoUsableKey,
    Overloaded,
    PermissionRefused,
    RateLimited,
    RequestRefused,
    TooLarge,
    Unreachable,
    Unsupported,
    UpstreamConflict,
    UpstreamNotFound,
)
from penstock.providers.failures.place import Advice, Place

# Documentation tells operators of these to look for OpenAI's sentence (`spec/providers.md` 14.5).
_ECHOES_NO_SENTENCE = frozenset({"anthropic", "google"})
_SENTENCE = "Incorrect API key provided"

_NO_DETAILS: Mapping[str, str] = {}


def explain_for(
    error: UpstreamError,
    *,
    provider_key: str,
    provider_type: str = "",
    details: Mapping[str, str] = _NO_DETAILS,
    key_hint: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    secrets: Iterable[str] = (),
) -> UpstreamError:
    """Return `error` with `explanation` and `action` filled in.

    They name the `PROVIDERS` entry, the key's last four characters, the model and the address. `details` are the
    fields that only this type has: region, project, resource.

    `key_hint` is `Key.hint`. `secrets` are revealed keys, masked once more in the message.
    """
    if not isinstance(error, Failure):
        return error
    error.cleaned(secrets)
    place = Place(provider_key, key_hint, model or "?", base_url or "", provider_type, details)
    if provider_type in _ECHOES_NO_SENTENCE and type(error) is CredentialsRefused:
        error.message = _searched_for(error.message)
        error.args = (error.message,)
    usual = (give(error, place) for kind, give in _ADVICE if isinstance(error, kind))
    advice = cloud_advice(error, place) or next(usual, None)
    if advice is not None:
        error.explanation, error.action = advice
    else:
        error.explanation = " ".join(filter(None, (error.explanation, f"It was called as {place.entry}.")))
    return error


def _searched_for(message: str) -> str:
    return message if _SENTENCE in message else f"{_SENTENCE}: {message}"


def _about_credentials(_: Failure, place: Place) -> Advice:
    if place.key_hint is None:
        return (
            f"The provider wants a key, and {place.entry} has none that could be used.",
            f"Set `apiKeys` of {place.entry}.",
        )
    return (
        f"The provider refused {place.credential} of {place.entry}.",
        "Replace that key: it is mistyped, revoked, expired, or of another account or region.",
    )


def _about_no_key(error: Failure, place: Place) -> Advice:
    if error.explanation and error.action:  # whoever looked for an identity says best what was not found
        return error.explanation, error.action
    return (
        f"The provider has lately refused every key of {place.entry}; they are tried again after five minutes.",
        f"Put a working key into `apiKeys` of {place.entry}.",
    )


def _about_permission(_: Failure, place: Place) -> Advice:
    return (
        f"The provider knows {place.credential} of {place.entry}, but does not let it use `{place.model}`.",
        "Check the permissions of the key, its project, and whether the provider serves your region.",
    )


def _about_billing(_: Failure, place: Place) -> Advice:
    return (
        f"The account behind {place.credential} of {place.entry} has no credit left, or reached its spending limit.",
        "Add credit or raise the limit at the provider. Waiting alone does not help.",
    )


def _about_not_found(error: Failure, place: Place) -> Advice:
    if isinstance(error, UpstreamNotFound) and error.wrong_path:
        return _about_path(place)
    if "try pulling it first" in error.message:
        return (
            f"The server of {place.entry} has not downloaded the model `{place.model}`.",
            f"Run `ollama pull {place.model}` there, or correct the `id` in MODELS.",
        )
    return (
        f"The provider of {place.entry} does not offer `{place.model}` to {place.credential}.",
        "Check the `id` in MODELS. If the model exists, the project of the key may not have access to it: "
        "allow the model in the project's limits at the provider, or use a key of another project.",
    )


def _about_path(place: Place) -> Advice:
    without_version = not place.base_url.rstrip("/").endswith("/v1")
    return (
        f"The provider does not know the path that {place.entry} leads to: its base URL is `{place.base_url}`.",
        f"The base URL of most providers ends in /v1: set `baseUrl` to `{place.base_url.rstrip('/')}/v1`."
        if without_version
        else "Check `baseUrl`: the path before /v1 may differ at this provider.",
    )


def _about_unsupported(error: Failure, place: Place) -> Advice:
    text = error.message.lower()
    if "does not support tools" in text:
        return (
            f"The model `{place.model}` of {place.entry} has no tool template, so it cannot use tools.",
            "Choose a model with tool support for this feature, or switch the tools off for this model in MODELS.",
        )
    if "tool choice requires" in text:
        return (
            f"The server of {place.entry} was started without tool support.",
            "Start it with `--enable-auto-tool-choice` and the `--tool-call-parser` of the model.",
        )
    if "image" in text:
        return (
            f"The model `{place.model}` of {place.entry} does not read images.",
            "Use a model that reads images, or leave the images out.",
        )
    return (
        f"The model `{place.model}` or the server of {place.entry} cannot do what was asked.",
        "Use another model for this feature.",
    )


def _about_rate(error: Failure, place: Place) -> Advice:
    if isinstance(error, AllKeysResting):
        why = f"The provider has asked every usable key of {place.entry} to wait."
    else:
        why = f"The provider limits how much {place.credential} of {place.entry} may ask in a time."
    if error.key_effect is None and error.message.startswith("Request too large for"):
        return why, "This request alone exceeds the allowance of the account: shorten it, or raise the account's tier."
    wait = f"Ask again in {error.retry_after_s:.0f} s" if error.retry_after_s else "Ask again later"
    return why, f"{wait}. If it happens often, add keys of other accounts, or raise the tier (free tiers are small)."


def _about_context(_: Failure, place: Place) -> Advice:
    return (
        f"The conversation with its attachments is longer than `{place.model}` of {place.entry} can read.",
        "Shorten the text, remove attachments, begin a new conversation, or use a model with a larger context.",
    )


def _about_filter(_: Failure, place: Place) -> Advice:
    return (
        f"The content filter of the provider of {place.entry} refused this text. Filters also strike harmless texts.",
        "Word it differently. If it happens often with harmless texts, relax the filter at the provider.",
    )


def _about_size(_: Failure, place: Place) -> Advice:
    return (
        f"The request is larger than the provider of {place.entry} accepts.",
        "Remove or shrink attachments.",
    )


def _about_overload(error: Failure, place: Place) -> Advice:
    return (
        error.explanation or f"The provider of {place.entry} has no capacity for `{place.model}` at present.",
        error.action or f"{wait(error)} A second backend for this model would take over.",
    )


def _about_request(error: Failure, place: Place) -> Advice:
    named = f" It names `{error.param}`." if error.param else ""
    return (
        error.explanation or f"The provider of {place.entry} does not accept this request for `{place.model}`.{named}",
        error.action or "Correct what its sentence names, or leave it out: models differ in what they take.",
    )


def _about_the_model(error: Failure, place: Place) -> Advice:
    return (
        error.explanation or f"`{place.model}` of {place.entry} broke off by itself.",
        error.action or "Ask again; another wording or another model helps if it happens often.",
    )


def _about_connection(error: Failure, place: Place) -> Advice:
    explanation = error.explanation or "The provider answered with a failure of its own."
    return (
        f"{explanation} It was called as {place.entry} at `{place.base_url}`.",
        error.action or "Ask again; the provider's status page may know more.",
    )


_ADVICE: Sequence[tuple[type[Failure], Any]] = (
    (NoUsableKey, _about_no_key),
    (CredentialsRefused, _about_credentials),
    (PermissionRefused, _about_permission),
    (CreditExhausted, _about_billing),
    (UpstreamNotFound, _about_not_found),
    (Unsupported, _about_unsupported),
    (RateLimited, _about_rate),
    (ContextTooLong, _about_context),
    (ContentFiltered, _about_filter),
    (TooLarge, _about_size),
    (Overloaded, _about_overload),
    (UpstreamConflict, _about_overload),
    (RequestRefused, _about_request),
    (ModelFailed, _about_the_model),
    (Unreachable, _about_connection),
)
