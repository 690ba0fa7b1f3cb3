"""The table, read: one typed value for every variable, and what was wrong with the texts."""

from typing import Any, TypeVar

import msgspec

from penstock.gateway.catalog.snapshot import Problem
from penstock.settings.given import Given, shown
from penstock.settings.sources import Collected
from penstock.settings.variables import VARIABLES, Variable

T = TypeVar("T")


class Entry(msgspec.Struct, frozen=True):
    """One line of `penstock config show`. `value` is None for unset; secrets are already hidden."""

    name: str
    value: str | int | float | bool | None
    source: str


class Values:
    """`values[PORT]` is the port: as given, or the default when it is unset or was refused."""

    def __init__(self, collected: Collected) -> None:
        self.problems: list[Problem] = list(collected.problems)
        self._given = collected.given
        self._documents = collected.documents
        self._read: dict[str, Any] = {}
        self._refused: set[str] = {problem.variable for problem in self.problems if problem.severity == "error"}
        for variable in VARIABLES:
            self._read[variable.name] = self._value(variable)

    def __getitem__(self, variable: Variable[T]) -> T:
        value: T = self._read[variable.name]
        return value

    def is_set(self, variable: Variable[Any]) -> bool:
        """Given, whether usable or not: what was refused is reported once, and not again as missing."""
        return variable.name in self._given or variable.name in self._documents or self.is_refused(variable)

    def is_refused(self, variable: Variable[Any]) -> bool:
        return variable.name in self._refused

    def text(self, variable: Variable[Any]) -> str:
        """The text as it was given, empty when unset."""
        given = self._given.get(variable.name)
        return given.text if given else ""

    def error(self, variable: Variable[Any], message: str, fix: str) -> None:
        self._add("error", variable, message, fix)

    def warn(self, variable: Variable[Any], message: str, fix: str) -> None:
        self._add("warning", variable, message, fix)

    def inform(self, variable: Variable[Any], message: str, fix: str) -> None:
        self._add("info", variable, message, fix)

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entry(variable) for variable in VARIABLES)

    def _value(self, variable: Variable[Any]) -> Any:
        given = self._given.get(variable.name)
        if given is None:
            return variable.default
        try:
            return variable.kind.read(given.text)
        except ValueError as error:
            what = "the value" if variable.secret else shown(given.text)
            self.error(variable, f"{what} {error}.", _expectation(variable, given))
            return variable.default

    def _add(self, severity: Any, variable: Variable[Any], message: str, fix: str) -> None:
        given = self._given.get(variable.name)
        line, column = (given.place if given else None) or (None, None)
        source = given.source if given else ""
        if severity == "error":
            self._refused.add(variable.name)
        self.problems.append(
            Problem(severity, variable.name, "", message, fix, source=source, line=line, column=column)
        )

    def _entry(self, variable: Variable[Any]) -> Entry:
        given = self._given.get(variable.name)
        document = self._documents.get(variable.name)
        if document is not None:
            return Entry(variable.name, "***", document.origin)
        if given is None:
            return Entry(
                variable.name, _plain(variable.default), "default" if variable.default is not None else "unset"
            )
        value = "***" if variable.secret else _plain(self._read[variable.name])
        return Entry(variable.name, value, given.source)


def _expectation(variable: Variable[Any], given: Given) -> str:
    unit = f", in {variable.unit}" if variable.unit else ""
    expected = f"Expected {variable.kind.expected}{unit}."
    if given.text.startswith("tcp://") and variable.name.endswith("PORT"):
        service = variable.name.removesuffix("_PORT").lower()
        expected += f" Kubernetes sets this for a service named {service}: give the pod `enableServiceLinks: false`."
    return expected


def _plain(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or None
    return shown(str(value))[1:-1]
