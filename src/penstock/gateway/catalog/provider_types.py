"""The types of PROVIDERS: what each has of its own, and which this version can speak with (`spec/providers.md` 1)."""

import re
from collections.abc import Callable, Mapping

import msgspec

from penstock.gateway.catalog.fields import Fields
from penstock.gateway.catalog.private_keys import UnusableKey, repaired
from penstock.providers.vendors import FLAVOURS, VENDORS

DEMO = "demo"
"""The key and the type of the provider that is there when PROVIDERS is not set."""

_AZURE_HOST = re.compile(r"([a-z0-9-]+)\.(?:openai|services\.ai|cognitiveservices)\.azure\.com", re.IGNORECASE)
_NAME_IN_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


def is_served(kind: str) -> bool:
    """Whether this version has a wire for the type; the others are accepted and checked."""
    return kind in VENDORS


def _read_openai(fields: Fields) -> dict[str, str]:
    return _chosen(fields, "api", ("auto", "chat", "responses"))


def _read_compatible(fields: Fields) -> dict[str, str]:
    return _read_openai(fields) | _chosen(fields, "flavor", ("auto", *FLAVOURS))


def _read_anthropic(fields: Fields) -> dict[str, str]:
    return _given(fields, "apiVersion") | _betas(fields)


def _read_nothing(_: Fields) -> dict[str, str]:
    return {}


def _read_azure(fields: Fields) -> dict[str, str]:
    version = fields.required("apiVersion", "the `api-version` of Azure, for example 2024-10-21, or v1")
    found = {"apiVersion": version} if version else {}
    name = fields.text("resourceName")
    if name is not None:
        found["resourceName"] = _resource_name(fields, name)
    elif not fields.has("baseUrl") and not fields.has("resourceName"):
        fields.missing("resourceName", "the first part of <name>.openai.azure.com")
    _ambient(fields, "apiKeys" if not fields.has("apiKeys") else None)
    return found | _read_openai(fields)


def _resource_name(fields: Fields, text: str) -> str:
    host = _AZURE_HOST.search(text)
    if host is not None:
        fields.warn("resourceName", "is an address; only its first part is used.", "Write that part alone.")
        return host[1]
    if not _NAME_IN_HOST.fullmatch(text):
        fields.refuse("resourceName", "is not the name of a resource.", "Expected <name> of <name>.openai.azure.com.")
    return text


def _read_bedrock(fields: Fields) -> dict[str, str]:
    region = fields.required("region", "the AWS region, for example eu-central-1")
    if region is not None and not _NAME_IN_HOST.fullmatch(region):
        fields.refuse("region", "is not a region.", "Expected for example eu-central-1.")
    for credentials in _credentials(fields):
        credentials.required("accessKeyId", "the id of an AWS access key")
        credentials.required("secretAccessKey", "the secret of that access key")
        credentials.text("sessionToken")
        credentials.close()
    _ambient(fields, None if fields.has("credentials") or fields.has("apiKeys") else "credentials")
    return ({"region": region} if region else {}) | _betas(fields)


def _read_vertex(fields: Fields) -> dict[str, str]:
    found = {}
    for name, purpose in (("project", "the id of the project, not its number"), ("location", "a region, or global")):
        value = fields.required(name, purpose)
        if value is not None and not _NAME_IN_HOST.fullmatch(value):
            fields.refuse(name, "has characters that it cannot have.", f"Expected {purpose}.")
        elif value is not None:
            found[name] = value
    for credentials in _credentials(fields):
        _check_service_account(credentials)
    _ambient(fields, None if fields.has("credentials") or fields.has("apiKeys") else "credentials")
    return found | _betas(fields)


def _check_service_account(credentials: Fields) -> None:
    """Either our two fields, or the whole file that Google hands out."""
    whole_file = credentials.has("private_key")
    email, key = ("client_email", "private_key") if whole_file else ("clientEmail", "privateKey")
    credentials.required(email, "the address of the service account")
    text = credentials.required(key, "the private key of the service account")
    if text is not None:
        try:
            repaired(text)
        except UnusableKey as error:
            fix = "Paste `private_key` of the service account's JSON file as it is, with its \\n."
            credentials.refuse(key, f"is not a private key: {error}.", fix)
    if whole_file:
        credentials.names()
    credentials.close()


def _credentials(fields: Fields) -> list[Fields]:
    value = fields.raw("credentials")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [Fields(item, (*fields.path, "credentials", place), fields.notes) for place, item in enumerate(value)]
    found = fields.object("credentials")
    return [found] if found else []


def _ambient(fields: Fields, absent: str | None) -> None:
    """`ambientCredentials: false` asks for credentials in the entry itself."""
    if fields.flag("ambientCredentials") is False and absent is not None:
        fields.missing(absent, "`ambientCredentials` is false")


def _betas(fields: Fields) -> dict[str, str]:
    betas = fields.texts("betas")
    return {"betas": ",".join(betas)} if betas else {}


def _given(fields: Fields, name: str) -> dict[str, str]:
    value = fields.text(name)
    return {name: value} if value else {}


def _chosen(fields: Fields, name: str, words: tuple[str, ...]) -> dict[str, str]:
    value = fields.text(name)
    if value is not None and value not in words:
        fields.refuse(name, "is not one of the accepted words.", f"Expected one of {', '.join(words)}.")
    return {name: value} if value in words else {}


class ProviderType(msgspec.Struct, frozen=True):
    """`read` reads the fields that only this type has, and returns those that are no secrets."""

    read: Callable[[Fields], dict[str, str]]
    needs_keys: bool = True
    needs_base_url: bool = False
    is_openai_like: bool = False


TYPES: Mapping[str, ProviderType] = {
    "openai": ProviderType(_read_openai, is_openai_like=True),
    "anthropic": ProviderType(_read_anthropic),
    "google": ProviderType(_read_nothing),
    "azure": ProviderType(_read_azure, needs_keys=False),
    "bedrock": ProviderType(_read_bedrock, needs_keys=False),
    "vertex": ProviderType(_read_vertex, needs_keys=False),
    "openai-compatible": ProviderType(_read_compatible, needs_keys=False, needs_base_url=True, is_openai_like=True),
    "mistral": ProviderType(_read_nothing, is_openai_like=True),
    "qwen": ProviderType(_read_nothing, is_openai_like=True),
    DEMO: ProviderType(_read_nothing, needs_keys=False),
}
