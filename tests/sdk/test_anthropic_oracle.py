"""Anthropic's own SDK as the oracle: it accepts what our fake says, and reads from it what our wire reads."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AnthropicVertex

from penstock.providers.base import (
    Call,
    Delta,
    Finish,
    Message,
    OpaqueDelta,
    Quirks,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolDelta,
    Usage,
)
from penstock.providers.wires.anthropic.wire import WIRE
from tests.fakes.dialects.anthropic import ANTHROPIC, KEY, VERTEX_ANTHROPIC
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.vertex_tokens import LOCATION, PROJECT, token_for
from tests.fakes.provider_server import Breaks, ProviderServer, Refuses, serving

MODEL = ANTHROPIC.model
CHAT: dict[str, Any] = {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": "Hi"}]}
LOOK_UP: dict[str, Any] = {"name": "look_up", "description": "Looks it up.", "input_schema": {"type": "object"}}
ASKED = Asked(model=MODEL, stream=True, credential=KEY)
CALLS = (SaidTool("toolu_1", "look_up", {"q": "ü", "n": [1, {"a": None}]}), SaidTool("toolu_2", "look_up", {}))
SAYINGS = {
    "text": Says(pieces=("Grüß ", "Gott 🙂"), input_tokens=9, output_tokens=4),
    "cached": Says(input_tokens=1009, cached_tokens=1000, output_tokens=4),
    "length": Says(finish="length"),
    "refusal": Says(finish="content_filter"),
    "thinking": Says(reasoning="Hm.", signature="c2ln", reasoning_tokens=2),
    "thinking that is not shown": Says(signature="c2ln"),
    "calls": Says(pieces=("One moment.",), reasoning="Hm.", signature="c2ln", tools=CALLS),
    "calls alone": Says(pieces=(), tools=CALLS),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ProviderServer]]:
    with serving(ANTHROPIC, VERTEX_ANTHROPIC) as found:
        yield found


@pytest.fixture
def server(servers: list[ProviderServer]) -> Iterator[ProviderServer]:
    servers[0].reset()
    yield servers[0]
    assert not servers[0].faults


@pytest.fixture
def client(server: ProviderServer) -> Iterator[Anthropic]:
    with Anthropic(api_key=KEY, base_url=server.url, max_retries=0, timeout=20) as client:
        yield client


def heard(client: Anthropic | AnthropicVertex, **asked: Any) -> Any:
    with client.messages.stream(**(CHAT | asked)) as stream:
        return stream.get_final_message()


def blocks(message: Any, kind: str) -> list[Any]:
    return [block for block in message.content if block.type == kind]


def read(*pieces: bytes) -> list[Delta]:
    reader = WIRE.reader(model=MODEL)
    found = [delta for piece in pieces for delta in reader.feed(piece)]
    return [*found, *reader.end()]


def calls_of(found: list[Delta]) -> list[list[Any]]:
    calls: dict[int, list[Any]] = {}
    for delta in found:
        if isinstance(delta, ToolDelta):
            calls.setdefault(delta.index, [delta.id, delta.name, ""])[2] += delta.arguments
    return [[call_id, name, json.loads(arguments)] for call_id, name, arguments in calls.values()]


def check_alike(ours: list[Delta], theirs: Any) -> None:
    """Text, thoughts, calls, usage and the reason of the end."""
    texts = [delta.text for delta in ours if isinstance(delta, TextDelta)]
    thoughts = [delta.text for delta in ours if isinstance(delta, ReasoningDelta)]
    assert "".join(texts) == "".join(block.text for block in blocks(theirs, "text"))
    assert "".join(thoughts) == "".join(block.thinking for block in blocks(theirs, "thinking"))
    assert [delta.opaque.block for delta in ours if isinstance(delta, OpaqueDelta)] == [
        {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
        for block in blocks(theirs, "thinking")
    ]
    assert calls_of(ours) == [[block.id, block.name, block.input] for block in blocks(theirs, "tool_use")]
    usage, finish = ours[-2:]
    assert isinstance(usage, Usage)
    assert isinstance(finish, Finish)
    assert usage.input_tokens == theirs.usage.input_tokens + theirs.usage.cache_read_input_tokens
    assert usage.cache_read_tokens == theirs.usage.cache_read_input_tokens
    assert (usage.output_tokens, usage.estimated) == (theirs.usage.output_tokens, False)
    assert finish.raw_reason == theirs.stop_reason
    if theirs.stop_details is not None:
        assert finish.detail == theirs.stop_details.category


@pytest.mark.parametrize("name", SAYINGS)
def test_the_sdk_and_our_wire_read_the_same_stream(name: str, client: Anthropic, server: ProviderServer) -> None:
    says = SAYINGS[name]
    server.plays(says)
    check_alike(read(*ANTHROPIC.frames(says, ASKED)), heard(client))


@pytest.mark.parametrize("name", SAYINGS)
def test_the_sdk_and_our_wire_read_the_same_whole_answer(name: str, client: Anthropic, server: ProviderServer) -> None:
    says = SAYINGS[name]
    server.plays(says)
    check_alike(read(ANTHROPIC.whole(says, ASKED)), client.messages.create(**CHAT))


def test_a_round_of_tools_is_understood_by_the_fake(client: Anthropic, server: ProviderServer) -> None:
    server.plays(SAYINGS["calls"], Says())
    asked: dict[str, Any] = {"tools": [LOOK_UP], "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = heard(client, **asked)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "found"} for block in blocks(first, "tool_use")
    ]
    history = [
        *CHAT["messages"],
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    for turn in history:
        # The SDK keeps a field in texts that the format of requests has not.
        for block in turn["content"] if turn["role"] == "assistant" else ():
            if block.type == "text":
                block.citations = None
    assert blocks(heard(client, messages=history, **asked), "text")[0].text == "Hello from the upstream."
    seen = server.asked[-1]
    assert seen.opaque == ("c2ln",)
    assert seen.tool_calls == tuple((call.id, call.name, call.arguments) for call in CALLS)
    assert seen.tool_results == (("toolu_1", "found"), ("toolu_2", "found"))
    assert seen.reasons


def test_the_sdk_sends_the_body_that_our_wire_writes(client: Anthropic, server: ProviderServer) -> None:
    call = Call(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi"),
            Message(role="assistant", content="", tool_calls=[ToolCall("a.1", "look up", '{"q":1}')]),
            Message(role="tool", tool_call_id="a.1", content="found"),
        ],
        tools=[Tool("look up", "Looks it up.", {"type": "object"})],
        parallel_tool_calls=False,
        user_ref="u1",
        stop=["END"],
    )
    ours = json.loads(WIRE.request(call, MODEL, Quirks()).body)
    with client.messages.create(**ours) as stream:
        list(stream)
    (seen,) = server.seen
    assert json.loads(seen.body) == ours
    assert seen.target == "/v1/messages"


@pytest.mark.parametrize(
    "kind, error, status",
    [
        ("auth", anthropic.AuthenticationError, 401),
        ("permission", anthropic.PermissionDeniedError, 403),
        ("not_found", anthropic.NotFoundError, 404),
        ("rate_limited", anthropic.RateLimitError, 429),
        ("context_too_long", anthropic.BadRequestError, 400),
        ("server_error", anthropic.InternalServerError, 500),
        ("overloaded", anthropic.InternalServerError, 529),
    ],
)
def test_the_sdk_knows_the_refusals_of_the_fake(
    kind: Any, error: type[anthropic.APIStatusError], status: int, client: Anthropic, server: ProviderServer
) -> None:
    server.plays(Refuses(kind, retry_after_s=3))
    with pytest.raises(error) as caught:
        client.messages.create(**CHAT)
    assert caught.value.status_code == status
    assert caught.value.request_id == "req_fake"
    assert caught.value.response.headers["retry-after"] == "3"
    refusal = ANTHROPIC.refusal(kind)
    ours = WIRE.failure(refusal.status, (), json.dumps(refusal.body).encode())
    assert caught.value.body == refusal.body
    assert refusal.body["error"]["message"] in ours.message


def test_the_sdk_raises_at_an_error_in_the_stream(client: Anthropic, server: ProviderServer) -> None:
    server.plays(Breaks("error", after=4))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        heard(client)


def test_at_vertex_the_sdk_asks_as_our_wire_does(servers: list[ProviderServer]) -> None:
    server = servers[1]
    server.reset()
    server.plays(SAYINGS["calls"])
    with AnthropicVertex(
        region=LOCATION,
        project_id=PROJECT,
        access_token=token_for("a@b"),
        base_url=f"{server.url}/v1beta1",
        max_retries=0,
    ) as client:
        theirs = heard(client, model=VERTEX_ANTHROPIC.model)
    check_alike(read(*VERTEX_ANTHROPIC.frames(SAYINGS["calls"], ASKED)), theirs)
    (asked,) = server.asked
    assert (asked.model, asked.credential) == (VERTEX_ANTHROPIC.model, "a@b")
    assert not server.faults
