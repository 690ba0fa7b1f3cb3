"""What the official Python SDK gets from `/oai/v1` when all goes well."""

import json
from typing import Any

import anyio
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.fakes.openai_upstream import Finish, Hold, Text, Wait
from tests.sdk.answers import MIXED_CALLS, TWO_CALLS, chunk, whole
from tests.service import Service

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {field: {"type": "string"}},
                "required": [field],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
    for name, field in (("weather", "city"), ("clock", "zone"))
]


class City(BaseModel):
    name: str
    people: int


def sent(service: Service) -> Any:
    return service.upstream.chats[-1].json


# --- whole answers ----------------------------------------------------------------------------------------------------


def test_an_answer_has_its_text_its_end_and_its_usage(service: Service, client: OpenAI) -> None:
    completion = client.chat.completions.create(model="mock/one", messages=HELLO)
    assert completion.object == "chat.completion"
    assert completion.choices[0].message.content == "Hello from the upstream."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 12


def test_the_request_id_is_the_one_of_our_log(service: Service, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="mock/one", messages=HELLO)
    completion = raw.parse()
    assert raw.request_id == completion._request_id == raw.headers["x-request-id"]
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    service.wait_for_log(raw.request_id)


def test_fields_that_the_sdk_does_not_know_go_both_ways(service: Service, client: OpenAI) -> None:
    service.upstream.plays(whole({"content": "4", "reasoning_content": "2 and 2"}))
    completion = client.chat.completions.create(
        model="mock/one",
        messages=HELLO,
        reasoning_effort="low",
        extra_body={"top_k": 40, "vendor": {"deep": [1, None]}},
        extra_headers={"x-of-the-application": "1"},
        extra_query={"of-the-application": "1"},
    )
    assert sent(service)["top_k"] == 40
    assert sent(service)["vendor"] == {"deep": [1, None]}
    assert sent(service)["reasoning_effort"] == "low"
    assert (completion.choices[0].message.model_extra or {})["reasoning_content"] == "2 and 2"


def test_images_reach_the_upstream(service: Service, client: OpenAI) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    ]
    client.chat.completions.create(model="mock/one", messages=[{"role": "user", "content": parts}])
    assert sent(service)["messages"] == [{"role": "user", "content": parts}]


def test_a_structured_answer_is_asked_for_and_parsed(service: Service, client: OpenAI) -> None:
    service.upstream.plays(whole({"content": '{"name": "Köln", "people": 1080000}'}))
    completion = client.chat.completions.parse(model="mock/one", messages=HELLO, response_format=City)
    assert completion.choices[0].message.parsed == City(name="Köln", people=1080000)
    wanted = sent(service)["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    assert set(wanted["json_schema"]["schema"]["properties"]) == {"name", "people"}


def test_a_tool_is_called_and_its_result_goes_back(service: Service, client: OpenAI) -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    service.upstream.plays(whole({"content": None, "tool_calls": [call]}, "tool_calls"))
    first = client.chat.completions.create(
        model="mock/one", messages=HELLO, tools=TOOLS, tool_choice="required", parallel_tool_calls=False
    )
    assert first.choices[0].finish_reason == "tool_calls"
    assert sent(service)["tools"] == TOOLS
    assert sent(service)["tool_choice"] == "required"
    assert sent(service)["parallel_tool_calls"] is False
    message: Any = first.choices[0].message
    second = client.chat.completions.create(
        model="mock/one",
        messages=[
            {"role": "developer", "content": "Be brief."},
            *HELLO,
            message,
            {"role": "tool", "tool_call_id": "call_a", "content": "rain"},
        ],
        tools=TOOLS,
    )
    assert second.choices[0].message.content == "Hello from the upstream."
    developer, user, assistant, tool = sent(service)["messages"]
    assert developer["role"] == "developer"
    assert user == HELLO[0]
    assert assistant["tool_calls"] == [call]
    assert tool == {"role": "tool", "tool_call_id": "call_a", "content": "rain"}


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_read_piece_by_piece(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("one"), Hold(), Text(" two"), Finish())
    with client.chat.completions.create(model="mock/one", messages=HELLO, stream=True) as stream:
        chunks = iter(stream)
        texts = [next(chunks).choices[0].delta.content]
        service.upstream.go_on()
        rest = list(chunks)
    texts += [piece.choices[0].delta.content for piece in rest]
    assert [text for text in texts if text] == ["one", " two"]
    assert rest[-1].choices[0].finish_reason == "stop"
    assert all(piece.usage is None for piece in rest)
    assert stream.response.headers["x-request-id"].startswith("req_")


def test_usage_is_the_last_chunk_of_a_stream_that_asked_for_it(service: Service, client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="mock/one", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 5)


def test_reasoning_of_a_stream_is_kept(service: Service, client: OpenAI) -> None:
    service.upstream.plays(chunk({"role": "assistant", "reasoning_content": "hm"}), Text("4"), Finish())
    first, *_ = client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
    assert (first.choices[0].delta.model_extra or {})["reasoning_content"] == "hm"


def test_a_silent_upstream_does_not_end_the_patience_of_the_sdk(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("one"), Wait(1.5), Text(" two"), Finish())
    stream = client.chat.completions.create(model="mock/one", messages=HELLO, stream=True, timeout=1)
    assert "".join(piece.choices[0].delta.content or "" for piece in stream) == "one two"


def test_the_lines_of_a_stream_can_be_read_as_they_are(service: Service, client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="mock/one", messages=HELLO, stream=True
    ) as response:
        assert response.headers["content-type"] == "text/event-stream"
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["choices"] for line in lines[:-1])


def test_a_whole_answer_can_be_read_as_it_comes(service: Service, client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(model="mock/one", messages=HELLO) as response:
        completion = response.parse()
    assert completion.choices[0].message.content == "Hello from the upstream."


def test_the_stream_helper_collects_text_and_usage(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text("Hel"), Text("lo"), Finish())
    with client.chat.completions.stream(
        model="mock/one", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
    assert [event.delta for event in events if event.type == "content.delta"] == ["Hel", "lo"]
    assert [event.content for event in events if event.type == "content.done"] == ["Hello"]
    final = stream.get_final_completion()
    assert final.choices[0].message.content == "Hello"
    assert final.usage is not None
    assert final.usage.total_tokens == 12


def test_the_stream_helper_parses_a_structured_answer(service: Service, client: OpenAI) -> None:
    service.upstream.plays(Text('{"name": "Kö'), Text('ln", "people": 1}'), Finish())
    with client.chat.completions.stream(model="mock/one", messages=HELLO, response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(name="Köln", people=1)


def test_parallel_tool_calls_are_assembled(service: Service, client: OpenAI) -> None:
    service.upstream.plays(*TWO_CALLS, Finish("tool_calls"))
    with client.chat.completions.stream(model="mock/one", messages=HELLO, tools=TOOLS) as stream:
        events = list(stream)
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, event.index) for event in done] == [("weather", 0), ("clock", 1)]
    choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls or []
    assert [(call.id, call.function.parsed_arguments) for call in calls] == [
        ("call_a", {"city": "Köln"}),
        ("call_b", {"zone": "UTC"}),
    ]


def test_mixed_pieces_of_tool_calls_keep_their_order(service: Service, client: OpenAI) -> None:
    service.upstream.plays(*MIXED_CALLS, Finish("tool_calls"))
    arguments = {0: "", 1: ""}
    names: dict[int, str] = {}
    for piece in client.chat.completions.create(model="mock/one", messages=HELLO, tools=TOOLS, stream=True):
        for call in piece.choices[0].delta.tool_calls or []:
            assert call.function is not None
            if call.id:
                names[call.index] = call.function.name or ""
            arguments[call.index] += call.function.arguments or ""
    assert names == {0: "weather", 1: "clock"}
    assert arguments == {0: '{"city": "Köln"}', 1: '{"zone": "UTC"}'}


# --- models -----------------------------------------------------------------------------------------------------------


def test_models_are_listed(service: Service, client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"agent-1", "mock/one", "mock/two"} <= models.keys()
    assert models["mock/one"].object == "model"
    assert models["mock/one"].owned_by == "mock"


def test_a_model_with_a_slash_in_its_name_is_found(service: Service, client: OpenAI) -> None:
    assert client.models.retrieve("mock/one").id == "mock/one"


# --- the asynchronous client ------------------------------------------------------------------------------------------


async def test_the_asynchronous_client_gets_answers_and_models(service: Service, async_client: AsyncOpenAI) -> None:
    completion = await async_client.chat.completions.create(model="mock/one", messages=HELLO)
    assert completion.choices[0].message.content == "Hello from the upstream."
    assert completion._request_id is not None
    assert "mock/one" in [model.id async for model in async_client.models.list()]
    assert (await async_client.models.retrieve("mock/two")).id == "mock/two"


async def test_the_asynchronous_client_streams(service: Service, async_client: AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(model="mock/one", messages=HELLO, stream=True)
    async with stream:
        texts = [piece.choices[0].delta.content or "" async for piece in stream]
    assert "".join(texts) == "Hello from the upstream."


async def test_the_asynchronous_helper_assembles_tool_calls(service: Service, async_client: AsyncOpenAI) -> None:
    service.upstream.plays(*TWO_CALLS, Finish("tool_calls"))
    async with async_client.chat.completions.stream(model="mock/one", messages=HELLO, tools=TOOLS) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"city": "Köln"}', '{"zone": "UTC"}']


async def test_the_asynchronous_client_reads_lines(service: Service, async_client: AsyncOpenAI) -> None:
    async with async_client.chat.completions.with_streaming_response.create(
        model="mock/one", messages=HELLO, stream=True
    ) as response:
        lines = [line async for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


async def test_twenty_streams_at_the_same_time_keep_apart(service: Service, async_client: AsyncOpenAI) -> None:
    streams = 20
    heard: dict[int, str] = {}
    for number in range(streams):
        words = [Text(f"{number}:{at} ") for at in range(10)]
        service.upstream.plays_when(f"number {number}", *words[:5], Hold(), *words[5:], Finish())

    async def read(number: int) -> None:
        stream = await async_client.chat.completions.create(
            model="mock/one", messages=[{"role": "user", "content": f"number {number}"}], stream=True
        )
        heard[number] = ""
        async for piece in stream:
            heard[number] += piece.choices[0].delta.content or ""

    async with anyio.create_task_group() as group:
        for number in range(streams):
            group.start_soon(read, number)
        # No answer ends before every one has begun: they are all open at the same time.
        while len(heard) < streams or not all(heard.values()):
            await anyio.sleep(0.01)
        service.upstream.go_on()
    assert heard == {number: "".join(f"{number}:{at} " for at in range(10)) for number in range(streams)}
