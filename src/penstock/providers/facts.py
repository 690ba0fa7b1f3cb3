"""What a model can do, as far as it is known before it is asked (`spec/providers.md` 13.4).

Three things are put together: what the format can carry to this vendor, which nothing can change; what the operator
says of the model; and what its family can do by its name, as data. Everything else is unknown, and the provider's
answer will tell. Context sizes of the price list are filled in once that is loaded.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.providers.base import ProviderConfig
from penstock.providers.price_list import PriceList
from penstock.providers.vendors import Way, flavour_of, vendor_of, way_for

PDF = "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """None: not known; it is tried."""

    context_tokens: int | None = None
    output_tokens: int | None = None
    images: bool | None = None
    documents: bool | None = None
    """PDFs are read as they are; with False their text is sent instead (S062)."""
    audio: bool | None = None
    tools: bool | None = None
    reasoning: bool | None = None
    """Asking for more or less reasoning has an effect (S055)."""
    structured_output: bool | None = None

    document_types: frozenset[str] = frozenset()
    """MIME types of files other than PDF that are read as they are."""
    most_documents: int | None = None
    """How many files one request may have as they are; the text of the others is sent."""
    document_bytes: int | None = None
    """How large such a file may be."""
    fetches_images: bool = False
    """Addresses of images may be passed on."""


STATED = ("images", "documents", "audio", "tools", "reasoning", "structured_output")
"""What an operator may say yes or no to."""


def facts_of(config: ProviderConfig, model: str, given: Facts | None = None) -> Facts:
    """What is known of a model at a provider. `given` is the operator's word on it; None in it says nothing."""
    way = way_for(vendor_of(config), model)
    carried = _carried(config, way)
    family = _family(config, re.sub(way.strips, "", model) if way.strips else model)
    known = {name: value for name, value in msgspec.structs.asdict(given or Facts()).items() if value is not None}
    stated = {name: known[name] for name in (*STATED, "context_tokens", "output_tokens") if name in known}
    cannot: dict[str, Any] = {name: False for name in STATED if getattr(carried, name) is False}
    found = msgspec.structs.replace(carried, **(family | stated | cannot))
    return msgspec.structs.replace(found, document_types=frozenset()) if found.documents is False else found


def with_context(facts: Facts, prices: PriceList, config: ProviderConfig, model: str) -> Facts:
    """`facts` with the context size of the price list, where none is known and the list is loaded."""
    if facts.context_tokens is not None:
        return facts
    return msgspec.structs.replace(facts, context_tokens=prices.context_tokens(config, model))


# --- what the formats carry ------------------------------------------------------------------------------------------

# Files that Converse takes beside PDF, and its bounds on them (`spec/providers.md` 3.4).
_BEDROCK = Facts(
    audio=False,
    document_types=frozenset(
        {
            "text/csv",
            "application/msword",
            _DOCX,
            "application/vnd.ms-excel",
            _XLSX,
            "text/html",
            "text/plain",
            "text/markdown",
        }
    ),
    most_documents=5,
    document_bytes=4_500_000,
)
_FORMATS: Mapping[str, Facts] = {"anthropic": Facts(audio=False), "gemini": Facts(), "bedrock": _BEDROCK}


def _carried(config: ProviderConfig, way: Way) -> Facts:
    """False is what cannot be said in this format, to this vendor."""
    quirks = way.quirks
    if way.wire in _FORMATS:
        return msgspec.structs.replace(_FORMATS[way.wire], fetches_images=quirks.fetches_images)
    is_chat = way.wire == "openai_chat"
    return Facts(
        documents=None if quirks.documents is not None else False,
        audio=None if quirks.audio is not None and is_chat else False,
        tools=None if quirks.tools else False,
        reasoning=None if quirks.reasoning is not None or not is_chat else False,
        fetches_images=quirks.fetches_images,
    )


# --- what the families can do ----------------------------------------------------------------------------------------

Rules = Sequence[tuple[str, dict[str, Any]]]

_SEES: dict[str, Any] = {"images": True, "documents": True}
_READS_TEXT_ONLY: dict[str, Any] = {"images": False, "documents": False, "audio": False}
_USES_TOOLS: dict[str, Any] = {"tools": True, "structured_output": True}
_THINKS: dict[str, Any] = {"reasoning": True}
_PLAIN: dict[str, Any] = {"reasoning": False}
_DEAF: dict[str, Any] = {"audio": False}

# The first pattern that the beginning of the name matches counts.
_OPENAI: Rules = (
    (r"(?:ft:)?gpt-3\.5|(?:ft:)?gpt-4(?:-\d|-32k|$)", _READS_TEXT_ONLY | _PLAIN),
    (r".*-audio", {"images": False, "documents": False, "audio": True} | _PLAIN),
    (r"gpt-oss", _READS_TEXT_ONLY | _USES_TOOLS | _THINKS),
    (r"(?:ft:)?gpt-4-turbo", {"images": True, "documents": False, "tools": True} | _DEAF | _PLAIN),
    (r".*-search-", _READS_TEXT_ONLY | {"tools": False} | _PLAIN),
    (r"(?:ft:)?gpt-4|chatgpt-4o|gpt-5-chat", _SEES | _DEAF | _USES_TOOLS | _PLAIN),
    (r"o1-(?:mini|preview)", _READS_TEXT_ONLY | {"tools": False, "structured_output": False} | _PLAIN),
    (r"o3-mini", _READS_TEXT_ONLY | _USES_TOOLS | _THINKS),
    (r"o\d|codex|gpt-(?:[5-9]|\d\d)(?!\d)", _SEES | _DEAF | _USES_TOOLS | _THINKS),
)
_CLAUDE: Rules = (
    (r".*claude-(?:v?[12]\b|instant)", _READS_TEXT_ONLY | {"tools": False, "structured_output": False} | _PLAIN),
    (r".*claude-3-(?:opus|sonnet|haiku)", {"images": True, "documents": False, "tools": True} | _PLAIN),
    (r".*claude-3[-.]5", _SEES | {"tools": True} | _PLAIN),
    (r".*claude-", _SEES | {"tools": True} | _THINKS),
)
_GEMINI: Rules = (
    (r"gemma", {"documents": False, "audio": False} | _PLAIN),
    (r"gemini-(?:1|2\.0|pro|ultra)(?!-latest)", _SEES | {"audio": True, "tools": True} | _PLAIN),
    (r"gemini-[23](?!\d)", _SEES | {"audio": True} | _USES_TOOLS | _THINKS),
    (
        r"gemini-(?:[4-9]|\d\d)",
        _SEES | {"audio": True, "document_types": frozenset({_DOCX, _XLSX, _PPTX})} | _USES_TOOLS | _THINKS,
    ),
)
_BEDROCK_MODELS: Rules = (
    *_CLAUDE,
    (r".*amazon\.nova-micro", _READS_TEXT_ONLY | {"tools": True} | _PLAIN),
    (r".*amazon\.nova-2", _SEES | {"tools": True} | _THINKS),
    (r".*amazon\.nova", _SEES | {"tools": True} | _PLAIN),
    (r".*meta\.llama(?:3-2-(?:11|90)b|4)", {"images": True, "documents": False} | _PLAIN),
    (r".*meta\.llama", _READS_TEXT_ONLY | _PLAIN),
    (r".*openai\.gpt-oss", _READS_TEXT_ONLY | _USES_TOOLS | _THINKS),
    (r".*(?:deepseek|cohere|ai21|amazon\.titan)\b", _READS_TEXT_ONLY | _PLAIN),
    (r"(?:[a-z-]+\.)?[a-z0-9]+\.", {"documents": False}),
)
_MISTRAL: Rules = (
    (r"mistral-(?:large|medium|small)|pixtral|ministral|magistral", {"tools": True}),
    (r"voxtral", {"audio": True, "documents": False}),
    (r"codestral|devstral|open-mi|mistral-(?:tiny|embed|saba)", _READS_TEXT_ONLY | _PLAIN),
)
_QWEN: Rules = (
    (r".*(?:vl|omni|qvq)", {"images": True}),
    (r"qwen-(?:max|plus|turbo|long|coder)|qwq|qwen3-(?!.*vl|.*omni)", {"images": False, "audio": False}),
)
_DEEPSEEK: Rules = ((r"deepseek-", _READS_TEXT_ONLY | {"tools": True}),)

_FAMILIES: Mapping[str, Rules] = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "anthropic": _CLAUDE,
    "google": _GEMINI,
    "vertex": (*_GEMINI, *_CLAUDE),
    "bedrock": _BEDROCK_MODELS,
    "mistral": _MISTRAL,
    "qwen": _QWEN,
    "deepseek": _DEEPSEEK,
}


def _family(config: ProviderConfig, model: str) -> dict[str, Any]:
    kind = config.type
    if kind == "openai-compatible":
        named = dict(config.details).get("flavor", "auto")
        kind = (named if named != "auto" else flavour_of(config.base_url)) or ""
    name = model.lower()
    return next((facts for pattern, facts in _FAMILIES.get(kind, ()) if re.match(pattern, name)), {})
