"""`penstock docs`: the documents that are made from the code, so that they cannot drift from it."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast

import typer

GENERATED: Mapping[str, str] = {
    "docs/configuration.md": "penstock.settings.document:configuration_page",
    ".env.example": "penstock.settings.document:env_example",
}
"""Path below the repository's root, and the function that returns the text."""


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a document is out of date.")] = False,
) -> None:
    """Write the documents that are generated from the code, into the repository around the working directory."""
    root = _root(Path.cwd())
    stale = [name for name, place in GENERATED.items() if _is_stale(root / name, _text(place))]
    for name in stale:
        if not check:
            (root / name).write_text(_text(GENERATED[name]), "utf-8")
        print(f"{name} is out of date" if check else f"wrote {name}")
    if check and stale:
        print("Run `penstock docs`.", file=sys.stderr)
        raise typer.Exit(1)


def _root(start: Path) -> Path:
    for directory in (start, *start.parents):
        if (directory / "docs").is_dir() and (directory / "pyproject.toml").is_file():
            return directory
    print("No pyproject.toml with a docs directory beside it: run this inside the repository.", file=sys.stderr)
    raise typer.Exit(1)


def _text(place: str) -> str:
    module, _, name = place.partition(":")
    return cast(Callable[[], str], getattr(import_module(module), name))()


def _is_stale(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text("utf-8") != text
