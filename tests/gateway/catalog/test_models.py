from typing import Any

import pytest

from penstock.gateway.catalog.provider_types import TYPES
from penstock.gateway.catalog.snapshot import ModelNotFound
from tests.gateway.catalog.texts import EXAMPLES, OPENAI, catalog, errors, model, refusal, warnings

ANTHROPIC = {"type": "anthropic", "apiKeys": ["k"]}
PROVIDERS = {"main": OPENAI}


def test_a_model_is_found_by_slug_by_both_and_by_id() -> None:
    found = catalog(PROVIDERS, [model(id="team/gpt:5", name="Five")])
    (only,) = found.models
    assert (only.slug, only.name, only.permission) == ("main/team/gpt:5", "Five", "ai:models:main:team/gpt:5")
    assert only.backends[0].upstream_model == "team/gpt:5"
    for name in ("main/team/gpt:5", "main:team/gpt:5", "team/gpt:5"):
        assert found.find(name) == (only,)
    assert not found.problems


def test_an_id_at_two_providers_gives_both_in_order() -> None:
    found = catalog({"a": OPENAI, "b": OPENAI}, [model(provider="b"), model(provider="a")])
    assert [one.slug for one in found.find("gpt-5")] == ["b/gpt-5", "a/gpt-5"]
    assert [one.slug for one in found.find("a:gpt-5")] == ["a/gpt-5"]


def test_t_29_a_misspelt_provider_is_named_and_the_catalog_stands() -> None:
    found = catalog(PROVIDERS, [model(), model(id="mini", provider="Main")])
    assert [one.id for one in found.models] == ["gpt-5"]
    (problem,) = [one for one in found.problems if one.severity == "error"]
    assert (problem.variable, problem.path) == ("MODELS", "[1].provider")
    assert "`mini` is skipped: its provider `Main` is not in PROVIDERS" in problem.message
    assert problem.fix == "Did you mean `main`?"


def test_s056_whoever_asks_for_a_skipped_model_learns_why() -> None:
    found = catalog(PROVIDERS, [model(), model(id="zzz", provider="Main")])
    with pytest.raises(ModelNotFound) as caught:
        found.find("zzz")
    assert "Did you mean `main`?" in (caught.value.action or "")


def test_s056_the_reason_of_a_skipped_model_comes_before_the_names_that_resemble_it() -> None:
    found = catalog(PROVIDERS, [model(id="mini-1"), model(id="mini-2", provider="Main"), model(id="x", provider="y")])
    with pytest.raises(ModelNotFound) as caught:
        found.find("mini-2")
    assert "Did you mean `main`?" in (caught.value.action or "")


def test_s056_with_models_strict_a_misspelt_provider_is_fatal() -> None:
    (problem,) = refusal(PROVIDERS, [model(provider="mian")], strict=True)
    assert problem.fix == "Did you mean `main`?"


def test_s057_models_not_set_is_explained() -> None:
    found = catalog(PROVIDERS)
    assert found.models == ()
    assert "is not set, so no model can be used" in errors(found)["MODELS"]


def test_s057_every_entry_skipped_is_explained_first() -> None:
    found = catalog(PROVIDERS, [model(provider="x"), model(provider="y")])
    assert "has no entry that can be used" in found.problems[0].message
    assert set(errors(found)) == {"MODELS", "MODELS[0].provider", "MODELS[1].provider"}


def test_s057_models_without_providers_are_explained() -> None:
    assert "PROVIDERS is not set" in errors(catalog(None, [model()]))["MODELS"]


@pytest.mark.parametrize("kind", sorted(set(TYPES) - {"demo"}))
def test_a_model_of_every_type_has_a_backend(kind: str) -> None:
    found = catalog({"main": EXAMPLES[kind]}, [model()])
    assert [backend.provider.type for backend in found.models[0].backends] == [kind]
    assert not errors(found)


def test_the_entry_of_a_refused_provider_is_not_reported_again() -> None:
    assert [one.variable for one in refusal({"main": {"type": "openai"}}, [model()])] == ["PROVIDERS"]


def test_a_repeated_model_counts_once_and_last() -> None:
    found = catalog(PROVIDERS, [model(name="Old"), model(name="New")])
    assert [one.name for one in found.models] == ["New"]
    assert "repeats the model `main/gpt-5`" in warnings(found)["MODELS[1]"]


def test_a_missing_description_is_empty_with_a_warning() -> None:
    found = catalog(PROVIDERS, [model(description=None)])
    assert found.models[0].description == ""
    assert "tooltip" in warnings(found)["MODELS[0].description"]


def test_a_model_that_only_makes_vectors_is_there_and_has_nothing_for_the_editor() -> None:
    found = catalog(PROVIDERS, [model(), model(id="embed", features=["embeddings"])])
    (embed,) = found.find("embed")
    assert (embed.features, embed.media) == (frozenset(), {"embeddings"})
    assert found.for_feature("embeddings") == (embed,)
    assert not found.problems


def test_a_model_may_chat_and_draw() -> None:
    (both,) = catalog(PROVIDERS, [model(features=["conversations", "reviews", "actions", "images"])]).models
    assert (both.has_feature("images"), both.has_feature("audio")) == (True, False)
    assert "images" not in both.features


def test_a_model_without_features_is_hidden_with_a_warning() -> None:
    found = catalog(PROVIDERS, [model(), model(id="mini", features=[])])
    assert [one.id for one in found.models] == ["gpt-5"]
    assert "`mini` is hidden" in warnings(found)["MODELS[1].features"]


def test_unknown_features_are_warned_of_with_the_nearest() -> None:
    found = catalog(PROVIDERS, [model(features=["conversations", "reviews", "actions", "action.translate"])])
    (problem,) = found.problems
    assert (problem.path, problem.fix) == ("[0].features", "Did you mean `actions.translate`?")


def test_features_that_no_model_has_are_warned_of() -> None:
    found = catalog(PROVIDERS, [model(features=["conversations", "actions.translate"])])
    message = warnings(found)["MODELS"]
    assert "reviews (all of it)" in message
    assert "actions.fix-grammar" in message
    assert "actions.translate" not in message
    assert "conversations" not in message


def test_limits_have_the_defaults_of_their_provider() -> None:
    found = catalog({"main": OPENAI, "claude": ANTHROPIC}, [model(), model(provider="claude")])
    assert [one.limits.max_file_size for one in found.models] == [7_340_032, 5_242_880]
    assert [one.limits.max_image_size for one in found.models] == [5_000_000, 5_000_000]


def test_limits_can_be_set_and_a_small_file_limit_holds_for_images() -> None:
    limits = {
        "maxContextLength": 1000,
        "maxFiles": 0,
        "maxFileSize": 2000,
        "maxTotalFileSize": 3,
        "maxTotalPdfFilePages": 4,
    }
    (found,) = catalog(PROVIDERS, [model(contextLimits=limits)]).models
    assert (found.limits.max_context_length, found.limits.max_files, found.limits.max_file_size) == (1000, 0, 2000)
    assert (found.limits.max_image_size, found.limits.max_total_file_size) == (2000, 3)
    assert found.limits.max_total_pdf_file_pages == 4


def test_capabilities_are_read() -> None:
    capabilities = {"webSearch": True, "reasoning": True}
    (found,) = catalog(PROVIDERS, [model(capabilities=capabilities, recommended=True)]).models
    assert (found.web_search, found.reasoning, found.recommended) == (True, True, True)


def test_more_than_one_recommended_model_is_warned_of() -> None:
    found = catalog(PROVIDERS, [model(recommended=True), model(id="b", recommended=True)])
    assert "recommends 2 models" in warnings(found)["MODELS"]


def test_a_model_named_like_the_agent_is_warned_of() -> None:
    assert "built-in agent" in warnings(catalog(PROVIDERS, [model(id="agent-1")]))["MODELS[0].id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": 5},
        {"provider": ""},
        {"recommended": "yes"},
        {"features": {"conversations": True}},
        {"capabilities": ["webSearch"]},
        {"capabilities": {"reasoning": "high"}},
        {"contextLimits": {"maxFiles": -1}},
        {"contextLimits": {"maxFiles": True}},
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(fields: Any) -> None:
    assert len(refusal(PROVIDERS, [model(**fields)])) == 1


@pytest.mark.parametrize("value", [{}, "text", [3], ["gpt-5"]])
def test_what_is_no_list_of_entries_is_refused(value: Any) -> None:
    text = '"text"' if value == "text" else value
    assert len(refusal(PROVIDERS, text)) == 1
