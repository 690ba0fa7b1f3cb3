"""Chats with tools, without HTTP around them: rounds, web search, results, and what goes wrong on the way."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from penstock.editor.calls.records import CallRecords
from penstock.editor.conversations.composing import Composing
from penstock.editor.conversations.schemas import NewConversation, NewMessage
from penstock.editor.conversations.service import ConversationOptions, Conversations
from penstock.editor.mcp.toolbox import ToolNotification, ToolResult
from penstock.editor.web.search import Found, SearchFailed
from penstock.http.answers import Event
from penstock.providers.base import Tool
from tests.editor.conftest import Room, caller
from tests.fakes.openai_upstream import CallsTool, Finish, Text, Thinks

ANN = caller("ann")
WEATHER = Tool("sky-weather", "The weather at a place.", {"type": "object", "properties": {}})
PAGES = [
    Found("https://example.com/a", "A", "Text of A", favicon="https://example.com/a.ico"),
    Found("ftp://x", "B", "B"),
]


class Sky:
    """A toolbox with one tool that works and one that does not."""

    notes: Sequence[str] = ("The tools of `sea` are not reachable at present.",)
    tools: Sequence[Tool] = (WEATHER, Tool("sky-broken", "", {"type": "object"}))

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def call(self, name: str, arguments: str) -> AsyncGenerator[ToolNotification | ToolResult, None]:
        self.calls.append((name, arguments))
        yield ToolNotification(name, "info", {"message": "started"})
        yield ToolResult(name, "sunny" if name == "sky-weather" else "it broke", success=name == "sky-weather")


class Skies:
    def __init__(self) -> None:
        self.contexts: Sequence[Any] = ()
        self.box = Sky()

    async def toolbox(self, _: object, contexts: Sequence[Any]) -> Sky:
        self.contexts = contexts
        return self.box


class Search:
    def __init__(self, *, fails: bool = False) -> None:
        self.queries: list[str] = []
        self._fails = fails

    async def search(self, query: str) -> Sequence[Found]:
        self.queries.append(query)
        if self._fails:
            raise SearchFailed("The web search failed.")
        return PAGES


@pytest.fixture
def skies() -> Skies:
    return Skies()


def conversations(
    room: Room, *, search: Search | None = None, skies: Skies | None = None, **options: Any
) -> Conversations:
    composing = Composing(room.inference, room.storage, search, skies)  # type: ignore[arg-type]
    return room.built(composing, ConversationOptions(lock_wait_s=0.3, searches=search is not None, **options))


async def told(room: Conversations, **fields: Any) -> list[Event]:
    await room.create(ANN, NewConversation(id="c"))
    events = await room.say(ANN, "c", NewMessage.model_validate({"prompt": "Question", **fields}), CallRecords())
    return [event async for event in events]


def asked(room: Room, number: int) -> list[Any]:
    return list(room.upstream.chats[number].json["messages"])


async def test_a_tool_is_called_and_its_result_goes_back_to_the_model(room: Room, skies: Skies) -> None:
    room.upstream.plays(Text("Looking. "), CallsTool("sky-weather", '{"place":"Bonn"}'), Finish("tool_calls"))
    room.upstream.plays(Text("It is sunny."), Finish())
    chat = conversations(room, skies=skies)
    events = await told(chat)
    shown = [(event.name, event.data) for event in events if event.name.startswith("mcp")]
    assert shown == [
        ("mcp-tool-notification", {"toolName": "sky-weather", "level": "info", "data": {"message": "started"}}),
        ("mcp-tool-result", {"toolName": "sky-weather", "result": "sunny", "success": True}),
    ]
    assert "".join(event.data["textDelta"] for event in events if event.name == "text-delta") == "Looking. It is sunny."
    assert skies.box.calls == [("sky-weather", '{"place":"Bonn"}')]
    call, result = asked(room, 1)[-2:]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "call_1"
    assert result["content"] == "sunny"
    assert "`sea` are not reachable" in asked(room, 0)[0]["content"]
    kept = [item["type"] for item in (await chat.messages(ANN, "c"))[0][1].content]
    assert kept == ["text", "mcp-tool-result", "text"]


async def test_a_failing_or_unknown_tool_never_fails_the_message(room: Room, skies: Skies) -> None:
    calls = (CallsTool("sky-broken"), CallsTool("nothing", id="call_2", index=1))
    room.upstream.plays(*calls, Finish("tool_calls"))
    room.upstream.plays(Text("I could not."), Finish())
    events = await told(conversations(room, skies=skies))
    assert [event.data["success"] for event in events if event.name == "mcp-tool-result"] == [False]
    assert events[-1].name == "done"
    assert [one["tool_call_id"] for one in asked(room, 1) if one["role"] == "tool"] == ["call_1", "call_2"]


async def test_a_model_that_never_stops_calling_has_to_answer_in_the_end(room: Room, skies: Skies) -> None:
    for _ in range(8):
        room.upstream.plays(CallsTool("sky-weather"), Finish("tool_calls"))
    room.upstream.plays(Text("Enough."), Finish())
    events = await told(conversations(room, skies=skies))
    assert events[-1].name == "done"
    assert len(room.upstream.chats) == 9
    assert room.upstream.chats[-1].json["tool_choice"] == "none"


async def test_a_model_that_calls_even_when_it_may_not_is_not_obeyed(room: Room, skies: Skies) -> None:
    room.upstream.always_plays(Text("Again. "), CallsTool("sky-weather"), Finish("tool_calls"))
    events = await told(conversations(room, skies=skies))
    assert len(room.upstream.chats) == 9
    assert len(skies.box.calls) == 8
    assert events[-1].name == "done"


async def test_context_for_tools_reaches_the_tools_and_never_the_model(room: Room, skies: Skies) -> None:
    room.upstream.plays(Text("Hi."), Finish())
    item = {"type": "mcp-tool-context", "mcpServerName": "sky", "toolName": "weather", "data": {"user": "canary-7"}}
    chat = conversations(room, skies=skies)
    await told(chat, content=[item])
    (context,) = skies.contexts
    assert (context.server, context.tool, context.data) == ("sky", "weather", {"user": "canary-7"})
    assert "canary-7" not in str(room.upstream.chats[0].json)
    assert "canary-7" not in str((await chat.messages(ANN, "c"))[0][0].content)


async def test_t_27_a_search_is_made_and_its_pages_are_sources(room: Room) -> None:
    search = Search()
    room.upstream.plays(CallsTool("web_search", '{"query":"news of Bonn"}'), Finish("tool_calls"))
    room.upstream.plays(Text("See [A](https://example.com/a)."), Finish())
    events = await told(conversations(room, search=search), model="searching", capabilities={"webSearch": {}})
    assert search.queries == ["news of Bonn"]
    names = [event.name for event in events]
    assert names.count("web-search") == 1
    assert names.index("web-search") < names.index("source")
    (source,) = (event.data["source"] for event in events if event.name == "source")
    assert source | {"id": "?"} == {
        "type": "url",
        "id": "?",
        "url": "https://example.com/a",
        "title": "A",
        "favicon": "https://example.com/a.ico",
    }
    assert "Text of A" in asked(room, 1)[-1]["content"]


async def test_t_27_a_failing_search_is_told_to_the_model_and_the_reply_goes_on(room: Room) -> None:
    room.upstream.plays(CallsTool("web_search", '{"query":"news"}'), Finish("tool_calls"))
    room.upstream.plays(Text("The search failed, but I know this."), Finish())
    events = await told(
        conversations(room, search=Search(fails=True)), model="searching", capabilities={"webSearch": {}}
    )
    names = [event.name for event in events]
    assert ("web-search" in names, "source" in names, names[-1]) == (True, False, "done")
    assert "failed" in asked(room, 1)[-1]["content"]


async def test_a_model_without_tools_is_given_the_results_of_one_search(room: Room) -> None:
    search = Search()
    room.upstream.plays(Text("From A."), Finish())
    events = await told(conversations(room, search=search), model="toolless", capabilities={"webSearch": {}})
    assert search.queries == ["Question"]
    assert "Text of A" in asked(room, 0)[-1]["content"]
    assert "tools" not in room.upstream.chats[0].json
    assert [event.name for event in events if event.name in ("web-search", "source")] == ["web-search", "source"]


async def test_nothing_is_searched_where_the_message_does_not_ask_for_it(room: Room) -> None:
    search = Search()
    room.upstream.plays(Text("Hi."), Finish())
    await told(conversations(room, search=search), model="searching")
    assert "tools" not in room.upstream.chats[0].json
    assert search.queries == []


async def test_older_clients_may_have_the_events_of_their_time(room: Room, skies: Skies) -> None:
    room.upstream.plays(CallsTool("sky-weather", '{"a":1}'), Finish("tool_calls"))
    room.upstream.plays(Text("Sunny."), Finish())
    events = await told(conversations(room, skies=skies, legacy_tool_events=True))
    assert [event.data for event in events if event.name.startswith("tool-")] == [
        {"toolName": "sky-weather", "arguments": '{"a":1}'},
        {"toolName": "sky-weather", "result": "sunny"},
    ]


async def test_reasoning_is_told_as_an_event_and_never_as_words(room: Room) -> None:
    room.upstream.plays(Thinks("secret thought"), Thinks("more"), Text("Done."), Finish())
    events = await told(conversations(room))
    assert [event.data for event in events if event.name == "reasoning"] == [{}]
    assert "secret" not in str(events)
