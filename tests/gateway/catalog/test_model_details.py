"""`facts` and `price` of MODELS, and what a model promises that its provider cannot keep."""

from decimal import Decimal
from typing import Any

import pytest

from penstock.gateway.catalog.snapshot import Backend
from penstock.providers.base import Usage
from penstock.providers.prices import cost_micros
from tests.gateway.catalog.texts import OPENAI, catalog, model, refusal, warnings

OLLAMA = {"type": "openai-compatible", "baseUrl": "http://localhost:11434/v1"}
REASONS = {"reasoning": True}


def backend(**fields: Any) -> Backend:
    return catalog({"main": OPENAI}, [model(**fields)]).models[0].backends[0]


def test_a_model_without_facts_or_a_price_is_known_by_its_name() -> None:
    found = backend(id="gpt-5.1")
    assert (found.facts.reasoning, found.facts.documents, found.price) == (True, True, None)


def test_facts_of_the_operator_are_taken() -> None:
    facts = {"contextTokens": 32_000, "outputTokens": 4_000, "images": False, "structuredOutput": False}
    found = backend(facts=facts).facts
    assert (found.context_tokens, found.output_tokens, found.images) == (32_000, 4_000, False)
    assert found.structured_output is False


def test_a_price_may_be_written_as_texts_or_numbers() -> None:
    price = {"input": "2.50", "output": 10, "cacheRead": 0.1, "cacheWrite": "3.125", "cacheWrite1h": "5"}
    found = backend(price=price).price
    assert found is not None
    assert found.rates.input == Decimal("2.50")
    assert found.rates.cache_read == Decimal("0.1")
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert cost_micros(found, usage) == 12_500_000


def test_a_tier_costs_what_it_costs_below_unless_it_says_otherwise() -> None:
    tiers = [{"aboveInput": 200_000, "input": "5"}, {"aboveInput": 100_000, "input": "3"}]
    found = backend(price={"input": "2.5", "output": "10", "tiers": tiers}).price
    assert found is not None
    assert [tier.above_input for tier in found.tiers] == [100_000, 200_000]
    assert (found.tiers[1].rates.input, found.tiers[1].rates.output) == (Decimal(5), Decimal(10))


def test_a_tier_that_is_written_right_is_not_warned_of() -> None:
    price = {"input": "2.5", "output": "10", "tiers": [{"aboveInput": 200_000, "input": "5"}]}
    found = catalog({"main": OPENAI}, [model(price=price)])
    assert [problem.path for problem in found.problems if "tiers" in problem.path] == []


@pytest.mark.parametrize("rate", ["free", "", "-1", "NaN", "1e400", "0.0000000001", True, [1], -0.5, "1e9"])
def test_what_is_no_price_is_refused(rate: Any) -> None:
    (problem,) = refusal({"main": OPENAI}, [model(price={"input": rate, "output": 1})])
    assert "input" in problem.path
    assert "is not a price" in problem.message


def test_a_misspelt_field_is_named_with_the_nearest() -> None:
    found = catalog({"main": OPENAI}, [model(price={"input": 1, "outputs": 2}, facts={"image": True})])
    fixes = {problem.fix for problem in found.problems}
    assert fixes == {"Did you mean `output`?", "Did you mean `images`?"}


def test_tiers_need_their_beginning() -> None:
    problems = refusal({"main": OPENAI}, [model(price={"input": 1, "tiers": [{"above": 5, "input": 2}]})])
    assert [problem.message for problem in problems] == ["is missing."]
    assert "short array" in refusal({"main": OPENAI}, [model(price={"input": 1, "tiers": {}})])[0].message


def test_an_empty_price_is_ignored_with_a_warning() -> None:
    found = catalog({"main": OPENAI}, [model(price={})])
    assert found.models[0].backends[0].price is None
    assert any("no price in it" in message for message in warnings(found).values())


def test_s055_reasoning_on_a_server_whose_switch_is_unknown_is_warned_of_and_not_allowed() -> None:
    found = catalog({"main": OLLAMA}, [model(id="qwen3:8b", capabilities=REASONS)])
    assert found.models[0].reasoning
    assert not found.models[0].reasons
    (problem,) = [one for one in found.problems if one.path == "[0].capabilities"]
    assert (problem.severity, problem.variable) == ("warning", "MODELS")
    assert '"flavor" in the entry `main`' in problem.fix
    assert "not allowed" in problem.message


def test_s055_with_a_flavour_that_can_switch_it_reasoning_is_allowed() -> None:
    found = catalog({"main": OLLAMA | {"flavor": "openrouter"}}, [model(id="x/y", capabilities=REASONS)])
    assert found.models[0].reasons
    assert not [one for one in found.problems if "reasoning" in one.message]


def test_s055_a_named_flavour_that_cannot_switch_it_is_warned_of_without_naming_flavour() -> None:
    found = catalog({"main": OLLAMA | {"flavor": "ollama"}}, [model(id="qwen3:8b", capabilities=REASONS)])
    (message,) = [one for path, one in warnings(found).items() if path == "MODELS[0].capabilities"]
    assert "has no effect" in message
    assert not found.models[0].reasons


def test_a_family_that_does_not_reason_is_warned_of_and_the_operator_may_know_better() -> None:
    plain = catalog({"main": OPENAI}, [model(id="gpt-4.1", capabilities=REASONS)])
    assert not plain.models[0].reasons
    assert "facts.reasoning" in next(one.fix for one in plain.problems if one.path == "[0].capabilities")
    known = catalog({"main": OPENAI}, [model(id="gpt-4.1", capabilities=REASONS, facts={"reasoning": True})])
    assert known.models[0].reasons


def test_a_promise_that_the_format_cannot_keep_is_warned_of() -> None:
    found = catalog({"main": OLLAMA}, [model(facts={"documents": True})])
    assert any("`documents` works" in message for message in warnings(found).values())
