"""The conversation as `contents`: turns of user and model, calls and their responses (`spec/providers.md` 7.2)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.providers.base import Message, Part, Quirks, Text, ToolCall
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.wires.gemini.families import Family, family_of
from penstock.providers.wires.gemini.media import written_part
from penstock.providers.wires.gemini.signatures import PLACEHOLDER, Signatures, signatures_in, signed_texts

_NO_RESULT = "No result: the call was cancelled."
_FILLER = "Continue."
"""Conversations begin and end with the user."""

JsonPart = dict[str, Any]


def plain(content: str | Sequence[Part]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))


def system_text(messages: Iterable[Message]) -> str:
    texts = (plain(message.content) for message in messages if message.role == "system")
    return "\n\n".join(filter(None, texts))


def contents_of(
    messages: Sequence[Message], names: Mapping[str, str], model: str, quirks: Quirks, *, preamble: str
) -> list[dict[str, Any]]:
    """`preamble` goes before the user's first words, for models without a system instruction. Raises Unsupported."""
    written = _Contents(messages, names, model, quirks).written()
    if preamble:
        written.insert(0, {"role": "user", "parts": [{"text": preamble}]})
    if not written or written[0]["role"] != "user":
        written.insert(0, {"role": "user", "parts": [{"text": _FILLER}]})
    if written[-1]["role"] != "user":
        written.append({"role": "user", "parts": [{"text": _FILLER}]})
    return _merged(written)


def _merged(contents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of the same role become one turn; parts stay apart, because signatures belong to single parts."""
    merged: list[dict[str, Any]] = []
    for content in contents:
        if merged and merged[-1]["role"] == content["role"]:
            merged[-1]["parts"].extend(content["parts"])
        else:
            merged.append(content)
    return merged


class _Contents:
    def __init__(self, messages: Sequence[Message], names: Mapping[str, str], model: str, quirks: Quirks) -> None:
        self._messages = messages
        self._names = names
        self._model = model
        self._quirks = quirks
        self._family: Family = family_of(model)
        self._answered: set[int] = set()
        """Places of the results that have been written."""

    def written(self) -> list[dict[str, Any]]:
        contents: list[dict[str, Any]] = []
        turn_begins = self._beginning_of_turn()
        for at, message in enumerate(self._messages):
            if message.role == "user":
                _add(contents, "user", self._parts(message.content))
            elif message.role == "assistant":
                _add(contents, "model", self._model_parts(message, is_current=at > turn_begins))
                _add(contents, "user", self._responses(message.tool_calls, at))
        return contents

    def _beginning_of_turn(self) -> int:
        """Where the user has last spoken: what follows is one turn of the model, and its signatures are checked."""
        spoken = (at for at, one in enumerate(self._messages) if one.role == "user" and one.content)
        return max(spoken, default=-1)

    def _parts(self, content: str | Sequence[Part]) -> list[JsonPart]:
        parts: Sequence[Part] = [Text(content)] if isinstance(content, str) else content
        written = (written_part(part, self._family, self._quirks) for part in parts)
        return [part for part in written if part is not None]

    def _model_parts(self, message: Message, *, is_current: bool) -> list[JsonPart]:
        kept = self._quirks.opaque
        signatures = signatures_in(message.opaque, self._model) if kept else Signatures()
        calls = message.tool_calls
        before = [one for one in signatures.texts if one.after == 0 or not calls]
        parts = signed_texts(plain(message.content), before)
        later = [one for one in signatures.texts if one.after and calls]
        for number, call in enumerate(calls, 1):
            signature = signatures.calls.get(call.id)
            if signature is None and number == 1 and is_current and (self._family.signed or not kept):
                signature = PLACEHOLDER
            parts.append(self._call(call, signature))
            parts.extend(
                {"text": "", "thoughtSignature": one.signature}
                for one in later
                if one.after == number or (one.after > number == len(calls))
            )
        return parts

    def _call(self, call: ToolCall, signature: str | None) -> JsonPart:
        written: JsonPart = {"name": self._names[call.name], "args": _arguments(call.arguments)}
        if self._family.signed:
            written["id"] = call.id
        part: JsonPart = {"functionCall": written}
        return part if signature is None else part | {"thoughtSignature": signature}

    def _responses(self, calls: Sequence[ToolCall], at: int) -> list[JsonPart]:
        """One for each call, in their order: their numbers must be equal. Results without a call are left out."""
        responses: list[JsonPart] = []
        media: list[JsonPart] = []
        for call in calls:
            result = self._result(call.id, at)
            found = [] if result is None else [part for part in self._parts(result.content) if "text" not in part]
            response: JsonPart = {"name": self._names[call.name], "response": _response(result)}
            if self._family.signed:
                response["id"] = call.id
                if found:
                    response["parts"] = found
            else:
                media.extend(found)
            responses.append({"functionResponse": response})
        if media:
            responses += [{"text": "Files from the tool results:"}, *media]
        return responses

    def _result(self, call_id: str, after: int) -> Message | None:
        """The first unused one that follows: some servers give every call of a conversation the same id."""
        for at in range(after + 1, len(self._messages)):
            message = self._messages[at]
            if message.role == "tool" and message.tool_call_id == call_id and at not in self._answered:
                self._answered.add(at)
                return message
        return None


def _add(contents: list[dict[str, Any]], role: str, parts: list[JsonPart]) -> None:
    if parts:
        contents.append({"role": role, "parts": parts})


def _response(result: Message | None) -> dict[str, str]:
    """An object, as it must be; which of the two words stands in it tells the model whether the tool failed."""
    if result is None:
        return {"error": _NO_RESULT}
    return {"error" if result.is_error else "output": plain(result.content)}


def _arguments(text: str) -> dict[str, Any]:
    """An object, as it must be. What the model has written instead of one is shown to it."""
    try:
        arguments = lenient_json(text.encode("utf-8", "replace")) if text.strip() else {}
    except NotJson:
        return {"arguments": text}
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}
