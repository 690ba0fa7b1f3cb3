"""A neutral call played against a fake through a real provider and a real socket."""

from collections.abc import Sequence
from typing import Any, TypeVar

from penstock.kit.secret import Secret
from penstock.providers.attempts import Attempts
from penstock.providers.base import (
    Call,
    Delta,
    Exchange,
    Message,
    ProviderConfig,
    Quirks,
    Reader,
    TextDelta,
    Tool,
    ToolDelta,
    Translation,
    Wire,
)
from penstock.providers.provider import Provider
from tests.fakes.provider_server import ProviderServer

Output = TypeVar("Output")

KEY = "sk-fake-key-0001"
LOOK_UP = Tool("look_up", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}})
_DETAILS = ("apiVersion", "resourceName", "api", "flavor")


class Neutral:
    """A caller who asks once, and hears deltas."""

    wire: str | None = None

    def __init__(self, call: Call) -> None:
        self._call = call
        self.has_tools = bool(call.tools)
        self.tools_optional = call.tools_optional

    def exchange(self, wire: Wire, model: str, quirks: Quirks) -> Exchange:
        return wire.request(self._call, model, quirks)

    def reader(
        self, wire: Wire, model: str, quirks: Quirks, *, content_type: str, sent_bytes: int
    ) -> Reader[Sequence[Delta]]:
        return wire.reader(
            model=model, content_type=content_type, quirks=quirks, tools=self._call.tools, sent_bytes=sent_bytes
        )


def call(text: str = "Hi", **fields: Any) -> Call:
    return Call(messages=[Message(role="user", content=text)], **fields)


def config_of(server: ProviderServer, **more: str) -> ProviderConfig:
    """The fake's own entry, as the catalog would read it."""
    entry = {**server.entry(), **more}
    details = tuple((name, entry[name]) for name in _DETAILS if name in entry)
    keys = tuple(Secret(key) for key in entry["apiKeys"])  # type: ignore[attr-defined]
    return ProviderConfig(
        key="mine",
        type=str(entry["type"]),
        name="Mine",
        base_url=str(entry["baseUrl"]),
        api_keys=keys,
        details=details,  # type: ignore[arg-type]
    )


async def pieces_of(
    provider: Provider, model: str, translation: Translation[Output], attempts: Attempts | None = None
) -> list[Output]:
    """The whole answer, as it came. Raises UpstreamError, also in the middle."""
    answer = await provider.open(model, translation, attempts or Attempts())
    found = list(answer.ready)
    try:
        while (piece := await answer.next()) is not None:
            found.append(piece)
    finally:
        answer.close()
    return found


async def deltas_of(provider: Provider, model: str, asked: Call, attempts: Attempts | None = None) -> list[Delta]:
    """Raises UpstreamError, also in the middle."""
    return [delta for piece in await pieces_of(provider, model, Neutral(asked), attempts) for delta in piece]


async def text_of(provider: Provider, model: str, asked: Call) -> str:
    found = await deltas_of(provider, model, asked)
    return "".join(one.text for one in found if isinstance(one, TextDelta))


def calls_in(deltas: Sequence[Delta]) -> list[str]:
    return [one.name for one in deltas if isinstance(one, ToolDelta) and one.name is not None]
