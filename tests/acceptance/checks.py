"""Checks that are written for one service elsewhere, to be run here over every deployment."""

from collections.abc import Callable
from types import ModuleType
from typing import Any


def checks(module: ModuleType, *names: str) -> dict[str, Callable[..., Any]]:
    """The tests of `module` whose names begin so, without their `test_`. Fails when there is none."""
    found: dict[str, Callable[..., Any]] = {}
    for name in names:
        these = {one: check for one, check in vars(module).items() if one.startswith(f"test_{name}_")}
        assert these, f"{module.__name__} has no test_{name}"
        found |= these
    return found
