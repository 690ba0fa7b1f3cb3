"""What the pages say: health, hidden models (S056, S057), the configuration, tokens (S020 to S027), the playground."""

import hashlib
import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.fakes.openai_upstream import Upstream, running_upstream
from tests.panel.conftest import Panel
from tests.service import FEATURES, MANAGEMENT_SECRET, service_env, start_service

SECRET_IN_CONFIGURATION = "sk-canary-of-the-panel-0123456789"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


def words(answer: httpx.Response) -> str:
    """The text of a page on one line, without its tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    text = re.sub(r"</?code[^>]*>", "", text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def page_of(upstream: Upstream, tmp_path: Path, path: str, **env: str) -> str:
    with start_service(service_env(upstream, tmp_path, **env), upstream) as service:
        panel = Panel(service)
        panel.sign_in()
        found = words(panel.get(path))
        panel.http.close()
        return found


def model(model_id: str, provider: str = "mock", **more: Any) -> dict[str, Any]:
    return {"id": model_id, "provider": provider, "description": "x", "features": FEATURES, **more}


def test_what_was_not_written_here_is_what_its_authors_published() -> None:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256((root / "src/penstock/panel/assets/htmx.min.js").read_bytes()).hexdigest()
    assert f"`panel/assets/htmx.min.js` {digest}" in (root / "docs/dependencies.md").read_text("utf-8")


# What is running


def test_the_overview_says_what_works(panel: Panel) -> None:
    page = words(panel.get("/panel/"))
    for part in (
        "Database sqlite at",
        "works",
        "Coordination in this process",
        "File storage",
        "mock openai-compatible",
    ):
        assert part in page


def test_the_overview_says_where_to_begin(upstream: Upstream, tmp_path: Path) -> None:
    assert "There is no environment yet" in page_of(upstream, tmp_path, "/panel/")


def test_s_056_an_entry_with_a_misspelt_provider_is_named_with_the_nearest_key(
    upstream: Upstream, tmp_path: Path
) -> None:
    models = [
        model("fine"),
        model("lost", provider="mocc"),
        model("useless", features=[]),
        model("e", features=["images"]),
    ]
    page = page_of(upstream, tmp_path, "/panel/models", MODELS=json.dumps(models))
    assert "MODELS[1].provider" in page
    assert "lost is skipped: its provider mocc is not in PROVIDERS. Did you mean mock?" in page
    assert "so useless is hidden" in page
    assert "hidden in editors" in page
    assert "It has no feature of the editor: it is there for images" in page
    assert "mock/fine" in page


def test_s_057_without_any_usable_model_the_reason_is_on_the_page(upstream: Upstream, tmp_path: Path) -> None:
    page = page_of(upstream, tmp_path, "/panel/models", MODELS="")
    assert (
        "MODELS error is not set" in page.replace("error MODELS", "MODELS error") or "is not set, so no model" in page
    )
    assert "No model can be used" in page


def test_the_configuration_shows_values_with_their_source_and_no_secret(upstream: Upstream, tmp_path: Path) -> None:
    providers = {"mock": {"type": "openai-compatible", "baseUrl": upstream.url, "apiKeys": [SECRET_IN_CONFIGURATION]}}
    secrets = {
        "PROVIDERS": json.dumps(providers),
        "SECRETS_ENCRYPTION_KEY": f"{SECRET_IN_CONFIGURATION}-seals",
        "WEBSEARCH_HEADERS": f"X-Key: {SECRET_IN_CONFIGURATION}-search",
    }
    page = page_of(upstream, tmp_path, "/panel/configuration", LOG_LEVEL="info", **secrets)
    assert "LOG_LEVEL 30 from environment" in page
    assert "SSE_KEEPALIVE_SECONDS 15" in page
    assert "PROVIDERS set, hidden from environment" in page
    assert "ENVIRONMENTS_MANAGEMENT_SECRET_KEY set, hidden" in page
    assert SECRET_IN_CONFIGURATION not in page
    assert MANAGEMENT_SECRET not in page


# Environments


def test_names_are_shown_as_they_are_and_never_as_markup(panel: Panel) -> None:
    name = "<script>alert('x')</script> & \"Sons\""
    environment = panel.environment(name)
    for path in ("/panel/environments", f"/panel/environments/{environment}"):
        page = panel.get(path)
        assert "<script>alert" not in page.text
        assert html.unescape(page.text).count(name) >= 1
    panel.post(f"/panel/environments/{environment}/delete", confirm=environment)


def test_a_deletion_that_is_not_confirmed_is_refused_by_the_page_too(panel: Panel) -> None:
    environment = panel.environment()
    refused = panel.post(f"/panel/environments/{environment}/delete", confirm="something else")
    assert (refused.status_code, "not confirmed" in words(refused)) == (400, True)
    assert panel.get(f"/panel/environments/{environment}").status_code == 200


def test_a_name_that_is_not_usable_is_refused_in_words(panel: Panel) -> None:
    refused = panel.post("/panel/environments", name=" ")
    assert (refused.status_code, "The name is not usable." in words(refused)) == (400, True)


def test_for_htmx_only_the_part_that_changes_is_sent(panel: Panel) -> None:
    environment = panel.environment()
    part = panel.post(f"/panel/environments/{environment}/access-keys", {"HX-Request": "true"}, name="one")
    assert "<html" not in part.text
    assert 'id="access-keys"' in part.text
    refused = panel.post("/panel/environments/nobody/access-keys", {"HX-Request": "true"})
    assert (refused.status_code, "<html" in refused.text, 'role="alert"' in refused.text) == (404, False, True)
    panel.http.cookies.clear()
    gone = panel.get("/panel/", headers={"HX-Request": "true"})
    assert (gone.status_code, gone.headers["hx-redirect"]) == (204, "/panel/sign-in")


# Tokens


@pytest.fixture
def environment(panel: Panel) -> Iterator[tuple[str, str]]:
    """Its id, and the secret of its key."""
    environment = panel.environment("Tokens")
    shown = panel.post(f"/panel/environments/{environment}/access-keys", name="signs").text
    yield environment, shown.partition('id="secret-value"')[2].partition('value="')[2].partition('"')[0]
    panel.post(f"/panel/environments/{environment}/delete", confirm=environment)


def claims(environment: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"aud": environment, "sub": "joe", "iat": now, "exp": now + 600}
    return {**found, "auth": {"ai": {"permissions": ["ai:conversations:*"]}}, **changes}


def explained(panel: Panel, token: str) -> str:
    answer = panel.post("/panel/token", token=token)
    assert answer.status_code == 200
    assert token.rpartition(".")[2] not in answer.text
    return words(answer)


def test_a_good_token_is_accepted_and_says_what_it_allows(panel: Panel, environment: tuple[str, str]) -> None:
    page = explained(panel, "Bearer " + jwt.encode(claims(environment[0]), environment[1], "HS256"))
    assert "This is accepted." in page
    assert "ai:conversations:*" in page
    assert '"sub": "joe"' in page


def test_s_020_signed_with_the_management_secret(panel: Panel, environment: tuple[str, str]) -> None:
    page = explained(panel, jwt.encode(claims(environment[0]), MANAGEMENT_SECRET, "HS256"))
    assert "invalid-jwt-signature" in page
    assert "signed with the management secret (ENVIRONMENTS_MANAGEMENT_SECRET_KEY)" in page


def test_s_021_signed_with_another_secret(panel: Panel, environment: tuple[str, str]) -> None:
    page = explained(panel, jwt.encode(claims(environment[0]), "x" * 40, "HS256"))
    assert "invalid-jwt-signature" in page
    assert environment[0] in page
    assert "1 active access key" in page


def test_s_022_another_algorithm(panel: Panel, environment: tuple[str, str]) -> None:
    page = explained(panel, jwt.encode(claims(environment[0]), "x" * 48, "HS384"))
    assert "names HS384; expected HS256" in page


@pytest.mark.parametrize("audience", ["nobody", ["nobody"]])
def test_s_023_no_such_environment(panel: Panel, environment: tuple[str, str], audience: Any) -> None:
    page = explained(panel, jwt.encode(claims(environment[0], aud=audience), environment[1], "HS256"))
    assert "invalid-jwt-payload" in page
    assert ("The claim aud is nobody" if audience == "nobody" else "The claim aud is an array") in page


def test_s_024_expired(panel: Panel, environment: tuple[str, str]) -> None:
    now = int(time.time())
    token = jwt.encode(claims(environment[0], iat=now - 900, exp=now - 300), environment[1], "HS256")
    page = explained(panel, token)
    assert re.search(r"It expired 30\d s ago. The server's clock says", page)


@pytest.mark.parametrize("permissions", ["ai:conversations:*", ["*"]])
def test_s_026_permissions_of_a_wrong_shape(panel: Panel, environment: tuple[str, str], permissions: Any) -> None:
    changed = claims(environment[0], auth={"ai": {"permissions": permissions}})
    page = explained(panel, jwt.encode(changed, environment[1], "HS256"))
    assert "But it allows nothing" in page
    assert (
        ("expected an array of strings" in page)
        if isinstance(permissions, str)
        else ("Entries that grant nothing *" in page)
    )


@pytest.mark.parametrize("text", ["", "not a token", "a.b.c", "sgk_nonsense", "x" * 30_000, '{"token": "x"}'])
def test_s_027_what_is_no_token_is_explained_too(panel: Panel, text: str) -> None:
    assert "This is accepted." not in words(panel.post("/panel/token", token=text))


# The playground


def test_the_playground_signs_a_short_lived_token_of_the_chosen_environment(
    panel: Panel, environment: tuple[str, str]
) -> None:
    made = panel.post("/panel/playground/token", environment=environment[0]).json()
    found = jwt.decode(made["token"], environment[1], ["HS256"], audience=environment[0])
    assert (found["sub"], found["exp"] - found["iat"], made["expiresInSeconds"]) == ("panel", 600, 600)
    answer = httpx.get(panel.service.url + "/v1/models/1", headers={"Authorization": f"Bearer {made['token']}"})
    assert answer.status_code == 200
    panel.service.wait_for_log("token made for the playground")
    assert not [line for line in panel.service.lines if made["token"] in line]


def test_the_playground_says_what_is_missing(upstream: Upstream, tmp_path: Path) -> None:
    assert "There is no environment to ask for" in page_of(upstream, tmp_path, "/panel/playground")


def test_the_streaming_test_sends_its_events_like_an_answer(panel: Panel) -> None:
    with panel.http.stream("GET", "/panel/streaming/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-accel-buffering"] == "no"
        body = answer.read().decode()
    assert [json.loads(one)["number"] for one in re.findall(r"event: tick\ndata: (.*)\n\n", body)] == list(range(12))
    assert body.endswith("event: done\ndata: {}\n\n")
