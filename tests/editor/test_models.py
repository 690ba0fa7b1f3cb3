"""The list of models, as the editor needs it."""

import json
from pathlib import Path

import msgspec
import pytest

from penstock.editor.models import Item, models_shown
from penstock.gateway.catalog.snapshot import Backend, ContextLimits, Model, Problem, Snapshot
from penstock.gateway.routing.agent import Needs
from penstock.gateway.routing.candidates import candidates
from penstock.providers.base import ProviderConfig
from tests.editor.conftest import Editor, Tenant, caller
from tests.fakes.editor_client import EditorClient, Refused
from tests.fakes.openai_upstream import running_upstream
from tests.service import Service, service_env, start_service

PROVIDERS = {
    key: ProviderConfig(key=key, type="openai-compatible", name=key.title(), base_url="http://localhost/v1")
    for key in ("east", "west")
}
BROKEN = Problem("error", "MODELS", "[0].provider", "names `eest`, which is no key of PROVIDERS.", "Write `east`.")


def model(model_id: str, provider: str = "east", **fields: object) -> Model:
    given = {"features": frozenset({"conversations"}), "backends": (Backend(PROVIDERS[provider], model_id),)}
    base = Model(slug=f"{provider}/{model_id}", id=model_id, provider_key=provider, name=model_id.upper())
    return msgspec.structs.replace(base, **(given | fields))


def snapshot(*models: Model, problems: tuple[Problem, ...] = ()) -> Snapshot:
    by_name: dict[str, tuple[Model, ...]] = {}
    for one in models:
        by_name[one.id] = (*by_name.get(one.id, ()), one)
    return Snapshot(version=1, providers=PROVIDERS, models=models, by_name=by_name, problems=problems)


def shown(catalog: Snapshot, *permissions: str) -> list[Item]:
    items: list[Item] = models_shown(catalog, caller(permissions=list(permissions or ["ai:models:*"])))["items"]
    return items


def test_t_05_the_list_is_what_the_editor_needs(editors: Editor) -> None:
    answer = editors("t-05").models()
    assert [item["id"] for item in answer["items"]] == ["agent-1", "one", "two"]
    assert answer["models"] == [
        {"id": item["id"], "allowed": item["allowed"], "features": item["features"]} for item in answer["items"]
    ]
    for item in answer["items"]:
        assert item["allowed"] is True
        assert set(item["limits"]) == {
            "maxContextLength",
            "maxFiles",
            "maxFileSize",
            "maxImageSize",
            "maxTotalFileSize",
            "maxTotalPdfFilePages",
        }
        assert set(item["capabilities"]) == {"webSearch", "reasoning"}
        assert all(set(one) == {"enabled", "allowed"} for one in item["capabilities"].values())
    assert set(answer) == {"items", "models"}


def test_t_05_without_the_agent_permission_it_comes_last(editors: Editor) -> None:
    items = editors("t-05", permissions=["ai:conversations:*", "ai:models:mock:two"]).models()["items"]
    assert [(item["id"], item["allowed"]) for item in items] == [("two", True), ("agent-1", False), ("one", False)]


@pytest.mark.parametrize("path", ["/v1/models/v1", "/v1/models/2", "/v1/models/latest", "/v1/models", "/v1/models/"])
def test_s058_another_version_is_told_the_only_one(editor: EditorClient, path: str) -> None:
    with pytest.raises(Refused) as refused:
        editor.ask("GET", "models", path)
    assert (refused.value.status, refused.value.body["code"]) == (404, "not-found")
    assert "/v1/models/1" in refused.value.body["action"]


def test_the_list_needs_a_token(service: Service) -> None:
    with EditorClient(service.url, {}) as nobody, pytest.raises(Refused, match="401"):
        nobody.models()


@pytest.mark.parametrize(
    ("claim", "found"),
    [("ai:models:*", "string"), (["*", "ai:*"], "`*`"), ({"useAllFeatures": True}, "useAllFeatures"), (None, "null")],
)
def test_s026_permissions_of_the_wrong_shape_are_explained(editors: Editor, claim: object, found: str) -> None:
    editor = editors("s026", permissions=claim)
    answer = editor.models()
    assert not any(item["allowed"] for item in answer["items"])
    assert found in answer["permissions"]["explanation"]
    with pytest.raises(Refused, match="403") as refused:
        editor.create()
    assert found in refused.value.body["explanation"]


CLAUDE = "us.anthropic.claude-v1:0"


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("ai:models:*", {"agent-1", "gpt-4.1", CLAUDE}),
        ("ai:models:agent", {"agent-1"}),
        ("ai:models:east:*", {"gpt-4.1"}),
        ("ai:models:east:gpt-4*", {"gpt-4.1"}),
        (f"ai:models:west:{CLAUDE}", {CLAUDE}),
        ("ai:models:west:us.anthropic.*", {CLAUDE}),
        ("ai:models:west:us.anthropic.claude-v1", set()),
        ("ai:models:east", set()),
        ("ai:models:east:gpt-5*", set()),
        ("ai:*", set()),
        ("ai:admin", set()),
        ("*", set()),
    ],
)
def test_t_07_what_an_entry_grants_is_what_the_list_allows(entry: str, allowed: set[str]) -> None:
    catalog = snapshot(model("gpt-4.1"), model(CLAUDE, "west"))
    assert {item.id for item in shown(catalog, entry) if item.allowed} == allowed


def test_s057_when_nothing_is_usable_the_answer_says_why() -> None:
    answer = models_shown(snapshot(problems=(BROKEN,)), caller())
    (agent,) = answer["items"]
    assert (agent.id, agent.allowed, agent.features) == ("agent-1", False, [])
    assert "names `eest`" in agent.description
    assert answer["problems"] == [
        {
            "severity": "error",
            "variable": "MODELS",
            "path": "[0].provider",
            "message": BROKEN.message,
            "fix": BROKEN.fix,
        }
    ]


def test_t_29_s057_models_that_name_no_provider_are_reported_and_the_service_starts(tmp_path: Path) -> None:
    models = json.dumps([{"id": "one", "provider": "mok", "features": ["conversations"]}])
    with running_upstream() as upstream, start_service(service_env(upstream, tmp_path, MODELS=models), upstream) as own:
        assert json.loads(own.wait_for_log("`mok`"))["level"] == 50
        with EditorClient(own.url, Tenant(own).headers()) as editor:
            answer = editor.models()
            assert [(item["id"], item["allowed"]) for item in answer["items"]] == [("agent-1", False)]
            assert {problem["fix"] for problem in answer["problems"]} >= {"Did you mean `mock`?"}
            with pytest.raises(Refused, match="404") as refused:
                editor.said(editor.create(), "Hi", model="one")
            assert "Did you mean `mock`?" in refused.value.body["action"]


def test_allowed_comes_first_then_recommended_then_the_configured_order() -> None:
    catalog = snapshot(
        model("a"), model("b", recommended=True), model("c", "west"), model("d", "west", recommended=True)
    )
    assert [item.id for item in shown(catalog)] == ["agent-1", "b", "d", "a", "c"]
    assert [item.id for item in shown(catalog, "ai:models:west:*")][:2] == ["d", "c"]


def test_without_a_recommended_model_the_first_allowed_one_is() -> None:
    catalog = snapshot(model("a"), model("b", "west"), model("c", "west"))
    recommended = {item.id for item in shown(catalog, "ai:models:west:*") if item.recommended}
    assert recommended == {"agent-1", "b"}


def test_an_id_at_two_providers_is_listed_twice_under_names_that_differ() -> None:
    assert [item.id for item in shown(snapshot(model("a"), model("a", "west")))] == ["agent-1", "a", "west:a"]


def test_the_agent_promises_what_the_most_able_model_behind_it_can_take() -> None:
    large, small = ContextLimits(max_context_length=900_000), ContextLimits(max_files=3)
    other = model("c", features=frozenset({"actions.translate"}), limits=ContextLimits(max_files=1), reasoning=True)
    agent = shown(snapshot(model("a", limits=large), model("b", limits=small), other))[0]
    assert (agent.limits.max_context_length, agent.limits.max_files) == (900_000, 100)
    assert agent.features == ["conversations", "actions"]
    assert agent.capabilities["reasoning"]["enabled"] is False


def test_reasoning_is_offered_where_it_is_set_up_and_allowed() -> None:
    catalog = snapshot(model("a"), model("b", reasoning=True))
    agent, first, second = (item.capabilities["reasoning"] for item in shown(catalog, "ai:models:*"))
    assert agent == {"enabled": True, "allowed": False}
    assert (first["enabled"], second["enabled"]) == (False, True)
    allowed = shown(catalog, "ai:models:*", "ai:conversations:*")[0].capabilities["reasoning"]
    assert allowed == {"enabled": True, "allowed": True}


def test_the_agent_reasons_with_a_model_that_can() -> None:
    catalog = snapshot(model("a", recommended=True), model("b", reasoning=True))
    needs = Needs(reasoning=True)
    assert [one.model.id for one in candidates(catalog, caller(), "agent-1", "conversations", needs=needs)] == [
        "b",
        "a",
    ]
    assert [one.model.id for one in candidates(catalog, caller(), "auto", "conversations")] == ["a", "b"]


def test_web_search_is_offered_where_a_service_a_model_and_a_permission_for_it_are_there() -> None:
    catalog = snapshot(model("a"), model("b", web_search=True))
    with_search = models_shown(catalog, caller(), searches=True)["items"]
    assert {item.id: item.capabilities["webSearch"]["enabled"] for item in with_search} == {
        "agent-1": True,
        "a": False,
        "b": True,
    }
    assert all(item.capabilities["webSearch"]["allowed"] for item in with_search)
    without = models_shown(catalog, caller(permissions=["ai:conversations:read"]), searches=False)["items"]
    assert not any(item.capabilities["webSearch"][name] for item in without for name in ("enabled", "allowed"))
