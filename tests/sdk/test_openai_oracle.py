"""OpenAI's own SDK as the oracle: it accepts what our fakes say, and reads from them what our wires read."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, AzureOpenAI, BadRequestError, OpenAI

from penstock.providers.base import (
    Call,
    Delta,
    Message,
    Quirks,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolDelta,
    Usage,
)
from penstock.providers.wires.openai import chat as openai_chat
from penstock.providers.wires.openai import responses as openai_responses
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.openai import API_VERSION, AZURE, KEY, OPENAI_CHAT, OPENAI_RESPONSES
from tests.fakes.provider_server import Breaks, ProviderServer, Refuses, serving

CALLS = (SaidTool("call_a", "look_up", {"q": "ü", "n": [1, {"a": None}]}), SaidTool("call_b", "look_up", {}))
SAYINGS = {
    "text": Says(pieces=("Grüß ", "Gott 🙂"), input_tokens=9, output_tokens=4),
    "cached and reasoning": Says(input_tokens=1009, cached_tokens=1000, output_tokens=40, reasoning_tokens=30),
    "length": Says(finish="length"),
    "filtered": Says(finish="content_filter"),
    "text and calls": Says(pieces=("One moment.",), tools=CALLS),
    "one call": Says(pieces=(), tools=CALLS[:1]),
}
FINISHES = {"length": "length", "content_filter": "content_filter"}
TOOL = {"name": "look_up", "description": "Looks it up.", "parameters": {"type": "object"}}
Heard = tuple[str, list[tuple[str, str, str]], int, int, int, int]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ProviderServer]]:
    with serving(OPENAI_CHAT, AZURE, OPENAI_RESPONSES) as servers:
        yield servers
        assert [fault for server in servers for fault in server.faults] == []


@pytest.fixture
def chat(servers: list[ProviderServer]) -> Iterator[tuple[OpenAI, ProviderServer]]:
    servers[0].reset()
    with OpenAI(api_key=KEY, base_url=servers[0].url + "/v1", max_retries=0) as client:
        yield client, servers[0]
        assert not servers[0].faults


@pytest.fixture
def azure(servers: list[ProviderServer]) -> Iterator[tuple[AzureOpenAI, ProviderServer]]:
    servers[1].reset()
    with AzureOpenAI(
        api_key=KEY, azure_endpoint=servers[1].url, api_version=API_VERSION, azure_deployment="prod-chat", max_retries=0
    ) as client:
        yield client, servers[1]
        assert not servers[1].faults


@pytest.fixture
def responses(servers: list[ProviderServer]) -> Iterator[tuple[OpenAI, ProviderServer]]:
    servers[2].reset()
    with OpenAI(api_key=KEY, base_url=servers[2].url + "/v1", max_retries=0) as client:
        yield client, servers[2]
        assert not servers[2].faults


def heard_by_us(wire: Any, body: bytes, content_type: str) -> tuple[Heard, str]:
    reader = wire.reader(content_type=content_type, quirks=Quirks())
    deltas: list[Delta] = [*reader.feed(body), *reader.end()]
    calls: dict[int, list[str]] = {}
    for one in deltas:
        if isinstance(one, ToolDelta):
            call = calls.setdefault(one.index, [one.id or "", one.name or "", ""])
            call[2] += one.arguments
    text = "".join(one.text for one in deltas if isinstance(one, TextDelta))
    usage = next(one for one in deltas if isinstance(one, Usage))
    counts = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens)
    assert reader.finish is not None
    return (text, [(call[0], call[1], call[2]) for call in calls.values()], *counts), reader.finish


def heard_in_completion(completion: Any) -> Heard:
    message, usage = completion.choices[0].message, completion.usage
    calls = [(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()]
    return (
        message.content or "",
        calls,
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.completion_tokens,
        usage.completion_tokens_details.reasoning_tokens,
    )


def heard_in_response(response: Any) -> Heard:
    usage = response.usage
    calls = [(one.call_id, one.name, one.arguments) for one in response.output if one.type == "function_call"]
    return (
        response.output_text,
        calls,
        usage.input_tokens,
        usage.input_tokens_details.cached_tokens,
        usage.output_tokens,
        usage.output_tokens_details.reasoning_tokens,
    )


def asked(model: str, stream: bool = True) -> Asked:
    return Asked(model=model, stream=stream, credential=KEY)


def expected_finish(says: Says) -> str:
    return "tool_calls" if says.tools else FINISHES.get(says.finish, "stop")


@pytest.mark.parametrize("name", SAYINGS)
def test_a_chat_stream_says_the_same_to_the_sdk_and_to_us(chat: tuple[OpenAI, ProviderServer], name: str) -> None:
    client, server = chat
    server.plays(SAYINGS[name])
    messages: Any = [{"role": "user", "content": "Hi"}]
    options: Any = {"stream_options": {"include_usage": True}, "tools": [{"type": "function", "function": TOOL}]}
    with client.beta.chat.completions.stream(model="gpt-4.1", messages=messages, **options) as stream:
        if SAYINGS[name].finish == "stop":
            completion = stream.get_final_completion()
        else:
            for _ in stream:
                pass
            completion = stream.current_completion_snapshot
    stream_bytes = b"".join(OPENAI_CHAT.frames(SAYINGS[name], asked("gpt-4.1")))
    ours, finish = heard_by_us(openai_chat.WIRE, stream_bytes, "text/event-stream")
    assert ours == heard_in_completion(completion)
    assert finish == expected_finish(SAYINGS[name])


@pytest.mark.parametrize("name", SAYINGS)
def test_a_whole_chat_answer_says_the_same_to_the_sdk_and_to_us(chat: tuple[OpenAI, ProviderServer], name: str) -> None:
    client, server = chat
    server.plays(SAYINGS[name])
    completion = client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}])
    body = OPENAI_CHAT.whole(SAYINGS[name], asked("gpt-4.1", stream=False))
    ours, finish = heard_by_us(openai_chat.WIRE, body, "application/json")
    assert ours == heard_in_completion(completion)
    assert finish == expected_finish(SAYINGS[name])


@pytest.mark.parametrize("name", SAYINGS)
def test_azure_says_the_same_to_its_sdk_and_to_us(azure: tuple[AzureOpenAI, ProviderServer], name: str) -> None:
    client, server = azure
    server.plays(SAYINGS[name])
    text = ""
    calls: dict[int, tuple[str, str, str]] = {}
    usage: Any = None
    stream = client.chat.completions.create(
        model="prod-chat",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for one in choice.delta.tool_calls or ():
                assert one.function is not None
                known = calls.get(one.index, ("", "", ""))
                function = one.function
                calls[one.index] = (
                    one.id or known[0],
                    function.name or known[1],
                    known[2] + (function.arguments or ""),
                )
    frames = b"".join(AZURE.frames(SAYINGS[name], asked("prod-chat")))
    ours, _ = heard_by_us(openai_chat.WIRE, frames, "text/event-stream")
    assert (ours[0], ours[1], ours[2], ours[4]) == (
        text,
        list(calls.values()),
        usage.prompt_tokens,
        usage.completion_tokens,
    )
    assert server.seen[-1].headers["api-key"] == KEY


@pytest.mark.parametrize("name", SAYINGS)
def test_a_response_stream_says_the_same_to_the_sdk_and_to_us(
    responses: tuple[OpenAI, ProviderServer], name: str
) -> None:
    client, server = responses
    server.plays(SAYINGS[name])
    response: Any = None
    for event in client.responses.create(model="gpt-5.5", input="Hi", stream=True):
        if event.type in ("response.completed", "response.incomplete"):
            response = event.response
    frames = b"".join(OPENAI_RESPONSES.frames(SAYINGS[name], asked("gpt-5.5")))
    ours, finish = heard_by_us(openai_responses.WIRE, frames, "text/event-stream")
    assert ours == heard_in_response(response)
    assert finish == expected_finish(SAYINGS[name])


@pytest.mark.parametrize("name", SAYINGS)
def test_a_whole_response_says_the_same_to_the_sdk_and_to_us(
    responses: tuple[OpenAI, ProviderServer], name: str
) -> None:
    client, server = responses
    server.plays(SAYINGS[name])
    response = client.responses.create(model="gpt-5.5", input="Hi")
    body = OPENAI_RESPONSES.whole(SAYINGS[name], asked("gpt-5.5", stream=False))
    ours, finish = heard_by_us(openai_responses.WIRE, body, "application/json")
    assert ours == heard_in_response(response)
    assert finish == expected_finish(SAYINGS[name])


def test_the_sdk_helper_reads_the_reasoning_of_a_response_as_we_do(responses: tuple[OpenAI, ProviderServer]) -> None:
    client, server = responses
    says = Says(reasoning="Let me see.", signature="gAAA", tools=CALLS)
    server.plays(says)
    with client.responses.stream(model="gpt-5.5", input="Hi") as stream:
        final: Any = stream.get_final_response()
    reader = openai_responses.WIRE.reader(model="gpt-5.5")
    deltas = reader.feed(b"".join(OPENAI_RESPONSES.frames(says, asked("gpt-5.5"))))
    assert final.output[0].summary[0].text == "Let me see."
    assert [one.text for one in deltas if isinstance(one, ReasoningDelta)] == ["Let me see."]


def test_what_the_sdk_sends_and_what_we_send_is_understood_alike(responses: tuple[OpenAI, ProviderServer]) -> None:
    client, server = responses
    server.plays(Says(), Says())
    items: Any = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ]
    tools: Any = [{"type": "function", "strict": False, **TOOL}]
    client.responses.create(
        model="gpt-5.5", input=items, instructions="Be brief.", tools=tools, max_output_tokens=20, stream=True
    ).close()
    call = Call(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi"),
            Message(role="assistant", tool_calls=[ToolCall("c", "look_up", "{}")]),
            Message(role="tool", tool_call_id="c", content="found"),
        ],
        tools=[Tool("look_up", "Looks it up.", {"type": "object"})],
        max_output_tokens=20,
    )
    sent = openai_responses.WIRE.request(call, "gpt-5.5", Quirks())
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    assert OPENAI_RESPONSES.asked("POST", "/v1/responses", headers, sent.body) == server.seen[-1].asked


def test_the_sdk_reads_every_refusal_of_the_fake(chat: tuple[OpenAI, ProviderServer]) -> None:
    client, server = chat
    for kind, status in (("auth", 401), ("not_found", 404), ("rate_limited", 429), ("server_error", 500)):
        server.plays(Refuses(kind))  # type: ignore[arg-type]
        with pytest.raises(APIStatusError) as caught:
            client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}])
        assert caught.value.status_code == status


def test_a_reasoning_model_refuses_the_old_output_limit(chat: tuple[OpenAI, ProviderServer]) -> None:
    client, server = chat
    with pytest.raises(BadRequestError, match="max_completion_tokens"):
        client.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": "Hi"}], max_tokens=5)
    server.reset()


def test_the_sdk_raises_on_the_error_that_we_read(chat: tuple[OpenAI, ProviderServer]) -> None:
    client, server = chat
    server.plays(Breaks("error", after=2))
    messages: Any = [{"role": "user", "content": "Hi"}]
    with pytest.raises(Exception, match="had an error"):
        list(client.chat.completions.create(model="gpt-4.1", messages=messages, stream=True))
