"""Tokens, permissions, environments and secrets as integrators get them wrong, over every deployment."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.checks import checks
from tests.acceptance.conftest import Editor
from tests.acceptance.deployments import Deployment
from tests.editor import test_tokens
from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient, Refused
from tests.panel import test_management_api
from tests.service import FEATURES, Service

globals().update(checks(test_tokens, "t_06"))
globals().update(checks(test_management_api, "t_30_a_signed_request", "t_30_what_is_not_signed", "t_31"))

CLAUDE = "us.anthropic.claude-v1:0"
IDS = {"openai": ("gpt-4.1", "gpt-4.1-mini", "gpt-5"), "bedrock": (CLAUDE,)}
EVERY = {one for ids in IDS.values() for one in ids}


@pytest.fixture(scope="module")
def catalog_beside(deployment: Deployment) -> Iterator[tuple[Service, Tenant]]:
    """A replica with models of two providers, one of them with colons in its id."""
    fake = json.loads(deployment.env["PROVIDERS"])["mock"]
    models = [
        {"id": one, "provider": provider, "description": "", "features": FEATURES}
        for provider, ids in IDS.items()
        for one in ids
    ]
    providers = json.dumps(dict.fromkeys(IDS, fake))
    with deployment.beside(PROVIDERS=providers, MODELS=json.dumps(models)) as service:
        yield service, Tenant(service)


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("ai:models:*", EVERY | {"agent-1"}),
        ("ai:models:agent", {"agent-1"}),
        ("ai:models:openai:*", set(IDS["openai"])),
        ("ai:models:openai:gpt-4*", {"gpt-4.1", "gpt-4.1-mini"}),
        ("ai:models:openai:gpt-5", {"gpt-5"}),
        (f"ai:models:bedrock:{CLAUDE}", {CLAUDE}),
        ("ai:models:bedrock:us.*", {CLAUDE}),
        ("ai:models:bedrock:us.anthropic.claude-v1", set()),
        ("ai:models:openai", set()),
        ("ai:Models:openai:*", set()),
        ("ai:*", set()),
        ("ai:admin", set()),
        ("*", set()),
    ],
)
def test_t_07_an_entry_grants_the_models_that_it_names(
    catalog_beside: tuple[Service, Tenant], service: Deployment, entry: str, allowed: set[str]
) -> None:
    """What the list says is what a message may use."""
    beside, tenant = catalog_beside
    headers = tenant.headers(permissions=["ai:conversations:*", entry])
    with EditorClient(beside.url, headers) as editor:
        assert {one["id"] for one in editor.models()["items"] if one["allowed"]} == allowed
        made = editor.create(title="t")
        for model in sorted(EVERY | {"agent-1"}):
            if model in allowed:
                assert editor.said(made, "Hi", model=model).names[-1] == "done"
                continue
            with pytest.raises(Refused) as refused:
                editor.said(made, "Hi", model=model)
            assert (refused.value.status, refused.value.body["code"]) == (403, "missing-permissions")


@pytest.mark.parametrize("deployment", ["single", "replicated"], indirect=True)
@pytest.mark.parametrize(
    ("entries", "may"),
    [
        (["ai:conversations:*"], {"read", "create", "change", "say", "delete"}),
        (["ai:conversations:read"], {"read"}),
        (["ai:conversations:create"], {"create", "change", "say", "delete"}),
        (["ai:conversations:write"], {"create", "change", "say", "delete"}),
        (["ai:conversations:delete"], {"delete"}),
        (["ai:*", "ai:conversations:read"], {"read"}),
        (["ai:conversations"], set()),
        (["AI:conversations:*"], set()),
        ([], set()),
    ],
)
def test_t_07_an_entry_grants_what_table_4_3_says(editors: Editor, entries: list[str], may: set[str]) -> None:
    full, editor = editors("t-07"), editors("t-07", permissions=[*entries, "ai:models:*"])
    made, doomed = full.create(title="t"), full.create(title="t")
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: (editor.history(), editor.open(made)),
        "create": lambda: editor.create(),
        "change": lambda: editor.change(made, title="New"),
        "say": lambda: editor.said(made, "Hi"),
        "delete": lambda: editor.delete(doomed),
    }
    for name, attempt in attempts.items():
        if name in may:
            attempt()
            continue
        with pytest.raises(Refused) as refused:
            attempt()
        assert (refused.value.status, refused.value.body["code"]) == (403, "missing-permissions")
