"""`penstock storage check`, as an operator types it, and a start on a directory that is not ours (S002)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.stores import running_s3, s3_client
from tests.service import free_port

Command = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with running_s3() as env:
        yield env


def penstock(directory: Path, *words: str, code: int, **env: str) -> Command:
    given = {"PATH": os.environ["PATH"], "STATE_DIR": str(directory), "PORT": str(free_port()), **env}
    command = [sys.executable, "-m", "penstock", *words]
    done = subprocess.run(command, env=given, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_directory_is_tried_and_left_empty(tmp_path: Path) -> None:
    done = penstock(tmp_path, "storage", "check", code=0)
    assert done.stdout.splitlines() == [
        f"STORAGE_DRIVER is filesystem: the directory {tmp_path}/files",
        "  written",
        "  read",
        "  listed",
        "  deleted",
    ]
    assert done.stderr == ""
    assert list((tmp_path / "files").iterdir()) == []


def test_the_database_is_tried_even_when_it_is_new(tmp_path: Path) -> None:
    done = penstock(tmp_path, "storage", "check", code=0, STORAGE_DRIVER="database")
    assert "STORAGE_DRIVER is database: sqlite at " in done.stdout
    assert "  deleted\n" in done.stdout


def test_a_bucket_is_tried_with_the_identity_that_is_used(tmp_path: Path, s3: dict[str, str]) -> None:
    done = penstock(tmp_path, "storage", "check", code=0, **s3)
    assert f"the S3 bucket `penstock-files` at {s3['STORAGE_ENDPOINT']}\n" in done.stdout
    assert f"  identity: access key …{s3['STORAGE_ACCESS_KEY_ID'][-4:]} (STORAGE_ACCESS_KEY_ID)\n" in done.stdout
    assert "  deleted\n" in done.stdout
    assert "{" not in done.stdout
    assert "Contents" not in s3_client(s3).list_objects_v2(Bucket=s3["STORAGE_BUCKET"])


def test_a_wrong_secret_is_refused_and_not_shown(tmp_path: Path, s3: dict[str, str]) -> None:
    env = {**s3, "STORAGE_SECRET_ACCESS_KEY": "canary-of-a-wrong-secret"}
    done = penstock(tmp_path, "storage", "check", code=1, **env)
    assert "  failed to write\n" in done.stdout
    assert "refuses us." in done.stderr
    assert "SignatureDoesNotMatch" in done.stderr
    assert "Check STORAGE_ACCESS_KEY_ID and STORAGE_SECRET_ACCESS_KEY" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_a_missing_bucket_and_a_wrong_address_are_told_apart(tmp_path: Path, s3: dict[str, str]) -> None:
    done = penstock(tmp_path, "storage", "check", code=1, **{**s3, "STORAGE_BUCKET": "not-there"})
    assert "The S3 bucket `not-there` at " in done.stderr
    assert "does not exist." in done.stderr
    assert "STORAGE_BUCKET" in done.stderr
    nowhere = {**s3, "STORAGE_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    done = penstock(tmp_path, "storage", "check", code=1, **nowhere)
    assert "cannot be reached." in done.stderr
    assert "Connection refused." in done.stderr
    assert "STORAGE_ENDPOINT" in done.stderr


@pytest.mark.parametrize("words", [("config", "check"), ("serve",), ("storage", "check")])
def test_s002_a_directory_that_cannot_be_used_ends_a_start_with_78(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    location = tmp_path / "file" / "storage"
    done = penstock(tmp_path, *words, code=78, STORAGE_DRIVER="filesystem", STORAGE_LOCATION=str(location))
    said = done.stdout + done.stderr
    assert "STORAGE_LOCATION (environment)" in said
    assert f"{location} cannot be used: not a directory. We run as uid {os.getuid()}; " in said
    assert f"{tmp_path / 'file'} belongs to uid {os.getuid()}." in said
    assert f"Run `mkdir -p {location} && chown -R {os.getuid()} {location}`, set STORAGE_LOCATION" in said
    assert "STORAGE_DRIVER to database, s3 or azure." in said
