import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.settings import Settings, load_settings
from penstock.settings.document import configuration_page
from penstock.settings.variables import VARIABLES
from tests.settings.reports import NOWHERE, errors, load, refusal, warnings

PROVIDERS = {"main": {"type": "openai", "apiKeys": ["canary"]}}
MODELS = [{"id": "gpt-5", "provider": "main", "description": "x", "features": ["conversations", "reviews", "actions"]}]


def source_of(settings: Settings, name: str) -> str:
    return next(entry.source for entry in settings.entries if entry.name == name)


# --- .env


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# ours\nPORT=9001\nexport HOST='0.0.0.0'\nWORKERS=1 # one\n")
    settings = load(tmp_path, PORT="9002")
    assert (settings.server.port, settings.server.host) == (9002, "0.0.0.0")
    assert source_of(settings, "PORT") == "environment"
    assert source_of(settings, "HOST") == ".env, line 3"
    assert source_of(settings, "LOG_LEVEL") == "default"


def test_a_value_in_single_quotes_may_have_several_lines(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"PROVIDERS='{json.dumps(PROVIDERS, indent=2)}'\nPORT=9001")
    settings = load(tmp_path)
    assert list(settings.snapshot.providers) == ["main"]
    assert settings.server.port == 9001


@pytest.mark.parametrize("last", ["LOG_LEVEL=40", "DATABASE_PASSWORD=canary", "SOMETHING=else"])
def test_s010_a_swallowed_line_is_reported(tmp_path: Path, last: str) -> None:
    (tmp_path / ".env").write_text(last + "PORT=8001\n")
    error = refusal(tmp_path)
    (problem,) = [one for one in error.problems if one.severity == "error"]
    assert problem.variable == last.partition("=")[0]
    assert problem.source == ".env, line 1"
    assert "PORT is lost" in problem.message
    assert "canary" not in str(error)


def test_s010_a_line_swallowed_by_a_comment_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# the endPORT=8001\n")
    assert "PORT is lost" in warnings(load(tmp_path))[".env"].message


def test_s010_quotes_say_that_a_value_is_meant(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# PORT=1\n#PORT=2\nREDIS_PASSWORD='abcPORT=8001'\n")
    assert not load(tmp_path).problems


def test_s010_our_example_ends_with_a_line_feed() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    assert text.endswith("\n")


def test_a_line_that_is_no_assignment_is_warned_of_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('PORT=9001\n"canary": 1\n')
    settings = load(tmp_path)
    assert warnings(settings)[".env"].source == ".env, line 2"
    assert "canary" not in repr(settings.problems)


# --- <NAME>_FILE


def test_any_variable_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pw\n")
    settings = load(REDIS_HOST="redis", REDIS_PASSWORD_FILE=str(tmp_path / "password"))
    assert settings.redis is not None
    assert settings.redis.password is not None
    assert settings.redis.password.reveal() == "pw"
    assert source_of(settings, "REDIS_PASSWORD") == f"{tmp_path}/password (REDIS_PASSWORD_FILE)"


def test_a_variable_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    path = str(tmp_path / "x")
    assert errors(PORT="1", PORT_FILE=path) == {"PORT": "is set, and so is PORT_FILE."}
    assert errors(PROVIDERS="{}", PROVIDERS_FILE=path)["PROVIDERS"] == "is set, and so is PROVIDERS_FILE."


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "no such file" in errors(PORT_FILE="/nowhere/port")["PORT_FILE"]
    assert "not UTF-8" in errors(PORT_FILE=str(tmp_path / "binary"))["PORT_FILE"]


def test_the_catalog_can_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "providers.json").write_text(json.dumps(PROVIDERS))
    (tmp_path / "models.json").write_text(json.dumps(MODELS))
    settings = load(PROVIDERS_FILE=str(tmp_path / "providers.json"), MODELS_FILE=str(tmp_path / "models.json"))
    assert [model.slug for model in settings.snapshot.models] == ["main/gpt-5"]
    assert settings.catalog.providers is not None
    assert settings.catalog.providers.path == tmp_path / "providers.json"


def test_s006_quotes_that_became_part_of_the_value_are_recognised() -> None:
    (problem,) = [one for one in refusal(PROVIDERS=f"'{json.dumps(PROVIDERS)}'").problems if one.severity == "error"]
    assert "docker --env-file" in problem.fix


def test_s006_skipped_entries_are_in_the_report_of_other_problems() -> None:
    models = json.dumps([{**MODELS[0], "provider": "mian"}])
    found = errors(PORT="x", PROVIDERS=json.dumps(PROVIDERS), MODELS=models)
    assert set(found) == {"PORT", "MODELS"}
    assert set(errors(PROVIDERS_FILE="/nowhere", MODELS=models)) == {"PROVIDERS_FILE"}


# --- CS_CONFIG_PATH


def config(tmp_path: Path, value: Any) -> str:
    path = tmp_path / "config.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2))
    return str(path)


def test_a_configuration_file_takes_the_place_of_the_environment(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        {
            "port": 9001,
            "enable_metric_logs": True,
            "allowed_origins": ["https://a.example", "https://b.example"],
            "license_key": None,
            "state_dir": "/tmp",
            "providers": PROVIDERS,
            "models": MODELS,
        },
    )
    settings = load(CS_CONFIG_PATH=path, PORT="9002", REDIS_HOST="redis")
    assert (settings.server.port, settings.logs.metric_lines, settings.redis) == (9001, True, None)
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert [model.slug for model in settings.snapshot.models] == ["main/gpt-5"]
    assert source_of(settings, "PORT") == f"CS_CONFIG_PATH {path}"
    assert "PORT, REDIS_HOST, STATE_DIR" in warnings(settings)["CS_CONFIG_PATH"].message


@pytest.mark.parametrize("given", [lambda value: value, json.dumps], ids=["JSON", "a string with JSON"])
def test_options_that_hold_json_are_real_json_in_a_configuration_file(
    tmp_path: Path, given: Callable[[Any], Any]
) -> None:
    options = {
        "providers": PROVIDERS,
        "models": MODELS,
        "mcp_servers": {"crm": {"url": "https://crm.example/mcp"}},
        "moderation": {"enabled": True, "provider": {"type": "custom", "url": "https://screen.example/"}},
        "bootstrap_environments": [{"id": "acme", "name": "Acme", "accessKeys": [{"id": "k", "secret": "s" * 20}]}],
    }
    path = config(tmp_path, {"state_dir": "/tmp"} | {name: given(value) for name, value in options.items()})
    settings = load(CS_CONFIG_PATH=path)
    assert [model.slug for model in settings.snapshot.models] == ["main/gpt-5"]
    assert [server.name for server in settings.mcp_servers] == ["crm"]
    assert settings.moderation is not None
    assert [tenant.id for tenant in settings.bootstrap] == ["acme"]
    page = configuration_page()
    assert ", ".join(f"`{name}`" for name in options) in page
    unsupported = {"hooks", "guardrails"}
    assert {one.name.lower() for one in VARIABLES if one.kind.is_json} - unsupported == set(options)


def test_the_command_line_wins_over_a_configuration_file(tmp_path: Path) -> None:
    path = config(tmp_path, {"port": 9001, "state_dir": "/tmp"})
    settings = load_settings({"CS_CONFIG_PATH": path}, NOWHERE, {"PORT": "9003"})
    assert (settings.server.port, source_of(settings, "PORT")) == (9003, "command line")


def test_problems_of_a_configuration_file_have_a_line(tmp_path: Path) -> None:
    path = config(
        tmp_path, '{\n "port": "x",\n "redis_hots": "r",\n "PORT": 3,\n "host": {},\n "providers": {"a": {}}\n}'
    )
    error = refusal(CS_CONFIG_PATH=path)
    lines = {(one.variable + one.path, one.line) for one in error.problems}
    assert lines >= {
        ("PORT", 2),
        ('CS_CONFIG_PATH["redis_hots"]', 3),
        ('CS_CONFIG_PATH["PORT"]', 4),
        ('CS_CONFIG_PATH["host"]', 5),
        ('PROVIDERS["a"].type', 6),
    }
    assert "Did you mean `redis_host`?" in str(error)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1} x'])
def test_a_configuration_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    assert "CS_CONFIG_PATH" in errors(CS_CONFIG_PATH=config(tmp_path, text))


def test_a_configuration_file_that_is_missing_is_refused() -> None:
    found = refusal(CS_CONFIG_PATH="/nowhere/config.json").problems
    assert ["cannot be read" in one.message for one in found if one.severity == "error"] == [True]


def test_the_path_of_the_configuration_file_is_given_and_not_looked_up(tmp_path: Path) -> None:
    (tmp_path / "path").write_text(config(tmp_path, {"port": 9001}))
    settings = load(CS_CONFIG_PATH_FILE=str(tmp_path / "path"))
    assert settings.server.port == 8000
    assert "CS_CONFIG_PATH_FILE" in warnings(settings)


# --- names


def test_a_misspelt_variable_is_warned_of_with_the_right_name() -> None:
    found = warnings(load(REDIS_HOTS="redis", SECRETS_ENCRIPTION_KEY="canary", redis_host="x"))
    assert {name: one.fix for name, one in found.items()} == {
        "REDIS_HOTS": "Rename it to REDIS_HOST, or remove it.",
        "SECRETS_ENCRIPTION_KEY": "Rename it to SECRETS_ENCRYPTION_KEY, or remove it.",
        "redis_host": "Rename it to REDIS_HOST, or remove it.",
    }


def test_the_variables_of_others_are_left_alone() -> None:
    others = [
        "HOSTNAME",
        "REDIS_PORT_6379_TCP_ADDR",
        "REDIS_SERVICE_HOST",
        "LOGNAME",
        "WORKER",
        "DATABASE_NAME_2",
        "PATH",
    ]
    assert not load(**dict.fromkeys(others, "x")).problems


@pytest.mark.parametrize("name", ["CS_CONFIG_PATH", "PROVIDERS_FILE", "PORT_FILE", "DATABASE_SSL_CA", "STATE_DIR"])
def test_a_path_that_is_none_is_refused(name: str) -> None:
    assert set(errors(**{name: "\0"})) == {name}


def test_a_value_that_is_not_utf8_is_refused() -> None:
    assert errors(REDIS_HOST="\udcff") == {"REDIS_HOST": "is not UTF-8 text."}
