"""The types of PROVIDERS: what each has of its own, and which this version can speak with (`spec/providers.md` 1)."""

import re
from collections.abc import Callable, Mapping

import msgspec

from penstock.gateway.catalog.fields import Fields
from penstock.gateway.catalog.private_keys import UnusableKey, repaired
from penstock.kit.secret import Secret
from penstock.providers.base import AwsKeys, ServiceAccount
from penstock.providers.credentials.addresses import is_private
from penstock.providers.vendors import FLAVOURS

DEMO = "demo"
"""The key and the type of the provider that is there when PROVIDERS is not set."""

_AZURE_HOST = re.compile(r"([a-z0-9-]+)\.(openai|services\.ai|cognitiveservices)\.azure\.com", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEY_CHARACTERS = re.compile(r"[!-~]+")
_IN_OUR_FIELDS = ("clientEmail", "privateKey", "privateKeyId", "tokenUri")
_IN_GOOGLES_FILE = ("client_email", "private_key", "private_key_id", "token_uri")
_NAME_IN_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry has beside the fields of every type. `details` are no secrets."""

    details: dict[str, str] = {}
    credentials: tuple[AwsKeys | ServiceAccount, ...] = ()
    ambient: bool = True
    base_url: str | None = None
    """Where the entry is called, when its own fields say more than the type's usual address."""


def _read_openai(fields: Fields) -> Own:
    return Own(details=_surface(fields))


def _read_compatible(fields: Fields) -> Own:
    return Own(details=_surface(fields) | _chosen(fields, "flavor", ("auto", *FLAVOURS)))


def _read_anthropic(fields: Fields) -> Own:
    version = fields.text("apiVersion")
    if version is not None and not _DATE.fullmatch(version):
        fields.refuse("apiVersion", "is not a version of Anthropic's API.", "Expected a date, for example 2023-06-01.")
    return Own(details=({"apiVersion": version} if version else {}) | _betas(fields))


def _read_nothing(_: Fields) -> Own:
    return Own()


def _read_azure(fields: Fields) -> Own:
    version = fields.required("apiVersion", "the `api-version` of Azure, for example 2024-10-21, or v1")
    details = {"apiVersion": version} if version else {}
    name, base_url = fields.text("resourceName"), None
    if name is not None:
        details["resourceName"], base_url = _resource(fields, name)
    elif not fields.has("baseUrl") and not fields.has("resourceName"):
        fields.missing("resourceName", "the first part of <name>.openai.azure.com")
    ambient = _ambient(fields, "apiKeys" if not _has_keys(fields) else None)
    return Own(details=details | _surface(fields), ambient=ambient, base_url=base_url)


def _resource(fields: Fields, text: str) -> tuple[str, str | None]:
    """The resource's name, and its address when that is not the usual one (`spec/providers.md` 5.1)."""
    host = _AZURE_HOST.search(text)
    if host is not None:
        name, domain = host[1], host[2].lower()
        fields.warn("resourceName", "is an address; only its host is used.", f"Write `{name}` alone, or use `baseUrl`.")
        return name, None if domain == "openai" else f"https://{name}.{domain}.azure.com/openai"
    if not _NAME_IN_HOST.fullmatch(text):
        fields.refuse("resourceName", "is not the name of a resource.", "Expected <name> of <name>.openai.azure.com.")
    return text, None


def _read_bedrock(fields: Fields) -> Own:
    region = fields.required("region", "the AWS region, for example eu-central-1")
    if region is not None and not _NAME_IN_HOST.fullmatch(region):
        fields.refuse("region", "is not a region.", "Expected for example eu-central-1.")
    found = [_aws_keys(credentials) for credentials in _credentials(fields)]
    return Own(
        details=({"region": region} if region else {}) | _betas(fields),
        credentials=tuple(keys for keys in found if keys is not None),
        ambient=_ambient(fields, _absent_credentials(fields)),
    )


def _aws_keys(credentials: Fields) -> AwsKeys | None:
    key_id = credentials.required("accessKeyId", "the id of an AWS access key")
    secret = credentials.required("secretAccessKey", "the secret of that access key")
    token = credentials.text("sessionToken")
    credentials.close()
    for name, value in (("accessKeyId", key_id), ("secretAccessKey", secret), ("sessionToken", token)):
        if value is not None and not _KEY_CHARACTERS.fullmatch(value):
            credentials.refuse(name, "has blanks or characters that no key has.", "Copy it again.")
    if key_id is None or secret is None:
        return None
    return AwsKeys(key_id, Secret(secret), Secret(token) if token else None)


def _read_vertex(fields: Fields) -> Own:
    details = {}
    for name, purpose in (("project", "the id of the project, not its number"), ("location", "a region, or global")):
        value = fields.required(name, purpose)
        if value is not None and not _NAME_IN_HOST.fullmatch(value):
            fields.refuse(name, "has characters that it cannot have.", f"Expected {purpose}.")
        elif value is not None:
            details[name] = value
    found = [_service_account(credentials) for credentials in _credentials(fields)]
    return Own(
        details=details | _betas(fields),
        credentials=tuple(account for account in found if account is not None),
        ambient=_ambient(fields, _absent_credentials(fields)),
    )


def _service_account(credentials: Fields) -> ServiceAccount | None:
    """Either our own fields, or the whole file that Google hands out."""
    kind = credentials.text("type")
    if kind not in (None, "service_account"):
        fix = "Expected the JSON file of a service account, or `clientEmail` and `privateKey`."
        credentials.refuse("type", "is another kind of Google credentials than a service account.", fix)
        credentials.names()
        return None
    whole_file = credentials.has("private_key") or kind is not None
    names = _IN_GOOGLES_FILE if whole_file else _IN_OUR_FIELDS
    # First, so that no misspelt field is taken for one of these.
    key_id, token_uri = credentials.text(names[2]), credentials.text(names[3])
    email = credentials.required(names[0], "the address of the service account")
    text = credentials.required(names[1], "the private key of the service account")
    key = _private_key(credentials, names[1], text) if text is not None else None
    if token_uri is not None and not is_private(token_uri):
        fix = "Expected https://oauth2.googleapis.com/token, which is also what is used without it."
        credentials.refuse(names[3], "is no address that a token may be asked of.", fix)
    if whole_file:
        credentials.names()
    credentials.close()
    if email is None or key is None:
        return None
    account = ServiceAccount(client_email=email, private_key=Secret(key), key_id=key_id)
    return msgspec.structs.replace(account, token_uri=token_uri) if token_uri else account


def _private_key(credentials: Fields, name: str, text: str) -> str | None:
    try:
        return repaired(text)
    except UnusableKey as error:
        fix = "Paste `private_key` of the service account's JSON file as it is, with its \\n."
        credentials.refuse(name, f"is not a private key: {error}.", fix)
        return None


def _credentials(fields: Fields) -> list[Fields]:
    value = fields.raw("credentials")
    if value is not None and _has_keys(fields):
        fields.warn("credentials", "is not used, because there are `apiKeys`.", "Keep one of the two.")
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [Fields(item, (*fields.path, "credentials", place), fields.notes) for place, item in enumerate(value)]
    found = fields.object("credentials")
    return [found] if found else []


def _has_keys(fields: Fields) -> bool:
    """Whether `apiKeys` has at least one; an empty list is as good as none."""
    value = fields.raw("apiKeys")
    return any(value) if isinstance(value, list) else bool(value)


def _absent_credentials(fields: Fields) -> str | None:
    return None if fields.has("credentials") or _has_keys(fields) else "credentials"


def _ambient(fields: Fields, absent: str | None) -> bool:
    """`ambientCredentials: false` asks for credentials in the entry itself."""
    wanted = fields.flag("ambientCredentials") is not False
    if not wanted and absent is not None:
        fields.missing(absent, "`ambientCredentials` is false")
    return wanted


def _betas(fields: Fields) -> dict[str, str]:
    betas = fields.texts("betas")
    return {"betas": ",".join(betas)} if betas else {}


def _surface(fields: Fields) -> dict[str, str]:
    return _chosen(fields, "api", ("auto", "chat", "responses"))


def _chosen(fields: Fields, name: str, words: tuple[str, ...]) -> dict[str, str]:
    value = fields.text(name)
    if value is not None and value not in words:
        fields.refuse(name, "is not one of the accepted words.", f"Expected one of {', '.join(words)}.")
    return {name: value} if value in words else {}


class ProviderType(msgspec.Struct, frozen=True):
    """`read` reads the fields that only this type has."""

    read: Callable[[Fields], Own]
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
