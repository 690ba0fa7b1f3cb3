"""What an operator reads when the configuration is refused: every problem at once, each with its place and its fix."""

from collections.abc import Iterable, Iterator, Sequence

from penstock.gateway.catalog.snapshot import Problem

EXIT_CODE = 78
"""EX_CONFIG of sysexits.h."""


class SettingsError(Exception):
    """The configuration cannot be used. `problems` has all that was found, warnings included; no secret is in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(render(self.problems))


def render(problems: Iterable[Problem], *, starts: bool = False) -> str:
    """The report: errors first, then warnings and remarks. Plain text, empty without problems.

    `starts` says that the service can run in spite of the errors, which then are entries that it skips.
    """
    found = list(problems)
    errors = [problem for problem in found if problem.severity == "error"]
    rest = [problem for problem in found if problem.severity != "error"]
    lines = []
    if errors:
        opening = "Penstock starts, but" if starts else "Penstock cannot start:"
        lines += [f"{opening} {_counted(len(errors), 'setting needs', 'settings need')} attention.", ""]
        lines += _numbered(errors)
    if rest:
        lines += [f"{_counted(len(rest), 'remark', 'remarks')} on the configuration:", ""]
        lines += _numbered(rest)
    return "\n".join(lines).rstrip("\n")


def place(problem: Problem) -> str:
    """`PORT (environment)`, `PROVIDERS["a"].type (/etc/providers.json, line 3, column 14)`."""
    where = [problem.source] if problem.source else []
    if problem.line is not None:
        where += [f"line {problem.line}", f"column {problem.column}"]
    return f"{problem.variable}{problem.path}" + (f" ({', '.join(where)})" if where else "")


def _numbered(problems: Sequence[Problem]) -> Iterator[str]:
    for number, problem in enumerate(problems, 1):
        yield f"{number:2}. {place(problem)}"
        yield f"    {problem.message}"
        yield from (f"        {line}" for line in problem.context.splitlines())
        yield f"    {problem.fix}"
        yield ""


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
