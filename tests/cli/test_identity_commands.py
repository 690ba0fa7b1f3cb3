"""The commands that manage tenants, keys and tokens, as an operator types them, on a database that begins empty."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner, Result

from penstock.cli import app
from tests.databases import KINDS, fresh_database_env

MANAGEMENT_SECRET = "the management secret of these tests"


class Terminal:
    def __init__(self, env: dict[str, str]) -> None:
        self.env, self._runner = env, CliRunner(env=env)

    def __call__(self, *words: str, typed: str | None = None, code: int = 0) -> Result:
        result = self._runner.invoke(app, list(words), input=typed)
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str, typed: str | None = None, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", typed=typed, code=code).stdout)


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a `.env` file nor variables of the developer's own shell."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "SECRETS_ENCRYPTION_KEY", "REDIS_HOST", "CS_CONFIG_PATH", "PROVIDERS", "MODELS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def penstock(tmp_path: Path) -> Terminal:
    return Terminal({"STATE_DIR": str(tmp_path / "data")})


@pytest.fixture(params=KINDS)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    with fresh_database_env(request.param) as env:
        yield Terminal(
            {**env, "STATE_DIR": str(tmp_path / "data"), "ENVIRONMENTS_MANAGEMENT_SECRET_KEY": MANAGEMENT_SECRET}
        )


def test_the_first_command_on_an_empty_database_works_and_so_do_the_others(anywhere: Terminal) -> None:
    tenant = anywhere.json("tenant", "create", "Acme")
    key = anywhere.json("access-key", "create", "--tenant", tenant["id"], "--name", "web")
    token = anywhere("token", "mint", "--tenant", tenant["id"], "--user", "joe").stdout.strip()
    assert jwt.decode(token, key["secret"], algorithms=["HS256"], audience=tenant["id"])["sub"] == "joe"
    assert anywhere.json("token", "check", token)["valid"] is True
    anywhere("access-key", "revoke", key["id"], "--tenant", tenant["id"])
    assert anywhere.json("token", "check", token, code=1)["code"] == "invalid_jwt_signature"


def test_tenants_are_made_and_listed(penstock: Terminal) -> None:
    assert "no tenant yet" in penstock("tenant", "list").stderr
    assert penstock.json("tenant", "list") == {"items": []}
    made = penstock.json("tenant", "create", "Acme", "--id", "acme")
    assert (made["id"], made["name"]) == ("acme", "Acme")
    assert made["created_at"].endswith("Z")
    assert "penstock access-key create --tenant other" in penstock("tenant", "create", "--id", "other").stdout
    assert [one["id"] for one in penstock.json("tenant", "list")["items"]] == ["acme", "other"]
    assert "Acme" in penstock("tenant", "list").stdout


def test_failures_go_to_stderr_with_cause_and_fix_and_a_non_zero_exit_code(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    twice = penstock("tenant", "create", "--id", "acme", "--json", code=1)
    assert twice.stdout == ""
    assert "exists already" in twice.stderr
    assert "id `acme`" in twice.stderr
    assert "Choose another id" in twice.stderr
    assert "penstock tenant list" in penstock("api-key", "create", "--tenant", "nobody", code=1).stderr
    penstock("token", "mint", "--tenant", "acme", "--user", "joe", "--ttl", "soon", code=2)
    without_key = penstock("token", "mint", "--tenant", "acme", "--user", "joe", code=1)
    assert "penstock access-key create --tenant acme" in without_key.stderr


def test_secrets_are_shown_once_and_said_to_be(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    shown = penstock("access-key", "create", "--tenant", "acme").stdout
    secret = shown.split("Secret: ")[1].split()[0]
    assert len(secret) == 60
    assert "only time" in shown
    listed = penstock("access-key", "list", "--tenant", "acme")
    assert secret not in listed.output
    assert f"…{secret[-4:]}" in listed.stdout
    assert "secret" not in penstock.json("access-key", "list", "--tenant", "acme")["items"][0]
    shown = penstock("api-key", "create", "--tenant", "acme").stdout
    key = shown.split("Key: ")[1].split()[0]
    assert "only time" in shown
    listed = penstock("api-key", "list", "--tenant", "acme")
    assert key not in listed.output
    assert key[4:16] in listed.stdout


def test_api_keys_take_a_user_permissions_and_a_lifetime(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    words = ["api-key", "create", "--tenant", "acme", "--name", "job", "--user", "joe", "--expires-in", "30d"]
    made = penstock.json(*words, "--permission", "models:use", "--permission", "ai:models:*")
    assert made["permissions"] == ["models:use", "ai:models:*"]
    assert made["user_id"].startswith("user_")
    assert made["expires_at"] > made["created_at"]
    assert "until " in penstock("api-key", "list", "--tenant", "acme").stdout
    assert penstock.json("token", "check", made["key"])["kind"] == "api_key"
    revoked = penstock.json("api-key", "revoke", made["id"], "--tenant", "acme")
    assert revoked["revoked_at"]
    assert "key" not in revoked
    assert penstock.json("token", "check", made["key"], code=1)["code"] == "invalid_api_key"
    assert "revoked " in penstock("api-key", "list", "--tenant", "acme").stdout
    assert "not valid" in penstock("api-key", "create", "--tenant", "acme", "--permission", "*", code=1).stderr


def test_s027_token_check_explains_whatever_it_is_given_also_from_the_standard_input(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    penstock("access-key", "create", "--tenant", "acme")
    token = penstock("token", "mint", "--tenant", "acme", "--user", "joe", "--ttl", "15m").stdout.strip()
    assert penstock("token", "check", "-", typed=f"Bearer {token}\n").stdout.startswith("Valid.")
    broken = penstock("token", "check", token[:-5], code=1).stdout
    assert "Not accepted (invalid_jwt_signature)" in broken
    assert "Tried 1 active access key of the environment `acme`" in broken
    assert "What to do:" in broken
    assert "three parts" in penstock("token", "check", "-", typed="hunter2", code=1).stdout
    found = penstock.json("token", "check", "-", typed=token)
    assert found["claims"]["exp"] - found["claims"]["iat"] == 900
    assert token.split(".")[2] not in json.dumps(found)


def test_a_lifetime_that_no_calendar_holds_is_refused(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    said = penstock("api-key", "create", "--tenant", "acme", "--expires-in", "999999999d", code=2).stderr
    assert "at most 36500d" in said


def test_the_next_command_can_be_pasted_whatever_the_id_is(penstock: Terminal) -> None:
    assert "--tenant 'my tenant'" in penstock("tenant", "create", "--id", "my tenant").stdout


def test_a_minted_token_comes_with_what_is_in_it(penstock: Terminal) -> None:
    penstock("tenant", "create", "--id", "acme")
    penstock("access-key", "create", "--tenant", "acme")
    words = ["token", "mint", "--tenant", "acme", "--user", "joe", "--permission", "ai:models:*"]
    made = penstock.json(*words)
    assert made.pop("token").count(".") == 2
    assert made == {"tenant_id": "acme", "user": "joe", "permissions": ["ai:models:*"], "expires_in_s": 3600}


def test_the_installed_command_works_from_a_shell(penstock: Terminal, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock", "tenant", "create", "Acme", "--json"]
    done = subprocess.run(command, env=penstock.env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["name"] == "Acme"
    assert penstock.json("tenant", "list")["items"][0]["name"] == "Acme"


def test_a_configuration_that_cannot_be_used_is_reported_and_ends_with_78(penstock: Terminal, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock", "tenant", "list"]
    env = {**penstock.env, "DATABASE_DRIVER": "oracle"}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert "DATABASE_DRIVER" in done.stderr


def test_a_database_that_cannot_be_reached_ends_with_69(penstock: Terminal) -> None:
    env = {
        "DATABASE_DRIVER": "postgres",
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": "1",
        "DATABASE_USER": "nobody",
        "DATABASE_DATABASE": "nothing",
        "STARTUP_RETRY_SECONDS": "0",
        "ENVIRONMENTS_MANAGEMENT_SECRET_KEY": MANAGEMENT_SECRET,
    }
    done = Terminal({**penstock.env, **env})("tenant", "list", code=69)
    assert "127.0.0.1" in done.stderr
