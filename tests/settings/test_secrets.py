import os
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.settings import SettingsError
from penstock.settings.secrets import generated_secret
from tests.settings.reports import errors, load

KEY = "k" * 32


def test_sqlite_without_secrets_gets_one_that_stays(tmp_path: Path) -> None:
    settings = load(STATE_DIR=str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()
    (first,) = settings.master_secrets()
    assert settings.master_secrets() == (first,)
    assert stat.S_IMODE((tmp_path / "state" / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret.key"]


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: generated_secret(tmp_path), range(32)))) == 1


def test_the_encryption_key_seals_and_all_the_others_open(tmp_path: Path) -> None:
    generated = load(STATE_DIR=str(tmp_path)).master_secrets()
    settings = load(
        STATE_DIR=str(tmp_path),
        SECRETS_ENCRYPTION_KEY=f"{KEY}2, {KEY}1",
        ENVIRONMENTS_MANAGEMENT_SECRET_KEY="management-secret-1",
    )
    assert settings.master_secrets() == (f"{KEY}2", f"{KEY}1", "management-secret-1", *generated)


def test_nothing_is_generated_when_a_secret_is_given(tmp_path: Path) -> None:
    settings = load(STATE_DIR=str(tmp_path), ENVIRONMENTS_MANAGEMENT_SECRET_KEY="management-secret-1")
    assert settings.master_secrets() == ("management-secret-1",)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["short", f"{KEY},short", ","])
def test_a_short_encryption_key_is_refused_without_showing_it(text: str) -> None:
    found = errors(SECRETS_ENCRYPTION_KEY=text)
    assert found == {"SECRETS_ENCRYPTION_KEY": "the value is too short."}


def test_s002_a_state_directory_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = tmp_path / "file" / "state"
    message = errors(STATE_DIR=str(state))["STATE_DIR"]
    assert message == (
        f"{state} cannot be used: not a directory. We run as uid {os.getuid()}; "
        f"{tmp_path / 'file'} belongs to uid {os.getuid()}."
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_s002_somebody_elses_state_directory_is_reported_with_the_command_that_helps() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        state = Path(directory) / "state"
        state.mkdir(mode=0o700)
        found = _as_nobody(state)
    assert f"{state}/secret.key cannot be used: permission denied. We run as uid 65534;" in found
    assert f"{state} belongs to uid 0." in found
    assert f"`mkdir -p {state} && chown -R 65534 {state}`" in found


def _as_nobody(state: Path) -> str:
    program = f"""
import os, pathlib
from penstock.settings import SettingsError, secrets
os.setuid(65534)
try:
    secrets.generated_secret(pathlib.Path({str(state)!r}))
except SettingsError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_s002_a_path_that_cannot_exist_is_reported() -> None:
    assert "file name too long" in errors(STATE_DIR="/tmp/" + "x" * 300)["STATE_DIR"]


def test_a_damaged_secret_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("half")
    with pytest.raises(SettingsError) as caught:
        generated_secret(tmp_path)
    assert "is damaged" in str(caught.value)
    assert (tmp_path / "secret.key").read_text() == "half"
