"""Whether files can be made in a directory, and what an operator must know when they cannot (S002, S011)."""

import errno
import os
from pathlib import Path


def unwritable(directory: Path) -> OSError | None:
    """Why files cannot be made in `directory`, which need not exist yet; None when they can. Nothing is changed."""
    try:
        nearest = directory
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        return error
    return None


def complaint(path: Path, cause: str) -> str:
    """Two sentences: what is wrong with `path`, who we are, and whose the nearest part of it is that exists."""
    message = f"{path} cannot be used: {cause.lower()}. We run as uid {os.getuid()}"
    owner = _owner(path)
    return message + (f"; {owner[0]} belongs to uid {owner[1]}." if owner else ".")


def remedy(directory: Path) -> str:
    """The command that gives us `directory`, in backticks."""
    return f"`mkdir -p {directory} && chown -R {os.getuid()} {directory}`"


def _owner(path: Path) -> tuple[Path, int] | None:
    for candidate in (path, *path.parents):
        try:
            return candidate, candidate.stat().st_uid
        except OSError:
            continue
    return None
