"""The secret that is generated for an installation that was given none: one file, made once, readable by us alone."""

import os
import secrets
from pathlib import Path

from penstock.gateway.catalog.snapshot import Problem
from penstock.kit.directories import complaint, remedy, unwritable
from penstock.settings.report import SettingsError

FILE_NAME = "secret.key"


def generated_secret(state_dir: Path) -> str:
    """The content of `secret.key`, which is made when it is missing. Raises SettingsError.

    Two processes that start at once agree on the first file: linking never replaces one.
    """
    path = state_dir / FILE_NAME
    try:
        if not path.exists():
            _create(path)
        found = path.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise SettingsError([_unusable(path, state_dir, error)]) from error
    if len(found) < 32:
        message = f"{path} is damaged: it holds less than 32 characters."
        raise SettingsError([Problem("error", "STATE_DIR", "", message, "Restore it; without it secrets are lost.")])
    return found


def existing_secret(state_dir: Path) -> str | None:
    """The generated secret of an earlier start, which still opens what it sealed. Raises SettingsError."""
    try:
        is_there = (state_dir / FILE_NAME).is_file()
    except OSError as error:
        raise SettingsError([_unusable(state_dir, state_dir, error)]) from error
    return generated_secret(state_dir) if is_there else None


def not_writable(directory: Path) -> Problem | None:
    """Whether files can be made in `directory`, which is created when needed later; None when they can."""
    error = unwritable(directory)
    return _unusable(directory, directory, error) if error is not None else None


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _unusable(path: Path, directory: Path, error: Exception) -> Problem:
    message = complaint(path, getattr(error, "strerror", None) or "not a text file")
    return Problem(
        "error", "STATE_DIR", "", message, f"Run {remedy(directory)}, or set STATE_DIR to another directory."
    )
