"""Rows of vendors, and how an address gives its flavour away."""

import pytest

from penstock.providers.base import ProviderConfig, Quirks
from penstock.providers.vendors import FLAVOURS, VENDORS, flavour_of, load_wire, vendor_of, wire_for


def entry(base_url: str = "http://h/v1", kind: str = "openai-compatible", **details: str) -> ProviderConfig:
    return ProviderConfig(key="k", type=kind, name="K", base_url=base_url, details=tuple(details.items()))


def quirks_of(config: ProviderConfig) -> Quirks:
    return vendor_of(config).ways[0].quirks


@pytest.mark.parametrize(
    "base_url, flavour",
    [
        ("http://localhost:11434/v1", "ollama"),
        ("http://10.0.0.7:1234/v1", "lmstudio"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://API.deepseek.com", "deepseek"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://dashscope-us.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("http://models.intern:8000/v1", None),
        ("http://evil-api.openai.com.example/v1", None),
        ("http://[::1", None),
        ("http://h:99999/v1", None),
    ],
)
def test_an_address_gives_its_flavour_away(base_url: str, flavour: str | None) -> None:
    assert flavour_of(base_url) == flavour


def test_openai_gets_its_own_field_for_the_output_limit_and_unknown_servers_the_old_one() -> None:
    assert quirks_of(entry(kind="openai")).max_tokens_field == "max_completion_tokens"
    assert quirks_of(entry()).max_tokens_field == "max_tokens"
    assert quirks_of(entry("https://api.groq.com/openai/v1")).max_tokens_field == "max_completion_tokens"


def test_a_named_flavour_wins_over_the_address() -> None:
    assert not quirks_of(entry("http://localhost:11434/v1", flavor="tgi")).stream_options
    assert quirks_of(entry("https://openrouter.ai/api/v1", flavor="auto")) == quirks_of(
        entry("https://openrouter.ai/api/v1")
    )


def test_s055_the_reasoning_switch_is_cosmetic_unless_the_flavour_is_named() -> None:
    assert quirks_of(entry("https://openrouter.ai/api/v1")).reasoning is None
    assert quirks_of(entry("http://h/v1", flavor="openrouter")).reasoning == "openrouter"
    assert quirks_of(entry("http://localhost:11434/v1", flavor="ollama")).reasoning is None


def test_a_vendor_whose_address_has_no_v1_is_not_told_to_add_it() -> None:
    assert vendor_of(entry("http://localhost:11434")).wants_v1
    assert not vendor_of(entry("https://api.deepseek.com")).wants_v1
    assert not vendor_of(entry(kind="openai")).wants_v1


@pytest.mark.parametrize(
    "model, wire",
    [
        ("gpt-4o", "openai_chat"),
        ("gpt-4.1-mini", "openai_chat"),
        ("gpt-3.5-turbo", "openai_chat"),
        ("chatgpt-4o-latest", "openai_chat"),
        ("gpt-5-chat-latest", "openai_chat"),
        ("gpt-oss-120b", "openai_chat"),
        ("gpt-5-search-api", "openai_chat"),
        ("gpt-audio", "openai_chat"),
        ("gpt-6-audio-preview", "openai_chat"),
        ("ft:gpt-4.1:acme::x", "openai_chat"),
        ("o1-mini", "openai_chat"),
        ("o1-preview-2024-09-12", "openai_chat"),
        ("o1", "openai_responses"),
        ("o4-mini", "openai_responses"),
        ("gpt-5", "openai_responses"),
        ("gpt-5.6-mini", "openai_responses"),
        ("gpt-6-astra", "openai_responses"),
        ("codex-mini-latest", "openai_responses"),
        ("my-gateway-model", "openai_chat"),
    ],
)
def test_a_models_name_chooses_the_surface_at_openai(model: str, wire: str) -> None:
    assert wire_for(VENDORS["openai"], model) == wire
    assert wire_for(vendor_of(entry("https://eu.api.openai.com/v1")), model) == wire
    for kind in ("azure", "openai-compatible", "mistral", "qwen"):
        assert wire_for(VENDORS[kind], model) == "openai_chat"


def test_every_flavour_of_the_documentation_has_a_row() -> None:
    names = "openai ollama vllm lmstudio llamacpp openrouter groq together fireworks deepseek mistral qwen sglang tgi"
    assert set(FLAVOURS) == set(names.split())


def test_every_vendors_wire_can_be_loaded() -> None:
    for vendor in VENDORS.values():
        for way in vendor.ways:
            assert load_wire(way.wire).name == way.wire
