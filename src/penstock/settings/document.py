"""`docs/configuration.md` and `.env.example`, written from the table."""

from collections.abc import Iterator
from typing import Any

from penstock.settings.bootstrap_document import BOOTSTRAP_SECTION
from penstock.settings.catalog_document import catalog_sections
from penstock.settings.mcp_document import MCP_SECTION
from penstock.settings.variables import GROUPS, VARIABLES, Variable

_INTRODUCTION = """\
# Configuration

This page is written by `penstock docs` from the table in `src/penstock/settings/variables.py`. Do not edit it.

Every option is an environment variable. `penstock config show` prints the values in force and where each comes from;
`penstock config check` checks all of them without starting, and exits with 78 when something has to be mended.
`penstock serve` reports the same problems, all at once.

## Where values come from

* The environment; then a file `.env` in the working directory, for what the environment does not set.
* `<NAME>_FILE`: every variable may instead be given as the path of a file, whose content is trimmed. Good for mounted
  secrets. `PROVIDERS_FILE` and `MODELS_FILE` are watched: a change takes effect within seconds, without a restart. A
  change that cannot be used is logged, and the previous content goes on.
* `CS_CONFIG_PATH`: a JSON file in place of all of these. It holds one object; its keys are the names below in lower
  case, and options that hold JSON (`providers`, `models`, `mcp_servers`, `moderation`, `bootstrap_environments`) are
  real JSON; a string with the JSON in it is read too. Variables of the environment that are options are then ignored. A
  change of its `providers` or `models` takes effect as above; other changes need a restart.

An empty value counts as unset. Booleans are `true` and `false` (also `1` and `0`).
"""

_EXAMPLE_INTRODUCTION = """\
# Every option of Penstock with its default; docs/configuration.md says more. Written by `penstock docs`.
# Copy to .env and remove the # of what you change. A value with blanks or several lines stands in single quotes.
"""


def configuration_page() -> str:
    return "\n".join([_INTRODUCTION, *_tables(), catalog_sections()]) + MCP_SECTION + BOOTSTRAP_SECTION


def env_example() -> str:
    lines = [_EXAMPLE_INTRODUCTION.rstrip("\n")]
    for group, title in GROUPS.items():
        lines += ["", f"# --- {title}"]
        lines += [f"# {variable.name}={_written(variable)}" for variable in _of(group)]
    return "\n".join(lines) + "\n"


def _tables() -> Iterator[str]:
    for group, title in GROUPS.items():
        yield f"## {title}\n"
        yield "| variable | expected | default | meaning |\n|---|---|---|---|"
        yield from (_row(variable) for variable in _of(group))
        yield ""


def _row(variable: Variable[Any]) -> str:
    expected = variable.kind.expected + (f", in {variable.unit}" if variable.unit else "")
    default = _written(variable)
    secret = " Secret." if variable.secret else ""
    return f"| `{variable.name}` | {expected} | {f'`{default}`' if default else '-'} | {variable.sentence}{secret} |"


def _of(group: str) -> Iterator[Variable[Any]]:
    return (variable for variable in VARIABLES if variable.group == group)


def _written(variable: Variable[Any]) -> str:
    default = variable.default
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
