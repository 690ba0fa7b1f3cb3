"""Google's own SDK as the oracle: it accepts what our fake of Gemini says, and reads from it what our wire reads."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Call,
    Delta,
    JsonSchema,
    Message,
    OpaqueDelta,
    Quirks,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolDelta,
    Usage,
)
from penstock.providers.failures import CredentialsRefused, Failure, RateLimited, Unreachable
from penstock.providers.wires.gemini.wire import WIRE
from tests.fakes.dialects.base import Asked, SaidTool, Says
from tests.fakes.dialects.google import GOOGLE, KEY, VERTEX
from tests.fakes.dialects.google_rules import in_camel_case
from tests.fakes.dialects.vertex_tokens import LOCATION, PROJECT, token_for
from tests.fakes.provider_server import Breaks, ProviderServer, Refuses, serving

MODEL = GOOGLE.model
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
THINKING = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)
ASKED = Asked(model=MODEL, stream=True, credential=KEY, reasons=True)
SAYINGS = {
    "text": Says(pieces=("Grüß ", "Gott 🙂"), input_tokens=9, output_tokens=4),
    "cached input": Says(input_tokens=1009, cached_tokens=1000, output_tokens=4),
    "the length": Says(finish="length"),
    "thoughts and a signed call": Says(
        pieces=("One moment.",),
        reasoning="Hm.",
        signature="c2lnbmVk",
        tools=(SaidTool("q1", "look_up", {"q": "ü", "n": [1, {"a": None}]}),),
        output_tokens=45,
        reasoning_tokens=40,
    ),
    "two calls": Says(pieces=(), tools=(SaidTool("a", "look_up", {}), SaidTool("b", "look_up", {"q": 1}))),
    "a signed text": Says(signature="c2lnbmVk"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with serving(GOOGLE) as (server,):
        yield server
        assert not server.faults


@pytest.fixture
def client(server: ProviderServer) -> Iterator[genai.Client]:
    server.reset()
    client = genai.Client(
        api_key=KEY,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=server.url,
            api_version="v1beta",
            timeout=30_000,
            retry_options=types.HttpRetryOptions(attempts=1),
            client_args={"trust_env": False},
        ),
    )
    yield client
    client.close()
    assert not server.faults


def heard(answers: Any) -> dict[str, Any]:
    """What the SDK makes of a stream."""
    said: dict[str, Any] = {"text": "", "thoughts": "", "calls": [], "signatures": [], "usage": None, "finish": None}
    for answer in answers:
        said["usage"] = answer.usage_metadata or said["usage"]
        for candidate in answer.candidates or ():
            said["finish"] = candidate.finish_reason or said["finish"]
            for part in (candidate.content.parts or ()) if candidate.content else ():
                said["thoughts" if part.thought else "text"] += part.text or ""
                if part.function_call:
                    said["calls"].append((part.function_call.id, part.function_call.name, part.function_call.args))
                if part.thought_signature:
                    said["signatures"].append(part.thought_signature)
    return said


def read(stream: bytes) -> list[Delta]:
    reader = WIRE.reader(model=MODEL)
    return [*reader.feed(stream), *reader.end()]


def config(**fields: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(**fields)


@pytest.mark.parametrize("name", SAYINGS)
def test_the_sdk_and_our_wire_read_the_same_from_the_same_bytes(
    name: str, client: genai.Client, server: ProviderServer
) -> None:
    says = SAYINGS[name]
    server.plays(says)
    theirs = heard(
        client.models.generate_content_stream(model=MODEL, contents="Hi", config=config(thinking_config=THINKING))
    )
    ours = read(b"".join(GOOGLE.frames(says, ASKED)))

    assert "".join(one.text for one in ours if isinstance(one, TextDelta)) == theirs["text"] == "".join(says.pieces)
    assert "".join(one.text for one in ours if isinstance(one, ReasoningDelta)) == theirs["thoughts"] == says.reasoning
    calls = [(one.id, one.name, json.loads(one.arguments)) for one in ours if isinstance(one, ToolDelta)]
    assert calls == theirs["calls"] == [(one.id, one.name, one.arguments) for one in says.tools]
    assert len([one for one in ours if isinstance(one, OpaqueDelta)]) == len(theirs["signatures"])
    (usage,) = (one for one in ours if isinstance(one, Usage))
    counted = theirs["usage"]
    assert usage.input_tokens == counted.prompt_token_count
    assert usage.output_tokens == (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0)
    assert usage.cache_read_tokens == (counted.cached_content_token_count or 0)
    assert usage.reasoning_tokens == (counted.thoughts_token_count or 0)
    assert (usage.input_tokens, usage.output_tokens) == (says.input_tokens, says.output_tokens)


def test_the_sdk_reads_a_whole_answer_as_our_wire_does(client: genai.Client, server: ProviderServer) -> None:
    says = SAYINGS["thoughts and a signed call"]
    server.plays(says)
    theirs = heard(
        [client.models.generate_content(model=MODEL, contents="Hi", config=config(thinking_config=THINKING))]
    )
    ours = read(GOOGLE.whole(says, ASKED))
    assert theirs["text"] == "".join(one.text for one in ours if isinstance(one, TextDelta))
    assert theirs["calls"] == [
        (one.id, one.name, json.loads(one.arguments)) for one in ours if isinstance(one, ToolDelta)
    ]


def test_the_sdk_and_our_wire_ask_the_same(client: genai.Client, server: ProviderServer) -> None:
    declared = types.FunctionDeclaration(name="look_up", description="Looks it up.", parameters_json_schema=SCHEMA)
    any_call = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    list(
        client.models.generate_content_stream(
            model=MODEL,
            contents=[types.Content(role="user", parts=[types.Part(text="Hi")])],
            config=config(
                system_instruction="Be brief.",
                temperature=0.5,
                top_p=0.9,
                seed=7,
                presence_penalty=0.1,
                frequency_penalty=0.2,
                stop_sequences=["a"],
                response_mime_type="application/json",
                response_json_schema=SCHEMA,
                thinking_config=THINKING,
                tools=[types.Tool(function_declarations=[declared])],
                tool_config=types.ToolConfig(function_calling_config=any_call),
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            ),
        )
    )
    call = Call(
        messages=[Message(role="system", content="Be brief."), Message(role="user", content="Hi")],
        temperature=0.5,
        top_p=0.9,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=["a"],
        answer_format=JsonSchema(schema=SCHEMA),
        reasoning="high",
        tools=[Tool("look_up", "Looks it up.", SCHEMA)],
        tool_choice="required",
    )
    theirs = in_camel_case(json.loads(server.seen[0].body))
    ours = json.loads(WIRE.request(call, MODEL, Quirks()).body)
    theirs["systemInstruction"].pop("role", None)
    assert theirs == ours


def test_the_sdk_sends_signatures_back_where_our_wire_does(client: genai.Client, server: ProviderServer) -> None:
    server.plays(SAYINGS["thoughts and a signed call"], Says())
    chat = client.chats.create(
        model=MODEL,
        config=config(
            thinking_config=THINKING,
            tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="look_up", description="x")])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        ),
    )
    chat.send_message("Hi")
    result = types.FunctionResponse(name="look_up", id="q1", response={"output": "found"})
    chat.send_message([types.Part(function_response=result)])
    assert server.asked[1].opaque == ("c2lnbmVk",)
    assert server.asked[1].tool_results == (("q1", "found"),)


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refuses, status, word, kind",
    [
        (Refuses("auth"), 400, "INVALID_ARGUMENT", CredentialsRefused),
        (Refuses("rate_limited", 30), 429, "RESOURCE_EXHAUSTED", RateLimited),
    ],
)
def test_the_sdk_and_our_wire_are_refused_alike(
    client: genai.Client, server: ProviderServer, refuses: Refuses, status: int, word: str, kind: type[Failure]
) -> None:
    server.plays(refuses)
    with pytest.raises(errors.ClientError) as caught:
        list(client.models.generate_content_stream(model=MODEL, contents="Hi"))
    assert (caught.value.code, caught.value.status) == (status, word)
    refusal = GOOGLE.refusal(refuses.kind, retry_after_s=refuses.retry_after_s)
    found = WIRE.failure(refusal.status, [], json.dumps(refusal.body).encode())
    assert isinstance(found, kind)
    assert (found.upstream_status, found.upstream_code) == (status, word)
    assert str(caught.value.message) in found.message
    assert found.retry_after_s == refuses.retry_after_s


def test_the_sdk_and_our_wire_both_see_an_error_inside_a_stream(client: genai.Client, server: ProviderServer) -> None:
    says = Says(pieces=("Half ", "a", " word"))
    server.plays(Breaks("error", after=2, says=says))
    answers = client.models.generate_content_stream(model=MODEL, contents="Hi")
    assert [next(answers).text, next(answers).text] == ["Half ", "a"]
    with pytest.raises(errors.ServerError) as caught:
        next(answers)
    assert caught.value.code == 500

    reader = WIRE.reader(model=MODEL)
    deltas = reader.feed(b"".join(GOOGLE.frames(says, ASKED)[:2]) + GOOGLE.broken())
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == "Half a"
    with pytest.raises(UpstreamError) as ours:
        reader.end()
    assert isinstance(ours.value, Unreachable)
    assert ours.value.upstream_status == 500


# --- Vertex ----------------------------------------------------------------------------------------------------------


def test_the_sdk_finds_our_fake_of_vertex_where_it_should_be() -> None:
    with serving(VERTEX) as (vertex,):
        vertex.plays(Says(pieces=("Grüß ", "Gott")))
        client = genai.Client(
            vertexai=True,
            project=PROJECT,
            location=LOCATION,
            credentials=Credentials(token_for("me@p.test")),  # type: ignore[no-untyped-call]
            http_options=types.HttpOptions(base_url=vertex.url, timeout=30_000, client_args={"trust_env": False}),
        )
        said = heard(client.models.generate_content_stream(model=VERTEX.model, contents="Hi"))
        client.close()
        assert said["text"] == "Grüß Gott"
        assert [one.credential for one in vertex.asked] == ["me@p.test"]
        assert not vertex.faults
