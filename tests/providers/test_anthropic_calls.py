"""Whole calls in the Messages format: what is asked arrives, what is said comes back, at both addresses."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UpstreamError
from penstock.gateway.catalog.documents import Document
from penstock.gateway.catalog.fields import Notes
from penstock.gateway.catalog.providers import read_providers
from penstock.kit.clock import SystemClock
from penstock.providers.base import (
    Call,
    Delta,
    Finish,
    JsonSchema,
    Message,
    Opaque,
    OpaqueDelta,
    Quirks,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolDelta,
    Usage,
)
from penstock.providers.failures import ContextTooLong, CredentialsRefused, Overloaded, RateLimited
from penstock.providers.opening import open_provider_transport
from penstock.providers.provider import Provider, Providers
from penstock.providers.transport.base import Limits
from penstock.providers.wires.anthropic.wire import WIRE
from tests.fakes.dialects.anthropic import ANTHROPIC, KEY, VERTEX_ANTHROPIC
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.vertex_tokens import EMAIL
from tests.fakes.provider_server import Answers, Breaks, ProviderServer, Refuses, serving
from tests.providers.calls import deltas_of

HI = Message(role="user", content="Hi")
LOOK_UP = Tool("look up!", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}})


async def deltas(provider: Provider, model: str, **fields: Any) -> list[Delta]:
    return await deltas_of(provider, model, Call(**({"messages": [HI]} | fields)))


def text(found: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in found if isinstance(delta, TextDelta))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ProviderServer]]:
    with serving(ANTHROPIC, VERTEX_ANTHROPIC) as found:
        yield found


@pytest.fixture(params=[0, 1], ids=["anthropic", "vertex"])
def server(request: pytest.FixtureRequest, servers: list[ProviderServer]) -> Iterator[ProviderServer]:
    found = servers[request.param]
    found.reset()
    yield found
    assert not found.faults


@pytest.fixture
async def provider(server: ProviderServer) -> AsyncIterator[Provider]:
    opened = Providers(open_provider_transport, SystemClock())
    yield open_entry(opened, server)
    await opened.aclose()


def open_entry(opened: Providers, server: ProviderServer, *keys: str) -> Provider:
    notes = Notes(Document("PROVIDERS", "{}", "environment"))
    found = read_providers({"mine": server.entry(*keys)}, notes, Limits())
    assert not notes.problems
    return opened.of(found["mine"])


async def test_a_first_answer(provider: Provider, server: ProviderServer) -> None:
    system = Message(role="system", content="Be brief.")
    found = await deltas(provider, server.dialect.model, messages=[system, HI], max_output_tokens=50)
    assert text(found) == "Hello from the upstream."
    assert found[-2:] == [Usage(input_tokens=7, output_tokens=5), Finish("stop", "end_turn")]
    (asked,) = server.asked
    assert (asked.system, asked.texts, asked.max_tokens, asked.stream) == ("Be brief.", ("Hi",), 50, True)
    assert asked.credential in (KEY, EMAIL)
    assert asked.model == server.dialect.model


async def test_a_round_of_tools_with_thoughts_that_go_back(provider: Provider, server: ProviderServer) -> None:
    model = server.dialect.model
    server.plays(
        Says(
            pieces=("Wait.",),
            reasoning="Hm.",
            signature="c2ln",
            tools=(SaidTool("toolu_1", "look_up_", {"q": "ü"}), SaidTool("toolu_2", "look_up_", {})),
            reasoning_tokens=3,
        )
    )
    first = await deltas(provider, model, tools=[LOOK_UP], reasoning="low")
    assert [delta for delta in first if isinstance(delta, ReasoningDelta)] == [ReasoningDelta("Hm.")]
    (kept,) = (delta.opaque for delta in first if isinstance(delta, OpaqueDelta))
    calls = collected(first)
    assert calls == [ToolCall("toolu_1", "look up!", '{"q": "ü"}'), ToolCall("toolu_2", "look up!", "{}")]
    assert first[-1] == Finish("tool_calls", "tool_use")

    turn = Message(role="assistant", content=text(first), tool_calls=calls, opaque=[kept])
    results = [Message(role="tool", tool_call_id=call.id, content=f"of {call.id}") for call in reversed(calls)]
    assert text(await deltas(provider, model, messages=[HI, turn, *results], tools=[LOOK_UP], reasoning="low"))
    asked = server.asked[-1]
    assert asked.opaque == ("c2ln",)
    assert asked.reasons
    assert asked.tool_calls == (("toolu_1", "look_up_", {"q": "ü"}), ("toolu_2", "look_up_", {}))
    assert asked.tool_results == (("toolu_1", "of toolu_1"), ("toolu_2", "of toolu_2"))


def collected(found: Sequence[Delta]) -> list[ToolCall]:
    calls: dict[int, ToolCall] = {}
    for delta in found:
        if isinstance(delta, ToolDelta):
            old = calls.get(delta.index, ToolCall(delta.id or "", delta.name or "", ""))
            calls[delta.index] = ToolCall(old.id, old.name, old.arguments + delta.arguments)
    return list(calls.values())


async def test_structured_answers_by_format_and_by_tool(provider: Provider, server: ProviderServer) -> None:
    closed = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for schema in (closed, {"type": "object", "additionalProperties": {"type": "integer"}}):
        server.plays(Says(pieces=('{"a":', " 1}")))
        found = await deltas(provider, server.dialect.model, answer_format=JsonSchema(schema=schema))
        assert json.loads(text(found)) == {"a": 1}
        assert isinstance(found[-1], Finish)
        assert found[-1].reason == "stop"
        assert not collected(found)
    assert [asked.schema for asked in server.asked] == [closed | {"additionalProperties": False}, schema]
    assert [bool(asked.tools) for asked in server.asked] == [False, True]


async def test_a_refused_field_is_left_out_and_not_sent_again(provider: Provider, server: ProviderServer) -> None:
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated"}}
    server.plays(Answers(400, json.dumps(refusal).encode()))
    for _ in range(2):
        assert text(await deltas(provider, server.dialect.model, temperature=0.5))
    bodies = [json.loads(seen.body) for seen in server.seen if seen.asked]
    assert [("temperature" in body) for body in bodies] == [True, False, False]


async def test_a_thought_that_is_refused_is_left_out_of_this_call_only(
    provider: Provider, server: ProviderServer
) -> None:
    model = server.dialect.model
    message = "messages.1.content.0: Invalid `signature` in `thinking` block"
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    server.plays(Answers(400, json.dumps(refusal).encode()))
    block = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    turn = Message(role="assistant", content="Yes?", opaque=[Opaque("anthropic", model, block)])
    for _ in range(2):
        assert text(await deltas(provider, model, messages=[HI, turn, HI]))
    assert [asked.opaque for asked in server.asked] == [("c2ln",), (), ("c2ln",)]


async def test_refusals_and_errors_in_the_stream(provider: Provider, server: ProviderServer) -> None:
    model = server.dialect.model
    server.plays(Refuses("context_too_long"), Breaks("error", after=2), Breaks("error", after=2))
    with pytest.raises(ContextTooLong):
        await deltas(provider, model)
    with pytest.raises(Overloaded):
        await deltas(provider, model)
    server.plays(Breaks("error", after=4))
    with pytest.raises(Overloaded):
        await deltas(provider, model)


async def test_a_waiting_time_is_told(provider: Provider, server: ProviderServer) -> None:
    server.plays(Refuses("rate_limited", retry_after_s=30))
    with pytest.raises(RateLimited) as caught:
        await deltas(provider, server.dialect.model)
    assert caught.value.retry_after_s == 30


async def test_a_refused_key_is_set_aside_for_the_other_one(server: ProviderServer) -> None:
    opened = Providers(open_provider_transport, SystemClock())
    provider = open_entry(opened, server, "first-key-of-two", "other-key-of-two")
    server.refused_keys.add("first-key-of-two")
    try:
        for _ in range(3):
            assert text(await deltas(provider, server.dialect.model))
    finally:
        await opened.aclose()


async def test_s040_a_refused_key_is_explained_without_being_shown(server: ProviderServer) -> None:
    opened = Providers(open_provider_transport, SystemClock())
    key = "sk-ant-api03-canary-0123456789"
    provider = open_entry(opened, server, key)
    server.refused_keys.add(key)
    try:
        with pytest.raises(UpstreamError) as caught:
            await deltas(provider, server.dialect.model)
    finally:
        await opened.aclose()
    error = caught.value
    assert isinstance(error, CredentialsRefused)
    if server.dialect is ANTHROPIC:
        assert error.message.startswith("Incorrect API key provided")
        assert "6789" in str(error.explanation)
    assert "`mine`" in str(error.explanation)
    assert "canary" not in f"{error.message} {error.explanation} {error.action}" or server.dialect is VERTEX_ANTHROPIC


# --- there and back -------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
ARGUMENTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
CALLS = st.lists(st.tuples(st.text(max_size=10), st.text(min_size=1, max_size=70), ARGUMENTS), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS, CALLS), max_size=3), WORDS)
def test_every_history_is_accepted_and_arrives_whole(rounds: list[Any], last: str) -> None:
    messages: list[Message] = []
    for question, answer, calls in rounds:
        made = [ToolCall(call_id, name, json.dumps(arguments)) for call_id, name, arguments in calls]
        results = [Message(role="tool", tool_call_id=call.id, content=f"= {call.arguments}") for call in made]
        messages.append(Message(role="user", content=question))
        messages.append(Message(role="assistant", content=answer, tool_calls=made))
        messages.extend(results)
    call = Call(messages=[*messages, Message(role="user", content=last)])
    asked = asked_for(call)
    assert asked.texts == (*(question for question, _, _ in rounds), last)
    said = [arguments for _, _, calls in rounds for _, _, arguments in calls]
    assert [arguments for _, _, arguments in asked.tool_calls] == said
    assert sorted(words for _, words in asked.tool_results) == sorted(f"= {json.dumps(one)}" for one in said)


def asked_for(call: Call) -> Asked:
    exchange = WIRE.request(call, ANTHROPIC.model, Quirks())
    headers = {name.decode(): value.decode() for name, value in exchange.headers}
    headers |= {"x-api-key": KEY, "content-type": "application/json"}
    asked = ANTHROPIC.asked("POST", exchange.path, headers, exchange.body)
    assert asked is not None
    return asked


@settings(max_examples=60, deadline=None)
@given(
    st.lists(WORDS, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    CALLS,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_every_answer_comes_back_whole(
    pieces: list[str], reasoning: str, calls: list[Any], cached: int, output: int, streamed: bool
) -> None:
    names = list(dict.fromkeys(name for _, name, _ in calls))
    tools = [Tool(name, "", {}) for name in names]
    asked = asked_for(Call(messages=[HI], tools=tools))
    on_wire = dict(zip(names, (tool.name for tool in asked.tools), strict=True))
    says = Says(
        pieces=pieces,
        reasoning=reasoning,
        signature="c2ln" if reasoning else "",
        tools=[SaidTool(f"toolu_{at}", on_wire[name], given) for at, (_, name, given) in enumerate(calls)],
        input_tokens=cached + 3,
        cached_tokens=cached,
        output_tokens=output,
    )
    reader = WIRE.reader(model=ANTHROPIC.model, tools=tools)
    body = ANTHROPIC.frames(says, asked) if streamed else [ANTHROPIC.whole(says, asked)]
    found = [delta for piece in body for delta in reader.feed(piece)]
    found.extend(reader.end())
    assert text(found) == "".join(pieces)
    assert "".join(delta.text for delta in found if isinstance(delta, ReasoningDelta)) == reasoning
    assert [(one.name, json.loads(one.arguments)) for one in collected(found)] == [
        (name, arguments) for _, name, arguments in calls
    ]
    assert found[-2:] == [
        Usage(input_tokens=cached + 3, cache_read_tokens=cached, output_tokens=output),
        Finish("tool_calls", "tool_use") if calls else Finish("stop", "end_turn"),
    ]
