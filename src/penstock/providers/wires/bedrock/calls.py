"""Calls of tools in a conversation, as Converse takes them: their ids, their arguments, and which result is whose."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from penstock.providers.base import Message, ToolCall
from penstock.providers.json_text import NotJson, lenient_json

_MAX_ID = 64
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")

Answered = tuple[ToolCall, Message | None]
"""A call with its result; None: it was never executed."""


def answered_calls(messages: Sequence[Message]) -> list[list[Answered]]:
    """For each message, its calls with their results.

    A result belongs to the last call before it that has its id: some servers begin with the same ids in every turn.
    """
    waiting: defaultdict[str | None, list[Message]] = defaultdict(list)
    found: list[list[Answered]] = []
    for message in reversed(messages):
        if message.role == "tool":
            waiting[message.tool_call_id].insert(0, message)
        found.append([(call, _first_of(waiting[call.id])) for call in message.tool_calls])
        for call in message.tool_calls:
            waiting.pop(call.id, None)
    return found[::-1]


def _first_of(results: list[Message]) -> Message | None:
    return results.pop(0) if results else None


class CallIds:
    """Ids of calls as Bedrock accepts them, all different within a conversation."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, given: str) -> str:
        clean = fresh = call_id(given)
        number = 1
        while fresh in self._taken:
            number += 1
            fresh = f"{clean[: _MAX_ID - 8]}_{number}"
        self._taken.add(fresh)
        return fresh


def call_id(given: str) -> str:
    """The id in the signs that are allowed: the same for the same id, and others for others."""
    if _ID.fullmatch(given):
        return given
    digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{_NOT_IN_IDS.sub('_', given)[: _MAX_ID - 17]}_{digest}"


def input_of(arguments: str) -> dict[str, Any]:
    """An object, also for arguments that the model spoilt: their error is in the result."""
    if not arguments.strip():
        return {}
    try:
        value = lenient_json(arguments.encode("utf-8", "replace"))
    except NotJson:
        return {"unreadable": arguments}
    if isinstance(value, dict):
        return value
    return {} if value is None else {"unreadable": arguments}
