"""Turns of a conversation as Converse takes them: alternating, never empty, results with their calls.

The rules are those of `spec/providers.md` 9.4 and 13.2; which of them a model has is in `families.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.providers.base import Audio, Call, Document, Image, Message, Opaque, Part, Quirks, Text
from penstock.providers.failures import Unsupported
from penstock.providers.wires.bedrock.attachments import DocumentNames, image_block
from penstock.providers.wires.bedrock.calls import Answered, CallIds, answered_calls, input_of
from penstock.providers.wires.bedrock.families import Family

WIRE_NAME = "bedrock"

_NO_RESULT = "No result: the call was cancelled."
_NOTHING = "(empty)"
_BRIDGE = "I have read the results."
_SEE_DOCUMENT = "See the attached document."
_BEGIN = "Begin."
_CONTINUE = "Continue."

_Block = dict[str, Any]
_Role = Literal["user", "assistant"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """For whom the turns are written. `names` has the names of tools as Bedrock accepts them."""

    name: str
    family: Family
    quirks: Quirks
    names: Mapping[str, str]

    def takes(self, opaque: Opaque) -> bool:
        """A thought of its own, and none that was refused."""
        return self.quirks.opaque and opaque.wire == WIRE_NAME and opaque.model == self.name


def system_texts(call: Call) -> list[str]:
    texts = (plain(message.content) for message in call.messages if message.role == "system")
    return [text for text in texts if text.strip()]


def turns(call: Call, model: Model, system: Sequence[str]) -> list[_Block]:
    """The `messages`. `system` goes before the user's first words: it is for models without a system prompt."""
    written = _Turns(model)
    if system:
        written.add("user", [{"text": "\n\n".join(system)}])
    for message, calls in zip(call.messages, answered_calls(call.messages), strict=True):
        match message.role:
            case "user":
                written.add("user", written.parts(message.content))
            case "assistant":
                numbered = written.numbered(calls)
                written.add("assistant", written.said(message, numbered))
                written.add("user", written.results(numbered))
            case _:
                pass  # results stand with their calls, system prompts elsewhere
    return written.finished()


def thinks_in_tool_loop(messages: Sequence[Message], model: Model) -> bool:
    """False when the conversation stands in a tool loop that did not begin with a thought of this model.

    Claude refuses such a one as long as it thinks on a budget.
    """
    first: Message | None = None
    for message in reversed(messages):
        if message.role == "user":
            break
        if message.role == "assistant":
            first = message
    return first is None or any(model.takes(one) for one in first.opaque)


_Numbered = tuple[str, Answered]
"""A call with the id that it has on the wire."""


class _Turns:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._family = model.family
        self._documents = DocumentNames()
        self._ids = CallIds()
        self._turns: list[_Block] = []

    def add(self, role: _Role, blocks: list[_Block]) -> None:
        """Neighbours of one role become one turn, unless the family keeps what is in them apart."""
        if not blocks:
            return
        last = self._turns[-1] if self._turns else None
        if last is None or last["role"] != role:
            self._turns.append({"role": role, "content": blocks})
        elif role == "user" and self._clash([*last["content"], *blocks]):
            self._turns.append({"role": "assistant", "content": [{"text": _BRIDGE}]})
            self._turns.append({"role": role, "content": blocks})
        else:
            last["content"].extend(blocks)

    def _clash(self, blocks: Iterable[_Block]) -> bool:
        kinds = {next(iter(block)) for block in blocks}
        if "toolResult" not in kinds:
            return False
        others = kinds - {"toolResult"}
        return (
            bool(others)
            if self._family.results_alone
            else ("document" in others and not self._family.results_beside_documents)
        )

    def finished(self) -> list[_Block]:
        turns = self._turns
        if not turns or (turns[0]["role"] == "assistant" and not self._family.starts_with_assistant):
            turns.insert(0, {"role": "user", "content": [{"text": _BEGIN}]})
        for turn in turns:
            kinds = {next(iter(block)) for block in turn["content"]}
            if "document" in kinds and "text" not in kinds:
                turn["content"].append({"text": _SEE_DOCUMENT})
        last = turns[-1]
        if last["role"] == "assistant":
            if self._family.prefill and "prefill" not in self._model.quirks.dropped:
                _cut_blanks(last["content"])
            else:
                turns.append({"role": "user", "content": [{"text": _CONTINUE}]})
        return turns

    def parts(self, content: str | Sequence[Part]) -> list[_Block]:
        if isinstance(content, str):
            return _text_blocks(content)
        return [block for part in content for block in self._part(part)]

    def _part(self, part: Part) -> list[_Block]:
        match part:
            case Text():
                return _text_blocks(part.text)
            case Image():
                return [image_block(part)]
            case Document():
                return [self._documents.block(part)]
            case Audio():
                raise Unsupported(
                    "Bedrock's Converse does not take audio.",
                    explanation="No field of its requests carries a sound.",
                    action="Use a model of another provider, or send the words as text.",
                )

    def numbered(self, calls: Iterable[Answered]) -> list[_Numbered]:
        return [(self._ids.new(call.id), (call, result)) for call, result in calls]

    def said(self, message: Message, calls: Sequence[_Numbered]) -> list[_Block]:
        """What the assistant said: its own thoughts first, as the model signed them. Thoughts alone are no turn."""
        blocks = [*_text_blocks(plain(message.content)), *(self._call(one) for one in calls)]
        thoughts = [dict(one.block) for one in message.opaque if self._model.takes(one)]
        return thoughts + blocks if blocks else []

    def _call(self, numbered: _Numbered) -> _Block:
        call_id, (call, _) = numbered
        if not self._model.quirks.tools:
            return {"text": f"[Called `{call.name}` with {call.arguments or '{}'}]"}
        name = self._model.names[call.name]
        return {"toolUse": {"toolUseId": call_id, "name": name, "input": input_of(call.arguments)}}

    def results(self, calls: Iterable[_Numbered]) -> list[_Block]:
        """One for each call, in their order: a call without a result would be refused, as a result without a call."""
        if not self._model.quirks.tools:
            return [block for _, answered in calls for block in self._told(answered)]
        return [self._result(call_id, result) for call_id, (_, result) in calls]

    def _result(self, call_id: str, result: Message | None) -> _Block:
        content = [{"text": _NO_RESULT}] if result is None else self.parts(result.content)
        written = {"toolUseId": call_id, "content": content or [{"text": _NOTHING}]}
        if self._family.result_status and "status" not in self._model.quirks.dropped:
            written["status"] = "error" if result is None or result.is_error else "success"
        return {"toolResult": written}

    def _told(self, answered: Answered) -> list[_Block]:
        """A result in words, for a model that knows no tools."""
        call, result = answered
        content = [{"text": _NO_RESULT}] if result is None else self.parts(result.content)
        return [{"text": f"[Result of `{call.name}`:]"}, *(content or [{"text": _NOTHING}])]


def plain(content: str | Sequence[Part]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))


def _text_blocks(text: str) -> list[_Block]:
    """None for blank text, which is refused."""
    return [{"text": text}] if text.strip() else []


def _cut_blanks(blocks: list[_Block]) -> None:
    """A beginning that the model is to go on with must not end in blanks."""
    if "text" in blocks[-1]:
        blocks[-1] = {"text": blocks[-1]["text"].rstrip()}
