"""MODERATION: one JSON object (`spec/editor-api.md` 10.6). What is on must be complete: nothing screens by half."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from penstock.editor.moderation.options import (
    OMNI,
    OPENAI_URL,
    CustomScreening,
    ModerationOptions,
    OpenAIScreening,
)
from penstock.gateway.catalog.documents import Refused, Source
from penstock.gateway.catalog.fields import Fields, Notes
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig
from penstock.settings.values import Values

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_KEY = re.compile(r"[!-~]+")
_TYPES = "openai, custom"
_SLOWEST_MS = 120_000


def read_moderation(
    source: Source | None, providers: Iterable[ProviderConfig] | None, values: Values
) -> ModerationOptions | None:
    """None when nothing is screened. Problems go to `values`; `providers` may lend their key; None: unknown."""
    if source is None:
        return None
    try:
        document = source.read()
        value = document.value()
    except Refused as refused:
        values.problems += refused.problems
        return None
    notes = Notes(document)
    if isinstance(value, dict):
        found = _read(Fields(value, (), notes), providers)
    else:
        notes.refuse((), "is not a JSON object.", 'Expected an object: {"enabled": true, "provider": {…}}.')
        found = None
    values.problems += notes.problems
    return None if notes.refusals else found


def _read(fields: Fields, providers: Iterable[ProviderConfig] | None) -> ModerationOptions | None:
    is_on = fields.flag("enabled")
    if is_on is None and not fields.has("enabled"):
        fields.missing("enabled", "true or false")
    provider, timeout_ms = fields.object("provider"), fields.whole("timeoutMs", 100, _SLOWEST_MS)
    fields.close()
    if not is_on:
        return None
    if provider is None:
        if not fields.has("provider"):
            fields.missing("provider", 'who screens, such as {"type": "openai"}')
        return None
    screening = _screening(provider, providers)
    provider.close()
    if screening is None:
        return None
    return ModerationOptions(screening=screening, timeout_s=(timeout_ms or 15_000) / 1000)


def _screening(fields: Fields, providers: Iterable[ProviderConfig] | None) -> OpenAIScreening | CustomScreening | None:
    match fields.required("type", f"one of {_TYPES}"):
        case "openai":
            return _openai(fields, providers)
        case "custom":
            return _custom(fields)
        case None:
            return None
        case _:
            fields.refuse("type", "is not a type that exists.", f"Expected one of {_TYPES}.")
            return None


def _openai(fields: Fields, providers: Iterable[ProviderConfig] | None) -> OpenAIScreening:
    key, model = fields.text("apiKey"), fields.text("model")
    base_url = _address(fields, "baseUrl")
    if key is not None and not _KEY.fullmatch(key):
        fields.refuse("apiKey", "has blanks or characters that no key has.", "Copy the key again.")
    if key is None and base_url is not None:
        fields.missing("apiKey", "the key for the address of `baseUrl`")
    if key is None and providers is not None and not any(one.type == "openai" for one in providers):
        fields.missing("apiKey", "the key for OpenAI's moderation, as PROVIDERS has no entry of type `openai`")
    return OpenAIScreening(key=Secret(key) if key else None, base_url=base_url or OPENAI_URL, model=model or OMNI)


def _custom(fields: Fields) -> CustomScreening | None:
    url, headers = _address(fields, "url"), _headers(fields)
    if url is None and not fields.has("url"):
        fields.missing("url", "the address of your screening service")
    return CustomScreening(url=url, headers=headers) if url else None


def _address(fields: Fields, name: str) -> str | None:
    url = fields.text(name)
    if url is None or _is_address(url):
        return url
    fields.refuse(name, "is not an address that can be asked.", "Expected http:// or https:// and a host.")
    return None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        return False


def _headers(fields: Fields) -> tuple[tuple[str, Secret], ...]:
    given = fields.object("headers")
    found = []
    for name in given.names() if given else ():
        value = given.text(name) if given else None
        if given is None or value is None:
            continue
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            given.refuse(name, "cannot be sent as a header.", "Expected a plain name, and a value of one line.")
        found.append((name, Secret(value)))
    return tuple(found)
