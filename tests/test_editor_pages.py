"""The pages for integrators are tried: commands against a running service, examples by the code that they speak to."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import httpx
import jwt
import pytest

import penstock
from penstock.editor.moderation.options import CustomScreening
from penstock.editor.moderation.screens import CustomScreen
from penstock.editor.web.scraper import Scraper
from penstock.editor.web.search import WebSearch
from penstock.errors import PenstockError
from penstock.gateway.identity.permissions import Permissions
from penstock.http.faces import EDITOR
from penstock.settings import load_settings
from penstock.settings.variables import VARIABLES
from tests.fakes.openai_upstream import running_upstream
from tests.service import MANAGEMENT_SECRET, Service, service_env, start_service, with_tenant
from tests.test_documents import OTHERS, ROOT

EDITOR_PAGE = (ROOT / "docs" / "editor.md").read_text("utf-8")
MIGRATION_PAGE = (ROOT / "docs" / "migrating-from-tinymce-ai.md").read_text("utf-8")
PAGES = {"editor": EDITOR_PAGE, "migrating": MIGRATION_PAGE}

ORIGINAL = {
    f"{family}_{name}" if family else name
    for family, names in {
        "": "LICENSE_KEY ENVIRONMENTS_MANAGEMENT_SECRET_KEY ALLOWED_ORIGINS PROVIDERS MODELS LLM_TIMEOUT_MS LOG_LEVEL "
        "ENABLE_METRIC_LOGS CS_CONFIG_PATH APPLICATION_EXTERNAL_ENDPOINT MODERATION HOOKS GUARDRAILS MCP_SERVERS "
        "MCP_OAUTH_CALLBACK_URL LLM_TELEMETRY_ENABLED",
        "DATABASE": "DRIVER HOST PORT USER PASSWORD DATABASE SCHEMA SSL_CA SSL_CERT SSL_KEY",
        "REDIS": "HOST PORT USER PASSWORD DB IP_FAMILY TLS_ENABLE TLS TLS_CA TLS_CERT TLS_KEY CLUSTER_NODES "
        "DISABLE_DNS_LOOKUP",
        "STORAGE": "DRIVER LOCATION REGION BUCKET ACCESS_KEY_ID SECRET_ACCESS_KEY ACCOUNT_NAME ACCOUNT_KEY CONTAINER "
        "ENDPOINT",
        "WEBSEARCH": "ENABLED ENDPOINT HEADERS REQUEST_TIMEOUT",
        "WEBRESOURCES": "ENABLED ENDPOINT REQUEST_TIMEOUT",
        "OTEL": "EXPORTER_OTLP_TRACES_ENDPOINT TRACES_SAMPLER_ARG DEBUG",
        "LANGFUSE": "PUBLIC_KEY SECRET_KEY BASE_URL DEBUG",
    }.items()
    for name in names.split()
}
"""What its documentation lists (`spec/editor-api.md` 11)."""

UNSEEN = {
    "address-refused",
    "already-exists",
    "blob-not-found",
    "broken-reference",
    "budget-exhausted",
    "fetch-failed",
    "fetch-timed-out",
    "fetch-too-large",
    "text-too-long",
    "unprocessable",
    "unstorable-text",
}
"""Codes that no editor is answered with: the rooms above make others of them, or nothing raises them yet."""

_OPERATORS = ("penstock.panel.", "penstock.gateway.identity.errors")
"""Where failures of the panel and of the management API are; those of tokens are looked at one by one."""
_OF_TOKENS = {"invalid-api-key", "invalid-jwt", "invalid-jwt-payload", "invalid-jwt-signature", "secrets-unreadable"}


def example(name: str) -> Any:
    found = re.search(rf"<!-- example: {name} -->\n```jsonc\n(.*?)```", EDITOR_PAGE, re.DOTALL)
    assert found, name
    return json.loads(found[1])


def shell_blocks(page: str) -> list[str]:
    return [re.sub("^   ", "", block, flags=re.MULTILINE) for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)]


# --- settings ---------------------------------------------------------------------------------------------------------

EXPORTS = [(name, block) for name, page in PAGES.items() for block in shell_blocks(page) if "export " in block]


@pytest.mark.parametrize(("page", "block"), EXPORTS, ids=lambda value: str(value)[:40])
def test_exported_variables_are_accepted_without_a_remark(page: str, block: str, tmp_path: Path) -> None:
    if "AI_ENV_ID" in block:
        pytest.skip("names of the integrator's own server")
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-euc", f"{block}\nenv -0"], env=clean, capture_output=True, text=True, check=True, timeout=30
    )
    env = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    ours = {name: value for name, value in env.items() if name in {one.name for one in VARIABLES}}
    assert set(re.findall(r"(?:export |\s)([A-Z_]{4,})=", block)) == set(ours)
    models = (
        {"PROVIDERS": '{"openai": {"type": "openai", "apiKeys": ["sk-proj-YOUR-KEY"]}}'} if "MODELS" not in ours else {}
    )
    settings = load_settings({"STATE_DIR": str(tmp_path), **models, **ours}, tmp_path)
    remarks = [*settings.problems, *settings.snapshot.problems]
    assert [one for one in remarks if one.variable.partition("[")[0] in ours] == []


def test_lines_of_the_page_may_stand_in_a_dotenv_file(tmp_path: Path) -> None:
    (block,) = [one for one in shell_blocks(EDITOR_PAGE) if "gpt-4.1" in one and "llama" not in one]
    (tmp_path / ".env").write_text(block)
    settings = load_settings({"STATE_DIR": str(tmp_path)}, tmp_path)
    assert [model.slug for model in settings.snapshot.models] == ["openai/gpt-4.1"]
    assert settings.snapshot.problems == ()


def test_the_migration_names_every_variable_of_the_original_and_says_which_are_not_read() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", MIGRATION_PAGE))
    assert ORIGINAL - named == set()
    ours = {one.name for one in VARIABLES}
    read, _, rest = MIGRATION_PAGE.partition("Ignored, or refused:")
    assert {name for name in re.findall(r"`([A-Z]+_[A-Z0-9_]+)`", read) if name not in ours} == set()
    assert ORIGINAL - ours <= set(re.findall(r"`([A-Z][A-Z0-9_]+)`", rest.partition("New, and")[0])) & OTHERS


# --- contracts --------------------------------------------------------------------------------------------------------


@contextmanager
def answering(answer: Any) -> Iterator[tuple[str, list[Any]]]:
    """A service of an operator's own, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_the_contract_of_a_scraper_is_as_the_page_says() -> None:
    with answering(example("scraper-answer")) as (url, asked):
        scraper = Scraper(url, headers=(), timeout_s=10, max_chars=10_000)
        try:
            page = await scraper.read(example("scraper-request")["url"])
        finally:
            await scraper.aclose()
    assert asked == [example("scraper-request")]
    assert {"type": page.kind, "data": page.data} == example("scraper-answer")


async def test_the_contract_of_a_search_is_as_the_page_says() -> None:
    with answering(example("search-answer")) as (url, asked):
        search = WebSearch(url, timeout_s=10)
        try:
            (found,) = await search.search(example("search-request")["query"])
        finally:
            await search.aclose()
    assert asked == [example("search-request")]
    shown = {name: getattr(found, name) for name in ("url", "title", "text", "author", "favicon")}
    assert [shown | {"publishedAt": found.published_at}] == example("search-answer")["results"]


async def test_the_contract_of_a_moderation_is_as_the_page_says() -> None:
    with answering(example("moderation-answer")) as (url, asked):
        screen = CustomScreen(CustomScreening(url=url), 10)
        try:
            flagged = await screen.texts([example("moderation-request")["content"]])
        finally:
            await screen.aclose()
    assert asked == [example("moderation-request")]
    assert flagged == [name for name, hit in example("moderation-answer")["categories"].items() if hit]


def test_the_two_sets_of_permissions_grant_what_they_are_for() -> None:
    full, reading = (Permissions.from_claim(example(f"permissions-{name}")) for name in ("full", "read"))
    assert (full.dropped, reading.dropped) == ((), ())
    named = set(re.findall(r"`(ai:[^`]+)`", EDITOR_PAGE.partition("### Permissions")[2])) - {"ai:*", "ai:admin"}
    assert Permissions.from_claim(sorted(named)).dropped == ()
    assert {name for name in named if not full.allows(name.replace("*", "x"))} == set()
    assert [name for name in sorted(named) if reading.allows(name.replace("*", "x"))] == ["ai:conversations:read"]
    assert Permissions.from_claim(["*", "ai:*", "ai:admin"]).granted == ()


# --- a running service ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> Iterator[Service]:
    """As the page starts it: without a provider."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running_upstream())
        env = service_env(upstream, folder)
        del env["PROVIDERS"], env["MODELS"]
        yield with_tenant(stack.enter_context(start_service(env, upstream)))


def test_the_token_endpoint_of_the_page_signs_tokens_that_count(demo: Service) -> None:
    code = re.search(r"```python\n(.*?)```", EDITOR_PAGE, re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(compile(code[1], "token_endpoint.py", "exec"), names)
    key = demo.cli("access-key", "create", "--tenant", demo.tenant_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AI_ENV_ID", demo.tenant_id)
        patch.setenv("AI_API_SECRET", key["secret"])
        token = names["ai_token"]()["token"]
    answer = httpx.get(demo.url + "/v1/models/1", headers={"Authorization": f"Bearer {token}"})
    assert [item["allowed"] for item in answer.json()["items"]] == [True, True]
    assert names["PERMISSIONS"] == example("permissions-full")


def test_the_token_endpoint_for_node_says_the_same(tmp_path: Path) -> None:
    code = re.search(r"```js\n(import express.*?)```", EDITOR_PAGE, re.DOTALL)
    assert code
    permissions = re.search(r"const permissions = (\[.*?\]);", code[1])
    assert permissions
    assert json.loads(permissions[1]) == example("permissions-full")
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (tmp_path / "token-endpoint.mjs").write_text(code[1])
    subprocess.run([node, "--check", "token-endpoint.mjs"], cwd=tmp_path, check=True, timeout=30)


CURLS = [one for one in shell_blocks(EDITOR_PAGE) if "curl " in one and "/mcp/oauth/" not in one]


def test_every_command_with_curl_is_answered(demo: Service, tmp_path: Path) -> None:
    """In the order of the page, each as it stands; only the address and the token are of this service."""
    assert len(CURLS) >= 4
    env = {"PATH": os.environ["PATH"], "PENSTOCK": demo.url, "TOKEN": demo.token("ada", permissions=FULL)}
    for block in CURLS:
        lines = [one for one in block.splitlines() if not re.match(r"PENSTOCK=|TOKEN=|\.venv/", one)]
        done = subprocess.run(
            ["bash", "-euc", "\n".join(lines)], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "statusCode" not in done.stdout, done.stdout
        assert "event: error" not in done.stdout, done.stdout
        assert done.stdout.count("event: done") == block.count("curl -sN"), done.stdout


def test_every_field_of_the_metric_log_is_in_the_table(demo: Service) -> None:
    headers = {"Authorization": f"Bearer {demo.token('meg', permissions=FULL)}", "x-editor-version": "8.8.0"}
    with httpx.Client(base_url=demo.url, headers=headers) as client:
        client.post("/v1/conversations", json={"id": "m"})
        client.post("/v1/conversations/m/messages", json={"prompt": "Hi", "model": "agent-1"})
    demo.wait_for_log("timeToFirstTokenMs")
    written = {name for line in demo.logs if "statusCode" in line for name in line}
    table = EDITOR_PAGE.partition("| field | |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert written - named == set()
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert {name for name in named if f'"{name}"' not in source and f"{name}=" not in source} == set()


def test_the_example_of_an_error_is_what_is_answered(demo: Service) -> None:
    claims = jwt.decode(demo.token("eve"), options={"verify_signature": False})
    token = jwt.encode(claims, MANAGEMENT_SECRET, algorithm="HS256")
    body = httpx.get(demo.url + "/v1/models/1", headers={"Authorization": f"Bearer {token}"}).json()
    assert body | {"traceId": ""} == example("error") | {"traceId": ""}


# --- codes ------------------------------------------------------------------------------------------------------------


def _answers() -> set[tuple[str, int]]:
    """Code and status of every failure that somebody at an editor can meet."""
    for module in walk_packages(penstock.__path__, "penstock."):
        if "migrations" not in module.name and "__main__" not in module.name:
            import_module(module.name)
    found = set()
    for kind in _kinds(PenstockError):
        error = kind.__new__(kind)
        code = EDITOR.code(error)
        if kind.__module__.startswith(_OPERATORS) and code not in _OF_TOKENS:
            continue
        if kind.__module__.startswith("penstock.") and code not in UNSEEN:
            found.add((code, EDITOR.status(error)))
    return found


def _kinds(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def test_every_code_is_in_the_table_with_its_status_and_no_other() -> None:
    table = EDITOR_PAGE.partition("| code | status | when |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines() if "`" in row]
    listed = {
        (code, int(status))
        for row in rows
        for code in re.findall(r"`([\w-]+)`", row[1])
        for status in re.findall(r"\d{3}", row[2])
    }
    assert _answers() - listed == set()
    assert listed - _answers() == set()


FULL = example("permissions-full")
