"""The vendors: one row each, and how the row of an address is recognised. Data, never code."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Literal, cast
from urllib.parse import urlsplit

import msgspec

from penstock.providers.base import ProviderConfig, Quirks, Wire

AuthStyle = Literal["bearer", "none"]


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """A `type` of `PROVIDERS`. `base_url` is None when the entry must give one.

    `auth`: `bearer` sends `Authorization: Bearer`, if the entry has keys and no such header of its own.
    """

    wire: str
    base_url: str | None = None
    auth: AuthStyle = "bearer"
    quirks: Quirks = Quirks()
    key_optional: bool = False
    wants_v1: bool = False
    """Base URLs usually end in /v1, and operators forget it."""


_MISTRAL = Quirks(stream_options=False, short_call_ids=True)
_QWEN = Quirks(reasoning="enable_thinking", tool_choices=frozenset({"none", "named"}))

VENDORS: Mapping[str, Vendor] = {
    "openai": Vendor(
        wire="openai_chat",
        base_url="https://api.openai.com/v1",
        quirks=Quirks(
            max_tokens_field="max_completion_tokens",
            store_field=True,
            merge_system=False,
            user_field="safety_identifier",
            obfuscation=True,
            reasoning="effort",
        ),
    ),
    "openai-compatible": Vendor(wire="openai_chat", key_optional=True, wants_v1=True),
    "mistral": Vendor(wire="openai_chat", base_url="https://api.mistral.ai/v1", quirks=_MISTRAL),
    "qwen": Vendor(wire="openai_chat", base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1", quirks=_QWEN),
    "demo": Vendor(wire="openai_chat", base_url="http://demo.invalid/v1", auth="none", key_optional=True),
}

# What an `openai-compatible` server is known to want (`spec/providers.md` 10.5). Reasoning switches are only
# sent to a flavour that the entry names itself: for a recognised address the switch stays cosmetic.
FLAVOURS: Mapping[str, Quirks] = {
    "openai": VENDORS["openai"].quirks,
    "ollama": Quirks(ends_without_finish=True),
    "vllm": Quirks(ends_without_finish=True),
    "lmstudio": Quirks(),
    "llamacpp": Quirks(),
    "openrouter": Quirks(reasoning="openrouter"),
    "groq": Quirks(max_tokens_field="max_completion_tokens", ends_without_finish=True),
    "together": Quirks(tool_choices=frozenset({"named"})),
    "fireworks": Quirks(),
    "deepseek": Quirks(reasoning="thinking"),
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


def vendor_of(config: ProviderConfig) -> Vendor:
    """The row of an entry, with the quirks of its `flavor` or of what its address gives away. Raises KeyError."""
    vendor = VENDORS[config.type]
    if config.type != "openai-compatible":
        return vendor
    named = dict(config.details).get("flavor", "auto")
    flavour = named if named in FLAVOURS else flavour_of(config.base_url)
    if flavour is None:
        return vendor
    quirks = FLAVOURS[flavour]
    if flavour != named:
        quirks = msgspec.structs.replace(quirks, reasoning=None)
    return msgspec.structs.replace(vendor, quirks=quirks, wants_v1=flavour not in _WITHOUT_V1)


@cache
def load_wire(name: str) -> Wire:
    """The wire of that name; its module is imported on first use."""
    return cast(Wire, import_module(f"penstock.providers.wires.{name}").WIRE)
