"""What a family of wires makes of a request: the exchanges that it takes, and how each answer is read.

Embeddings and images come in portions: a provider takes so many inputs, or makes so many images, in one exchange
(`Plan`, sent as `Portion`s). Everything else is one exchange whose answer goes to the caller as it comes (`Ask`, sent
by `Direct`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, Protocol, TypeVar, cast

from penstock.errors import UpstreamRefused
from penstock.providers.base import Exchange, Quirks, Reader, Usage, Wire
from penstock.providers.media import asked
from penstock.providers.media.results import Drawn, Embedded
from penstock.providers.media.whole import WholeReader

T = TypeVar("T")


class NotOffered(UpstreamRefused):
    """The provider has no such service, or not for what was asked; no call was made (`spec/providers.md` 1.4)."""

    status, code = 400, "upstream_unsupported"


@dataclass(frozen=True)
class Plan(Generic[T]):
    """`exchange` and `read` are given which part of the request is meant: the first, and how many."""

    at_once: int
    exchange: Callable[[int, int], Exchange]
    read: Callable[[bytes, int], tuple[T, Usage | None]]
    """Raises UpstreamError, NotJson and msgspec.DecodeError for an answer that is none."""
    warnings: tuple[str, ...] = ()
    """What was left out of the request, in a sentence each."""


@dataclass(frozen=True)
class Ask:
    """`reader` is given the answer's content type, and returns the content type that the caller is given too."""

    exchange: Exchange
    reader: Callable[[str], tuple[Reader[Sequence[bytes]], str]]
    warnings: tuple[str, ...] = ()


class Family(Protocol):
    """Each raises NotOffered."""

    def embeddings(self, asked: asked.Embeddings, model: str, quirks: Quirks) -> Plan[Embedded]: ...

    def pictures(self, asked: asked.Pictures, model: str, quirks: Quirks) -> Plan[Drawn]: ...

    def picture_events(self, asked: asked.Pictures, model: str, quirks: Quirks) -> Ask: ...

    def transcription(self, asked: asked.Recording, wire: Wire, model: str, quirks: Quirks) -> Ask: ...

    def speech(self, asked: asked.Speech, model: str, quirks: Quirks) -> Ask: ...


_FAMILIES = {"openai_chat": "openai", "openai_responses": "openai", "gemini": "gemini", "bedrock": "bedrock"}


def family_of(wire: Wire) -> Family:
    """Its module is imported on first use. Raises NotOffered for a wire that only chats."""
    name = _FAMILIES.get(wire.name)
    if name is None:
        raise not_offered("This provider only chats", "It has no embeddings, images, transcription or speech")
    return cast(Family, import_module(f"penstock.providers.media.{name}"))


def not_offered(message: str, why: str) -> NotOffered:
    return NotOffered(f"{message}.", explanation=f"{why}.", action="Use a model of another provider.", param="model")


def texts_of(request: asked.Embeddings) -> Sequence[str]:
    """The inputs, for a provider that takes texts alone. Raises NotOffered for token numbers."""
    if request.texts is None:
        raise NotOffered(
            "This provider makes vectors of texts only, and `input` has token numbers.",
            explanation="Which text they stand for depends on a vocabulary that only the client knows.",
            action="Send the text itself.",
            param="input",
        )
    return request.texts


class Portion(Generic[T]):
    """A `Translation` of one part of a request: as many as the provider takes at once, beginning with `first`."""

    wire: str | None = "openai_chat"
    has_tools = tools_optional = False

    def __init__(self, planned: Callable[[Wire, str, Quirks], Plan[T]], first: int, most: int) -> None:
        self._planned = planned
        self._plan: Plan[T] | None = None
        self._first = first
        self._most = most
        self.count = most
        """How many are asked for, once the exchange has been made."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._plan.warnings if self._plan is not None else ()

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        self._plan = plan = self._planned(wire, model, quirks)
        self.count = min(self._most, plan.at_once)
        return plan.exchange(self._first, self.count)

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[T]]:
        plan, count = self._plan or self._planned(wire, model, quirks), self.count

        def read(body: bytes) -> tuple[T, Usage | None]:
            return plan.read(body, count)

        return WholeReader(read, content_type=content_type, sent_bytes=sent_bytes)


class Direct:
    """A `Translation` into one exchange."""

    wire: str | None = "openai_chat"
    has_tools = tools_optional = False

    def __init__(self, asking: Callable[[Wire, str, Quirks], Ask]) -> None:
        self._asking = asking
        self._ask: Ask | None = None
        self.content_type = ""
        """Of what the caller is given, once the answer has begun."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._ask.warnings if self._ask is not None else ()

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        self._ask = self._asking(wire, model, quirks)
        return self._ask.exchange

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[bytes]]:
        ask = self._ask or self._asking(wire, model, quirks)
        reader, self.content_type = ask.reader(content_type)
        return reader


def embedding(request: asked.Embeddings) -> Callable[[Wire, str, Quirks], Plan[Embedded]]:
    return lambda wire, model, quirks: family_of(wire).embeddings(request, model, quirks)


def drawing(request: asked.Pictures) -> Callable[[Wire, str, Quirks], Plan[Drawn]]:
    return lambda wire, model, quirks: family_of(wire).pictures(request, model, quirks)


def drawing_live(request: asked.Pictures) -> Callable[[Wire, str, Quirks], Ask]:
    return lambda wire, model, quirks: family_of(wire).picture_events(request, model, quirks)


def transcribing(request: asked.Recording) -> Callable[[Wire, str, Quirks], Ask]:
    return lambda wire, model, quirks: family_of(wire).transcription(request, wire, model, quirks)


def speaking(request: asked.Speech) -> Callable[[Wire, str, Quirks], Ask]:
    return lambda wire, model, quirks: family_of(wire).speech(request, model, quirks)
