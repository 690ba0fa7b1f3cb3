"""STORAGE_*: what a driver needs, and the directory of `filesystem` before anybody attaches a file (S002)."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.settings.reports import errors, load


def test_s002_a_directory_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    location = tmp_path / "file" / "files"
    found = errors(STATE_DIR=str(tmp_path), STORAGE_LOCATION=str(location))
    assert list(found) == ["STORAGE_LOCATION"]
    assert found["STORAGE_LOCATION"].startswith(f"{location} cannot be used: not a directory. We run as uid ")


def test_s002_a_state_directory_that_cannot_be_used_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert list(errors(STATE_DIR=str(tmp_path / "file" / "state"))) == ["STATE_DIR"]


def test_s002_the_directory_is_checked_beside_a_database_server_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = {"DATABASE_DRIVER": "postgres", "DATABASE_HOST": "db", "SECRETS_ENCRYPTION_KEY": "k" * 32}
    found = errors(STATE_DIR=str(tmp_path / "file" / "state"), **server)
    assert "not a directory" in found["STORAGE_LOCATION"]


def test_the_directory_is_nobodys_business_with_another_driver(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = load(STORAGE_DRIVER="database", STORAGE_LOCATION=str(tmp_path / "file" / "files")).storage
    assert options.where() == "the database"


S3 = {"STORAGE_DRIVER": "s3", "STORAGE_BUCKET": "files", "STORAGE_REGION": "eu-central-1"}
AZURE = {"STORAGE_DRIVER": "azure", "STORAGE_CONTAINER": "files", "STORAGE_ACCOUNT_NAME": "acme"}


@pytest.mark.parametrize(
    "given",
    [
        S3 | {"STORAGE_BUCKET": "my.Bucket-1", "STORAGE_PREFIX": "penstock/live.1/"},
        S3 | {"STORAGE_ENDPOINT": "http://minio:9000"},
        S3 | {"STORAGE_ENDPOINT": "https://[::1]:9000/path/"},
        AZURE | {"STORAGE_ENDPOINT": "http://127.0.0.1:10000/devstoreaccount1"},
        AZURE,
    ],
)
def test_names_and_addresses_of_buckets_are_taken(given: dict[str, str]) -> None:
    assert load(**given).storage.driver == given["STORAGE_DRIVER"]


@pytest.mark.parametrize(
    "given, variable",
    [
        (S3, {"STORAGE_BUCKET": "s3://files"}),
        (S3, {"STORAGE_BUCKET": "files/live"}),
        (S3, {"STORAGE_BUCKET": "my files"}),
        (S3, {"STORAGE_REGION": "eu west"}),
        (S3, {"STORAGE_PREFIX": "../x"}),
        (S3, {"STORAGE_PREFIX": "a//b"}),
        (S3, {"STORAGE_ENDPOINT": "minio:9000"}),
        (S3, {"STORAGE_ENDPOINT": "http://user:canary@minio"}),
        (S3, {"STORAGE_ENDPOINT": "https://minio/?sig=canary"}),
        (S3, {"STORAGE_ENDPOINT": "http://[::1"}),
        (S3, {"STORAGE_ENDPOINT": "http://mini o"}),
        (AZURE, {"STORAGE_ACCOUNT_NAME": "acme.blob.core.windows.net"}),
        (AZURE, {"STORAGE_CONTAINER": "files/live"}),
    ],
)
def test_what_is_no_name_and_no_address_is_refused_at_the_start(
    given: dict[str, str], variable: dict[str, str]
) -> None:
    assert errors(**given | variable) == dict.fromkeys(variable, "the value has another shape.")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_s002_somebody_elses_directory_is_reported_with_the_command_that_helps() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        location = Path(directory) / "storage"
        said = _as_nobody(location)
    assert f"{location} cannot be used: permission denied. We run as uid 65534; {directory} belongs to uid 0." in said
    assert f"`mkdir -p {location} && chown -R 65534 {location}`" in said


def _as_nobody(location: Path) -> str:
    program = f"""
import os
from penstock.settings import SettingsError, load_settings
load_settings({{"STATE_DIR": "/tmp"}})
os.setuid(65534)
try:
    load_settings({{"STATE_DIR": "/tmp", "STORAGE_LOCATION": {str(location)!r}}})
except SettingsError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
