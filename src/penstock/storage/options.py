"""Which store keeps blobs, and how it is reached."""

from pathlib import Path
from typing import Literal

import msgspec

from penstock.kit.secret import Secret


class StorageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`location` is for `filesystem`; `bucket` for S3 and, as its container, for Azure.

    Without keys the platform's own credentials are used. `endpoint` replaces the cloud's address. `prefix` begins every
    key in a bucket.
    """

    driver: Literal["database", "filesystem", "s3", "azure"] = "filesystem"
    location: Path = Path("data/files")
    bucket: str = ""
    region: str | None = None
    account: str | None = None
    key_id: str | None = None
    secret: Secret | None = None
    endpoint: str | None = None
    prefix: str = ""
