"""Reasoning that must go back with a chat completion, put together from its pieces (`spec/providers.md` 2.5)."""

from collections.abc import Mapping
from typing import Any, Literal

_JOINED = ("text", "summary", "data")


class KeptThoughts:
    """Collects what the vendor's `thoughts` quirk names, and nothing where it names nothing."""

    __slots__ = ("_details", "_kind", "_texts", "_thinking")

    def __init__(self, kind: Literal["reasoning_details", "reasoning_content", "thinking"] | None) -> None:
        self._kind = kind
        self._details: list[dict[str, Any]] = []
        self._texts: list[str] = []
        self._thinking: list[dict[str, Any]] = []

    def add_text(self, text: str) -> None:
        if self._kind == "reasoning_content":
            self._texts.append(text)

    def add_details(self, details: Any) -> None:
        """OpenRouter's. Pieces of one block have its type and index; the signature may come in the last one."""
        if self._kind != "reasoning_details":
            return
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                continue
            block = self._block_of(detail)
            if block is None:
                self._details.append(dict(detail))
            else:
                _add_piece(block, detail)

    def add_thinking(self, part: Mapping[str, Any]) -> None:
        """Mistral's. A signature, or `closed`, ends a block."""
        if self._kind != "thinking" or not isinstance(pieces := part.get("thinking"), list):
            return
        last = self._thinking[-1] if self._thinking else None
        if last is None or last.get("closed") is True or last.get("signature"):
            last = {"type": "thinking", "thinking": []}
            self._thinking.append(last)
        last |= {name: value for name, value in part.items() if name not in ("type", "thinking") and value is not None}
        for piece in pieces:
            self._add_thought(last["thinking"], piece)

    def block(self, *, has_tools: bool) -> dict[str, Any] | None:
        """What is kept with the answer, under the name of its field; None for nothing."""
        if self._details:
            return {"reasoning_details": self._details}
        if self._thinking:
            return {"thinking": self._thinking}
        # DeepSeek's is wanted inside a running tool loop only.
        return {"reasoning_content": "".join(self._texts)} if self._texts and has_tools else None

    def _block_of(self, detail: Mapping[str, Any]) -> dict[str, Any] | None:
        index, kind = detail.get("index"), detail.get("type")
        if index is None:
            return None
        return next((one for one in self._details if one.get("index") == index and one.get("type") == kind), None)

    @staticmethod
    def _add_thought(thoughts: list[Any], piece: Any) -> None:
        text = piece.get("text") if isinstance(piece, dict) else None
        last = thoughts[-1] if thoughts else None
        if isinstance(text, str) and isinstance(last, dict) and isinstance(last.get("text"), str):
            thoughts[-1] = last | {"text": last["text"] + text}
        else:
            thoughts.append(piece)


def _add_piece(block: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        if value is None:
            continue
        known = block.get(name)
        block[name] = known + value if name in _JOINED and isinstance(known, str) and isinstance(value, str) else value


def text_of_details(details: Any) -> str:
    """The readable part of OpenRouter's details."""
    found = []
    for detail in details if isinstance(details, list) else ():
        words = (detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else None
        if isinstance(words, str):
            found.append(words)
    return "".join(found)
