"""A client's chat request, for whatever wire it meets: relayed where the wire is the client's own, else translated."""

import copy
from collections.abc import Sequence

import msgspec

from penstock.errors import InvalidRequest
from penstock.gateway.inference.openai_answer import NeutralReader, TranslatedWhole
from penstock.gateway.inference.openai_call import KNOWN_FIELDS, read_call
from penstock.gateway.inference.openai_chunks import DONE_FRAME, Envelope, summed
from penstock.gateway.inference.openai_streaming import TranslatedStream
from penstock.gateway.inference.openai_thoughts import Thoughts
from penstock.gateway.inference.service import CarriesFiles, Prepare, reader_for
from penstock.providers.base import Call, Exchange, Quirks, Reader, Usage, Wire
from penstock.providers.wires.openai.relay import RelayStream
from penstock.providers.wires.openai.request import PATH, ChatRequest
from penstock.providers.wires.openai.whole import RelayWhole

_OURS = "openai_chat"


class Relayed(CarriesFiles[bytes]):
    """One request. What an upstream of the same wire says comes back byte for byte."""

    wire: str | None = _OURS
    tools_optional = False

    def __init__(self, request: ChatRequest, thoughts: Thoughts) -> None:
        self._request = request
        self._thoughts = thoughts
        self._asked: Asked | None = None
        self._is_changed = False
        self.has_tools = request.has_tools
        self.has_files = request.may_have_files
        self.left_out: list[str] = []
        """The client's fields that were not sent, because the model or its provider's format does not take them."""

    async def prepared(self, prepare: Prepare) -> "Relayed":
        """With files that were changed there is nothing left to be relayed: the request is translated."""
        call = await prepare(self.asked.call)
        if call is self.asked.call:
            return self
        other = Relayed(self._request, self._thoughts)
        other._asked = self.asked.with_call(call)
        other.left_out = self.left_out
        other._is_changed = True
        return other

    @property
    def asked(self) -> "Asked":
        """Read once, and only when an upstream speaks another wire. Raises InvalidRequest."""
        if self._asked is None:
            self._asked = Asked(self._request, self._thoughts)
        return self._asked

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        if self._is_translated(wire, quirks):
            call = self.asked.call
            self.left_out[:] = sorted(name for name in wire.lacks if getattr(call, name) is not None)
            return self.asked.exchange(wire, model, quirks)
        self.left_out[:] = self._request.left_out(quirks)
        return Exchange(PATH, self._request.encode(model, quirks))

    def _is_translated(self, wire: Wire, quirks: Quirks) -> bool:
        return self._is_changed or wire.name != _OURS or not quirks.relays

    def reader(self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int) -> Reader[bytes]:
        if self._is_translated(wire, quirks):
            inner = self.asked.inner(wire, model, quirks, content_type=content_type, sent_bytes=sent_bytes)
            return self.asked.reader(inner, index=0)
        if not self._request.stream:
            return RelayWhole(content_type=content_type, sent_bytes=sent_bytes)
        return RelayStream(
            keep_usage_chunk=self._request.wants_usage,
            add_role=True,
            content_type=content_type,
            quirks=quirks,
            sent_bytes=sent_bytes,
            choices=self._request.choices,
        )


class Asked:
    """The same request in no provider's format, and how its answers are put into the client's."""

    def __init__(self, request: ChatRequest, thoughts: Thoughts) -> None:
        asked = read_call(request.body, thoughts)
        self.call = asked.call
        self._asked = asked
        self._thoughts = thoughts
        self._beyond = request.beyond(KNOWN_FIELDS)
        self._is_stream = request.stream
        self._wants_usage = request.wants_usage
        self._envelope = Envelope.fresh(request.model)
        self.choices = self._asked.choices
        self.has_tools = request.has_tools
        self.has_files = request.may_have_files

    def with_call(self, call: Call) -> "Asked":
        """The same with files that were made ready for one model."""
        other = copy.copy(self)
        other.call = call
        return other

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        call = self.call
        if wire.name == _OURS and self._beyond:
            call = msgspec.structs.replace(call, extra=self._beyond)
        try:
            return wire.request(call, model, quirks)
        except RecursionError as error:  # it could just be read, but not be written one level deeper
            raise InvalidRequest("The request body is too deeply nested.") from error

    def inner(self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int) -> NeutralReader:
        return reader_for(self.call, wire, model, quirks, content_type=content_type, sent_bytes=sent_bytes)

    def reader(self, inner: NeutralReader, *, index: int) -> Reader[bytes]:
        shows_reasoning, is_legacy = self._asked.shows_reasoning, self._asked.is_legacy
        if not self._is_stream:
            return TranslatedWhole(
                inner, self._envelope, self._thoughts, shows_reasoning=shows_reasoning, is_legacy=is_legacy, index=index
            )
        return TranslatedStream(
            inner,
            self._envelope,
            self._thoughts,
            keep_usage=self._wants_usage,
            shows_reasoning=shows_reasoning,
            is_legacy=is_legacy,
            index=index,
            is_alone=self.choices == 1,
        )

    def end_of_stream(self, usages: Sequence[Usage]) -> bytes:
        """What follows the last of several choices."""
        return (self._envelope.usage_frame(summed(usages)) if self._wants_usage else b"") + DONE_FRAME

    def together(self, answers: Sequence[TranslatedWhole], usages: Sequence[Usage]) -> bytes:
        """Several answers as the choices of one."""
        return self._envelope.whole([answer.choice() for answer in answers], summed(usages))


class AnotherChoice(CarriesFiles[bytes]):
    """The request once more, for a choice of its own: always translated, whichever wire it meets."""

    wire: str | None = _OURS
    tools_optional = False

    def __init__(self, asked: Asked, index: int) -> None:
        self._asked = asked
        self._index = index
        self.has_tools = asked.has_tools
        self.has_files = asked.has_files

    async def prepared(self, prepare: Prepare) -> "AnotherChoice":
        call = await prepare(self._asked.call)
        return self if call is self._asked.call else AnotherChoice(self._asked.with_call(call), self._index)

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        return self._asked.exchange(wire, model, quirks)

    def reader(self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int) -> Reader[bytes]:
        inner = self._asked.inner(wire, model, quirks, content_type=content_type, sent_bytes=sent_bytes)
        return self._asked.reader(inner, index=self._index)
