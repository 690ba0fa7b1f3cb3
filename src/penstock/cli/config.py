"""`penstock config`: is the configuration sound, and which values are in force? Secrets are never printed."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from penstock.cli import identities
from penstock.gateway.catalog.snapshot import Problem
from penstock.settings import EXIT_CODE, SettingsError, load_settings, render
from penstock.settings.values import Entry

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check everything that can be checked without serving. Exits with 0, or with 78 and every problem."""
    try:
        settings = load_settings()
    except SettingsError as error:
        _print_problems(error.problems, starts=False, as_json=as_json)
        sys.exit(EXIT_CODE)
    snapshot = settings.snapshot
    problems = (*settings.problems, *snapshot.problems, *identities.remarks(snapshot))
    _print_problems(problems, starts=True, as_json=as_json)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Print each variable with the value in force and where it comes from."""
    entries = load_settings().entries
    if as_json:
        _print_json([msgspec.structs.asdict(entry) for entry in entries])
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {_shown(entry):<28}  {entry.source}".rstrip())


def _print_problems(problems: Sequence[Problem], *, starts: bool, as_json: bool) -> None:
    if as_json:
        _print_json({"ok": starts, "problems": [msgspec.structs.asdict(problem) for problem in problems]})
        return
    print(render(problems, starts=starts) or "The configuration is sound.")


def _shown(entry: Entry) -> str:
    if entry.value is None:
        return "-"
    return str(entry.value).lower() if isinstance(entry.value, bool) else str(entry.value)


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
