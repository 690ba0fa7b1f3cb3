import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penstock.cli import app
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


@pytest.mark.parametrize("command", ["serve", "config", "tenant", "access-key", "api-key", "token", "docs"])
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
