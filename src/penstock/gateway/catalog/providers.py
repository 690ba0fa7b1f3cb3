"""PROVIDERS: which fields each type needs and takes, and one `ProviderConfig` per entry (`spec/providers.md` 1)."""

import difflib
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from penstock.gateway.catalog.fields import Fields, Notes
from penstock.gateway.catalog.provider_types import DEMO, TYPES
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig
from penstock.providers.transport import tls
from penstock.providers.transport.base import Limits
from penstock.providers.vendors import VENDORS, base_url_of

_KEY_CHARACTERS = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OUR_HEADERS = frozenset(
    {"host", "content-length", "connection", "transfer-encoding", "content-type", "accept-encoding"}
)
_AUTH_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key"})
_VERSION_SEGMENT = re.compile(r"/v[0-9][0-9a-z]*(?:/|$)")
# Vendors whose base address really has no version segment (`spec/providers.md` 10.1).
_HOSTS_WITHOUT_VERSION = frozenset({"api.deepseek.com", "api.perplexity.ai"})
_GOOGLES_VERSIONS = {"google": "v1beta", "vertex": "v1beta1"}
"""What the addresses of these types end in."""
_DAY_MS = 86_400_000


def read_provider(key: str, fields: Fields, limits: Limits) -> ProviderConfig | None:
    """One entry, None when something in it was refused. `limits` are what the entry's `timeouts` start from."""
    kind = _read_type(fields)
    if kind is None:
        return None
    before = fields.notes.refusals
    config = _read_known(key, kind, fields, limits)
    return config if fields.notes.refusals == before else None


def demo_provider(limits: Limits) -> ProviderConfig:
    return ProviderConfig(key=DEMO, type=DEMO, name="Demo", base_url=VENDORS[DEMO].base_url or "", **_seconds(limits))


def _read_type(fields: Fields) -> str | None:
    kind = fields.required("type", "one of " + ", ".join(TYPES))
    if kind is None or kind in TYPES:
        return kind
    near = difflib.get_close_matches(kind.lower().replace("_", "-"), TYPES, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    fields.refuse("type", "is not a type that exists.", f"Expected one of {', '.join(TYPES)}.{hint}")
    return None


def _read_known(key: str, kind: str, fields: Fields, limits: Limits) -> ProviderConfig:
    rules = TYPES[kind]
    own = rules.read(fields)
    own_base_url = _base_url(fields, kind)
    if rules.needs_base_url and own_base_url is None and not fields.has("baseUrl"):
        fields.missing("baseUrl", "the address of the server, with its /v1")
    if own_base_url and rules.is_openai_like:
        _check_version(fields, own_base_url)
    if own_base_url and kind in _GOOGLES_VERSIONS and not _VERSION_SEGMENT.search(own_base_url):
        version = _GOOGLES_VERSIONS[kind]
        fields.warn("baseUrl", f"has no /{version}; Google's paths begin behind it.", f"Append /{version}.")
    found = ProviderConfig(
        key=key,
        type=kind,
        name=fields.text("name") or key,
        base_url=own_base_url or own.base_url or base_url_of(kind, own.details),
        api_keys=_api_keys(fields, required=rules.needs_keys),
        credentials=own.credentials,
        ambient=own.ambient,
        headers=_headers(fields, kind),
        proxy=_proxy(fields),
        details=tuple(sorted(own.details.items())),
        **_timeouts(fields, limits),
        **_tls(fields),
    )
    _check_keys(kind, found, fields)
    fields.close()
    return found


def _api_keys(fields: Fields, *, required: bool) -> tuple[Secret, ...]:
    given = fields.texts("apiKeys")
    value = fields.raw("apiKeys")
    if required and not given and (value is None or value in ([], "") or isinstance(value, list)):
        fields.missing("apiKeys", "one or more keys of the account")
    if not all(_KEY_CHARACTERS.fullmatch(key) for key in given):
        fields.refuse("apiKeys", "has a key with blanks or characters that no key has.", "Copy the key again.")
    if len(set(given)) < len(given):
        fields.warn("apiKeys", "has the same key more than once.", "Keep one of each.")
    return tuple(Secret(key) for key in dict.fromkeys(given))


def _check_keys(kind: str, config: ProviderConfig, fields: Fields) -> None:
    from_ai_studio = any(key.reveal().startswith("AIza") for key in config.api_keys)
    if kind == "vertex" and from_ai_studio:
        message = "has a key of Google AI Studio (`AIza…`), which Vertex AI does not accept."
        fields.refuse("apiKeys", message, "Use the type `google` with this key, or a service account with `vertex`.")


def _headers(fields: Fields, kind: str) -> tuple[tuple[str, str], ...]:
    given = fields.object("headers")
    found: dict[str, str] = {}
    for name in given.names() if given else ():
        value = given.text(name) if given else None
        lowered = name.lower()
        if value is None or given is None:
            continue
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            given.refuse(name, "cannot be sent as a header.", "Expected a plain name, and a value of one line.")
        elif lowered in _OUR_HEADERS or (lowered in _AUTH_HEADERS and kind != "openai-compatible"):
            given.warn(name, "is a header that we set ourselves; it is ignored.", "Remove it.")
        else:
            found[lowered] = Secret(value)
    return tuple(found.items())


def _timeouts(fields: Fields, limits: Limits) -> dict[str, Any]:
    found = _seconds(limits)
    given = fields.object("timeouts")
    if given is None:
        return found
    for name, target in (
        ("connectMs", "connect_s"),
        ("firstTokenMs", "first_byte_s"),
        ("idleMs", "idle_s"),
        ("totalMs", "total_s"),
    ):
        value = given.whole(name, 1, _DAY_MS)
        if value is not None:
            found[target] = value / 1000
    if not given.has("totalMs"):
        found["total_s"] = max(found["total_s"], found["first_byte_s"])
    given.close()
    return found


def _seconds(limits: Limits) -> dict[str, Any]:
    return msgspec.structs.asdict(limits)


def _tls(fields: Fields) -> dict[str, Any]:
    given = fields.object("tls")
    if given is None:
        return {}
    ca_file, verify = given.text("caFile"), given.flag("verify")
    if ca_file is not None and not _is_authority(ca_file):
        given.refuse("caFile", "is not a file of certificates that can be read.", "Expected the path of a PEM file.")
    if verify is False:
        given.warn("verify", "is false: anyone on the way can read the keys.", "Give `caFile` instead.")
    given.close()
    return {"ca_file": ca_file, "verify_tls": verify is not False}


def _is_authority(path: str) -> bool:
    try:
        tls.context(path, verify=True)
    except (OSError, ValueError):
        return False
    return True


def _proxy(fields: Fields) -> Secret | None:
    """A secret, because it may hold a password."""
    text = fields.text("proxy")
    if text is not None and _address(text) is None:
        fields.refuse("proxy", "is not an address.", "Expected http://host:port or https://host:port.")
    return None if text is None else Secret(text)


def _base_url(fields: Fields, kind: str) -> str | None:
    text = fields.text("baseUrl")
    if text is None:
        return None
    parts = _address(text)
    if parts is None or parts.fragment:
        fields.refuse("baseUrl", "is not an address.", "Expected for example https://host:port/v1, scheme included.")
    elif parts.username or parts.password:
        fields.refuse("baseUrl", "holds a user or a password.", "Use `apiKeys`, or `headers`.")
    found = text.rstrip("/")
    if kind == "anthropic" and found.endswith("/v1"):
        fields.warn("baseUrl", "ends in /v1, which its paths begin with already; it is cut.", "Leave the /v1 out.")
        return found.removesuffix("/v1").rstrip("/")
    return found


def _address(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    is_plain = text.isascii() and text.isprintable() and " " not in text
    usable = parts.scheme in ("http", "https") and parts.hostname and port != 0 and is_plain
    return parts if usable else None


def _check_version(fields: Fields, base_url: str) -> None:
    parts = _address(base_url)
    if parts is None or parts.hostname in _HOSTS_WITHOUT_VERSION or _VERSION_SEGMENT.search(parts.path):
        return
    message = 'has no /v1; most servers answer "Not Found" without it.'
    fields.warn("baseUrl", message, "Append /v1. Should a call answer 404, we try it with /v1.")


def read_providers(value: Any, notes: Notes, limits: Limits) -> dict[str, ProviderConfig]:
    """Every entry that can be used, in order. Refuses what is not an object, or an empty one."""
    fix = 'Expected an object: {"main": {"type": "openai", "apiKeys": ["…"]}}.'
    if not isinstance(value, dict):
        notes.refuse((), "is not a JSON object.", fix)
        return {}
    if not value:
        notes.refuse((), "has no entry.", f"{fix} To try the service without one, unset the variable.")
    found = {}
    for key, entry in value.items():
        if not key.strip() or not isinstance(entry, dict):
            notes.refuse((key,), "is not an entry.", 'Expected a name and an object: "main": {"type": "openai"}.')
            continue
        config = read_provider(key, Fields(entry, (key,), notes), limits)
        if config is not None:
            found[key] = config
    return found
