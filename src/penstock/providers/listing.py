"""Which models an entry of PROVIDERS offers, and whether its keys are good. Nothing here costs anything.

How each type is asked follows `spec/providers.md` 4.2, 5.1, 6.2, 7.1, 8.3, 9.1 and 10.2.
"""

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.attempts import Attempts
from penstock.providers.base import Exchange, ProviderConfig, Quirks, Reader, Usage, Wire
from penstock.providers.failures import (
    CredentialsRefused,
    CreditExhausted,
    NoUsableKey,
    TimedOut,
    Unreachable,
    Unsupported,
    UpstreamNotFound,
)
from penstock.providers.media.whole import WholeReader, json_object
from penstock.providers.provider import Provider

PATIENCE_S = 20.0
"""A list comes at once or not at all."""

_MAX_PAGES = 20
_THE_LIST = "the list of models"
"""Stands where a model's name would, also in sentences."""
_DATED = re.compile(r"\d{4}-\d\d-\d\d")


class _List(msgspec.Struct, frozen=True, kw_only=True):
    """One list. `items` and `name` are fields of the answer and of an item; `cut` is cut off the names.

    `pages` has the answer's field for what follows, and the parameter that it becomes.
    """

    path: str
    items: str = "data"
    name: str = "id"
    cut: str = ""
    pages: tuple[str, str] | None = None
    of_deployments: bool = False


_OPENAI = (_List(path="/models"),)
_ANTHROPIC = (_List(path="/v1/models?limit=1000", pages=("last_id", "after_id")),)
_GOOGLE = (
    _List(
        path="/models?pageSize=1000",
        items="models",
        name="name",
        cut="models/",
        pages=("nextPageToken", "pageToken"),
    ),
)
_VERTEX = tuple(
    _List(
        path=f"/publishers/{publisher}/models?pageSize=100",
        items="publisherModels",
        name="name",
        cut=f"publishers/{publisher}/models/",
        pages=("nextPageToken", "pageToken"),
    )
    for publisher in ("google", "anthropic")
)
_BEDROCK = (
    _List(path="/foundation-models", items="modelSummaries", name="modelId"),
    _List(
        path="/inference-profiles?maxResults=1000&type=SYSTEM_DEFINED",
        items="inferenceProfileSummaries",
        name="inferenceProfileId",
        pages=("nextToken", "nextToken"),
    ),
)
_LISTS: Mapping[str, tuple[_List, ...]] = {
    "anthropic": _ANTHROPIC,
    "google": _GOOGLE,
    "vertex": _VERTEX,
    "bedrock": _BEDROCK,
}
_OLDEST_AZURE = "2022-12-01"
"""The version that knows deployments for certain; later ones have moved them to the control plane."""


class Listed(msgspec.Struct, frozen=True):
    """`of_deployments`: the names are all that can be asked for, and nothing else can."""

    names: tuple[str, ...]
    of_deployments: bool = False


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one key of an entry. None: it did not show.

    `listed` is None where the provider has no list, which is no failure. `failure` has what went wrong.
    """

    key: str | None = None
    is_reachable: bool | None = None
    is_accepted: bool | None = None
    listed: Listed | None = None
    failure: UpstreamError | None = None


async def list_models(provider: Provider) -> Listed:
    """With the next key of the entry. Raises UpstreamError; UpstreamNotFound and Unsupported where there is no list."""
    config = provider.config
    if config.type == "azure":
        return await _deployments(provider)
    names: list[str] = []
    for one in _LISTS.get(config.type, _OPENAI):
        names += await _names(provider, one)
    return Listed(tuple(dict.fromkeys(names)))


async def probe(config: ProviderConfig, open_provider: Callable[[ProviderConfig], Provider]) -> list[Probe]:
    """One for each key or credential of the entry, or one for an entry without."""
    return await asyncio.gather(*(_probe(open_provider, one) for one in _each_credential(_for_lists(config))))


def unlisted(config: ProviderConfig, listed: Listed, configured: Iterable[str]) -> dict[str, str | None]:
    """The configured ids that the provider does not list, each with the nearest name that it does."""
    names = {name.lower() for name in listed.names}
    missing = [one for one in configured if not _is_listed(config.type, one, names)]
    return {one: next(iter(difflib.get_close_matches(one, listed.names, n=1, cutoff=0.5)), None) for one in missing}


# ----------------------------------------------------------------------------------------------------------------------


async def _probe(open_provider: Callable[[ProviderConfig], Provider], config: ProviderConfig) -> Probe:
    found = Probe()
    try:
        provider = open_provider(config)
        found = Probe(key=provider.keys.states()[0].hint)
        listed = await list_models(provider)
    except (UpstreamNotFound, Unsupported) as error:
        # The key may be good or not: most servers look for the path first.
        return msgspec.structs.replace(found, is_reachable=error.upstream_status is not None)
    except UpstreamError as error:
        return msgspec.structs.replace(found, is_reachable=_reached(error), is_accepted=_accepted(error), failure=error)
    return msgspec.structs.replace(found, is_reachable=True, is_accepted=True, listed=listed)


def _reached(error: UpstreamError) -> bool | None:
    if isinstance(error, NoUsableKey):
        return None  # nothing was sent
    if isinstance(error, Unreachable | TimedOut):
        return error.upstream_status is not None
    return True


def _accepted(error: UpstreamError) -> bool | None:
    if isinstance(error, CredentialsRefused):
        return False
    return True if isinstance(error, CreditExhausted) else None


def _for_lists(config: ProviderConfig) -> ProviderConfig:
    """The entry, less patient, and at the host that has the list: Bedrock's is another than the models'."""
    base_url = config.base_url
    host = urlsplit(base_url).hostname or ""
    if config.type == "bedrock" and host.startswith("bedrock-runtime"):
        base_url = base_url.replace("bedrock-runtime", "bedrock", 1)
    return msgspec.structs.replace(
        config,
        base_url=base_url,
        first_byte_s=min(config.first_byte_s, PATIENCE_S),
        connect_s=min(config.connect_s, PATIENCE_S),
        idle_s=min(config.idle_s, PATIENCE_S),
        total_s=min(config.total_s, 2 * PATIENCE_S),
    )


def _each_credential(config: ProviderConfig) -> Sequence[ProviderConfig]:
    replace = msgspec.structs.replace
    if config.api_keys:
        return [replace(config, api_keys=(one,), credentials=()) for one in config.api_keys]
    return [replace(config, credentials=(one,)) for one in config.credentials] or [config]


async def _deployments(provider: Provider) -> Listed:
    """Azure: what can be asked for are deployments; where they are not told, the models of the resource."""
    version = dict(provider.config.details).get("apiVersion", "")
    versions = [version] if _DATED.match(version) else []
    for one in dict.fromkeys((*versions, _OLDEST_AZURE)):
        try:
            path = f"/deployments?api-version={quote(one)}"
            return Listed(tuple(await _names(provider, _List(path=path))), of_deployments=True)
        except (UpstreamNotFound, Unsupported):
            continue
    return Listed(tuple(await _names(provider, _OPENAI[0])))


async def _names(provider: Provider, wanted: _List) -> list[str]:
    found: list[str] = []
    path = wanted.path
    for _ in range(_MAX_PAGES):
        answer = await _page(provider, path)
        items = answer.get(wanted.items)
        names = [one.get(wanted.name) for one in items if isinstance(one, dict)] if isinstance(items, list) else []
        found += [name.removeprefix(wanted.cut) for name in names if isinstance(name, str)]
        following = answer.get(wanted.pages[0]) if wanted.pages is not None else None
        if wanted.pages is None or not isinstance(following, str) or not following or answer.get("has_more") is False:
            break
        joint = "&" if "?" in wanted.path else "?"
        path = f"{wanted.path}{joint}{wanted.pages[1]}={quote(following, safe='')}"
    return found


async def _page(provider: Provider, path: str) -> Mapping[str, Any]:
    answer = await provider.open(_THE_LIST, _Get(path), Attempts())
    try:
        return next(one for piece in answer.ready for one in piece)
    finally:
        answer.close()


class _Get:
    """A `Translation` that asks for a document and hands it out."""

    wire: str | None = None
    has_tools = tools_optional = False

    def __init__(self, path: str) -> None:
        self._path = path

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        headers: tuple[tuple[bytes, bytes], ...] = ((b"accept", b"application/json"),)
        if wire.name == "anthropic":
            headers += ((b"anthropic-version", (quirks.format_version or "2023-06-01").encode()),)
        return Exchange(self._path, headers=headers, method=b"GET")

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[Mapping[str, Any]]]:
        return WholeReader(_document, content_type=content_type, guess=Usage())


def _document(body: bytes) -> tuple[Mapping[str, Any], None]:
    """Together and Fireworks answer with the bare list."""
    if body.lstrip()[:1] == b"[":
        return {"data": msgspec.json.decode(body)}, None
    return json_object(body), None


def _is_listed(kind: str, model: str, names: set[str]) -> bool:
    """`names` in lower case. What can be asked for under another name than the listed one counts as listed."""
    name = model.lower()
    if kind in ("google", "vertex"):
        name = name.rpartition("models/")[2] if "models/" in name else name.removeprefix("google/")
        name = name.removeprefix("anthropic/").partition("@")[0] if kind == "vertex" else name
    if name in names or name.startswith("arn:"):
        return True
    if kind == "anthropic":  # aliases without the date
        return any(re.fullmatch(re.escape(name.removesuffix("-latest")) + r"-\d{8}", one) for one in names)
    if kind == "vertex":  # other publishers have lists of their own
        return "/" in name
    return f"{name}:latest" in names  # Ollama
