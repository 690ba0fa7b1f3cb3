"""OpenAI and its relatives over real sockets, against fakes as strict as they are: loops, lessons, second tries."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from penstock.errors import UpstreamError
from penstock.providers.base import (
    Call,
    Delta,
    Document,
    Effort,
    Finish,
    Image,
    JsonSchema,
    Message,
    OpaqueDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolDelta,
    Usage,
)
from penstock.providers.failures import ModelFailed, Truncated, Unreachable, Unsupported
from penstock.providers.provider import Providers
from tests.fakes.dialects.base import Asked, Dialect, SaidTool, Says
from tests.fakes.dialects.openai import DIALECTS, MISTRAL, OPENAI_RESPONSES
from tests.fakes.provider_server import Answers, Breaks, ProviderServer, Refuses, serving
from tests.providers.calls import LOOK_UP, call, calls_in, config_of, deltas_of, text_of

NAMES = ("openai", "responses", "azure", "compatible", "mistral", "qwen")
HELLO = "Hello from the upstream."
PNG = Image("data:image/png;base64,AAEC")
PDF = Document("data:application/pdf;base64,AAEC", "a.pdf")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, ProviderServer]]:
    with serving(*DIALECTS) as servers:
        yield dict(zip(NAMES, servers, strict=True))


@pytest.fixture(params=NAMES)
def server(running: dict[str, ProviderServer], request: pytest.FixtureRequest) -> Iterator[ProviderServer]:
    found = running[request.param]
    found.reset()
    yield found
    assert found.faults == []


@pytest.fixture
def one(running: dict[str, ProviderServer]) -> dict[str, ProviderServer]:
    for found in running.values():
        found.reset()
    return running


def answered(found: Sequence[Delta]) -> Message:
    """The turn as a product would keep it."""
    calls: dict[int, ToolCall] = {}
    for piece in found:
        if isinstance(piece, ToolDelta):
            known = calls.get(piece.index) or ToolCall(piece.id or "", piece.name or "", "")
            calls[piece.index] = ToolCall(known.id, known.name, known.arguments + piece.arguments)
    return Message(
        role="assistant",
        content="".join(piece.text for piece in found if isinstance(piece, TextDelta)),
        tool_calls=tuple(calls.values()),
        opaque=tuple(piece.opaque for piece in found if isinstance(piece, OpaqueDelta)),
    )


async def test_every_field_of_a_call_is_taken(server: ProviderServer, providers: Providers) -> None:
    asked = Call(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi"),
            Message(role="assistant", content="Yes?"),
            Message(role="user", content=[Text("What is this?"), PNG]),
        ],
        tools=(LOOK_UP,),
        tool_choice="none",
        parallel_tool_calls=False,
        max_output_tokens=64,
        temperature=0.2,
        top_p=0.9,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        seed=7,
        stop=["END"],
        answer_format=JsonSchema(schema={"type": "object"}),
        reasoning="low",
        user_ref="u1",
    )
    provider = providers.of(config_of(server))
    assert await text_of(provider, server.dialect.model, asked) == HELLO
    (seen,) = server.asked
    assert seen.texts == ("Hi", "What is this?")
    assert (seen.system, seen.max_tokens, seen.images) == ("Be brief.", 64, (b"\x00\x01\x02",))
    assert seen.schema == {"type": "object"}


@pytest.mark.parametrize("wanted", ["off", "minimal", "max"])
async def test_every_level_of_reasoning_is_taken(server: ProviderServer, providers: Providers, wanted: Effort) -> None:
    provider = providers.of(config_of(server))
    assert await text_of(provider, server.dialect.model, call(reasoning=wanted, temperature=0.5)) == HELLO


async def test_a_tool_loop_goes_round_with_thoughts_and_results(server: ProviderServer, providers: Providers) -> None:
    provider, model = providers.of(config_of(server)), server.dialect.model
    tools = (SaidTool("AbCdEf123", "look_up", {"q": "ü"}), SaidTool("AbCdEf124", "look_up", {}))
    server.plays(Says(pieces=("One moment.",), reasoning="Hm.", signature="gAAA", tools=tools))
    question = call(tools=(LOOK_UP,), reasoning="high")
    found = await deltas_of(provider, model, question)
    turn = answered(found)
    assert calls_in(found) == ["look_up", "look_up"]
    results = [
        Message(role="tool", tool_call_id=one.id, name=one.name, content=[Text("see"), PNG]) for one in turn.tool_calls
    ]
    history = [*question.messages, turn, *results]
    assert await text_of(provider, model, Call(messages=history, tools=(LOOK_UP,), reasoning="high")) == HELLO
    seen = server.asked[-1]
    assert [(one[1], one[2]) for one in seen.tool_calls] == [("look_up", {"q": "ü"}), ("look_up", {})]
    assert [text for _, text in seen.tool_results] == ["see", "see"]
    assert seen.images == (b"\x00\x01\x02",) * 2
    keeps = server.dialect in (OPENAI_RESPONSES, MISTRAL)
    assert seen.opaque == (("gAAA",) if keeps else ())


@pytest.mark.parametrize("name", ["openai", "responses", "mistral"])
async def test_a_pdf_arrives_where_it_is_read(one: dict[str, ProviderServer], providers: Providers, name: str) -> None:
    server = one[name]
    asked = Call(messages=[Message(role="user", content=[Text("Read"), PDF])])
    assert await text_of(providers.of(config_of(server)), server.dialect.model, asked) == HELLO
    assert (server.asked[0].documents, server.faults) == ((b"\x00\x01\x02",), [])


@pytest.mark.parametrize("name", ["azure", "compatible", "qwen"])
async def test_s062_a_pdf_is_refused_before_any_call_elsewhere(
    one: dict[str, ProviderServer], providers: Providers, name: str
) -> None:
    asked = Call(messages=[Message(role="user", content=[Text("Read"), PDF])])
    with pytest.raises(Unsupported):
        await text_of(providers.of(config_of(one[name])), "m", asked)
    assert one[name].seen == []


async def test_tokens_are_counted_with_what_was_cached_and_thought(
    server: ProviderServer, providers: Providers
) -> None:
    server.plays(Says(input_tokens=1009, cached_tokens=1000, output_tokens=40, reasoning_tokens=30))
    found = await deltas_of(providers.of(config_of(server)), server.dialect.model, call())
    usage = next(piece for piece in found if isinstance(piece, Usage))
    thought = 0 if server.dialect is MISTRAL else 30
    assert usage == Usage(input_tokens=1009, cache_read_tokens=1000, output_tokens=40, reasoning_tokens=thought)


async def test_a_failure_in_the_middle_is_a_failure_after_what_had_come(
    server: ProviderServer, providers: Providers
) -> None:
    server.plays(Breaks("error", after=len(server.dialect.frames(Says(), _asked())) - 3))
    with pytest.raises(Unreachable, match="had an error"):
        await deltas_of(providers.of(config_of(server)), server.dialect.model, call())


async def test_an_end_without_a_finish_is_no_end(server: ProviderServer, providers: Providers) -> None:
    server.plays(Breaks("end", after=3))
    with pytest.raises(Truncated):
        await deltas_of(providers.of(config_of(server)), server.dialect.model, call())


def error(status: int, message: str, code: str | None = None, param: str | None = None, **more: Any) -> Answers:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code, **more}}
    return Answers(status, json.dumps(body).encode())


async def test_a_refused_level_is_replaced_and_remembered_for_the_model(
    one: dict[str, ProviderServer], providers: Providers
) -> None:
    server = one["responses"]
    provider = providers.of(config_of(server))
    message = "Unsupported value: 'high' is not supported. Supported values are: 'low' and 'medium'."
    server.plays(error(400, message, "unsupported_value", "reasoning.effort"))
    for _ in range(2):
        assert await text_of(provider, "gpt-5.5", call(reasoning="high")) == HELLO
    await text_of(provider, "gpt-5.7", call(reasoning="high"))
    efforts = [json.loads(seen.body)["reasoning"]["effort"] for seen in server.seen]
    assert efforts == ["high", "medium", "medium", "high"]


async def test_a_server_without_responses_is_called_on_chat(
    one: dict[str, ProviderServer], providers: Providers
) -> None:
    server = one["compatible"]
    provider = providers.of(config_of(server, api="auto"))
    assert await text_of(provider, "local-model", call()) == HELLO
    private = providers.of(config_of(one["openai"]))
    assert await text_of(private, "gpt-5-turbo-of-our-own", call()) == HELLO
    assert [seen.target for seen in one["openai"].seen] == ["/v1/responses", "/v1/chat/completions"]
    await text_of(private, "gpt-5-turbo-of-our-own", call())
    assert [seen.target for seen in one["openai"].seen][2:] == ["/v1/chat/completions"]


async def test_s053_a_call_that_can_do_without_is_repeated_without_tools(
    one: dict[str, ProviderServer], providers: Providers
) -> None:
    server = one["compatible"]
    provider = providers.of(config_of(server))
    server.plays(error(400, "registry.ollama.ai/library/gemma does not support tools"))
    asked = call(tools=(LOOK_UP,), tools_optional=True)
    assert await text_of(provider, "gemma", asked) == HELLO
    assert [len(seen.tools) for seen in server.asked] == [1, 0]
    with pytest.raises(Unsupported, match="does not support tools"):
        await text_of(provider, "gemma", call(tools=(LOOK_UP,)))
    assert len(server.seen) == 2  # it is known, and was not asked again


async def test_s053_a_call_that_is_about_its_tools_fails_with_the_hint(
    one: dict[str, ProviderServer], providers: Providers
) -> None:
    one["compatible"].plays(error(400, "registry.ollama.ai/library/gemma does not support tools"))
    with pytest.raises(Unsupported, match="does not support tools") as caught:
        await text_of(providers.of(config_of(one["compatible"])), "gemma", call(tools=(LOOK_UP,)))
    assert "tool" in str(caught.value.action)


@pytest.mark.parametrize(
    "play",
    [
        error(400, "Failed to call a function.", "tool_use_failed", failed_generation="<f>"),
        Answers(
            200,
            b'event: error\ndata: {"error":{"message":"Failed to call a function.","code":"tool_use_failed",'
            b'"failed_generation":"<f>","status_code":400}}\n\n',
            (("content-type", "text/event-stream"),),
        ),
    ],
)
async def test_a_badly_written_tool_call_is_asked_for_once_more(
    one: dict[str, ProviderServer], providers: Providers, play: Answers
) -> None:
    server = one["compatible"]
    server.plays(play)
    assert await text_of(providers.of(config_of(server)), "m", call(tools=(LOOK_UP,))) == HELLO
    server.plays(play, play)
    with pytest.raises(ModelFailed):
        await text_of(providers.of(config_of(server)), "m", call(tools=(LOOK_UP,)))


async def test_a_model_that_is_still_loading_is_waited_for(
    one: dict[str, ProviderServer], providers: Providers
) -> None:
    server = one["compatible"]
    loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
    server.plays(Answers(503, json.dumps(loading).encode()))
    assert await text_of(providers.of(config_of(server)), "m", call()) == HELLO
    assert len(server.seen) == 2


async def test_s040_the_key_is_named_by_its_end_and_its_entry(server: ProviderServer, providers: Providers) -> None:
    server.plays(Refuses("auth"))
    with pytest.raises(UpstreamError) as caught:
        await text_of(providers.of(config_of(server)), server.dialect.model, call())
    shown = f"{caught.value.message} {caught.value.explanation} {caught.value.action}"
    assert ("`fake`" if server.dialect.kind == "azure" else "`mine`") in shown
    assert "`0001`" in shown
    assert "sk-fake-key-0001" not in shown


@pytest.mark.parametrize("kind", ["context_too_long", "content_filtered", "rate_limited", "billing", "overloaded"])
async def test_every_vendors_words_mean_the_same(server: ProviderServer, providers: Providers, kind: Any) -> None:
    server.always_plays(Refuses(kind))
    with pytest.raises(UpstreamError) as caught:
        await text_of(providers.of(config_of(server)), server.dialect.model, call())
    assert caught.value.code == f"upstream_{kind}"
    assert caught.value.explanation


async def test_the_end_of_every_answer_says_why(server: ProviderServer, providers: Providers) -> None:
    for finish in ("stop", "length", "content_filter"):
        server.plays(Says(finish=finish))
        last = (await deltas_of(providers.of(config_of(server)), server.dialect.model, call()))[-1]
        assert isinstance(last, Finish)
        assert last.reason == finish


def _asked() -> Asked:
    return Asked(model="m", stream=True, credential=None)


def test_the_fakes_are_dialects() -> None:
    found: tuple[Dialect, ...] = DIALECTS
    assert [one.kind for one in found] == ["openai", "openai", "azure", "openai-compatible", "mistral", "qwen"]
    assert [one.model for one in found] == ["gpt-4.1", "gpt-5.5", "prod-chat", *(one.model for one in found[3:])]
