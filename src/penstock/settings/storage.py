"""STORAGE_*: which of them a driver needs, and what they give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.kit.secret import Secret
from penstock.settings import variables as v
from penstock.settings.values import Values
from penstock.settings.variables import Variable
from penstock.storage.options import StorageOptions

_NEEDED: dict[str, Sequence[Variable[Any]]] = {
    "s3": (v.STORAGE_BUCKET,),
    "azure": (v.STORAGE_ACCOUNT_NAME, v.STORAGE_CONTAINER),
}


def read_storage(values: Values) -> StorageOptions:
    driver = values[v.STORAGE_DRIVER]
    for needed in _NEEDED.get(driver, ()):
        if not values.is_set(needed):
            values.error(needed, f"is not set, but STORAGE_DRIVER is {driver}.", "Set it, or choose another driver.")
    if driver == "s3" and not (values.is_set(v.STORAGE_REGION) or values.is_set(v.STORAGE_ENDPOINT)):
        values.error(v.STORAGE_REGION, "is not set, but STORAGE_DRIVER is s3.", "Set it to the region of the bucket.")
    is_azure = driver == "azure"
    secret = values[v.STORAGE_ACCOUNT_KEY if is_azure else v.STORAGE_SECRET_ACCESS_KEY]
    return StorageOptions(
        driver=driver,
        location=storage_location(values),
        bucket=values[v.STORAGE_CONTAINER if is_azure else v.STORAGE_BUCKET] or "",
        region=values[v.STORAGE_REGION],
        account=values[v.STORAGE_ACCOUNT_NAME],
        key_id=values[v.STORAGE_ACCESS_KEY_ID],
        secret=Secret(secret) if secret else None,
        endpoint=values[v.STORAGE_ENDPOINT],
        prefix=values[v.STORAGE_PREFIX],
    )


def storage_location(values: Values) -> Path:
    """The directory of the driver `filesystem`."""
    return values[v.STORAGE_LOCATION] or values[v.STATE_DIR] / "files"
