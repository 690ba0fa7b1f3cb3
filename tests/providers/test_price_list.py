"""What models cost by the list, and what a call costs by a price."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.base import ProviderConfig, Usage
from penstock.providers.price_list import PriceList
from penstock.providers.prices import Price, Priced, Rates, Tier, charge_of, cost, cost_micros

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PER_MILLION = Price(
    rates=Rates(
        input=Decimal(3),
        output=Decimal(15),
        cache_read=Decimal("0.3"),
        cache_write=Decimal("3.75"),
        cache_write_1h=Decimal(6),
    )
)
PLAIN = Price(rates=Rates(input=Decimal(2), output=Decimal(10)))


def entry(kind: str, base_url: str = "https://host.test/v1", **details: str) -> ProviderConfig:
    return ProviderConfig(key="main", type=kind, name="Main", base_url=base_url, details=tuple(details.items()))


@pytest.fixture(scope="module")
async def prices() -> PriceList:
    found = PriceList()
    await found.load()
    return found


def test_nothing_is_priced_before_the_list_is_loaded() -> None:
    prices = PriceList()
    assert not prices.is_loaded
    assert prices.price_of(entry("openai"), "gpt-4o") is None
    assert prices.context_tokens(entry("openai"), "gpt-4o") is None


async def test_the_list_is_loaded_once_for_all_who_ask_at_a_time() -> None:
    prices = PriceList()
    await asyncio.gather(prices.load(), prices.load(), prices.load())
    assert prices.is_loaded
    await prices.load()
    assert prices.price_of(entry("openai"), "gpt-4o", NOW) is not None


@pytest.mark.parametrize(
    ("config", "model", "found"),
    [
        (entry("openai"), "gpt-4o-2024-08-06", "openai/gpt-4o"),
        (entry("openai"), "ft:gpt-4o-mini-2024-07-18:acme::abc", "openai/ft:gpt-4o-mini"),
        (entry("azure"), "gpt-4o", "openai/gpt-4o"),
        (entry("anthropic"), "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        (entry("google"), "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (entry("vertex"), "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        (entry("vertex"), "publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (
            entry("vertex"),
            "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929",
            "google/claude-sonnet-4-5",
        ),
        (entry("bedrock"), "eu.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        (
            entry("bedrock"),
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            entry("bedrock"),
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (entry("mistral"), "mistral-large-latest", "mistral/mistral-large"),
        (entry("openai-compatible", flavor="groq"), "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        (
            entry("openai-compatible", "https://openrouter.ai/api/v1"),
            "anthropic/claude-sonnet-4.5",
            "openrouter/anthropic/claude-sonnet-4.5",
        ),
        (entry("openai-compatible", "https://api.cerebras.ai/v1"), "gpt-oss-120b", "cerebras/gpt-oss-120b"),
    ],
)
async def test_a_model_is_found_by_the_name_that_its_provider_has_for_it(
    prices: PriceList, config: ProviderConfig, model: str, found: str
) -> None:
    priced = prices.price_of(config, model, NOW)
    assert priced is not None
    assert (priced.source, priced.model) == ("genai-prices", found)
    assert priced.version.count(".") == 2
    assert isinstance(priced.price.rates.input, Decimal)


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (entry("openai"), "gpt-99"),
        (entry("azure"), "our-deployment"),
        (entry("bedrock"), "arn:aws:bedrock:us-east-1:1:application-inference-profile/abcd1234"),
        (entry("qwen"), "qwen-max"),
        (entry("demo"), "penstock-demo"),
        (entry("openai-compatible"), "gpt-4o"),
        (entry("openai-compatible", "http://localhost:11434/v1"), "gpt-4o"),
        (entry("openai-compatible", flavor="vllm"), "gpt-4o"),
        (entry("openai-compatible", flavor="openrouter"), "meta-llama/llama-3.3-70b-instruct:free"),
    ],
)
async def test_a_model_that_the_list_lacks_is_unpriced(prices: PriceList, config: ProviderConfig, model: str) -> None:
    assert prices.price_of(config, model, NOW) is None


async def test_a_price_that_has_changed_counts_from_its_date(prices: PriceList) -> None:
    config = entry("openai-compatible", flavor="openrouter")
    old = prices.price_of(config, "openai/gpt-4o", datetime(2024, 1, 1, tzinfo=UTC))
    new = prices.price_of(config, "openai/gpt-4o", NOW)
    assert old is not None
    assert new is not None
    assert old.price != new.price


async def test_long_requests_have_the_rates_of_their_tier(prices: PriceList) -> None:
    priced = prices.price_of(entry("google"), "gemini-2.5-pro", NOW)
    assert priced is not None
    (tier,) = priced.price.tiers
    assert tier.above_input == 200_000
    short, long = Usage(input_tokens=200_000), Usage(input_tokens=200_001)
    assert priced.price.rates.input != tier.rates.input
    assert cost(priced.price, short) == 200_000 * (priced.price.rates.input or Decimal(0)) / 1_000_000
    assert cost(priced.price, long) == 200_001 * (tier.rates.input or Decimal(0)) / 1_000_000


async def test_the_context_of_a_model_is_known(prices: PriceList) -> None:
    assert prices.context_tokens(entry("anthropic"), "claude-sonnet-4-5-20250929") == 200_000
    assert prices.context_tokens(entry("anthropic"), "nothing-we-know") is None


async def test_our_formula_agrees_with_that_of_the_list(prices: PriceList) -> None:
    import genai_prices

    usage = Usage(input_tokens=9_000, output_tokens=700, cache_read_tokens=5_000, cache_write_tokens=1_000)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=9_000, output_tokens=700, cache_read_tokens=5_000, cache_write_tokens=1_000),
        "claude-sonnet-4-5",
        provider_id="anthropic",
        genai_request_timestamp=NOW,
    )
    priced = prices.price_of(entry("anthropic"), "claude-sonnet-4-5", NOW)
    assert priced is not None
    assert cost(priced.price, usage) == theirs.total_price


def test_each_kind_of_token_has_its_own_rate() -> None:
    usage = Usage(
        input_tokens=1_000_000,
        output_tokens=100_000,
        cache_read_tokens=400_000,
        cache_write_tokens=300_000,
        cache_write_1h_tokens=100_000,
        reasoning_tokens=50_000,
    )
    expected = (300_000 * 3 + 400_000 * Decimal("0.3") + 200_000 * Decimal("3.75") + 100_000 * 6 + 100_000 * 15) / 10**6
    assert cost(PER_MILLION, usage) == expected


def test_what_is_cached_without_a_rate_costs_what_input_costs() -> None:
    cached = Usage(input_tokens=1000, cache_read_tokens=600, cache_write_tokens=400, cache_write_1h_tokens=400)
    assert cost(PLAIN, cached) == cost(PLAIN, Usage(input_tokens=1000))


def test_a_kind_of_token_without_a_rate_makes_the_call_unpriced_not_free() -> None:
    only_input = Price(rates=Rates(input=Decimal(1)))
    assert cost_micros(only_input, Usage(input_tokens=10, output_tokens=1)) is None
    assert cost_micros(only_input, Usage(input_tokens=10)) == 10
    assert cost_micros(Price(rates=Rates(output=Decimal(1))), Usage(input_tokens=1, output_tokens=1)) is None


def test_what_costs_anything_is_never_free() -> None:
    cheap = Price(rates=Rates(input=Decimal("0.02")))
    assert cost_micros(cheap, Usage(input_tokens=1)) == 1
    assert cost_micros(cheap, Usage()) == 0


def test_more_cached_than_sent_does_not_make_a_call_cheaper_than_its_cache() -> None:
    assert cost_micros(PER_MILLION, Usage(input_tokens=10, cache_read_tokens=1_000)) == 300


def test_a_fee_per_request_is_added() -> None:
    with_fee = Price(rates=Rates(input=Decimal(1), output=Decimal(1), per_request=Decimal("0.005")))
    assert cost_micros(with_fee, Usage(input_tokens=1)) == 5_001


@settings(max_examples=60)
@given(
    tokens=st.lists(st.integers(0, 10_000_000), min_size=4, max_size=4),
    rates=st.lists(st.decimals(0, 1000, places=6), min_size=4, max_size=4),
)
def test_a_call_never_costs_less_than_its_tokens_nor_a_micro_more(tokens: list[int], rates: list[Decimal]) -> None:
    plain, read, written, output = tokens
    price = Price(rates=Rates(input=rates[0], cache_read=rates[1], cache_write=rates[2], output=rates[3]))
    usage = Usage(
        input_tokens=plain + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=output,
    )
    exact = sum((count * rate for count, rate in zip(tokens, rates, strict=True)), Decimal(0))
    micros = cost_micros(price, usage)
    assert micros is not None
    assert exact <= micros < exact + 1


LISTED = Priced(price=PLAIN, source="genai-prices", version="1.2.3", model="openai/gpt-4o")


def test_the_operators_price_comes_before_the_providers_and_that_before_the_list() -> None:
    usage = Usage(input_tokens=1000, upstream_cost="0.5")
    own = charge_of(usage, override=Price(rates=Rates(input=Decimal(7), output=Decimal(7))), listed=LISTED)
    stated = charge_of(usage, listed=LISTED)
    listed = charge_of(Usage(input_tokens=1000), listed=LISTED)
    assert own is not None
    assert stated is not None
    assert listed is not None
    assert (own.source, own.micros) == ("configuration", 7_000)
    assert (stated.source, stated.micros) == ("upstream", 500_000)
    assert (listed.source, listed.micros, listed.version, listed.model) == (
        "genai-prices",
        2_000,
        "1.2.3",
        "openai/gpt-4o",
    )
    assert charge_of(Usage(input_tokens=1000)) is None


@pytest.mark.parametrize("text", ["", "free", "NaN", "-1", "Infinity", "1e999999", "1e-999999"])
def test_what_is_no_amount_is_not_taken_for_the_providers_price(text: str) -> None:
    charge = charge_of(Usage(input_tokens=1000, upstream_cost=text), listed=LISTED)
    assert charge is not None
    assert charge.source == "genai-prices"


def test_a_provider_may_say_that_a_call_was_free() -> None:
    charge = charge_of(Usage(input_tokens=1000, upstream_cost="0"))
    assert charge is not None
    assert charge.micros == 0


def test_tiers_hold_for_all_tokens_of_a_call() -> None:
    price = Price(
        rates=Rates(input=Decimal(1)),
        tiers=(
            Tier(above_input=100, rates=Rates(input=Decimal(2))),
            Tier(above_input=200, rates=Rates(input=Decimal(3))),
        ),
    )
    assert [cost_micros(price, Usage(input_tokens=count)) for count in (100, 101, 200, 201)] == [100, 202, 400, 603]


def test_reading_the_catalog_does_not_load_the_list() -> None:
    program = (
        "import sys, penstock.gateway.catalog.reading, penstock.http.outbound, "
        "penstock.gateway.inference.attachments.preparing\n"
        "heavy = {'genai_prices', 'aiohttp', 'pypdfium2', 'docx', 'pptx', 'openpyxl'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
