"""A message's answer as it comes into being: the model's words and edits, and the tools that it uses on the way.

Rounds: a model that calls tools is asked again with their results. A model whose edits had to be thrown away is asked
once more, with what was wrong; what is still unusable then reaches the user as text (`spec/editor-api.md` W-38).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.asking import FEATURE, Asked
from penstock.editor.conversations.tools import Answered, SearchBegun, ToolCalled, Tools
from penstock.editor.edits.answer import AnswerReader, Edited, Said
from penstock.editor.edits.document import SentDocument
from penstock.editor.mcp.toolbox import ToolNotification, ToolResult
from penstock.editor.web.search import Found
from penstock.gateway.identity.caller import Caller
from penstock.gateway.inference.service import Inference
from penstock.providers.base import (
    Call,
    Finish,
    Message,
    Opaque,
    OpaqueDelta,
    Part,
    ReasoningDelta,
    Source,
    Text,
    TextDelta,
    ToolCall,
    ToolDelta,
    Warning_,
)
from penstock.telemetry.logs import log
from penstock.telemetry.meters import EDIT_REJECTIONS, EDIT_REPAIRS

MOST_ROUNDS: Final = 8
"""How often a model may ask for tools before it has to answer with what it has."""

Piece = (
    Said
    | Edited
    | SearchBegun
    | Found
    | ToolCalled
    | ToolNotification
    | ToolResult
    | ReasoningDelta
    | Source
    | Finish
    | Warning_
)
Pieces = AsyncGenerator[Piece, None]


class Round:
    """What one call to the model has brought so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.opaque: list[Opaque] = []
        self.finish = Finish("stop")
        self._calls: dict[int, list[str]] = {}

    def add(self, delta: ToolDelta) -> None:
        call = self._calls.setdefault(delta.index, ["", "", ""])
        call[0] = delta.id or call[0]
        call[1] = delta.name or call[1]
        call[2] += delta.arguments

    @property
    def calls(self) -> list[ToolCall]:
        return [
            ToolCall(call_id or f"call_{index}", name, arguments or "{}")
            for index, (call_id, name, arguments) in sorted(self._calls.items())
            if name
        ]

    def message(self) -> Message:
        """This round as the model's own turn."""
        return Message(
            role="assistant", content="".join(self.text), tool_calls=tuple(self.calls), opaque=tuple(self.opaque)
        )


class Answering:
    """`records` gets one record for every call to a model."""

    def __init__(
        self,
        *,
        inference: Inference,
        caller: Caller,
        asked: Asked,
        messages: Sequence[Message],
        documents: Sequence[SentDocument],
        tools: Tools,
        records: CallRecords,
    ) -> None:
        self._inference = inference
        self._caller = caller
        self._asked = asked
        self._messages = list(messages)
        self._documents = documents
        self._tools = tools
        self._records = records
        self._reader = AnswerReader(documents)
        self._has_spoken = False

    async def pieces(self) -> Pieces:
        """Raises what inference raises. Close it, whatever happens: that ends the upstream and the tools."""
        if self._tools.offered and self._has_no_tools():
            async with aclosing(self._search_first()) as searched:
                async for piece in searched:
                    yield piece
        last = Round()
        for number in range(MOST_ROUNDS + 1):
            last = Round()
            async with aclosing(self._ask(last, may_use_tools=number < MOST_ROUNDS)) as pieces:
                async for piece in pieces:
                    yield piece
            if not last.calls or number == MOST_ROUNDS:  # some models call even what they are told not to
                break
            self._messages.append(last.message())
            async with aclosing(self._use(last.calls)) as used:
                async for piece in used:
                    yield piece
        for read in self._reader.end(cut_off=last.finish.reason != "stop"):
            yield read
        async with aclosing(self._mend(last)) as mended:
            async for piece in mended:
                yield piece
        yield last.finish

    # --- the model ---------------------------------------------------------------------------------------------------

    async def _ask(self, current: Round, *, may_use_tools: bool) -> Pieces:
        async with aclosing(self._deltas(current, may_use_tools=may_use_tools)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    for read in self._reader.feed(piece.text):
                        self._has_spoken = True
                        yield read
                else:
                    yield piece

    async def _deltas(
        self, current: Round, *, may_use_tools: bool
    ) -> AsyncGenerator[TextDelta | ReasoningDelta | Source | Warning_, None]:
        """What one call says; what only matters to the next call is kept in `current`."""
        call = Call(
            messages=tuple(self._messages),
            tools=() if self._has_no_tools() else tuple(self._tools.offered),
            tool_choice=None if may_use_tools or not self._tools.offered else "none",
            tools_optional=True,
            reasoning="medium" if self._asked.reasoning else "off",
        )
        stream = self._inference.stream(
            self._caller,
            self._asked.model,
            call,
            feature=FEATURE,
            record=self._records.new(),
            found=self._asked.found,
        )
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta(text=text) if text:
                        current.text.append(text)
                        yield delta
                    case ToolDelta():
                        current.add(delta)
                    case OpaqueDelta(opaque=opaque):
                        current.opaque.append(opaque)
                    case Finish():
                        current.finish = delta
                    case ReasoningDelta() | Source() | Warning_():
                        yield delta

    def _has_no_tools(self) -> bool:
        return self._asked.found[0].backend.facts.tools is False

    # --- tools -------------------------------------------------------------------------------------------------------

    async def _use(self, calls: Sequence[ToolCall]) -> Pieces:
        for call in calls:
            async with aclosing(self._tools.use(call)) as used:
                async for one in used:
                    if isinstance(one, Answered):
                        self._messages.append(one.message)
                    else:
                        yield one

    async def _search_first(self) -> Pieces:
        async with aclosing(self._tools.search_first(self._asked.prompt)) as used:
            async for one in used:
                if isinstance(one, Answered):
                    self._add_to_last(str(one.message.content))
                else:
                    yield one

    def _add_to_last(self, text: str) -> None:
        last = self._messages[-1]
        content: str | Sequence[Part] = (
            f"{last.content}\n\n{text}" if isinstance(last.content, str) else (*last.content, Text(text))
        )
        self._messages[-1] = msgspec.structs.replace(last, content=content)

    # --- edits that had to be thrown away ----------------------------------------------------------------------------

    async def _mend(self, last: Round) -> Pieces:
        """Once more, where nothing could be used; then as text. Nothing that was said is said twice."""
        if self._reader.repairs:
            EDIT_REPAIRS.add("chat")
            log.info("the model's edits were repaired", repairs=list(self._reader.repairs[:20]))
        complaint = self._reader.complaint()
        if complaint is None:
            return
        EDIT_REJECTIONS.add("chat")
        log.warning("edits of the model had to be thrown away", reason=complaint[:500])
        rejected = self._reader.rejected_text()
        if not self._reader.has_edits and last.finish.reason == "stop":
            self._messages += (last.message(), Message(role="user", content=complaint))
            self._reader = AnswerReader(self._documents)
            again = Round()
            async with aclosing(self._ask(again, may_use_tools=False)) as pieces:
                async for piece in pieces:
                    if not isinstance(piece, Said):
                        yield piece
            for read in self._reader.end(cut_off=again.finish.reason != "stop"):
                if not isinstance(read, Said):
                    yield read
            rejected = "" if self._reader.has_edits else self._reader.rejected_text() or rejected
        if rejected:
            yield Said(f"\n\n{rejected}" if self._has_spoken else rejected)
