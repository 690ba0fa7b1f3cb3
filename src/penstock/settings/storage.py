"""STORAGE_*: which of them a driver needs, and what they give."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.kit.secret import Secret
from penstock.settings import variables as v
from penstock.settings.values import Values
from penstock.settings.variables import Variable
from penstock.storage.options import StorageOptions

# Names go into addresses and headers as they are: obstore dies of what these cannot hold, and its text helps nobody.
_SHAPES: dict[Variable[Any], tuple[str, str]] = {
    v.STORAGE_BUCKET: (r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a bucket, without s3:// and without a path"),
    v.STORAGE_CONTAINER: (r"[$a-z0-9][a-z0-9-]*", "the name of a container, without an address and without a path"),
    v.STORAGE_ACCOUNT_NAME: (r"[a-z0-9][a-z0-9-]*", "the name of an account, without its address"),
    v.STORAGE_REGION: (r"[A-Za-z0-9][A-Za-z0-9_-]*", "a region such as eu-central-1"),
    v.STORAGE_ACCESS_KEY_ID: (r"[!-~]+", "a key without spaces and line breaks"),
    v.STORAGE_PREFIX: (
        r"/?[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?",
        "letters, digits, _ . - and /, such as penstock/live",
    ),
}
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
    if driver in _NEEDED:
        _check_shapes(values)
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


def _check_shapes(values: Values) -> None:
    for variable, (shape, expected) in _SHAPES.items():
        if values[variable] and not re.fullmatch(shape, values[variable]):
            values.error(variable, "the value has another shape.", f"Expected {expected}.")
    endpoint = values[v.STORAGE_ENDPOINT]
    if endpoint and not _is_address(endpoint):
        fix = "Expected an address such as https://minio.example.com:9000, without a user, a query or a fragment."
        values.error(v.STORAGE_ENDPOINT, "the value has another shape.", fix)


def _is_address(text: str) -> bool:
    try:
        found = urlsplit(text)
        is_plain = found.port != 0 and not (found.username or found.password or found.query or found.fragment)
    except ValueError:
        return False
    return (
        found.scheme in {"http", "https"}
        and re.fullmatch(r"[A-Za-z0-9._:-]+", found.hostname or "") is not None
        and is_plain
    )


def storage_location(values: Values) -> Path:
    """The directory of the driver `filesystem`."""
    return values[v.STORAGE_LOCATION] or values[v.STATE_DIR] / "files"
