"""Azure Blob Storage, and Azurite."""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from obstore.store import AzureStore

from penstock.storage.buckets import Bucket, client_options, retry_config
from penstock.storage.failures import denied
from penstock.storage.options import StorageOptions

if TYPE_CHECKING:
    from obstore.store import AzureAccessKey, AzureConfig, AzureCredentialProvider


def open_azure(options: StorageOptions) -> Bucket:
    """Nothing is connected yet. Raises StorageDenied for a key that cannot be one."""
    config: AzureConfig = {"account_name": options.account or ""}
    if options.endpoint:
        config["endpoint"] = options.endpoint.rstrip("/")
    store = AzureStore(
        options.bucket,
        prefix=options.prefix.strip("/") or None,
        config=config,
        client_options=client_options(options),
        retry_config=retry_config(options),
        credential_provider=_given(options),
    )
    return Bucket(store, options)


def _given(options: StorageOptions) -> "AzureCredentialProvider | None":
    """The configured key. Given like this nothing of the environment goes before it. Raises StorageDenied."""
    if not options.secret:
        return None
    credential: AzureAccessKey = {"access_key": options.secret.reveal(), "expires_at": None}
    try:
        base64.b64decode(credential["access_key"], validate=True)
    except binascii.Error:
        raise denied(options, "STORAGE_ACCOUNT_KEY is not base64, as every key of an account is.") from None
    return lambda: credential


def identity(options: StorageOptions, environ: Mapping[str, str] = os.environ) -> str:
    """Who we are to the store, in the order in which object_store looks. Without a key the platform says it."""

    def has(*names: str) -> bool:
        return any(environ.get(name) for name in names)

    is_registered = has("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID") and has(
        "AZURE_TENANT_ID", "AZURE_AUTHORITY_ID", "AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_AUTHORITY_ID"
    )
    if options.secret:
        return f"key of the account {options.account} (STORAGE_ACCOUNT_KEY)"
    if has("AZURE_STORAGE_TOKEN"):
        return "token (AZURE_STORAGE_TOKEN)"
    if has("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"):
        return f"key of the account {options.account} (AZURE_STORAGE_ACCOUNT_KEY)"
    if is_registered and has("AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"):
        return "application with a secret (AZURE_CLIENT_ID)"
    if is_registered and has("AZURE_FEDERATED_TOKEN_FILE"):
        return "workload identity (AZURE_FEDERATED_TOKEN_FILE)"
    if has("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"):
        return "shared access signature (AZURE_STORAGE_SAS_TOKEN)"
    return "the managed identity of this machine"
