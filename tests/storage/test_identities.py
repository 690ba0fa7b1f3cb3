"""Who we are to a bucket (W-02): keys that are set, and else what the platform gives."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.database.engine import Database, DatabaseOptions
from penstock.storage.base import StorageDenied
from penstock.storage.drivers import identity_of, open_storage
from penstock.storage.options import StorageOptions
from tests.fakes.stores import running_s3
from tests.service import free_port
from tests.settings.reports import load
from tests.storage.stores import content_of, pieces

NO_DATABASE = Database(DatabaseOptions(driver="sqlite", path="/nonexistent/none.db"))
S3 = StorageOptions(driver="s3", bucket="b", region="eu-central-1")
AZURE = StorageOptions(driver="azure", bucket="b", account="acme")


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageOptions]:
    with running_s3() as env:
        yield load(**env).storage


async def test_keys_that_are_set_win_over_everything_around_them(
    s3: StorageOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token-of-the-other-key")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    storage = await open_storage(s3, NO_DATABASE)
    await storage.put("f/t/1", pieces(b"x"))
    assert await content_of(storage, "f/t/1") == b"x"
    assert s3.key_id is not None
    assert identity_of(s3) == f"access key …{s3.key_id[-4:]} (STORAGE_ACCESS_KEY_ID)"


async def test_without_keys_those_of_the_environment_are_used(
    s3: StorageOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3.key_id is not None
    assert s3.secret is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret.reveal())
    keyless = msgspec.structs.replace(s3, key_id=None, secret=None)
    storage = await open_storage(keyless, NO_DATABASE)
    await storage.put("f/t/2", pieces(b"x"))
    assert identity_of(keyless) == f"access key …{s3.key_id[-4:]} (AWS_ACCESS_KEY_ID)"


@pytest.mark.parametrize(
    "environment, identity",
    [
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_ROLE_ARN": "arn:aws:iam::1:role/p"},
            "web identity of the role arn:aws:iam::1:role/p",
        ),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "the role of this container"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/x"}, "the role of this container"),
        ({}, "the role of this instance"),
    ],
)
def test_the_identity_of_the_platform_is_named_on_aws(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], identity: str
) -> None:
    _only(monkeypatch, environment)
    assert str(identity_of(S3)).startswith(identity)


@pytest.mark.parametrize(
    "environment, identity",
    [
        ({"AZURE_STORAGE_ACCOUNT_KEY": "x"}, "key of the account acme (AZURE_STORAGE_ACCOUNT_KEY)"),
        ({"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_SECRET": "s"}, "application with a secret"),
        ({"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/x"}, "workload identity"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sv=x"}, "shared access signature"),
        ({"AZURE_CLIENT_ID": "c"}, "the managed identity of this machine"),
    ],
)
def test_the_identity_of_the_platform_is_named_on_azure(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], identity: str
) -> None:
    _only(monkeypatch, environment)
    assert str(identity_of(AZURE)).startswith(identity)


async def test_a_platform_without_an_identity_is_told_from_a_store_that_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _only(monkeypatch, {})
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", nowhere)
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", nowhere + "/metadata/identity/oauth2/token")
    for options, variable in ((S3, "STORAGE_ACCESS_KEY_ID"), (AZURE, "STORAGE_ACCOUNT_KEY")):
        local = msgspec.structs.replace(options, endpoint=nowhere, limit_s=2.0)
        with pytest.raises(StorageDenied) as caught:
            await (await open_storage(local, NO_DATABASE)).ping()
        assert caught.value.message.startswith("There is no identity for the ")
        assert variable in str(caught.value.explanation)


async def test_an_account_key_that_is_none_is_refused_at_the_start_and_not_shown(tmp_path: Path) -> None:
    settings = load(
        STORAGE_DRIVER="azure", STORAGE_ACCOUNT_NAME="acme", STORAGE_CONTAINER="b", STORAGE_ACCOUNT_KEY="not base64!"
    )
    with pytest.raises(StorageDenied) as caught:
        await open_storage(settings.storage, NO_DATABASE)
    assert "STORAGE_ACCOUNT_KEY is not base64" in str(caught.value.explanation)
    assert "not base64!" not in str(vars(caught.value))


def _only(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
