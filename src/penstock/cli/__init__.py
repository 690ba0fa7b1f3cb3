"""The command `penstock`. Help is printed from the table below; a command's module is imported when it is run.

The table names a `typer.Typer` (a group of commands) or a function (one command).
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "serve": ("penstock.cli.serve:serve", "Run the service."),
    "config": ("penstock.cli.config:app", "Check the configuration, or show it with the source of each value."),
    "providers": ("penstock.cli.providers:app", "Check that providers answer, take their keys and have the models."),
    "storage": ("penstock.cli.storage:app", "Check that files can be kept where STORAGE_DRIVER says."),
    "tenant": ("penstock.cli.tenant:app", "Make and list tenants (environments)."),
    "access-key": ("penstock.cli.access_key:app", "Access keys: the secrets that sign editor tokens."),
    "api-key": ("penstock.cli.api_key:app", "API keys of programs."),
    "token": ("penstock.cli.token:app", "Make an editor token, or explain one."),
    "docs": ("penstock.cli.docs:docs", "Write the documents that are generated from the code."),
}


class _Commands(TyperGroup):
    """Knows every command by name and sentence, and imports only the one that is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, sentence) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=sentence), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest


def _load(name: str) -> Any:
    place, sentence = COMMANDS[name]
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    holder = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    command = typer.main.get_group(holder).commands[name]
    command.help = command.help or sentence
    return command


# Rich tracebacks print local variables, and those may hold secrets.
app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        from penstock import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def penstock(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """One gate between an organisation's products and every language model."""


def main() -> None:
    """Run the command line. A configuration that cannot be used ends any command with its report and 78."""
    try:
        app()
    except Exception as error:
        from penstock.settings.report import EXIT_CODE, SettingsError

        if not isinstance(error, SettingsError):
            raise
        typer.echo(str(error), err=True)
        sys.exit(EXIT_CODE)
