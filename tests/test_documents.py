"""What the documents say is there: examples are accepted, and everything that is named exists."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.core import TyperGroup
from typer.main import get_command

from penstock.cli import app
from penstock.cli.docs import TABLES
from penstock.errors import PenstockError
from penstock.gateway.catalog.documents import _SAFE_WORDS, Document, Refused
from penstock.gateway.catalog.models import FEATURES
from penstock.gateway.catalog.reading import read_catalog
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.providers.document import tables
from penstock.providers.failures import Failure
from penstock.providers.transport.base import Limits
from penstock.settings.variables import VARIABLES
from tests.service import Service

UNLISTED = {"/v1/models/1", "/v1/api/doc.json"}
"""A path with a parameter in it, and the list itself."""
OTHERS = {
    "AI_ENV_ID",
    "AI_API_SECRET",
    "PANEL_PORT",
    "LLM_TELEMETRY_ENABLED",
    "OTEL_DEBUG",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_SAMPLER_ARG",
    "LANGFUSE_BASE_URL",
    "LANGFUSE_DEBUG",
    "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET_KEY",
}
"""Variables of an integrator's own server, and those that a page says we do not have."""
ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = ROOT / "docs" / "decisions"

_EXAMPLE = re.compile(r"```json\n(.*?)```|^export (?:PROVIDERS|MODELS)='(.*?)'$", re.DOTALL | re.MULTILINE)
_LOADED = re.compile(r"^<!-- example: .*?^```$|^ *export [A-Z_]+='.*?'$", re.DOTALL | re.MULTILINE)
"""Examples that `test_editor_pages.py` tries."""
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_PLACEHOLDER = re.compile(r"(-----BEGIN PRIVATE KEY-----\\n)YOUR-KEY(\\n)")


def a_page(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=a_page)


@cache
def text_of(folder: str) -> str:
    """Everything that the code says, without the texts of the documents themselves."""
    files = (path for path in sorted((ROOT / folder).rglob("*.py")) if "document" not in path.name)
    return "\n".join(path.read_text("utf-8") for path in files)


def code_of(page: Path) -> Iterator[str]:
    for block, words in _CODE.findall(page.read_text("utf-8")):
        yield block or words


def words_of(page: Path, pattern: str) -> set[str]:
    return {word for code in code_of(page) for word in re.findall(pattern, code)}


# --- examples ---------------------------------------------------------------------------------------------------------


@cache
def a_key() -> str:
    """The lines of a private key; a page shows a placeholder."""
    pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return r"\n".join(pem.decode().splitlines()[1:-1])


def examples_of(page: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each example of a page: the providers shown so far, and the models of the example, if it shows some."""
    providers: dict[str, Any] = {}
    for fenced, exported in _EXAMPLE.findall(page.read_text("utf-8")):
        example = json.loads(_PLACEHOLDER.sub(lambda found: found[1] + a_key() + found[2], fenced or exported))
        if isinstance(example, dict):
            providers |= example
            yield example, []
        else:
            yield providers, example


def loaded(providers: Mapping[str, Any], models: list[dict[str, Any]]) -> Snapshot:
    """With a model for everything beside those of the example, so that all remarks are about the example."""
    everything = {"id": "any", "provider": next(iter(providers)), "description": "x", "features": list(FEATURES)}
    return read_catalog(
        Document("PROVIDERS", json.dumps(providers), "example"),
        Document("MODELS", json.dumps([*models, everything]), "example"),
        Limits(),
    )


@every_page
def test_every_example_of_a_page_is_accepted_without_a_remark(page: Path) -> None:
    for providers, models in examples_of(page):
        try:
            snapshot = loaded(providers, models)
        except Refused as refused:
            pytest.fail(str(refused))
        assert snapshot.problems == ()
        assert set(snapshot.providers) == set(providers)
        assert len(snapshot.models) == len(models) + 1


@every_page
def test_no_example_of_a_page_is_left_untested(page: Path) -> None:
    rest = _LOADED.sub("", _EXAMPLE.sub("", page.read_text("utf-8")))
    assert re.findall(r'"(?:apiKeys|provider|type)": ', rest) == []


def test_the_pages_on_providers_have_an_example_of_every_type() -> None:
    for name in ("docs/providers.md", "docs/configuration.md"):
        shown = {entry["type"] for providers, _ in examples_of(ROOT / name) for entry in providers.values()}
        wanted = {"openai", "anthropic", "google", "azure", "bedrock", "vertex", "openai-compatible"}
        assert wanted <= shown, name


def test_an_example_that_is_wrong_would_be_noticed() -> None:
    assert [one.path for one in loaded({"a": {"type": "openai", "apiKey": ["k"], "apiKeys": ["k"]}}, []).problems]
    with pytest.raises(Refused):
        loaded({"a": {"type": "openai", "apiKeys": ["sk-…"]}}, [])


# --- names ------------------------------------------------------------------------------------------------------------


@every_page
def test_every_variable_and_word_in_capitals_exists(page: Path) -> None:
    known = {one.name for one in VARIABLES}
    named = words_of(page, r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
    missing = {word for word in named - known if word.removesuffix("_FILE") not in known}
    assert {word for word in missing - OTHERS if word not in text_of("src")} == set()


@every_page
def test_every_code_of_a_failure_exists(page: Path) -> None:
    codes = {kind.code for kind in _kinds(PenstockError)}
    assert words_of(page, r"\bupstream_[a-z_]+\b") - codes == set()


@every_page
def test_every_header_of_ours_exists(page: Path) -> None:
    headers = words_of(page, r"\bX-[A-Z][A-Za-z-]+\b") - {"X-Team"}  # an example of one's own
    assert {name for name in headers if name.lower() not in text_of("src").lower()} == set()


def test_every_path_that_a_page_names_is_served(running_service: Service) -> None:
    served = httpx.get(f"{running_service.url}/v1/api/doc.json").json()["paths"]
    named = set.union(*(words_of(page, r"(?<![\w.])/(?:oai/|health|v1/)[a-z0-9/._-]*") for page in PAGES))
    assert len(named) > 8
    assert {path for path in named if path not in served and path not in UNLISTED} == set()


@every_page
def test_every_target_of_make_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words_of(page, r"(?<![\w-])make ([a-z]+)") - set(targets) == set()


def test_the_errors_that_the_page_explains_are_known_to_the_code_or_its_tests() -> None:
    page = (ROOT / "docs" / "providers.md").read_text("utf-8")
    read = [line.split("|")[1] for table in _tables_headed(page, "you read") for line in table]
    phrases = [
        part for cell in read for phrase in re.findall(r"`([^`]+)`", cell) for part in re.split(r"\s*…\s*|: ", phrase)
    ]
    known = (text_of("src") + text_of("tests")).lower()
    assert len(phrases) > 30
    assert [phrase for phrase in phrases if phrase.lower() not in known] == []


def _tables_headed(page: str, head: str) -> Iterator[list[str]]:
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        lines = table.splitlines()
        if lines[0].startswith(f"| {head} "):
            yield lines[2:]


def _kinds(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


# --- commands ---------------------------------------------------------------------------------------------------------


@every_page
def test_every_command_exists_with_its_options(page: Path) -> None:
    for code in code_of(page):
        for line in re.findall(r"(?:^|[\s/(])penstock ((?:--?)?[a-z][^\n#|&`]*)", code):
            _check(line.split(), line)


def _check(words: list[str], line: str) -> None:
    command: Any = get_command(app)
    for word in words:
        if word.startswith("--"):
            assert any(word in parameter.opts for parameter in command.params), line
        elif isinstance(command, TyperGroup) and re.fullmatch("[a-z-]+", word):
            _, command, _ = _resolved(command, word, line)


def _resolved(group: TyperGroup, word: str, line: str) -> tuple[Any, Any, Any]:
    assert word in group.commands, line
    return group.resolve_command(group.make_context("penstock", [word], resilient_parsing=True), [word])


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for line in ("doctor", "config chekc", "config check --jsn"):
        with pytest.raises(AssertionError):
            _check(line.split(), line)


# --- pages ------------------------------------------------------------------------------------------------------------


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_decision_is_in_the_list_with_its_number() -> None:
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((\d{4})-.+\.md\)$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    pages = sorted(DECISIONS.glob("0*.md"))
    titles = [re.match(r"# (\d+)\. (.+)\n", page.read_text()) for page in pages]
    assert [(int(found[1]), found[2]) for found in titles if found] == [(int(one[0]), one[1]) for one in listed]
    assert [int(one[0]) for one in listed] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("0*.md")), ids=a_page)
def test_a_decision_has_its_four_parts(page: Path) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\* ", page.read_text("utf-8"), re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences", "Alternatives"]


def test_every_generated_table_has_its_place_in_the_page() -> None:
    for name, place in TABLES.items():
        module, _, function = place.partition(":")
        made = getattr(import_module(module), function)()
        marks = re.findall(r"<!-- made by `penstock docs`: ([\w-]+) -->", (ROOT / name).read_text("utf-8"))
        assert sorted(marks) == sorted(made)


def test_every_kind_of_failure_is_in_the_table() -> None:
    kinds = {kind.code for kind in _kinds(Failure)} - {Failure.code}
    assert kinds - set(re.findall(r"`(upstream_\w+)`", tables()["failures"])) == set()


def test_pages_speak_to_their_readers_only() -> None:
    for page in PAGES:
        assert not re.search(r"/work/|/tmp/|/root/|spec/\w+\.md|\bTODO\b", page.read_text("utf-8")), page.name


def test_every_field_that_the_catalog_knows_is_in_the_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    fields = _SAFE_WORDS - {"true", "false", "null", "apiKey"}
    assert {field for field in fields if f"`{field}`" not in page} == set()
