"""The tables of `docs/providers.md`, made from the vendors' rows, the families' facts and the kinds of failures so that
they cannot drift."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from penstock.providers.base import ProviderConfig, Quirks, Wire
from penstock.providers.facts import Facts, facts_of
from penstock.providers.failures import Failure
from penstock.providers.media.asked import Embeddings, Pictures, Recording, Speech
from penstock.providers.media.forms import Form
from penstock.providers.media.plans import Ask, NotOffered, Plan, drawing, embedding, speaking, transcribing
from penstock.providers.media.results import Drawn, Embedded
from penstock.providers.vendors import FLAVOURS, VENDORS, Way, base_url_of, load_wire, vendor_of, way_for

# A model of each family that somebody might configure, by type. Only examples: any name works.
_EXAMPLES: Sequence[tuple[str, str, Mapping[str, str]]] = (
    ("openai", "gpt-6-astra", {}),
    ("openai", "gpt-5.5", {}),
    ("openai", "gpt-4.1", {}),
    ("azure", "gpt-4.1", {"resourceName": "acme", "apiVersion": "2024-10-21"}),
    ("anthropic", "claude-opus-5-5", {}),
    ("anthropic", "claude-sonnet-4-5", {}),
    ("google", "gemini-4-carbon", {}),
    ("google", "gemini-2.5-flash", {}),
    ("vertex", "gemini-3-pro", {"project": "p", "location": "global"}),
    ("vertex", "claude-sonnet-4-5@20250929", {"project": "p", "location": "global"}),
    ("vertex", "meta/llama-4-maverick", {"project": "p", "location": "us-central1"}),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", {"region": "us-east-1"}),
    ("bedrock", "us.amazon.nova-2-lite-v1:0", {"region": "us-east-1"}),
    ("mistral", "mistral-large-latest", {}),
    ("qwen", "qwen3-max", {}),
    ("openai-compatible", "any", {"flavor": "vllm"}),
    ("openai-compatible", "any", {"flavor": "ollama"}),
    ("openai-compatible", "any", {"flavor": "openrouter"}),
)
# A model for each thing that is done beside chat; None where an operator names it as he likes.
_FORM = Form((), b"boundary")
_EDIT = Pictures(prompt="a gate", is_edit=True, form=_FORM)
_RECORDING = Recording(form=_FORM, data=b"RIFF", file_name="a.wav")
_Asking = Callable[[Wire, str, Quirks], Plan[Embedded] | Plan[Drawn] | Ask]
_OPERATIONS: Mapping[str, _Asking] = {
    "embeddings": embedding(Embeddings(fields={}, inputs=(), texts=("a gate",))),
    "images": drawing(Pictures(prompt="a gate")),
    "image edits": drawing(_EDIT),
    "transcription": transcribing(_RECORDING),
    "speech": speaking(Speech(fields={}, text="a gate")),
}
_OPENAI_MEDIA = ("text-embedding-3-small", "gpt-image-1", "gpt-image-1", "gpt-4o-transcribe", "gpt-4o-mini-tts")
_GEMINI_DRAWS = "gemini-2.5-flash-image"
_GEMINI_SPEAKS = "gemini-2.5-flash-preview-tts"
_MEDIA_EXAMPLES: Mapping[str, tuple[str | None, ...]] = {
    "openai": _OPENAI_MEDIA,
    "openai-compatible": (None,) * 5,
    "anthropic": (None,) * 5,
    "google": ("gemini-embedding-001", _GEMINI_DRAWS, _GEMINI_DRAWS, "gemini-2.5-flash", _GEMINI_SPEAKS),
    "azure": (None,) * 5,
    "bedrock": ("amazon.titan-embed-text-v2:0", "amazon.nova-canvas-v1:0", None, None, None),
    "vertex": ("text-embedding-005", _GEMINI_DRAWS, _GEMINI_DRAWS, "gemini-2.5-flash", _GEMINI_SPEAKS),
    "mistral": ("mistral-embed", None, None, "voxtral-mini-latest", None),
    "qwen": ("text-embedding-v4", None, None, "qwen3-omni-flash", None),
}
_UNNAMED = {"azure": "any deployment", "openai-compatible": "if the server can", "mistral": "if there is a model"}

# What each kind of failure says, by its code. The order is that of the page.
_FAILURES: Mapping[str, str] = {
    "upstream_auth": "the key was refused, or every key has been lately",
    "upstream_permission": "the key may not do this",
    "upstream_billing": "no credit, or a spending limit",
    "upstream_not_found": "no such model, deployment or path",
    "upstream_rate_limited": "too many requests or tokens",
    "upstream_overloaded": "the provider has no capacity",
    "upstream_context_too_long": "more than the model's context holds",
    "upstream_too_large": "the request has too many bytes",
    "upstream_content_filtered": "the provider's filter refused it",
    "upstream_invalid_request": "a field that the model does not take",
    "upstream_unsupported": "the provider, or the model, has no such thing",
    "upstream_conflict": "the provider asks to try again",
    "upstream_timeout": "a time limit was reached; the error names it",
    "upstream_unavailable": "no connection, a broken one, or a 5xx",
    "upstream_error": "the model broke off",
    "upstream_shape_mismatch": "an answer in another format: a proxy, a wrong address",
    "upstream_truncated": "the stream ended too early",
}
_FORMATS = {
    "openai_chat": "Chat Completions",
    "openai_responses": "Responses",
    "anthropic": "Messages",
    "gemini": "generateContent",
    "bedrock": "Converse",
}


def tables() -> Mapping[str, str]:
    """Text by the mark under which it stands in the page."""
    return {
        "types": _types(),
        "models": _models(),
        "media": _media(),
        "failures": _failures(),
        "flavours": _flavours(),
    }


def _types() -> str:
    rows = []
    for kind, vendor in VENDORS.items():
        if kind == "demo":
            continue
        formats = ", ".join(_FORMATS[way.wire] for way in vendor.ways)
        identity = {"aws": "AWS", "google": "Google", "entra": "Entra ID"}.get(vendor.credentials or "", "–")
        address = f"`{vendor.base_url}`" if vendor.base_url else "`baseUrl` of the entry"
        rows.append((f"`{kind}`", formats, address, _key(vendor.auth), identity))
    return _table(("type", "formats", "address", "a key is sent as", "the platform's own identity"), rows)


def _key(auth: str) -> str:
    return "`Authorization: Bearer`" if auth == "bearer" else f"`{auth}`"


def _models() -> str:
    rows = []
    for kind, model, details in _EXAMPLES:
        config = _config(kind, details)
        facts = facts_of(config, model)
        flavour = f" ({details['flavor']})" if "flavor" in details else ""
        name = "any model" if model == "any" else f"`{model}`"
        rows.append((f"`{kind}`{flavour}", name, _FORMATS[way_for(vendor_of(config), model).wire], *_known(facts)))
    heads = ("type", "for example", "called by", "images", "PDF", "audio", "tools", "reasoning", "JSON schema")
    return _table(heads, rows)


def _known(facts: Facts) -> Iterable[str]:
    pdf = "as text" if facts.documents is False else _word(facts.documents)
    return (
        _word(facts.images),
        pdf,
        _word(facts.audio),
        _word(facts.tools),
        _word(facts.reasoning),
        _word(facts.structured_output),
    )


def _word(known: bool | None) -> str:
    return {True: "yes", False: "no", None: "if the model can"}[known]


def _flavours() -> str:
    rows = []
    for name, quirks in FLAVOURS.items():
        switch = f"`{quirks.reasoning}`" if quirks.reasoning else "cosmetic"
        choices = ", ".join(sorted(quirks.tool_choices)) or "–"
        usage = "yes" if quirks.stream_options else "comes anyway, or is estimated"
        rows.append((f"`{name}`", f"`{quirks.max_tokens_field}`", usage, choices, switch))
    heads = ("`flavor`", "output limit", "usage is asked for", "`tool_choice` beside `auto`", "reasoning switch")
    return _table(heads, rows)


def _media() -> str:
    rows = []
    for kind, models in _MEDIA_EXAMPLES.items():
        cells = [_media_word(kind, *pair) for pair in zip(_OPERATIONS, models, strict=True)]
        rows.append((f"`{kind}`", *cells))
    return _table(("type", *_OPERATIONS), rows)


def _media_word(kind: str, operation: str, model: str | None) -> str:
    details = {"region": "us-east-1", "project": "p", "location": "global", "apiVersion": "v1"}
    name = model or "any"
    way = _way_beside_chat(_config(kind, details), name)
    try:
        plan = _OPERATIONS[operation](load_wire(way.wire), name, way.quirks)
    except NotOffered:
        return "–"
    by_chat = operation == "transcription" and isinstance(plan, Ask) and "/audio/" not in plan.exchange.path
    return (f"`{model}`" if model else _UNNAMED[kind]) + (", through chat" if by_chat else "")


def _way_beside_chat(config: ProviderConfig, model: str) -> Way:
    """Such calls are written as chat completions' siblings, where the vendor has those."""
    vendor = vendor_of(config)
    chat = vendor.way_of("openai_chat") if vendor.learns_surface else None
    return chat or way_for(vendor, model)


def _failures() -> str:
    kinds = {kind.code: kind for kind in _kinds(Failure) if kind.code in _FAILURES}
    rows = [(f"`{code}`", str(kinds[code].status), said, _tried(kinds[code])) for code, said in _FAILURES.items()]
    return _table(("code", "status", "it means", "tried before the caller hears of it"), rows)


def _kinds(kind: type[Failure]) -> Iterator[type[Failure]]:
    """Children first: where several have one code, the one that was defined for it counts."""
    for child in kind.__subclasses__():
        yield from _kinds(child)
        yield child


def _tried(kind: type[Failure]) -> str:
    found = {
        "another key": kind.other_key,
        "the same key once more": kind.same_key_once,
        "another backend": kind.other_backend,
    }
    return ", ".join(name for name, is_tried in found.items() if is_tried) or "–"


def _config(kind: str, details: Mapping[str, str]) -> ProviderConfig:
    base_url = base_url_of(kind, details) or "http://server/v1"
    return ProviderConfig(key=kind, type=kind, name=kind, base_url=base_url, details=tuple(sorted(details.items())))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
