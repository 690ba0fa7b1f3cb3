"""Amazon S3, and what speaks like it: MinIO, Ceph, R2, Garage, …"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from obstore.store import S3Store

from penstock.storage.buckets import Bucket, client_options, retry_config
from penstock.storage.options import StorageOptions

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential, S3CredentialProvider


def open_s3(options: StorageOptions) -> Bucket:
    """Nothing is connected yet."""
    config: S3Config = {"disable_bulk_delete": True}  # compatible stores do not all have it, and we delete one by one
    if options.endpoint:
        config["aws_endpoint_url_s3"] = options.endpoint
    if options.region:
        config["region"] = options.region
    store = S3Store(
        options.bucket,
        prefix=options.prefix.strip("/") or None,
        config=config,
        client_options=client_options(options),
        retry_config=retry_config(options),
        credential_provider=_given(options),
    )
    return Bucket(store, options)


def _given(options: StorageOptions) -> "S3CredentialProvider | None":
    """The configured key, with nothing of the environment mixed in: a session token there belongs to other keys."""
    if not options.key_id or not options.secret:
        return None
    credential: S3Credential = {
        "access_key_id": options.key_id,
        "secret_access_key": options.secret.reveal(),
        "token": None,
        "expires_at": None,
    }
    return lambda: credential


def identity(options: StorageOptions, environ: Mapping[str, str] = os.environ) -> str:
    """Who we are to the store, in the order in which object_store looks. Without keys the platform says it."""
    if options.key_id and options.secret:
        return f"access key …{options.key_id[-4:]} (STORAGE_ACCESS_KEY_ID)"
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return f"access key …{environ['AWS_ACCESS_KEY_ID'][-4:]} (AWS_ACCESS_KEY_ID)"
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN"):
        return f"web identity of the role {environ['AWS_ROLE_ARN']}"
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return "the role of this container (ECS task role or EKS pod identity)"
    return "the role of this instance (instance metadata)"
