"""The permission matcher: `spec/editor-api.md` 4.2 and 4.4 for `ai:…`, exact or a trailing `*` for the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

FULL_ACCESS: Final = ("ai:conversations:*", "ai:models:agent", "ai:actions:system:*", "ai:reviews:system:*")
"""What the editor documentation tells integrators to put into a token."""

_EXPECTED = 'an array of strings, such as `["ai:conversations:*", "ai:models:*"]`'
_AGENT = "ai:models:agent"
_WEB_SEARCH = ("ai:conversations:webSearch", "ai:conversations:websearch")
_CREATE = "ai:conversations:create"
_GRANULAR = frozenset({_CREATE, "ai:conversations:read", "ai:conversations:delete", *_WEB_SEARCH})
_IMPLIED_BY_CREATE = ("ai:conversations:write", "ai:conversations:reasoning", "ai:conversations:context:*")

_MAX_ENTRY_LENGTH = 500
_MAX_ANSWERS = 256
_SHOWN = 8


class Pattern(msgspec.Struct, frozen=True):
    """One entry that has a wildcard, cut at its colons.

    `open_ended` patterns also match names with more segments than they have.
    """

    segments: tuple[str, ...]
    open_ended: bool

    def matches(self, name: Sequence[str]) -> bool:
        """Whether a name, cut at its colons, is granted. Linear in its length, whatever the pattern."""
        wanted = len(self.segments)
        if len(name) < wanted or (len(name) > wanted and not self.open_ended):
            return False
        return all(_segment_matches(one, other) for one, other in zip(self.segments, name, strict=False))


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a credential may do. `dropped` are entries that grant nothing, each with the reason.

    `shape` says what stood where an array of strings was expected; empty when there was one. Equal lists give
    equal objects. Entries of `granted` that are not valid grant nothing.
    """

    granted: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    shape: str = ""
    _names: frozenset[str] = field(init=False, repr=False, compare=False)
    _patterns: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)
    _answers: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        effective = [entry for entry in _with_implied(self.granted) if fault(entry) is None]
        object.__setattr__(self, "_names", frozenset(entry for entry in effective if "*" not in entry))
        object.__setattr__(self, "_patterns", tuple(_pattern(entry) for entry in effective if "*" in entry))

    @classmethod
    def of(cls, *names: str) -> "Permissions":
        """The permissions of a list of entries; invalid ones are dropped one by one."""
        return cls.from_claim(list(names))

    @classmethod
    def from_claim(cls, value: object) -> "Permissions":
        """Read `auth.ai.permissions` of any shape. What is not an array of strings grants nothing."""
        if not isinstance(value, list | tuple):
            return cls(shape=f"`auth.ai.permissions` is {_shape(value)}; expected {_EXPECTED}.")
        stranger = next((entry for entry in value if not isinstance(entry, str)), None)
        if stranger is not None or None in value:
            return cls(shape=f"`auth.ai.permissions` is an array with {_shape(stranger)} in it; expected {_EXPECTED}.")
        return cls._from_entries(dict.fromkeys(value))

    @classmethod
    def missing(cls, found: str) -> "Permissions":
        """There is no list at all; `found` says what stands there instead."""
        return cls(shape=f"The token has no `auth.ai.permissions`: {found}. Expected {_EXPECTED}.")

    @classmethod
    def _from_entries(cls, entries: Iterable[str]) -> "Permissions":
        faults = {entry: fault(entry) for entry in entries}
        return cls(
            granted=tuple(entry for entry, reason in faults.items() if reason is None),
            dropped=tuple((_shown(entry), reason) for entry, reason in faults.items() if reason is not None),
        )

    def allows(self, permission: str) -> bool:
        """Whether `permission`, a name without wildcard, is granted. Asked per call, so answers are kept."""
        answer = self._answers.get(permission)
        if answer is None:
            answer = self._decide(permission)
            if len(self._answers) < _MAX_ANSWERS:
                self._answers[permission] = answer
        return answer

    def describe(self) -> str:
        """Sentences that say what was found: the shape, the list, and what was dropped from it."""
        if self.shape:
            return f"{self.shape} It grants nothing."
        found = [
            f"The credential grants {_listed(self.granted)}." if self.granted else "The credential grants nothing."
        ]
        if self.dropped:
            reasons = "; ".join(f"`{entry}` ({reason})" for entry, reason in self.dropped[:_SHOWN])
            found.append(f"Entries that grant nothing: {reasons}{_more(self.dropped)}.")
        return " ".join(found)

    def _decide(self, permission: str) -> bool:
        spellings = _WEB_SEARCH if permission in _WEB_SEARCH else (permission,)
        return any(self._grants(spelling) for spelling in spellings)

    def _grants(self, name: str) -> bool:
        if name in self._names:
            return True
        segments = name.split(":")
        return any(pattern.matches(segments) for pattern in self._patterns)


def fault(entry: str) -> str | None:
    """Why an entry grants nothing, or None when it is valid."""
    if len(entry) > _MAX_ENTRY_LENGTH:
        return f"longer than {_MAX_ENTRY_LENGTH} characters"
    if not entry.isprintable() or entry != entry.strip():
        return "has spaces around it or control characters in it"
    if entry == "*":
        return "a bare `*` is not a permission; name the types, such as `ai:conversations:*`"
    if entry == "ai:admin":
        return "not a permission here; name the types, such as `ai:conversations:*`"
    segments = entry.split(":")
    return _ai_fault(segments) if segments[0] == "ai" else _other_fault(segments)


def _ai_fault(segments: list[str]) -> str | None:
    if "*" in "".join(segments[:2]):
        return "the type, the part after `ai:`, cannot be a wildcard"
    opaque = segments[1:2] == ["models"] and len(segments) > 3
    known = segments[:4] if opaque else segments  # a model id may hold any colons
    if len(segments) < 3 or "" in known[:-1] or ":".join(segments[len(known) - 1 :]) == "":
        return "not of the form `ai:<type>:<value>`"
    return None


def _other_fault(segments: list[str]) -> str | None:
    if len(segments) < 2 or "" in segments:
        return "not of the form `ai:<type>:<value>` or `<subject>:<action>`"
    if "*" in segments[0]:
        return "the first part cannot be a wildcard"
    if "*" in ":".join(segments)[:-1]:
        return "outside `ai:…`, a `*` may only stand at the end"
    return None


def _with_implied(granted: tuple[str, ...]) -> tuple[str, ...]:
    """Add what `create` meant before the finer names existed, for lists that use none of them."""
    conversations = {entry for entry in granted if entry.startswith("ai:conversations:")}
    implied = _IMPLIED_BY_CREATE if _CREATE in conversations and conversations <= _GRANULAR else ()
    agent = ("ai:models:agent:agent-*",) if _AGENT in granted else ()
    return (*granted, *implied, *agent)


def _pattern(entry: str) -> Pattern:
    segments = tuple(entry.split(":"))
    if segments[0] != "ai":
        return Pattern(segments, open_ended=True)
    # Of a model id, which may hold colons, a last `*` matches everything; elsewhere it stops at the next colon.
    in_model_id = segments[1] == "models" and len(segments) > 3 and segments[-1].endswith("*")
    return Pattern(segments, open_ended=in_model_id or segments[-1] == "*")


def _segment_matches(pattern: str, text: str) -> bool:
    """A glob of one segment. Leftmost matches of the pieces suffice, so nothing is ever tried twice."""
    if pattern == "*":
        return text != ""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _shape(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f"the string `{_shown(value)}`"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, dict):
        return f"an object (with {_listed([str(key) for key in value])})" if value else "an empty object"
    return "an array"


def _shown(text: str) -> str:
    printable = "".join(character if character.isprintable() else "�" for character in text[:80])
    return f"{printable}…" if len(text) > 80 else printable


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{_shown(name)}`" for name in names[:_SHOWN]) + _more(names)


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
