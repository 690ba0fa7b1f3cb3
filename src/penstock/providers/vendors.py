"""The vendors: one row each, and how the row of an address is recognised. Data, never code."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from penstock.providers.base import MediaQuirks, ProviderConfig, Quirks, Wire

AuthStyle = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "none"]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A format in which a vendor is spoken to, and where that differs from the wire's own habits.

    `paths` maps a path as the wire writes it to the vendor's, both templates; `{name}` in the latter is a field of the
    entry, `{model}` the model. What is not in it stays. `strips` is a pattern whose match is cut off the model's name.
    """

    wire: str
    paths: Mapping[str, str] = {}
    short_paths: Mapping[str, str] = {}
    """Instead of `paths` once `Quirks.short_path` was learnt."""
    short_base: str | None = None
    """Where `short_paths` are called, unless the entry has an address of its own."""
    strips: str | None = None
    safe: str = ""
    """Characters of a model's name that stay as they are in a path, beside letters, digits and `-._~`."""
    quirks: Quirks = Quirks()


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """A `type` of `PROVIDERS`.

    `ways` has the usual one first; `rules` choose another by a pattern on the model's name, first match wins.
    `base_url` may have fields of the entry in braces, and is None when the entry must give one. `auth` says how a key
    is sent; credentials that are more than a key are in `providers/credentials/`.
    """

    ways: tuple[Way, ...]
    rules: tuple[tuple[str, str], ...] = ()
    base_url: str | None = None
    auth: AuthStyle = "bearer"
    key_optional: bool = False
    wants_v1: bool = False
    """Base URLs usually end in /v1, and operators forget it."""
    credentials: Literal["aws", "google", "entra"] | None = None
    """What is asked for when the entry has no keys: `providers/credentials/`."""
    learns_surface: bool = False
    """`rules` may be wrong for a model; the wire that a request came in, and the vendor's own refusals, say better."""

    def way_of(self, wire: str) -> Way | None:
        return next((way for way in self.ways if way.wire == wire), None)


def _chat(quirks: Quirks) -> tuple[Way, ...]:
    return (Way(wire="openai_chat", quirks=quirks),)


_OPENAI = Quirks(
    max_tokens_field="max_completion_tokens",
    store_field=True,
    merge_system=False,
    user_field="safety_identifier",
    obfuscation=True,
    reasoning="effort",
    families=True,
    parallel_tool_calls=True,
    strict="subset",
    documents="file",
    audio="plain",
    fetches_images=True,
    media=MediaQuirks(gpt_images=True),
)
_MISTRAL = Quirks(
    relays=False,
    stream_options=False,
    short_call_ids=True,
    results_named=True,
    renamed=(("seed", "random_seed"), ("dimensions", "output_dimension")),
    reasoning="mistral",
    thoughts="thinking",
    parallel_tool_calls=True,
    documents="document_url",
    audio="plain",
    max_temperature=1.5,
    media=MediaQuirks(lacks=frozenset({"images"}), base64_vectors=False),
)
_QWEN = Quirks(
    relays=False,
    reasoning="enable_thinking",
    tool_choices=frozenset({"none", "named"}),
    parallel_tool_calls=True,
    audio="data_uri",
    max_temperature=1.99,
    asks_for_text=r"qwen[^/]*-omni",
    dropped=frozenset({"frequency_penalty"}),
    media=MediaQuirks(
        lacks=frozenset({"images", "speech"}), embeddings_at_once=10, base64_vectors=False, transcribes_by_chat=True
    ),
)

# Which surface a model at OpenAI is called on (`spec/providers.md` 4.3); what matches nothing is called on chat.
_OPENAI_RULES = (
    (r"gpt-4|gpt-3\.5|chatgpt-4o|gpt-5-chat|gpt-oss|.*-search-|.*-audio|ft:gpt-(?:4|3\.5)", "openai_chat"),
    (r"o1-(?:mini|preview)", "openai_chat"),
    (r"o\d|codex|gpt-", "openai_responses"),
)
_OPENAI_WAYS = (Way(wire="openai_chat", quirks=_OPENAI), Way(wire="openai_responses", quirks=_OPENAI))

# Azure has two styles of address (`spec/providers.md` 5.1): by deployment with a dated version, or as OpenAI under /v1.
_AZURE_QUIRKS = msgspec.structs.replace(
    _OPENAI, documents=None, audio="plain", user_field="user", store_field=False, obfuscation=False
)
_DEPLOYMENT_OPERATIONS = (
    "/chat/completions",
    "/embeddings",
    "/images/generations",
    "/images/edits",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
)


def _azure_v1(query: str = "") -> tuple[Way, Way]:
    paths = {one: f"/v1{one}{query}" for one in (*_DEPLOYMENT_OPERATIONS, "/models", "/responses")}
    return (
        Way(wire="openai_chat", paths=paths, quirks=_AZURE_QUIRKS),
        Way(wire="openai_responses", paths=paths, quirks=_OPENAI),
    )


_AZURE_V1 = _azure_v1()
_AZURE_CLASSIC = (
    Way(
        wire="openai_chat",
        paths={one: f"/deployments/{{model}}{one}?api-version={{apiVersion}}" for one in _DEPLOYMENT_OPERATIONS}
        | {"/models": "/models?api-version={apiVersion}"},
        quirks=_AZURE_QUIRKS,
    ),
    _AZURE_V1[1],
)

_AZURE_UNDATED: Mapping[str, tuple[Way, Way]] = {
    "v1": _AZURE_V1,
    "latest": _AZURE_V1,
    "preview": _azure_v1("?api-version=preview"),
}

_CHAT_ONLY = MediaQuirks(lacks=frozenset({"embeddings", "images", "transcription", "speech"}))
_IN_PROJECT = "/projects/{project}/locations/{location}"
_VERTEX = (
    Way(
        wire="gemini",
        paths={
            f"/models/{{model}}:{verb}": f"{_IN_PROJECT}/publishers/google/models/{{model}}:{verb}"
            for verb in ("generateContent", "streamGenerateContent?alt=sse", "countTokens", "embedContent", "predict")
        },
        short_paths={
            f"/models/{{model}}:{verb}": f"/publishers/google/models/{{model}}:{verb}"
            for verb in ("generateContent", "streamGenerateContent?alt=sse", "countTokens", "embedContent", "predict")
        },
        short_base="https://aiplatform.googleapis.com/v1",
        strips=r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/)?(?:google/)?(?:models/)?",
        safe="@",
        quirks=Quirks(media=MediaQuirks(predicts=True), user_field="labels"),
    ),
    Way(
        wire="anthropic",
        paths={"/v1/messages": f"{_IN_PROJECT}/publishers/anthropic/models/{{model}}:streamRawPredict"},
        strips=r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/)?anthropic/(?:models/)?",
        safe="@",
        quirks=Quirks(format_version="vertex-2023-10-16", model_in_path=True),
    ),
    Way(
        wire="openai_chat",
        paths={"/chat/completions": f"{_IN_PROJECT}/endpoints/openapi/chat/completions"},
        strips=r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/|(?<=/)models/",
        quirks=Quirks(media=_CHAT_ONLY),
    ),
)
_VERTEX_RULES = (
    (r"claude-|(?:.*publishers/)?anthropic/", "anthropic"),
    (r".*/.*-maas$", "openai_chat"),  # open models that Google runs, its own among them
    (r"(?:.*publishers/)?google/|(?:models/)?[^/]+$", "gemini"),
    (r".*", "openai_chat"),
)

# Where an entry is called unless its row says enough: the first pattern that its field matches.
_BASES: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "bedrock": (("region", r"cn-", "https://bedrock-runtime.{region}.amazonaws.com.cn"),),
    "vertex": (
        ("location", r"global$", "https://aiplatform.googleapis.com/v1beta1"),
        ("location", r"(?:us|eu)$", "https://aiplatform.{location}.rep.googleapis.com/v1beta1"),
    ),
}

VENDORS: Mapping[str, Vendor] = {
    "openai": Vendor(ways=_OPENAI_WAYS, rules=_OPENAI_RULES, base_url="https://api.openai.com/v1", learns_surface=True),
    "openai-compatible": Vendor(
        ways=(Way(wire="openai_chat"), Way(wire="openai_responses")),
        key_optional=True,
        wants_v1=True,
        learns_surface=True,
    ),
    "anthropic": Vendor(
        ways=(Way(wire="anthropic", quirks=Quirks(format_version="2023-06-01")),),
        base_url="https://api.anthropic.com",
        auth="x-api-key",
    ),
    "google": Vendor(
        ways=(Way(wire="gemini", strips="^models/"),),
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth="x-goog-api-key",
    ),
    "azure": Vendor(
        ways=_AZURE_CLASSIC,
        base_url="https://{resourceName}.openai.azure.com/openai",
        auth="api-key",
        credentials="entra",
        learns_surface=True,
    ),
    "bedrock": Vendor(
        ways=(Way(wire="bedrock", quirks=Quirks(user_field="requestMetadata")),),
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        credentials="aws",
    ),
    "vertex": Vendor(
        ways=_VERTEX,
        rules=_VERTEX_RULES,
        base_url="https://{location}-aiplatform.googleapis.com/v1beta1",
        auth="x-goog-api-key",
        credentials="google",
    ),
    "mistral": Vendor(ways=_chat(_MISTRAL), base_url="https://api.mistral.ai/v1"),
    "qwen": Vendor(ways=_chat(_QWEN), base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    "demo": Vendor(
        ways=_chat(Quirks(media=_CHAT_ONLY)), base_url="http://demo.invalid/v1", auth="none", key_optional=True
    ),
}

# What `api` of an entry says.
_SURFACES: Mapping[str, str] = {"chat": "openai_chat", "responses": "openai_responses"}

# What an `openai-compatible` server is known to want (`spec/providers.md` 10.5). Reasoning switches are only
# sent to a flavour that the entry names itself: for a recognised address the switch stays cosmetic.
FLAVOURS: Mapping[str, Quirks] = {
    "openai": _OPENAI,
    "ollama": Quirks(ends_without_finish=True),
    "vllm": Quirks(ends_without_finish=True),
    "lmstudio": Quirks(),
    "llamacpp": Quirks(),
    "openrouter": Quirks(reasoning="openrouter", thoughts="reasoning_details", parallel_tool_calls=True),
    "groq": Quirks(
        max_tokens_field="max_completion_tokens",
        ends_without_finish=True,
        reasoning="groq",
        parallel_tool_calls=True,
    ),
    "together": Quirks(tool_choices=frozenset({"named"})),
    "fireworks": Quirks(format_with_tools=False),
    "deepseek": Quirks(reasoning="thinking", thoughts="reasoning_content"),
    "mistral": _MISTRAL,
    "qwen": _QWEN,
    "sglang": Quirks(),
    "tgi": Quirks(stream_options=False),
}

_FLAVOUR_OF_HOST: Mapping[str, str] = {
    "api.openai.com": "openai",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "dashscope.aliyuncs.com": "qwen",
    "dashscope-intl.aliyuncs.com": "qwen",
    "dashscope-us.aliyuncs.com": "qwen",
}

# Ports that nearly nobody changes. 8000 and 8080 mean nothing: too many servers use them.
_FLAVOUR_OF_PORT: Mapping[int, str] = {11434: "ollama", 1234: "lmstudio", 30000: "sglang"}
_WITHOUT_V1 = frozenset({"deepseek"})


def flavour_of(base_url: str) -> str | None:
    """The flavour that an address gives away by its host or port, None for an unknown one."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    if host.endswith(".api.openai.com"):
        return "openai"
    return _FLAVOUR_OF_HOST.get(host) or _FLAVOUR_OF_PORT.get(port or 0)


def base_url_of(kind: str, details: Mapping[str, str]) -> str:
    """Where a type is called unless the entry says otherwise; `details` are the fields that only it has."""
    bases = _BASES.get(kind, ())
    found = next((base for field, pattern, base in bases if re.match(pattern, details.get(field, ""))), None)
    template = found or VENDORS[kind].base_url or ""
    return re.sub(r"\{(\w+)\}", lambda name: details.get(name[1], ""), template)


def vendor_of(config: ProviderConfig) -> Vendor:
    """The row of an entry, with what the entry itself says, and the quirks of its `flavor` or of what its address gives
    away. Raises KeyError."""
    vendor = VENDORS[config.type]
    if config.type == "openai-compatible":
        vendor = _flavoured(vendor, config)
    details = dict(config.details)
    if config.type == "azure" and (ways := _AZURE_UNDATED.get(details.get("apiVersion", ""))) is not None:
        vendor = msgspec.structs.replace(vendor, ways=ways)
    if (wire := _SURFACES.get(details.get("api", ""))) is not None:
        vendor = _on_surface(vendor, wire)
    if config.base_url != base_url_of(config.type, details):
        vendor = msgspec.structs.replace(vendor, ways=tuple(_at_its_own_address(way) for way in vendor.ways))
    if betas := details.get("betas"):
        vendor = _with_quirks(vendor, betas=tuple(betas.split(",")))
    if config.type == "anthropic" and "apiVersion" in details:
        vendor = _with_quirks(vendor, format_version=details["apiVersion"])
    return vendor


def _on_surface(vendor: Vendor, wire: str) -> Vendor:
    """The operator says how all models are called: neither their names nor a refusal change that."""
    ways = tuple(sorted(vendor.ways, key=lambda way: way.wire != wire))
    return msgspec.structs.replace(vendor, ways=ways, rules=(), learns_surface=False)


def _flavoured(vendor: Vendor, config: ProviderConfig) -> Vendor:
    named = dict(config.details).get("flavor", "auto")
    flavour = named if named in FLAVOURS else flavour_of(config.base_url)
    if flavour is None:
        return vendor
    quirks = FLAVOURS[flavour]
    if flavour != named:
        quirks = msgspec.structs.replace(quirks, reasoning=None)
    ways = tuple(msgspec.structs.replace(way, quirks=quirks) for way in vendor.ways)
    rules = _OPENAI_RULES if flavour == "openai" else ()
    return msgspec.structs.replace(vendor, ways=ways, rules=rules, wants_v1=flavour not in _WITHOUT_V1)


def _at_its_own_address(way: Way) -> Way:
    return way if way.short_base is None else msgspec.structs.replace(way, short_base=None)


def _with_quirks(vendor: Vendor, **quirks: Any) -> Vendor:
    ways = [msgspec.structs.replace(way, quirks=msgspec.structs.replace(way.quirks, **quirks)) for way in vendor.ways]
    return msgspec.structs.replace(vendor, ways=tuple(ways))


def way_for(vendor: Vendor, model: str, preferred: str | None = None) -> Way:
    """How a model is called as long as nothing else was learnt of it.

    `preferred` is the wire that a request was written in, which counts where the vendor's own rules may be wrong.
    """
    wire = preferred if vendor.learns_surface else None
    return vendor.way_of(wire or wire_for(vendor, model)) or vendor.ways[0]


def wire_for(vendor: Vendor, model: str) -> str:
    """The format that the vendor's rules choose for a model."""
    for pattern, wire in vendor.rules:
        if re.match(pattern, model):
            return wire
    return vendor.ways[0].wire


_MODULES: Mapping[str, str] = {
    "openai_chat": "openai.chat",
    "openai_responses": "openai.responses",
    "anthropic": "anthropic.wire",
    "gemini": "gemini.wire",
    "bedrock": "bedrock.wire",
}


@cache
def load_wire(name: str) -> Wire:
    """The wire of that name; its module is imported on first use."""
    return cast(Wire, import_module(f"penstock.providers.wires.{_MODULES[name]}").WIRE)
