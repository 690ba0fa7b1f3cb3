"""AWS's own SDK as the oracle: it accepts what our fake of Bedrock says, and reads from it what our wire reads."""

import json
from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]

from penstock.providers.base import Call, Delta, Message, Quirks, TextDelta, ToolDelta, Usage
from penstock.providers.wires.bedrock.wire import WIRE
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.bedrock import BEDROCK, KEY_ID, REGION, error, event, exception, secret_of
from tests.fakes.provider_server import Breaks, ProviderServer, Refuses, serving

MODEL = BEDROCK.model
CHAT: dict[str, Any] = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
LOOK_UP = {"toolSpec": {"name": "look_up", "description": "Looks it up.", "inputSchema": {"json": {"type": "object"}}}}
ASKED = Asked(model=MODEL, stream=True, credential=KEY_ID)
SAYINGS = {
    "text": Says(pieces=("Grüß ", "Gott 🙂"), input_tokens=9, output_tokens=4),
    "cached": Says(input_tokens=1009, cached_tokens=1000, output_tokens=4),
    "length": Says(finish="length"),
    "reasoning and a call": Says(
        pieces=("One moment.",),
        reasoning="Hm.",
        signature="c2ln",
        tools=(SaidTool("tooluse_1", "look_up", {"q": "ü", "n": [1, {"a": None}]}),),
    ),
    "two calls": Says(pieces=(), tools=(SaidTool("a", "look_up", {}), SaidTool("b", "look_up", {"q": 1}))),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with serving(BEDROCK) as (server,):
        yield server
        assert not server.faults


@pytest.fixture
def client(server: ProviderServer) -> Iterator[Any]:
    server.reset()
    client = boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=secret_of(KEY_ID),
        config=Config(retries={"max_attempts": 1, "mode": "standard"}, proxies={}),
    )
    yield client
    client.close()
    assert not server.faults


def heard(events: Any) -> dict[str, Any]:
    """What the SDK makes of a stream."""
    said: dict[str, Any] = {"text": "", "calls": [], "usage": None, "stop": None}
    for one in events:
        if start := one.get("contentBlockStart"):
            call = start["start"]["toolUse"]
            said["calls"].append([call["toolUseId"], call["name"], ""])
        if delta := one.get("contentBlockDelta", {}).get("delta"):
            said["text"] += delta.get("text", "")
            if "toolUse" in delta:
                said["calls"][-1][2] += delta["toolUse"]["input"]
        if "messageStop" in one:
            said["stop"] = one["messageStop"]["stopReason"]
        if "metadata" in one:
            said["usage"] = one["metadata"]["usage"]
    return said


def read(stream: bytes) -> list[Delta]:
    reader = WIRE.reader(model=MODEL)
    return [*reader.feed(stream), *reader.end()]


@pytest.mark.parametrize("name", SAYINGS)
def test_the_sdk_and_our_wire_read_the_same_from_the_same_bytes(name: str, client: Any, server: ProviderServer) -> None:
    says = SAYINGS[name]
    server.plays(says)
    theirs = heard(client.converse_stream(**CHAT)["stream"])
    ours = read(b"".join(BEDROCK.frames(says, ASKED)))

    assert "".join(delta.text for delta in ours if isinstance(delta, TextDelta)) == theirs["text"]
    calls: dict[int, list[Any]] = {}
    for delta in ours:
        if isinstance(delta, ToolDelta):
            call = calls.setdefault(delta.index, [delta.id, delta.name, ""])
            call[2] += delta.arguments
    assert [[*call[:2], json.loads(call[2])] for call in calls.values()] == [
        [*call[:2], json.loads(call[2] or "{}")] for call in theirs["calls"]
    ]
    (usage,) = (delta for delta in ours if isinstance(delta, Usage))
    assert usage.input_tokens + usage.output_tokens == theirs["usage"]["totalTokens"]
    assert usage.output_tokens == theirs["usage"]["outputTokens"]
    assert usage.cache_read_tokens == theirs["usage"].get("cacheReadInputTokens", 0)
    assert not usage.estimated


def test_the_sdk_and_our_wire_read_the_same_whole_answer(client: Any, server: ProviderServer) -> None:
    says = SAYINGS["reasoning and a call"]
    server.plays(says)
    theirs = client.converse(**CHAT)
    ours = read(BEDROCK.whole(says, ASKED))
    blocks = theirs["output"]["message"]["content"]
    assert TextDelta(blocks[1]["text"]) in ours
    (call,) = (delta for delta in ours if isinstance(delta, ToolDelta))
    assert (call.id, call.name, json.loads(call.arguments)) == (
        blocks[2]["toolUse"]["toolUseId"],
        blocks[2]["toolUse"]["name"],
        blocks[2]["toolUse"]["input"],
    )


def test_a_round_of_tools_is_understood_by_the_fake(client: Any, server: ProviderServer) -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"q": "x"}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "found"}], "status": "success"}}
    client.converse_stream(
        modelId=MODEL,
        messages=[
            *CHAT["messages"],
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
        toolConfig={"tools": [LOOK_UP]},
        inferenceConfig={"maxTokens": 9, "temperature": 0.5},
    )["stream"].close()
    (asked,) = server.asked
    assert asked.model == MODEL
    assert asked.credential == KEY_ID
    assert asked.tool_calls == (("t1", "look_up", {"q": "x"}),)
    assert asked.tool_results == (("t1", "found"),)
    assert asked.max_tokens == 9


def test_the_sdk_sends_the_body_that_our_wire_writes(client: Any, server: ProviderServer) -> None:
    call = Call(messages=[Message(role="system", content="S"), Message(role="user", content="Hi")], max_output_tokens=5)
    ours = json.loads(WIRE.request(call, MODEL, Quirks()).body)
    client.converse_stream(modelId=MODEL, **ours)["stream"].close()
    (seen,) = server.seen
    assert json.loads(seen.body) == ours
    assert seen.target == f"/model/{MODEL.replace(':', '%3A')}/converse-stream"


def test_the_sdk_knows_our_refusals_by_their_names(client: Any, server: ProviderServer) -> None:
    for kind, name in (("rate_limited", "ThrottlingException"), ("permission", "AccessDeniedException")):
        server.always_plays(Refuses(kind))  # type: ignore[arg-type]
        with pytest.raises(ClientError) as caught:
            client.converse_stream(**CHAT)
        assert caught.value.response["Error"]["Code"] == name


def test_the_sdk_raises_at_an_exception_frame(client: Any, server: ProviderServer) -> None:
    server.plays(Breaks("error", after=2))
    stream = client.converse_stream(**CHAT)["stream"]
    with pytest.raises(EventStreamError, match="internalServerException"):
        heard(stream)


def test_botocores_parser_reads_the_frames_of_our_encoder() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event("messageStart", {"role": "assistant"}) + exception("x", {"message": "m"}) + error("c", "m"))
    first, second, third = list(buffer)
    assert first.headers == {
        ":event-type": "messageStart",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert json.loads(first.payload) == {"role": "assistant"}
    assert second.headers[":exception-type"] == "x"
    assert third.headers == {":message-type": "error", ":error-code": "c", ":error-message": "m"}


def test_the_fake_refuses_a_signature_of_another_request(server: ProviderServer) -> None:
    server.reset()
    client = boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key="wrong",
        config=Config(retries={"max_attempts": 1, "mode": "standard"}, proxies={}),
    )
    with pytest.raises(ClientError, match="400"):
        client.converse_stream(**CHAT)
    (fault,) = server.faults
    assert "the signature does not match" in fault
    client.close()
    server.reset()
