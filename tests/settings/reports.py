"""Settings from a bare environment, and the problems of those that are refused."""

from pathlib import Path

import pytest

from penstock.gateway.catalog.snapshot import Problem
from penstock.settings import Settings, SettingsError, load_settings

NOWHERE = Path("/nonexistent")
"""A working directory without `.env`."""


def load(directory: Path = NOWHERE, /, **environ: str) -> Settings:
    return load_settings({"STATE_DIR": "/tmp", **environ}, directory)


def refusal(directory: Path = NOWHERE, /, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(directory, **environ)
    return caught.value


def errors(directory: Path = NOWHERE, /, **environ: str) -> dict[str, str]:
    """Variable and message of each error."""
    found = refusal(directory, **environ).problems
    return {one.variable: one.message for one in found if one.severity == "error"}


def warnings(settings: Settings) -> dict[str, Problem]:
    return {one.variable: one for one in settings.problems if one.severity == "warning"}
