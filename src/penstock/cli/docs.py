"""`penstock docs`: the documents that are made from the code, so that they cannot drift from it."""

import re
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

TABLES: Mapping[str, str] = {
    "docs/providers.md": "penstock.providers.document:tables",
    "docs/metrics.md": "penstock.telemetry.document:tables",
}
"""Pages that are written by hand, but for what stands between two marks; the function returns text by mark."""

_MARKED = re.compile(r"(<!-- made by `penstock docs`: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a document is out of date.")] = False,
) -> None:
    """Write the documents that are generated from the code, into the repository around the working directory."""
    root = _root(Path.cwd())
    current = {name: _written(root / name) for name in (*GENERATED, *TABLES)}
    wanted = {name: _made(place) for name, place in GENERATED.items()}
    wanted |= {name: _filled(current[name], place) for name, place in TABLES.items()}
    stale = [name for name, text in wanted.items() if current[name] != text]
    for name in stale:
        if not check:
            (root / name).write_text(wanted[name], "utf-8")
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


def _made(place: str) -> str:
    return cast(Callable[[], str], _function(place))()


def _filled(page: str, place: str) -> str:
    tables = cast(Callable[[], Mapping[str, str]], _function(place))()
    return _MARKED.sub(lambda found: found[1] + tables[found[2]] + found[3], page)


def _function(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _written(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
