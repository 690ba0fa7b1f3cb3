"""What is known of a model before it is asked."""

import pytest

from penstock.providers.base import ProviderConfig
from penstock.providers.facts import Facts, facts_of, with_context
from penstock.providers.price_list import PriceList
from penstock.providers.vendors import vendor_of, way_for

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def entry(kind: str, base_url: str = "https://host.test/v1", **details: str) -> ProviderConfig:
    return ProviderConfig(key="main", type=kind, name="Main", base_url=base_url, details=tuple(details.items()))


@pytest.mark.parametrize(
    ("config", "model", "can_reason"),
    [
        (entry("openai"), "gpt-5.1", True),
        (entry("openai"), "o4-mini", True),
        (entry("openai"), "gpt-4.1-mini", False),
        (entry("openai"), "gpt-5-chat-latest", False),
        (entry("openai"), "a-name-of-their-gateway", None),
        (entry("azure", apiVersion="2024-10-21"), "our-deployment", None),
        (entry("anthropic"), "claude-sonnet-4-5-20250929", True),
        (entry("anthropic"), "claude-3-7-sonnet-latest", True),
        (entry("anthropic"), "claude-3-5-haiku-latest", False),
        (entry("google"), "models/gemini-2.5-flash", True),
        (entry("google"), "gemini-2.0-flash", False),
        (entry("vertex", project="p", location="global"), "claude-opus-4-1@20250805", True),
        (entry("vertex", project="p", location="global"), "publishers/google/models/gemini-2.5-pro", True),
        (entry("bedrock", region="us-east-1"), "us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        (entry("bedrock", region="us-east-1"), "amazon.nova-pro-v1:0", False),
        (
            entry("bedrock", region="us-east-1"),
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0",
            False,
        ),
        (entry("openai-compatible", flavor="deepseek"), "deepseek-chat", None),
        (entry("openai-compatible", flavor="openai"), "gpt-5.1", True),
    ],
)
def test_a_models_name_tells_whether_reasoning_can_be_asked_of_it(
    config: ProviderConfig, model: str, can_reason: bool | None
) -> None:
    assert facts_of(config, model).reasoning is can_reason


@pytest.mark.parametrize(
    "config",
    [
        entry("openai-compatible"),
        entry("openai-compatible", "http://localhost:11434/v1"),
        entry("openai-compatible", flavor="ollama"),
        entry("openai-compatible", flavor="lmstudio"),
        entry("openai-compatible", "https://openrouter.ai/api/v1"),
        entry("demo"),
    ],
)
def test_s055_a_server_whose_switch_is_not_known_cannot_be_asked_to_reason(config: ProviderConfig) -> None:
    assert facts_of(config, "qwen3:8b").reasoning is False
    assert facts_of(config, "qwen3:8b", Facts(reasoning=True)).reasoning is False


@pytest.mark.parametrize(
    ("config", "model", "reads_pdf"),
    [
        (entry("openai"), "gpt-4o", True),
        (entry("openai"), "gpt-3.5-turbo", False),
        (entry("openai"), "o3-mini", False),
        (entry("azure", apiVersion="2024-10-21"), "gpt-4o", False),
        (entry("anthropic"), "claude-sonnet-4-5", True),
        (entry("google"), "gemini-2.5-flash", True),
        (entry("bedrock", region="us-east-1"), "amazon.nova-micro-v1:0", False),
        (entry("bedrock", region="us-east-1"), "eu.amazon.nova-lite-v1:0", True),
        (entry("bedrock", region="us-east-1"), "us.meta.llama3-3-70b-instruct-v1:0", False),
        (entry("mistral"), "mistral-large-latest", None),
        (entry("mistral"), "codestral-latest", False),
        (entry("qwen"), "qwen-max", False),
        (entry("openai-compatible"), "whatever", False),
        (entry("openai-compatible", flavor="openai"), "gpt-4o", True),
    ],
)
def test_a_target_either_reads_pdfs_or_gets_their_text(
    config: ProviderConfig, model: str, reads_pdf: bool | None
) -> None:
    assert facts_of(config, model).documents is reads_pdf


def test_only_bedrock_and_the_newest_of_google_read_office_files_as_they_are() -> None:
    assert XLSX in facts_of(entry("bedrock", region="us-east-1"), "us.anthropic.claude-sonnet-4-5").document_types
    assert XLSX in facts_of(entry("google"), "gemini-4-carbon").document_types
    assert not facts_of(entry("google"), "gemini-2.5-flash").document_types
    assert not facts_of(entry("anthropic"), "claude-sonnet-4-5").document_types
    assert not facts_of(entry("bedrock", region="us-east-1"), "amazon.nova-micro-v1:0").document_types


def test_audio_goes_only_where_the_format_has_a_part_for_it() -> None:
    assert facts_of(entry("google"), "gemini-2.5-flash").audio is True
    assert facts_of(entry("openai"), "gpt-4o-audio-preview").audio is True
    assert facts_of(entry("openai"), "gpt-5.1").audio is False
    assert facts_of(entry("anthropic"), "claude-sonnet-4-5").audio is False
    assert facts_of(entry("openai-compatible"), "whisper-chat").audio is False


def test_the_operators_word_comes_before_the_familys() -> None:
    given = Facts(context_tokens=9_000, images=False, reasoning=False, tools=False)
    facts = facts_of(entry("openai"), "gpt-5.1", given)
    assert (facts.context_tokens, facts.images, facts.reasoning, facts.tools) == (9_000, False, False, False)
    assert facts.documents is True


def test_nobody_can_make_a_format_carry_what_it_has_no_words_for() -> None:
    facts = facts_of(entry("openai-compatible"), "m", Facts(documents=True, audio=True, images=True))
    assert (facts.documents, facts.audio, facts.images) == (False, False, True)


def test_files_are_not_sent_as_they_are_when_the_operator_says_that_documents_are_not_read() -> None:
    facts = facts_of(entry("bedrock", region="us-east-1"), "us.anthropic.claude-sonnet-4-5", Facts(documents=False))
    assert not facts.document_types


def test_the_way_is_the_one_that_the_entry_names() -> None:
    assert way_for(vendor_of(entry("openai")), "gpt-5.1").wire == "openai_responses"
    assert way_for(vendor_of(entry("openai", api="chat")), "gpt-5.1").wire == "openai_chat"
    assert way_for(vendor_of(entry("vertex", project="p", location="us")), "claude-opus-4-1").wire == "anthropic"


async def test_context_sizes_come_from_the_price_list_once_it_is_there() -> None:
    config, prices = entry("anthropic"), PriceList()
    facts = facts_of(config, "claude-sonnet-4-5")
    assert with_context(facts, prices, config, "claude-sonnet-4-5").context_tokens is None
    await prices.load()
    assert with_context(facts, prices, config, "claude-sonnet-4-5").context_tokens == 200_000
    own = facts_of(config, "claude-sonnet-4-5", Facts(context_tokens=50_000))
    assert with_context(own, prices, config, "claude-sonnet-4-5").context_tokens == 50_000
