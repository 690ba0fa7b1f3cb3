"""What a model has said so far: as it is told to the client, and as it is kept."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from penstock.editor.conversations.answering import Piece
from penstock.editor.conversations.errors import EmptyReply
from penstock.editor.conversations.tools import SearchBegun, ToolCalled
from penstock.editor.edits.answer import Edited, Said
from penstock.editor.mcp.toolbox import ToolNotification, ToolResult
from penstock.editor.web.search import Found
from penstock.http.answers import Event
from penstock.kit.ids import short_id
from penstock.providers.base import Finish, FinishReason, ReasoningDelta, Source, Warning_
from penstock.telemetry.logs import log

_REASONING_EVERY_S: Final = 5.0
_LONGEST_URL: Final = 4096


class Item:
    """One item of the answer, whose content grows."""

    __slots__ = ("fields", "pieces")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self.pieces: list[str] = []

    def shown(self) -> dict[str, Any]:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return {**self.fields, "content": self.pieces[0] if self.pieces else ""}


class Answer:
    """What the model has said so far, and how it is stored and shown.

    Each document that is edited has one modification, whatever its pieces (`spec/editor-api.md` 7.2). What is not text
    is held back within a modification: the editor takes anything in between for the end of it.
    """

    def __init__(self, document_ids: Sequence[str] = (), *, legacy_events: bool = False) -> None:
        self._document_ids = document_ids
        self._legacy_events = legacy_events
        self._items: list[Item] = []
        self._edits: dict[int, Item] = {}
        self._sources: list[dict[str, Any]] = []
        self._reasoning_due = float("-inf")
        self._finish: FinishReason = "stop"
        self._is_editing = False
        self._held: list[Event] = []

    @property
    def is_empty(self) -> bool:
        return not any(map(_is_something, self.content()))

    @property
    def is_silent(self) -> bool:
        """No word of it has been told."""
        return not self._items

    def why_empty(self) -> EmptyReply:
        return EmptyReply(self._finish, reasoned=self._reasoning_due > 0)

    def content(self) -> list[dict[str, Any]]:
        """The items as they are stored."""
        shown = [item.shown() for item in self._items]
        # Nothing but blank lines is no answer: the editor would show an empty balloon.
        return [item for item in shown if item["type"] != "text" or item["content"].strip()] + self._sources

    def hear(self, piece: Piece, now_s: float) -> list[Event]:
        """Take a piece in; the events that tell the client of it."""
        match piece:
            case Said(text=text) if text:
                return [*self._release(), self._say(text)]
            case Edited() if piece.html:
                self._is_editing = True
                return [self._edit(piece)]
        if self._is_editing:
            self._held += self._beside(piece, now_s)
            return []
        return self._beside(piece, now_s)

    def tell(self, event: Event) -> list[Event]:
        """An event that is no part of the answer, when its time has come."""
        if self._is_editing:
            self._held.append(event)
            return []
        return [event]

    def end(self) -> list[Event]:
        """What was held back until the end."""
        return self._release()

    def _release(self) -> list[Event]:
        self._is_editing = False
        held, self._held = self._held, []
        return held

    # --- text and edits ----------------------------------------------------------------------------------------------

    def _say(self, text: str) -> Event:
        last = self._items[-1] if self._items else None
        if last is None or last.fields["type"] != "text":
            last = self._open({"type": "text"})
        last.pieces.append(text)
        return Event("text-delta", {"textDelta": text})

    def _edit(self, piece: Edited) -> Event:
        item = self._edits.get(piece.document)
        if item is None:
            document_id = self._document_ids[piece.document]
            item = self._edits[piece.document] = self._open(
                {"type": "modification", "id": short_id(), "documentId": document_id}
            )
        item.pieces.append(piece.html)
        ids = {name: item.fields[name] for name in ("id", "documentId")}
        return Event("modification-delta", ids | {"textDelta": piece.html})

    def _open(self, fields: dict[str, Any]) -> Item:
        self._items.append(Item(fields))
        return self._items[-1]

    # --- everything else ---------------------------------------------------------------------------------------------

    def _beside(self, piece: Piece, now_s: float) -> list[Event]:
        match piece:
            case ReasoningDelta() if now_s >= self._reasoning_due:
                self._reasoning_due = now_s + _REASONING_EVERY_S
                return [Event("reasoning", {})]
            case SearchBegun():
                return [Event("web-search", {})]
            case Source(url=url, title=title):
                return self._source(url, title, None)
            case Found(url=url, title=title, favicon=favicon):
                return self._source(url, title, favicon)
            case ToolCalled(name=name, arguments=arguments):
                return self._legacy("tool-call", {"toolName": name, "arguments": arguments})
            case ToolNotification(tool_name=name, level=level, data=data):
                return [Event("mcp-tool-notification", {"toolName": name, "level": level, "data": data})]
            case ToolResult():
                return self._tool_result(piece)
            case Finish(reason=reason):
                self._finish = reason
            case Warning_():
                log.warning("the model's answer came with a warning", code=piece.code, reason=piece.message)
        return []

    def _tool_result(self, piece: ToolResult) -> list[Event]:
        item = self._open({"type": "mcp-tool-result", "id": short_id(), "toolName": piece.tool_name})
        item.pieces.append(piece.result)
        shown = {"toolName": piece.tool_name, "result": piece.result, "success": piece.success}
        return [
            Event("mcp-tool-result", shown),
            *self._legacy("tool-result", {"toolName": piece.tool_name, "result": piece.result}),
        ]

    def _legacy(self, name: str, data: dict[str, Any]) -> list[Event]:
        return [Event(name, data)] if self._legacy_events else []

    def _source(self, url: str, title: str | None, favicon: str | None) -> list[Event]:
        if not _is_web_address(url) or any(known["url"] == url for known in self._sources):
            return []
        shown = {"type": "url", "id": short_id(), "url": url} | ({"title": title} if title else {})
        if favicon and _is_web_address(favicon):
            shown["favicon"] = favicon
        self._sources.append(shown)
        return [Event("source", {"source": shown})]


def _is_something(item: Mapping[str, Any]) -> bool:
    return item["type"] in ("text", "modification")


def _is_web_address(url: str) -> bool:
    """Whether the editor can show it: its history drops an answer with any other."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(url) <= _LONGEST_URL
