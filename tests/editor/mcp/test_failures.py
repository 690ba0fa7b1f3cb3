"""What servers do wrong: it costs their own tools, and never a chat."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest
import structlog

from penstock.editor.mcp.servers import McpServer
from penstock.editor.mcp.toolbox import Toolbox
from penstock.kit.secret import Secret
from tests.editor.conftest import caller
from tests.editor.mcp.conftest import Rooms, at, called
from tests.fakes.mcp_server import McpFake, running_mcp
from tests.service import free_port

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def names(toolbox: Toolbox) -> list[str]:
    return [tool.name for tool in toolbox.tools]


async def until(condition: Any, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("where", ["connect", "list"])
async def test_a_server_that_hangs_is_left_out_and_the_others_are_there(
    rooms: Rooms, fake: McpFake, where: str
) -> None:
    fake.hangs.add(where)
    with running_mcp() as well:
        mcp = rooms.open(at(fake, "hung"), at(well, "well"))
        async with asyncio.timeout(5):
            toolbox = await mcp.toolbox(caller())
        assert "well-echo" in names(toolbox)
        assert not any(name.startswith("hung-") for name in names(toolbox))
        assert toolbox.notes == ["The tools of `hung` are not available at the moment: it did not answer in time."]


async def test_a_server_that_hung_rests_is_logged_once_and_comes_back(rooms: Rooms, fake: McpFake) -> None:
    fake.hangs.add("list")
    mcp = rooms.open(at(fake))
    with structlog.testing.capture_logs() as lines:
        assert names(await mcp.toolbox(caller())) == []
        asked = len(fake.asked)
        async with asyncio.timeout(1):  # while it rests, nobody waits for it
            assert names(await mcp.toolbox(caller())) == []
        assert len(fake.asked) == asked
        fake.hangs.clear()
        rooms.clock.ahead_s += 20
        for _ in range(100):
            if names(await mcp.toolbox(caller())):
                break
            rooms.clock.ahead_s += 300
            await asyncio.sleep(0.1)
        assert "crm-echo" in names(await mcp.toolbox(caller()))
    events = [line["event"] for line in lines]
    assert events.count("an MCP server is left out of chats") == 1
    assert events.count("an MCP server is back") == 1


@pytest.mark.parametrize("status", [500, 403, 301])
async def test_a_server_that_answers_something_else_is_left_out_with_its_status(
    rooms: Rooms, fake: McpFake, status: int
) -> None:
    fake.status = status
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    assert toolbox.tools == []
    (note,) = toolbox.notes
    assert "`crm`" in note


async def test_a_server_that_is_not_there_is_left_out(rooms: Rooms) -> None:
    nowhere = McpServer(name="crm", url=f"http://127.0.0.1:{free_port()}/mcp")
    toolbox = await rooms.open(nowhere).toolbox(caller())
    assert toolbox.tools == []
    assert toolbox.notes == ["The tools of `crm` are not available at the moment: it cannot be reached."]


async def test_a_redirect_to_another_host_is_not_followed(rooms: Rooms, fake: McpFake) -> None:
    with running_mcp() as other:
        fake.redirects_to = other.url
        headers = (("x-key", Secret("canary")),)
        toolbox = await rooms.open(at(fake, headers=headers)).toolbox(caller())
        assert toolbox.tools == []
        assert other.asked == []


async def test_configured_headers_are_sent_and_never_shown(rooms: Rooms, fake: McpFake) -> None:
    server = at(fake, headers=(("x-key", Secret("canary-of-the-header")),))
    toolbox = await rooms.open(server).toolbox(caller())
    assert fake.headers["x-key"] == "canary-of-the-header"
    fake.status = 500
    with structlog.testing.capture_logs() as lines:
        _, result = await called(toolbox, "crm-echo")
    assert not result.success
    assert "canary" not in repr((server, lines, result))


async def test_t28_the_time_of_a_call_is_honoured_and_the_server_is_told(rooms: Rooms, fake: McpFake) -> None:
    fake.hangs.add("echo")
    toolbox = await rooms.open(at(fake, call_timeout_s=0.3)).toolbox(caller())
    heard, result = await called(toolbox, "crm-echo")
    assert len(heard) == 1
    assert not result.success
    assert result.result == "The tool did not answer within 0.3 seconds, and the call was cancelled."
    await until(lambda: fake.cancelled == ["echo"])
    _, result = await called(toolbox, "crm-structured")
    assert result.success


async def test_closing_a_call_cancels_it_at_the_server_and_leaves_other_chats_alone(
    rooms: Rooms, fake: McpFake
) -> None:
    fake.hangs.add("echo")
    mcp = rooms.open(at(fake))
    toolbox = await mcp.toolbox(caller())
    async with aclosing(toolbox.call("crm-echo", "{}")) as events:
        await anext(events)
        waiting = asyncio.create_task(anext(events))
        await until(lambda: fake.called)
        other = asyncio.create_task(called(await mcp.toolbox(caller("bob")), "crm-chatty", '{"who": "bob"}'))
        waiting.cancel()
        await asyncio.wait((waiting,))
    await until(lambda: fake.cancelled == ["echo"])
    _, result = await other
    assert result.result == "bob"


async def test_the_chat_that_opened_a_session_may_be_cancelled_without_ending_it(rooms: Rooms, fake: McpFake) -> None:
    mcp = rooms.open(at(fake))
    first = asyncio.create_task(mcp.toolbox(caller()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    toolbox = await mcp.toolbox(caller("bob"))
    _, result = await called(toolbox, "crm-echo", '{"text": "x"}')
    assert result.success
    assert fake.asked.count("tools/list") == 1


async def test_what_one_call_hears_is_never_heard_by_another_on_the_same_session(rooms: Rooms, fake: McpFake) -> None:
    mcp = rooms.open(at(fake))
    await mcp.toolbox(caller())

    async def chat(who: str) -> None:
        toolbox = await mcp.toolbox(caller(who))
        heard, result = await called(toolbox, "crm-chatty", f'{{"who": "{who}"}}')
        said = {one.data["said"] for one in heard if "said" in one.data}
        assert (said, result.result) == ({who}, who)

    await asyncio.gather(*(chat(f"user-{number}") for number in range(8)))
    assert fake.asked.count("tools/list") == 1


async def test_a_server_that_dies_in_a_call_fails_that_call_and_is_spoken_to_again(rooms: Rooms, fake: McpFake) -> None:
    fake.hangs.add("echo")
    toolbox = await rooms.open(at(fake)).toolbox(caller())

    async def die() -> None:
        await until(lambda: fake.called)
        await asyncio.to_thread(fake.break_connections)

    dying = asyncio.create_task(die())
    async with asyncio.timeout(20):
        _, result = await called(toolbox, "crm-echo")
    await dying
    assert not result.success
    assert result.result.startswith("The tool could not be called at its server: ")
    fake.hangs.clear()
    _, result = await called(toolbox, "crm-echo", '{"text": "again"}')
    assert result.result == "again"


async def test_a_server_that_has_forgotten_the_session_is_called_in_a_new_one(rooms: Rooms) -> None:
    with running_mcp(legacy=True) as fake:
        toolbox = await rooms.open(at(fake)).toolbox(caller())
        await called(toolbox, "crm-echo")
        await asyncio.to_thread(fake.forget_sessions)
        _, result = await called(toolbox, "crm-echo", '{"text": "again"}')
        assert (result.result, result.success) == ("again", True)
        assert fake.asked.count("initialize") == 2


async def test_a_server_that_hangs_on_the_cancellation_does_not_hold_up_the_chat(rooms: Rooms, fake: McpFake) -> None:
    toolbox = await rooms.open(at(fake)).toolbox(caller())
    fake.hangs.add("echo")
    fake.hangs_on_notifications = True
    async with asyncio.timeout(3):
        async with aclosing(toolbox.call("crm-echo", "{}")) as events:
            await anext(events)
            waiting = asyncio.create_task(anext(events))
            await until(lambda: fake.called)
            waiting.cancel()
            await asyncio.wait((waiting,))
    async with asyncio.timeout(10):
        _, result = await called(toolbox, "crm-structured")
    assert result.success


async def test_a_changed_list_of_tools_is_asked_for_anew(rooms: Rooms, fake: McpFake) -> None:
    mcp = rooms.open(at(fake))
    toolbox = await mcp.toolbox(caller())
    assert "crm-grown" not in names(toolbox)
    if fake.legacy:
        await called(toolbox, "crm-grow")
    else:
        await until(lambda: "subscriptions/listen" in fake.asked)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(fake.add_tool, "grown")
    for _ in range(200):
        if "crm-grown" in names(await mcp.toolbox(caller())):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it is never offered")


async def test_lists_are_remembered_for_minutes_and_then_asked_for_again(rooms: Rooms, fake: McpFake) -> None:
    mcp = rooms.open(at(fake))
    for _ in range(5):
        await mcp.toolbox(caller())
    assert fake.asked.count("tools/list") == 1
    rooms.clock.ahead_s += 400
    await mcp.toolbox(caller())
    assert fake.asked.count("tools/list") == 2


async def test_idle_sessions_are_pinged_and_dead_ones_are_evicted_with_a_line_in_the_log(
    rooms: Rooms, fake: McpFake
) -> None:
    mcp = rooms.open(at(fake), ping_every_s=0.2)
    await mcp.toolbox(caller())
    ping = "ping" if fake.legacy else "server/discover"
    before = fake.asked.count(ping)
    with structlog.testing.capture_logs() as lines:
        watching = asyncio.create_task(mcp.watch())
        await until(lambda: fake.asked.count(ping) > before + 1)
        assert lines == []
        fake.hangs.add("connect")
        await until(lambda: any(line["event"] == "MCP client health check ping failed, evicting" for line in lines), 20)
        watching.cancel()
    fake.hangs.clear()
    assert "crm-echo" in names(await mcp.toolbox(caller()))


async def test_closing_ends_sessions_at_their_servers_soon_even_if_those_hang(rooms: Rooms, fake: McpFake) -> None:
    mcp = rooms.open(at(fake))
    await mcp.toolbox(caller())
    fake.hangs.add("connect")
    async with asyncio.timeout(8):
        await mcp.aclose()


async def test_two_tools_of_one_name_are_offered_once(rooms: Rooms, fake: McpFake) -> None:
    fake.more_tools.append("b-echo")
    toolbox = await rooms.open(at(fake, "a"), at(fake, "a-b")).toolbox(caller())
    assert names(toolbox).count("a-b-echo") == 1


async def test_a_toolbox_is_made_without_a_server_that_is_let_go_meanwhile(rooms: Rooms, fake: McpFake) -> None:
    fake.hangs.add("list")
    mcp = rooms.open(at(fake))
    making = asyncio.create_task(mcp.toolbox(caller()))
    await until(lambda: "tools/list" in fake.asked)
    await mcp.aclose()
    assert (await making).tools == []
