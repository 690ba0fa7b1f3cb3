"""The tables of `docs/providers.md`, made from the vendors' rows and the families' facts so that they cannot drift."""

from collections.abc import Iterable, Mapping, Sequence

from penstock.providers.base import ProviderConfig
from penstock.providers.facts import Facts, facts_of, way_for
from penstock.providers.vendors import FLAVOURS, VENDORS, base_url_of

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
_FORMATS = {
    "openai_chat": "Chat Completions",
    "openai_responses": "Responses",
    "anthropic": "Messages",
    "gemini": "generateContent",
    "bedrock": "Converse",
}


def tables() -> Mapping[str, str]:
    """Text by the mark under which it stands in the page."""
    return {"types": _types(), "models": _models(), "flavours": _flavours()}


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
        rows.append((f"`{kind}`{flavour}", name, _FORMATS[way_for(config, model).wire], *_known(facts)))
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


def _config(kind: str, details: Mapping[str, str]) -> ProviderConfig:
    base_url = base_url_of(kind, details) or "http://server/v1"
    return ProviderConfig(key=kind, type=kind, name=kind, base_url=base_url, details=tuple(sorted(details.items())))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
