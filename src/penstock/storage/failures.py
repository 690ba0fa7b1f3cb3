"""What obstore can raise, in our words. The only place that knows its texts, and those of the stores.

obstore has few kinds of errors; what tells a missing bucket from a missing blob is in their text: the store's own code
(`<Code>NoSuchBucket</Code>`) and the system's number (`os error 28`). Texts are not passed on as they are, because an
address may carry a signature.
"""

import errno
import re
from collections.abc import Iterable

from penstock.errors import PenstockError
from penstock.kit.directories import complaint, remedy
from penstock.storage.base import (
    BucketMissing,
    StorageDenied,
    StorageFull,
    StorageNotWritable,
    StorageUnavailable,
    StorageUnreachable,
    not_found,
)
from penstock.storage.options import StorageOptions

_BUCKET = {"s3": "STORAGE_BUCKET", "azure": "STORAGE_CONTAINER"}
_KEYS = {
    "s3": "STORAGE_ACCESS_KEY_ID and STORAGE_SECRET_ACCESS_KEY",
    "azure": "STORAGE_ACCOUNT_NAME and STORAGE_ACCOUNT_KEY",
}
_ADDRESS = {"s3": "STORAGE_REGION", "azure": "STORAGE_ACCOUNT_NAME"}
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_SYSTEM = re.compile(r"os error (\d+)")
_MISSING = ("NoSuchBucket", "ContainerNotFound", "The specified container does not exist", "ContainerBeingDeleted")
# object_store asks the platform for an identity in the middle of a call, and what fails then is this request.
_NO_IDENTITY = re.compile(r"token request|/latest/(api/token|meta-data)|169\.254\.|[Cc]redential provider")
_SILENCE = re.compile(r"error sending request|kind: (Connect|Timeout|Request|Interrupted|Decode)|timed out|dns error")
_REASON = re.compile(
    r"Connection refused|Connection reset|Network is unreachable|timed out|dns error|invalid peer certificate: \w+"
)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


def translate(error: Exception, options: StorageOptions) -> PenstockError:
    """Our error for one of obstore's. Raise it `from None`: the original may show a signed address."""
    text = str(error)
    if options.driver == "filesystem":
        return _of_disk(error, text, options)
    code = _first(_CODE.findall(text))
    if any(word in text for word in _MISSING):
        return _missing(options)
    if isinstance(error, FileNotFoundError):
        return not_found()
    if _NO_IDENTITY.search(text):
        return no_identity(options)
    status = int(_first(_STATUS.findall(text)) or 0)
    if _is_denial(error, status, code):
        return denied(options, f"It answers {code or status or 'that we are not allowed to do this'}.")
    if status >= 500 or _SILENCE.search(text):
        said = _first(_REASON.findall(text))
        return _unreachable(options, f"It answers with status {status}." if status else f"{said or 'No answer'}.")
    if code == "InvalidBlockList":
        said = "Another upload under the same key was completed first."
    else:
        said = f"It answers {code or status}." if code or status else _shown(text)
    return StorageUnavailable(
        f"{_begun(options.where())} cannot be used.",
        explanation=said,
        action=f"Check {_ADDRESS[options.driver]} and {_BUCKET[options.driver]}. `penstock storage check` tries it.",
    )


def denied(options: StorageOptions, explanation: str) -> StorageDenied:
    return StorageDenied(
        f"{_begun(options.where())} refuses us.",
        explanation=explanation,
        action=f"Check {_KEYS[options.driver]}; what they name needs to read, write, delete and list.",
    )


def no_identity(options: StorageOptions) -> StorageDenied:
    return StorageDenied(
        f"There is no identity for {options.where()}.",
        explanation=f"{_KEYS[options.driver]} are not set, and the platform gives us no identity.",
        action="Set them, or give this machine, container or service account an identity.",
    )


def not_writable(options: StorageOptions, error: OSError) -> StorageUnavailable:
    """Full disks included: making a file fails for either reason."""
    if error.errno in _FULL:
        return _full(options)
    return StorageNotWritable(
        complaint(options.location, error.strerror or str(error)),
        explanation="Files that users attach are kept there.",
        action=f"Run {remedy(options.location)}, set STORAGE_LOCATION to another directory, or set STORAGE_DRIVER to "
        "database, s3 or azure.",
    )


def _of_disk(error: Exception, text: str, options: StorageOptions) -> PenstockError:
    if isinstance(error, FileNotFoundError):
        return not_found()
    number = int(_first(_SYSTEM.findall(text)) or 0)
    if number in _FULL:
        return _full(options)
    if number in _NOT_OURS:
        return not_writable(options, OSError(number, _system_words(text)))
    return StorageUnavailable(
        f"{_begun(options.where())} cannot be used.",
        explanation=_shown(text),
        action="Check the disk of STORAGE_LOCATION. `penstock storage check` tries it.",
    )


def _full(options: StorageOptions) -> StorageFull:
    return StorageFull(
        f"The disk of {options.location} is full.",
        explanation="Files that users attach are kept there.",
        action="Free space there, or set STORAGE_LOCATION to a directory on a larger disk.",
    )


def _missing(options: StorageOptions) -> BucketMissing:
    return BucketMissing(
        f"{_begun(options.where())} does not exist.",
        explanation="The store answers, and knows no such name.",
        action=f"Create it, or correct {_BUCKET[options.driver]}.",
    )


def _unreachable(options: StorageOptions, explanation: str) -> StorageUnreachable:
    variable = "STORAGE_ENDPOINT" if options.endpoint else _ADDRESS[options.driver]
    return StorageUnreachable(
        f"{_begun(options.where())} cannot be reached.",
        explanation=explanation,
        action=f"Check {variable}, the network between here and there, and the store itself.",
    )


def _is_denial(error: Exception, status: int, code: str) -> bool:
    return type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"} or (
        status in {401, 403} or code in {"ExpiredToken", "InvalidToken"}
    )


def _system_words(text: str) -> str:
    found = re.search(r"([A-Z][A-Za-z -]+) \(os error", text)
    return found[1] if found else "the system refuses it"


def _shown(text: str) -> str:
    """The first line, without the query of an address: that is where signatures are."""
    return re.sub(r"\?\S*", "", text.partition("\n")[0])[:300]


def _begun(words: str) -> str:
    return words[0].upper() + words[1:]


def _first(found: Iterable[str]) -> str:
    return next(iter(found), "")
