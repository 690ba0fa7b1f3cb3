"""Tools of MCP servers in a message: what is offered, and what a call says and gives."""

import json
from typing import Any

import pytest

from penstock.editor.mcp.toolbox import ToolContext
from tests.editor.conftest import caller
from tests.editor.mcp.conftest import Rooms, at, called
from tests.fakes.mcp_server import McpFake

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def test_tools_are_offered_under_the_name_of_their_server(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    names = [tool.name for tool in toolbox.tools]
    assert "crm-echo" in names
    assert all(name.startswith("crm-") for name in names)
    assert toolbox.tools[0].schema["type"] == "object"
    assert toolbox.notes == []


async def test_t28_a_disabled_tool_is_not_offered(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake, disabled=frozenset({"echo"}))).toolbox(caller())
    assert "crm-echo" not in [tool.name for tool in toolbox.tools]
    _, result = await called(toolbox, "crm-echo")
    assert not result.success
    assert fake.called == []


async def test_t28_w26_a_call_says_that_it_starts_and_ends_with_a_result_that_has_success(
    rooms: Rooms, fake: McpFake
) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    heard, result = await called(toolbox, "crm-echo", '{"text": "hello"}')
    assert [(one.tool_name, one.level) for one in heard] == [("crm-echo", "info")]
    assert (result.tool_name, result.result, result.success) == ("crm-echo", "hello", True)
    assert fake.called == [("echo", {"text": "hello"})]


async def test_what_a_server_says_while_a_tool_runs_is_heard(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    heard, result = await called(toolbox, "crm-chatty", '{"who": "ann"}')
    assert result.result == "ann"
    logged = [one.data for one in heard if one.level == "warning"]
    assert logged == [{"said": "ann", "n": n} for n in range(3)]
    progress = [one.data["message"] for one in heard if "progress" in one.data]
    assert progress == ["step 1", "step 2", "step 3"]


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("structured", '{"data":{"answer":42}}'),
        (
            "mixed",
            "One.\n\n[image, image/png, about 3 KiB; not shown here]\n\n[resource file:///report.pdf, Report]\n\n"
            "[resource note:1]\nTwo.",
        ),
        ("nothing", "The tool returned nothing."),
    ],
)
async def test_results_of_every_kind_become_one_text(rooms: Rooms, fake: McpFake, tool: str, text: str) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    _, result = await called(toolbox, f"crm-{tool}")
    assert (result.result, result.success) == (text, True)


async def test_a_tool_that_fails_says_so_in_its_own_words(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    _, result = await called(toolbox, "crm-failing")
    assert (result.result, result.success) == ("No such customer.", False)
    _, result = await called(toolbox, "crm-raising")
    assert not result.success
    assert result.result


async def test_a_huge_result_is_cut_with_a_note(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    _, result = await called(toolbox, "crm-huge", '{"characters": 200000}')
    assert result.success
    assert len(result.result.encode()) < 103_000
    assert result.result.startswith("ééé")
    assert result.result.endswith("[Cut: the result has 390 KiB, and only the first 100 are here.]")


async def test_a_result_beyond_all_bounds_fails_its_call_only(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    _, result = await called(toolbox, "crm-huge", '{"characters": 5000000}')
    assert not result.success
    assert "larger than 4 MiB" in result.result
    _, result = await called(toolbox, "crm-echo", '{"text": "still here"}')
    assert result.result == "still here"


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "\ud800", "[" * 100_000])
async def test_arguments_that_are_no_object_are_refused_before_the_server_sees_them(
    rooms: Rooms, fake: McpFake, arguments: str
) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    _, result = await called(toolbox, "crm-echo", arguments)
    assert not result.success
    assert "not a JSON object" in result.result
    assert fake.called == []


async def test_no_arguments_are_an_empty_object(rooms: Rooms, fake: McpFake) -> None:
    _, result = await called(await rooms.open(at(fake)).toolbox(caller()), "crm-echo", "")
    assert result.success


async def test_a_tool_that_nobody_offered_is_answered_with_words(rooms: Rooms, fake: McpFake) -> None:
    _, result = await called(await rooms.open(at(fake)).toolbox(caller()), "crm-none")
    assert not result.success
    assert "no tool `crm-none`" in result.result


async def test_contexts_reach_the_tools_they_are_for_and_no_other(rooms: Rooms, fake: McpFake) -> None:
    def context(number: int, server: str, tool: str | None) -> ToolContext:
        return ToolContext(server=server, tool=tool, data={"canary": number}, id=f"id-{number}")

    contexts = [context(1, "crm", None), context(2, "crm", "echo"), context(3, "crm", "crm-echo")]
    contexts += [context(4, "crm", "nothing"), context(5, "other", None)]
    toolbox = await rooms.open(at(fake)).toolbox(caller(), contexts)
    assert "canary" not in repr(toolbox.tools)
    await called(toolbox, "crm-echo")
    await called(toolbox, "crm-structured")
    seen: list[Any] = [meta.get("penstock/context") for meta in fake.metas]
    assert seen[0] == [{"id": f"id-{n}", "data": {"canary": n}} for n in (1, 2, 3)]
    assert seen[1] == [{"id": "id-1", "data": {"canary": 1}}]
    assert json.dumps(fake.called) == '[["echo", {}], ["structured", {}]]'
