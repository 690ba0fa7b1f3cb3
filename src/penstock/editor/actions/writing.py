"""What a model writes for an action: as the pieces that may be sent, with a second attempt if the first is no use."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from penstock.editor.actions.messages import asked_again
from penstock.editor.calls.asking import Asking
from penstock.editor.calls.choosing import Chosen
from penstock.editor.calls.errors import NothingUsable
from penstock.editor.calls.records import CallRecords
from penstock.editor.calls.stash import Stash
from penstock.errors import UpstreamError
from penstock.gateway.inference.service import Inference
from penstock.providers.base import Message
from penstock.telemetry.logs import log
from penstock.telemetry.meters import EDIT_REJECTIONS, EDIT_REPAIRS

_MOST_REPAIRS = 20


class OutputStream(Protocol):
    """Takes a model's text, gives what may be sent of it.

    `complaint` is for the model: what is wrong with it all. `repairs` are for the log: what was mended. `has_output`:
    something of what was given is the model's own, and not only what an answer that broke off left as it was.
    """

    @property
    def has_output(self) -> bool: ...

    @property
    def repairs(self) -> Sequence[str]: ...

    def feed(self, text: str) -> str: ...

    def end(self, *, cut_off: bool = False) -> str: ...

    def complaint(self) -> str | None: ...


class _Draft:
    """One answer of the model. `rest` is what could be sent only when all of it was known."""

    def __init__(self, asking: Asking, output: OutputStream) -> None:
        self._asking = asking
        self._output = output
        self._said: list[str] = []
        self.has_sent = False
        self.rest = ""

    @property
    def said(self) -> str:
        return "".join(self._said)

    async def pieces(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._asking.texts()) as texts:
            async for text in texts:
                self._said.append(text)
                if piece := self._output.feed(text):
                    self.has_sent = True
                    yield piece
        finish = self._asking.finish
        rest = self._output.end(cut_off=finish != "stop")
        self.rest = rest if self._output.has_output else ""
        if repairs := self._output.repairs:
            EDIT_REPAIRS.add("action")
            log.info("the model's answer to an action was repaired", repairs=list(repairs[:_MOST_REPAIRS]))
        if finish != "stop" and (self.has_sent or self.rest):
            log.warning("the model's answer to an action was cut off; what was left is as it was", finish=finish)

    def complaint(self) -> str | None:
        """None for an answer that says nothing: there is nothing to complain of."""
        return self._output.complaint() if self.said.strip() else None

    def why_useless(self) -> NothingUsable:
        return NothingUsable(self._asking.finish, self.complaint())


class Writing:
    def __init__(
        self,
        inference: Inference,
        chosen: Chosen,
        messages: Sequence[Message],
        output: Callable[[], OutputStream],
        stash: Stash,
        records: CallRecords,
    ) -> None:
        self._inference = inference
        self._chosen = chosen
        self._messages = messages
        self._output = output
        self._stash = stash
        self._records = records

    async def pieces(self) -> AsyncGenerator[str, None]:
        """Joined, they are the result; there is at least one. Raises what inference raises, and NothingUsable."""
        draft = first = self._draft(self._messages)
        async with aclosing(first.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        complaint = first.complaint()
        if complaint is not None:
            EDIT_REJECTIONS.add("action")
        if complaint is not None and not first.has_sent:
            log.info("a model is asked again for an action", complaint=complaint)
            draft = self._draft(asked_again(self._messages, self._stash.hidden(first.said), complaint))
            async with aclosing(_or_else(draft, first)) as pieces:
                async for piece in pieces:
                    yield piece
        rest = draft.rest if draft.rest or draft.has_sent else first.rest
        if not rest and not draft.has_sent:
            raise draft.why_useless()
        if rest:
            yield rest

    def _draft(self, messages: Sequence[Message]) -> _Draft:
        asking = Asking(self._inference, self._chosen, messages, self._stash, self._records.new())
        return _Draft(asking, self._output())


async def _or_else(draft: _Draft, before: _Draft) -> AsyncGenerator[str, None]:
    """A second attempt that fails spoils nothing as long as the first has something to give."""
    try:
        async with aclosing(draft.pieces()) as pieces:
            async for piece in pieces:
                yield piece
    except UpstreamError as error:
        if draft.has_sent or not before.rest:
            raise
        log.warning("the second attempt at an action failed", reason=error.message)
