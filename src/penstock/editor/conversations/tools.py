"""What a model may use while it answers a message: web search, and the tools of MCP servers."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from penstock.editor.mcp.toolbox import Toolbox, ToolNotification, ToolResult
from penstock.editor.web.search import (
    SEARCH_TOOL,
    Found,
    SearchFailed,
    WebSearch,
    read_query,
    results_for_model,
    search_tool,
)
from penstock.providers.base import Message, Tool, ToolCall

_UNKNOWN: Final = "There is no tool of this name. Answer without it."


class SearchBegun(msgspec.Struct, frozen=True):
    """A web search is being made."""


class ToolCalled(msgspec.Struct, frozen=True):
    """The model calls a tool of an MCP server. `arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str


class Answered(msgspec.Struct, frozen=True):
    """What the model is told of its call. Exactly one, last."""

    message: Message


Used = SearchBegun | Found | ToolCalled | ToolNotification | ToolResult | Answered


class Tools:
    """For one message. `search` None: no web search. `toolbox` None: no MCP servers."""

    def __init__(self, search: WebSearch | None, toolbox: Toolbox | None) -> None:
        self._search = search
        self._toolbox = toolbox

    @property
    def offered(self) -> Sequence[Tool]:
        searching = (search_tool(),) if self._search is not None else ()
        return (*searching, *(self._toolbox.tools if self._toolbox is not None else ()))

    @property
    def notes(self) -> Sequence[str]:
        """What the model should know of tools that it does not have."""
        return self._toolbox.notes if self._toolbox is not None else ()

    def use(self, call: ToolCall) -> AsyncGenerator[Used, None]:
        """Run one call. Whatever happens to the tool, the model is told. Close the generator to give up."""
        if call.name == SEARCH_TOOL and self._search is not None:
            return self._searched(self._search, call)
        if self._toolbox is not None and any(tool.name == call.name for tool in self._toolbox.tools):
            return self._called(self._toolbox, call)
        return _refused(call)

    async def search_first(self, prompt: str) -> AsyncGenerator[Used, None]:
        """For models without tools: one search for the message itself, before it is asked."""
        if self._search is not None:
            call = ToolCall("search", SEARCH_TOOL, msgspec.json.encode({"query": prompt[:400]}).decode())
            async with aclosing(self._searched(self._search, call)) as used:
                async for one in used:
                    yield one

    async def _searched(self, search: WebSearch, call: ToolCall) -> AsyncGenerator[Used, None]:
        query = read_query(call.arguments)
        if query is None:
            yield Answered(_result(call, "The call needs a JSON object with the text `query`.", is_error=True))
            return
        yield SearchBegun()
        try:
            found = await search.search(query)
        except SearchFailed as error:
            yield Answered(_result(call, results_for_model(error), is_error=True))
            return
        for one in found:
            yield one
        yield Answered(_result(call, results_for_model(found)))

    async def _called(self, toolbox: Toolbox, call: ToolCall) -> AsyncGenerator[Used, None]:
        yield ToolCalled(call.name, call.arguments)
        async with aclosing(toolbox.call(call.name, call.arguments)) as events:
            async for event in events:
                yield event
                if isinstance(event, ToolResult):
                    yield Answered(_result(call, event.result, is_error=not event.success))
                    return
        yield Answered(_result(call, "The tool gave no result.", is_error=True))


async def _refused(call: ToolCall) -> AsyncGenerator[Used, None]:
    yield Answered(_result(call, _UNKNOWN, is_error=True))


def _result(call: ToolCall, text: str, *, is_error: bool = False) -> Message:
    return Message(role="tool", content=text, tool_call_id=call.id, name=call.name, is_error=is_error)
