"""How the agent chooses: by feature, capability, size and price, and what it says of it."""

from decimal import Decimal

from penstock.gateway.catalog.snapshot import Backend, ContextLimits, Model
from penstock.gateway.routing.agent import NOTHING, Needs, ranked
from penstock.providers.base import ProviderConfig
from penstock.providers.facts import Facts

PROVIDER = ProviderConfig(key="p", type="openai-compatible", name="P", base_url="http://localhost/v1")
UNKNOWN = Facts()
CHAT = frozenset({"conversations", "actions", "reviews"})


def model(name: str, *, facts: Facts = UNKNOWN, features: frozenset[str] = CHAT, **more: object) -> Model:
    backend = Backend(PROVIDER, name, facts)
    return Model(slug=f"p/{name}", id=name, provider_key="p", name=name, features=features, backends=(backend,), **more)  # type: ignore[arg-type]


def order(models: list[Model], feature: str = "conversations", needs: Needs = NOTHING, **prices: str) -> list[str]:
    def price_of(backend: Backend) -> Decimal | None:
        return Decimal(prices[backend.upstream_model]) if backend.upstream_model in prices else None

    return [one.model.id for one in ranked(models, feature, needs, price_of)]


def why(models: list[Model], feature: str = "conversations", needs: Needs = NOTHING) -> str:
    return ranked(models, feature, needs, lambda _: None)[0].why


def test_chats_go_to_the_recommended_model_then_to_the_cheapest() -> None:
    models = [model("first"), model("dear"), model("best", recommended=True), model("cheap")]
    assert order(models, dear="10", cheap="1", best="5") == ["best", "cheap", "dear", "first"]


def test_without_a_recommended_model_the_first_one_is_the_operators_choice() -> None:
    assert order([model("first"), model("dear"), model("cheap")], first="99", dear="10", cheap="1")[0] == "first"


def test_a_text_that_fits_into_one_model_only_goes_there() -> None:
    small = model("small", recommended=True, limits=ContextLimits(max_context_length=1_000))
    large = model("large", limits=ContextLimits(max_context_length=100_000))
    assert order([small, large]) == ["small", "large"]
    assert order([small, large], needs=Needs(characters=1_001)) == ["large", "small"]
    assert why([small, large], needs=Needs(characters=1_001)) == "holds 1001 characters"


def test_what_a_call_needs_comes_before_what_is_recommended_or_cheap() -> None:
    plain = model("plain", recommended=True, facts=Facts(images=False, tools=False))
    able = model("able", reasoning=True, web_search=True)
    for needs in (Needs(reasoning=True), Needs(web_search=True), Needs(images=True), Needs(tools=True)):
        assert order([plain, able], needs=needs) == ["able", "plain"]
    assert why([plain, able], needs=Needs(images=True, reasoning=True)) == "has reasoning, has pictures"


def test_actions_go_to_a_model_that_is_set_up_for_nothing_else() -> None:
    small = model("small", features=frozenset({"actions"}))
    models = [model("best", recommended=True), small]
    assert order(models, "actions.translate") == ["small", "best"]
    assert why(models, "actions.translate") == "is set up for actions alone"
    assert order(models, "reviews.clarity")[0] == "best"


def test_the_order_is_the_same_whenever_it_is_asked() -> None:
    models = [model(str(number)) for number in range(20)]
    assert order(models) == [str(number) for number in range(20)] == order(models)
