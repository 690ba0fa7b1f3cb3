"""Providers and models are read again from the panel, which says what cannot be used (W-04)."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.openai_upstream import running_upstream
from tests.panel.conftest import Panel
from tests.panel.test_pages import model, words
from tests.service import service_env, start_service

PAGE = "/panel/models"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.json"
    path.write_text(json.dumps([model("one")]))
    return path


@pytest.fixture
def watching(models: Path, tmp_path: Path) -> Iterator[Panel]:
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        env = service_env(upstream, tmp_path)
        del env["MODELS"]
        panel = Panel(stack.enter_context(start_service(env | {"MODELS_FILE": str(models)}, upstream)))
        stack.callback(panel.http.close)
        panel.sign_in()
        yield panel


def read_again(panel: Panel) -> str:
    answer = panel.post(PAGE + "/read-again")
    assert answer.status_code == 303
    return words(panel.get(answer.headers["location"]))


def test_w04_new_models_are_in_force_at_once_and_it_is_in_the_audit_log(watching: Panel, models: Path) -> None:
    assert "Read the files again" in words(watching.get(PAGE))
    models.write_text(json.dumps([model("one"), model("brand-new")]))
    page = read_again(watching)
    assert "mock/brand-new" in page
    assert "The files were read again" in page
    assert "providers and models read again" in watching.service.wait_for_log("audit: providers and models")


def test_w04_what_cannot_be_used_is_named_and_changes_nothing(watching: Panel, models: Path) -> None:
    models.write_text('[{"id": "one", "provider": 7}]')
    page = read_again(watching)
    assert "The changed files cannot be used" in page
    assert "MODELS[0].provider" in page
    assert "mock/one" in page
    assert "MODELS[0].provider" in words(watching.get("/panel/"))
    models.write_text(json.dumps([model("one")]))
    assert "cannot be used" not in read_again(watching)


def test_w04_it_takes_the_token_of_the_session(watching: Panel) -> None:
    assert watching.http.post(PAGE + "/read-again", data={"form_token": "x"}).status_code == 403


def test_w04_where_no_file_is_configured_there_is_nothing_to_read(panel: Panel) -> None:
    assert "Read the files again" not in words(panel.get(PAGE))
