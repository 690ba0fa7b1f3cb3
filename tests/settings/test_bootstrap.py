"""BOOTSTRAP_ENVIRONMENTS: environments that are declared with their keys (W-07)."""

import json
from pathlib import Path

from penstock.settings import load_settings
from tests.settings.reports import load, refusal

ENVIRONMENTS = [{"id": "acme", "name": "Acme", "accessKeys": [{"id": "one", "secret": "a secret of the tests"}]}]


def test_environments_are_declared_in_a_variable() -> None:
    (found,) = load(BOOTSTRAP_ENVIRONMENTS=json.dumps(ENVIRONMENTS)).bootstrap
    assert (found.id, found.name, found.keys[0].id, found.keys[0].secret.reveal()) == (
        "acme",
        "Acme",
        "one",
        "a secret of the tests",
    )
    assert load().bootstrap == ()


def test_environments_are_real_json_in_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"bootstrap_environments": ENVIRONMENTS, "state_dir": str(tmp_path)}))
    (found,) = load_settings({"CS_CONFIG_PATH": str(path)}, tmp_path).bootstrap
    assert found.keys[0].secret.reveal() == "a secret of the tests"


def test_a_declaration_that_cannot_be_used_stops_the_start_and_shows_no_secret() -> None:
    refused = refusal(BOOTSTRAP_ENVIRONMENTS='[{"id": "acme", "accessKeys": [{"secret": "leak-me"}]}]')
    assert [problem.variable for problem in refused.problems] == ["BOOTSTRAP_ENVIRONMENTS"]
    assert "[0].accessKeys" in str(refused)
    assert "leak-me" not in str(refused)


def test_the_effective_configuration_never_shows_declared_secrets() -> None:
    settings = load(BOOTSTRAP_ENVIRONMENTS=json.dumps(ENVIRONMENTS))
    entry = next(entry for entry in settings.entries if entry.name == "BOOTSTRAP_ENVIRONMENTS")
    assert (entry.value, "a secret of the tests" in repr(settings.bootstrap)) == ("***", False)
