import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penstock.cli import COMMANDS, app
from penstock.settings.document import configuration_page
from penstock.settings.variables import VARIABLES

ROOT = Path(__file__).parents[2]
PROVIDERS = '{"main": {"type": "openai", "apiKeys": ["canary"]}}'


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def penstock(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, arguments, env={**{one.name: None for one in VARIABLES}, **environ})


def process(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "penstock", *arguments]
    env = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def models_of(providers: Iterable[str]) -> str:
    features = ["conversations", "reviews", "actions"]
    return json.dumps([{"id": "m", "provider": key, "description": "x", "features": features} for key in providers])


def test_a_sound_configuration_is_checked_with_0() -> None:
    result = penstock("config", "check")
    assert (result.exit_code, result.stdout) == (0, "The configuration is sound.\n")


def test_a_configuration_that_cannot_be_used_is_checked_with_78() -> None:
    result = penstock("config", "check", PORT="x", WORKERS="0")
    assert result.exit_code == 78
    assert "2 settings need attention" in result.stdout


def test_s056_a_skipped_entry_is_reported_and_the_service_starts() -> None:
    models = '[{"id": "m", "provider": "mian", "features": ["actions"]}]'
    result = penstock("config", "check", PROVIDERS=PROVIDERS, MODELS=models)
    assert result.exit_code == 0
    assert "Penstock starts, but" in result.stdout
    assert "Did you mean `main`?" in result.stdout


def test_s041_an_entry_without_keys_is_told_whose_identity_it_uses() -> None:
    entries = {
        "aws": {"type": "bedrock", "region": "eu-central-1"},
        "gcp": {"type": "vertex", "project": "acme", "location": "global"},
        "azure": {"type": "azure", "resourceName": "acme", "apiVersion": "v1"},
        "keyed": {"type": "bedrock", "region": "eu-central-1", "apiKeys": ["canary"]},
    }
    result = penstock("config", "check", PROVIDERS=json.dumps(entries), MODELS=models_of(entries))
    assert result.exit_code == 0
    assert "3 remarks on the configuration" in result.stdout
    assert "has neither `credentials` nor `apiKeys`: the identity that AWS gives this machine is used." in result.stdout
    assert "the identity that Google Cloud gives this machine" in result.stdout
    assert "has no `apiKeys`: the identity that Azure gives this machine" in result.stdout
    assert "`penstock providers check aws` tries it." in result.stdout


def test_s041_whoever_wants_no_identity_of_the_platform_is_told_what_is_missing() -> None:
    entry = {"type": "bedrock", "region": "eu-central-1", "ambientCredentials": False}
    result = penstock("config", "check", PROVIDERS=json.dumps({"aws": entry}), MODELS=models_of({"aws": entry}))
    assert result.exit_code == 78
    assert 'PROVIDERS["aws"].credentials' in result.stdout
    assert "`ambientCredentials` is false" in result.stdout


REFUSED_AT_START = {
    "s046": (
        {
            "type": "vertex",
            "project": "p",
            "location": "us",
            "credentials": {"clientEmail": "a", "privateKey": "canary"},
        },
        ".credentials.privateKey",
        "Paste `private_key` of the service account's JSON file as it is",
    ),
    "s049": (
        {"type": "azure", "resourceName": "acme", "apiKeys": ["canary"]},
        ".apiVersion",
        "for example 2024-10-21",
    ),
    "s061": (
        {"type": "vertex", "project": "p", "location": "us", "apiKeys": ["AIzaCanary-canary"]},
        ".apiKeys",
        "Use the type `google` with this key",
    ),
}


@pytest.mark.parametrize("symptom", REFUSED_AT_START)
def test_s046_s049_s061_are_refused_by_name_before_anything_is_called(symptom: str) -> None:
    entry, field, fix = REFUSED_AT_START[symptom]
    given = {"PROVIDERS": json.dumps({"one": entry}), "MODELS": models_of({"one": entry})}
    result = penstock("config", "check", **given)
    assert result.exit_code == 78
    assert "Penstock cannot start: 1 setting needs attention." in result.stdout
    assert f'PROVIDERS["one"]{field} (environment, line 1, column ' in result.stdout
    assert fix in result.stdout
    assert "canary" not in result.stdout.lower()
    served = process("serve", **given)
    assert served.returncode == 78
    assert fix in served.stderr
    assert "canary" not in (served.stdout + served.stderr).lower()


def test_s055_a_switch_without_effect_is_a_remark_that_names_the_way_out() -> None:
    entry = {"type": "openai-compatible", "baseUrl": "http://127.0.0.1:11434/v1"}
    models = [json.loads(models_of({"local": entry}))[0] | {"capabilities": {"reasoning": True}}]
    result = penstock("config", "check", PROVIDERS=json.dumps({"local": entry}), MODELS=json.dumps(models))
    assert result.exit_code == 0
    assert "MODELS[0].capabilities" in result.stdout
    assert 'set "flavor" in the entry `local` of PROVIDERS' in result.stdout


def test_a_check_can_be_read_by_programs() -> None:
    result = penstock("config", "check", "--json", PROVIDERS='{\n"main": {"type": "x"}}')
    found = json.loads(result.stdout)
    assert found["ok"] is False
    (problem,) = found["problems"]
    assert (problem["variable"], problem["path"], problem["line"]) == ("PROVIDERS", '["main"].type', 2)


def test_values_are_shown_with_their_source_and_secrets_are_not() -> None:
    result = penstock("config", "show", PORT="9001", PROVIDERS=PROVIDERS, REDIS_PASSWORD="canary")
    lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert lines["PORT"] == ["9001", "environment"]
    assert lines["WORKERS"] == ["1", "default"]
    assert lines["REDIS_HOST"] == ["-", "unset"]
    assert lines["REDIS_PASSWORD"] == lines["PROVIDERS"] == ["***", "environment"]
    assert set(lines) == {variable.name for variable in VARIABLES}
    assert "canary" not in result.stdout


def test_values_can_be_read_by_programs() -> None:
    found = json.loads(penstock("config", "show", "--json", ENABLE_METRIC_LOGS="true").stdout)
    entry = next(one for one in found if one["name"] == "ENABLE_METRIC_LOGS")
    assert entry == {"name": "ENABLE_METRIC_LOGS", "value": True, "source": "environment"}


def test_any_command_ends_with_the_report_and_78_when_the_configuration_is_refused() -> None:
    found = process("config", "show", PORT="x")
    assert (found.returncode, found.stdout) == (78, "")
    assert '"x" is not a whole number' in found.stderr
    assert "Traceback" not in found.stderr


def test_help_lists_the_commands_and_imports_none_of_them() -> None:
    program = """
import sys
from penstock.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    print("", *sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "config" in found
    assert "serve" in found
    for module in ("penstock.settings", "penstock.app", "sqlalchemy", "pydantic", "cryptography", "msgspec"):
        assert f" {module} " not in found


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    result = penstock("confg")
    assert result.exit_code == 2
    assert "Did you mean 'config'?" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert penstock(command, "--help").exit_code == 0


# --- docs


def test_the_generated_documents_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests" / "cli")
    result = penstock("docs", "--check")
    assert result.exit_code == 0, result.output


def test_a_document_that_drifted_is_reported_and_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    assert penstock("docs", "--check").exit_code == 1
    assert not (tmp_path / "docs" / "configuration.md").exists()
    assert penstock("docs").exit_code == 0
    assert (tmp_path / "docs" / "configuration.md").read_text() == configuration_page()
    assert penstock("docs", "--check").exit_code == 0


def test_documents_are_written_only_inside_the_repository() -> None:
    result = penstock("docs")
    assert result.exit_code == 1
    assert "inside the repository" in result.output


def test_every_variable_is_documented() -> None:
    page = configuration_page()
    for variable in VARIABLES:
        assert f"| `{variable.name}` |" in page
        assert variable.sentence in page
