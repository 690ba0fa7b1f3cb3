"""Reading the fields of one JSON object, with a note for everything that is missing, misspelt or of the wrong kind."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.gateway.catalog.documents import Document, Step
from penstock.gateway.catalog.snapshot import Problem


class Notes:
    """The problems of one document. With a refusal among them the document is refused as a whole."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.refusals = 0

    def refuse(self, path: Sequence[Step], message: str, fix: str) -> None:
        """An error that nothing can be made of."""
        self.refusals += 1
        self.error(path, message, fix)

    def error(self, path: Sequence[Step], message: str, fix: str) -> None:
        """An error that costs one entry."""
        self.problems.append(self.document.at("error", path, message, fix))

    def warn(self, path: Sequence[Step], message: str, fix: str) -> None:
        self.problems.append(self.document.at("warning", path, message, fix))


class Fields:
    """One object of a document. What is asked for is known; `close` warns of all the rest.

    A field of the wrong kind is refused and reads as absent; `null` is absent.
    """

    def __init__(self, value: Mapping[str, Any], path: tuple[Step, ...], notes: Notes) -> None:
        self.path = path
        self.notes = notes
        self._value = value
        self._asked: dict[str, None] = {}

    def raw(self, name: str) -> Any:
        self._asked[name] = None
        return self._value.get(name)

    def text(self, name: str) -> str | None:
        """Stripped, and None when empty."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(name, "is not a string.", 'Expected a string: "…".')
            return None
        return value.strip() or None

    def required(self, name: str, purpose: str) -> str | None:
        """A text that must be there; `purpose` says what it is for."""
        value = self.text(name)
        if value is None and not self._refused(name):
            self.missing(name, purpose)
        return value

    def flag(self, name: str) -> bool | None:
        value = self.raw(name)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(name, "is neither true nor false.", "Expected true or false, without quotes.")
        return None

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(name, "is not a number in range.", f"Expected a whole number from {low} to {high}.")
            return None
        return value

    def object(self, name: str) -> "Fields | None":
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(name, "is not an object.", "Expected an object: {…}.")
            return None
        return Fields(value, (*self.path, name), self.notes)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; one string alone is accepted with a warning. Stripped, without empty ones."""
        value = self.raw(name)
        if value is None:
            return ()
        if isinstance(value, str):
            self.warn(name, "is one string.", 'Write it as an array: ["…"].')
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.refuse(name, "is not an array of strings.", 'Expected an array of strings: ["…"].')
            return ()
        return tuple(item.strip() for item in value if item.strip())

    def names(self) -> Sequence[str]:
        """Every key of the object; all of them count as known."""
        self._asked.update(dict.fromkeys(self._value))
        return list(self._value)

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def close(self) -> None:
        """Warn of every field that was not asked for."""
        for name in self._value:
            if name not in self._asked:
                near = difflib.get_close_matches(name, self._asked, n=1)
                fix = f"Did you mean `{near[0]}`?" if near else "Remove it."
                self.warn(name, "is not a field of this entry; it is ignored.", fix)

    def missing(self, name: str, purpose: str) -> None:
        unknown = [given for given in self._value if given not in self._asked]
        near = difflib.get_close_matches(name, unknown, n=1, cutoff=0.8)
        hint = f" There is `{near[0]}`; did you mean `{name}`?" if near else ""
        self.refuse(name, "is missing.", f"It is required: {purpose}.{hint}")

    def refuse(self, name: str, message: str, fix: str) -> None:
        self.notes.refuse((*self.path, name), message, fix)

    def warn(self, name: str, message: str, fix: str) -> None:
        self.notes.warn((*self.path, name), message, fix)

    def _refused(self, name: str) -> bool:
        """Given, but of the wrong kind: already reported."""
        value = self._value.get(name)
        return value is not None and not isinstance(value, str)
