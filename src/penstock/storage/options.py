"""Which store keeps blobs, and how it is reached."""

from pathlib import Path
from typing import Literal

import msgspec

from penstock.kit.secret import Secret


class StorageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`location` is for `filesystem`; `bucket` for S3 and, as its container, for Azure.

    Without keys the platform's own credentials are used. `endpoint` replaces the cloud's address. `prefix` begins every
    key in a bucket. `limit_s` bounds the silence of a bucket: neither a slow download nor a large one is cut by it.
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
    limit_s: float = 30.0

    def where(self) -> str:
        """For people and logs, in the middle of a sentence: never a key."""
        if self.driver == "database":
            return "the database"
        if self.driver == "filesystem":
            return f"the directory {self.location}"
        if self.driver == "s3":
            return f"the S3 bucket `{self.bucket}` " + (f"at {self.endpoint}" if self.endpoint else f"in {self.region}")
        of_account = f"the Azure container `{self.bucket}` of the account `{self.account}`"
        return of_account + (f" at {self.endpoint}" if self.endpoint else "")
