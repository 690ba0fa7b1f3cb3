"""Picks the driver. The only importer of the drivers, so that obstore is loaded only where one of them needs it."""

from penstock.database.engine import Database
from penstock.storage.base import Storage
from penstock.storage.options import StorageOptions
from penstock.telemetry.logs import log


async def open_storage(options: StorageOptions, database: Database) -> Storage:
    """Nothing is connected yet: `ping` tells whether the store is there.

    The directory of the driver `filesystem` is made and tried. Raises StorageNotWritable, StorageFull, or StorageDenied
    for a key that cannot be one.
    """
    if options.driver == "database":
        from penstock.storage.database import DatabaseStorage

        return DatabaseStorage(database)
    if options.driver == "filesystem":
        from penstock.storage.filesystem import Filesystem, prepare

        prepare(options)
        return Filesystem(options)
    log.info(f"Files are kept in {options.where()}.", identity=identity_of(options))
    if options.driver == "s3":
        from penstock.storage.s3 import open_s3

        return open_s3(options)
    from penstock.storage.azure import open_azure

    return open_azure(options)


def identity_of(options: StorageOptions) -> str | None:
    """Who we are to the store (W-02), in words; None for the drivers that need nobody."""
    if options.driver == "s3":
        from penstock.storage.s3 import identity

        return identity(options)
    if options.driver == "azure":
        from penstock.storage.azure import identity as azure_identity

        return azure_identity(options)
    return None
