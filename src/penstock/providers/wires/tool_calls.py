"""Putting tool calls together from what servers call `tool_calls` (`spec/providers.md` 2.3)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.kit.ids import random_text
from penstock.providers.base import Tool, ToolDelta, Warning_
from penstock.providers.json_text import NotJson, encode_json, lenient_json
from penstock.providers.wires.tool_names import wire_names

_STRUCTURE = re.compile(r'[{}\[\]"]')


class _OpenCall:
    __slots__ = ("announced", "backslashes", "complete", "depth", "given", "held", "id", "in_string", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.announced = False
        self.held = ""
        """Arguments that may still turn out to be the word `null`."""
        self.given: list[str] = []
        self.depth = 0
        self.in_string = False
        self.backslashes = 0
        """How many stand at the end of what was given."""
        self.complete = False


class ToolCalls:
    """The calls of one answer. Each is announced (id, name) when its arguments begin, or at the end."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._original = {short: name for name, short in wire_names(tool.name for tool in tools).items()}
        self._by_key: dict[object, _OpenCall] = {}
        self._calls: list[_OpenCall] = []
        self.warnings: list[Warning_] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, pieces: Any) -> list[ToolDelta]:
        """Read the `tool_calls` of one delta or message; whatever is not a list of objects is skipped."""
        deltas: list[ToolDelta] = []
        if not isinstance(pieces, list):
            return deltas
        for position, piece in enumerate(pieces):
            if isinstance(piece, dict):
                self._feed_piece(position, piece, deltas)
        return deltas

    def end(self, *, cut_short: bool) -> list[ToolDelta]:
        """Announce and complete what is left. `cut_short`: the answer ended at its length limit."""
        deltas: list[ToolDelta] = []
        for call in self._calls:
            if not call.given and call.held.strip() in ("", "null"):
                call.held = "{}"
            self._give(call, call.held, deltas)
            call.held = ""
            self._check(call, deltas, cut_short=cut_short)
        return deltas

    def _feed_piece(self, position: int, piece: Mapping[str, Any], deltas: list[ToolDelta]) -> None:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call_id = piece["id"] if isinstance(piece.get("id"), str) else ""
        name = function["name"] if isinstance(function.get("name"), str) else ""
        arguments = _arguments(function.get("arguments"))
        key = _key(piece.get("index"), call_id, position)
        call = self._by_key.get(key)
        if call is None or _begins_another(call, call_id, name, arguments):
            call = self._by_key[key] = _OpenCall(len(self._calls))
            self._calls.append(call)
        call.id = call.id or call_id
        if name and not call.announced:
            call.name = name
        if arguments:
            self._feed_arguments(call, arguments, deltas)

    def _feed_arguments(self, call: _OpenCall, arguments: str, deltas: list[ToolDelta]) -> None:
        call.held += arguments
        if not call.given and "null".startswith(call.held.strip()):
            return
        held, call.held = call.held, ""
        self._give(call, held, deltas)

    def _give(self, call: _OpenCall, arguments: str, deltas: list[ToolDelta]) -> None:
        kept = _until_complete(call, arguments)
        if len(kept) < len(arguments) and arguments[len(kept) :].strip():
            self._warn("TOOL_ARGUMENTS_REPAIRED", f"Text after the arguments of `{call.name}` was dropped.")
        if kept:
            call.given.append(kept)
            call.backslashes = _backslashes(kept, len(kept), call.backslashes)
        if not call.announced:
            call.announced = True
            call.id = call.id or f"call_{random_text(24)}"
            name = self._original.get(call.name, call.name)
            deltas.append(ToolDelta(call.index, kept, call.id, name))
        elif kept:
            deltas.append(ToolDelta(call.index, kept))

    def _check(self, call: _OpenCall, deltas: list[ToolDelta], *, cut_short: bool) -> None:
        given = "".join(call.given)
        if _parses(given):
            return
        if cut_short and call.depth == 1 and not call.in_string and _parses(given + "}"):
            deltas.append(ToolDelta(call.index, "}"))
            self._warn("TOOL_ARGUMENTS_REPAIRED", f"The arguments of `{call.name}` were closed.")
            return
        self._warn("TOOL_ARGUMENTS_INVALID", f"The model wrote arguments of `{call.name}` that are not JSON.")

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(Warning_(code, message))


def _key(index: Any, call_id: str, position: int) -> object:
    if isinstance(index, int) and not isinstance(index, bool):
        return index
    return ("id", call_id) if call_id else ("position", position)


def _begins_another(call: _OpenCall, call_id: str, name: str, arguments: str) -> bool:
    """Some servers say index 0 for every call; then a new id, or a name after arguments, begins the next one."""
    if call_id and call.id and call_id != call.id:
        return bool(call.given or call.held or name)
    if not name or not (call.given or call.held):
        return False
    return name != call.name or (call.complete and arguments.lstrip().startswith("{"))


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return encode_json(value).decode() if isinstance(value, dict | list) else ""


def _until_complete(call: _OpenCall, piece: str) -> str:
    """`piece` up to the end of the first whole JSON object; the rest is a second copy or chatter."""
    if call.complete:
        return ""
    for found in _STRUCTURE.finditer(piece):
        if _closes(call, found[0], found.start(), piece):
            call.complete = True
            return piece[: found.end()]
    return piece


def _closes(call: _OpenCall, sign: str, at: int, piece: str) -> bool:
    if call.in_string:
        # A quote after an odd number of backslashes ends nothing.
        if sign == '"' and _backslashes(piece, at, call.backslashes) % 2 == 0:
            call.in_string = False
    elif sign == '"':
        call.in_string = True
    elif sign in "{[":
        call.depth += 1
    elif sign in "}]":
        call.depth -= 1
        return call.depth == 0
    return False


def _backslashes(piece: str, end: int, before: int) -> int:
    """How many stand in `piece` right before `end`, with those `before` it if it has nothing else there."""
    at = end
    while at and piece[at - 1] == "\\":
        at -= 1
    return end - at + (0 if at else before)


def _parses(text: str) -> bool:
    try:
        lenient_json(text.encode("utf-8", "replace"))
    except NotJson:
        return False
    return True
