"""The official Python SDK through the service onto providers that do not speak its format."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIError, APIStatusError, AsyncOpenAI, BadRequestError, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.fakes.dialects.base import SaidTool, Says
from tests.fakes.provider_server import Breaks, Refuses
from tests.gateway.inference.translated_house import DIALECTS, House, There, running_house
from tests.sdk.conftest import options

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name}",
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
TWO = Says(
    pieces=("Let me look.",),
    reasoning="Two things are asked.",
    signature="c2lnbmVk",
    tools=(SaidTool("tool_a", "weather", {"city": "Köln"}), SaidTool("tool_b", "clock", {"zone": "UTC"})),
)


class City(BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with running_house() as running:
        yield running


@pytest.fixture(params=[dialect.kind for dialect in DIALECTS])
def there(house: House, request: pytest.FixtureRequest) -> There:
    found = There(house, request.param)
    found.server.reset()
    return found


@pytest.fixture
def client(there: There) -> Iterator[OpenAI]:
    with OpenAI(**options(there.service)) as client:
        yield client


def test_an_answer_has_text_reason_usage_and_the_callers_model(there: There, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=there.model, messages=HELLO)
    completion = raw.parse()
    assert completion.choices[0].message.content == "Hello from the upstream."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == there.model
    assert completion.usage is not None
    assert completion.usage.total_tokens == 12
    assert raw.headers["x-penstock-attempts"] == "1"
    assert there.server.faults == []


def test_a_stream_ends_with_the_usage_that_was_asked_for(there: There, client: OpenAI) -> None:
    *chunks, last = client.chat.completions.create(
        model=there.model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello from the upstream."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 12


def test_the_stream_helper_assembles_text_tools_and_thoughts(there: There, client: OpenAI) -> None:
    there.server.plays(TWO)
    with client.chat.completions.stream(
        model=there.model, messages=HELLO, tools=TOOLS, reasoning_effort="low"
    ) as stream:
        events = list(stream)
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, event.index) for event in done] == [("weather", 0), ("clock", 1)]
    choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    assert [call.function.parsed_arguments for call in choice.message.tool_calls or []] == [
        {"city": "Köln"},
        {"zone": "UTC"},
    ]
    extra = choice.message.model_extra or {}
    assert extra["reasoning_content"] == "Two things are asked."
    details = extra["reasoning_details"]
    assert [(one["format"], one["index"]) for one in details] == [("penstock/1", at) for at in range(len(details))]
    assert details


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_written_for_openai_brings_signed_thoughts_back(there: There, client: OpenAI, stream: bool) -> None:
    there.server.plays(TWO)
    asked: dict[str, Any] = {"model": there.model, "tools": TOOLS, "reasoning_effort": "low"}
    if stream:
        with client.chat.completions.stream(messages=HELLO, **asked) as reading:
            message: Any = reading.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=HELLO, **asked).choices[0].message
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"}
        for call in message.tool_calls
    ]
    second = client.chat.completions.create(messages=[*HELLO, message, *results], **asked)
    assert second.choices[0].message.content == "Hello from the upstream."
    assert there.server.faults == []
    seen = there.server.asked[-1]
    assert seen.opaque == ("c2lnbmVk",)
    assert [name for _, name, _ in seen.tool_calls] == ["weather", "clock"]
    assert [text for _, text in seen.tool_results] == ["result of weather", "result of clock"]


def test_a_structured_answer_is_asked_for_and_parsed(there: There, client: OpenAI) -> None:
    there.server.plays(Says(pieces=('{"name": "Kö', 'ln", "people": 1080000}')))
    completion = client.chat.completions.parse(model=there.model, messages=HELLO, response_format=City)
    assert completion.choices[0].message.parsed == City(name="Köln", people=1080000)
    assert set(there.server.asked[-1].schema["properties"]) == {"name", "people"}
    assert there.server.faults == []


def test_the_stream_helper_parses_a_structured_answer(there: There, client: OpenAI) -> None:
    there.server.plays(Says(pieces=('{"name": "Kö', 'ln", "people": 1}')))
    with client.chat.completions.stream(model=there.model, messages=HELLO, response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(name="Köln", people=1)


def test_images_and_files_are_sent_as_the_sdk_sends_them(there: There, client: OpenAI) -> None:
    png, pdf = b"\x89PNG\r\n\x1a\n" + bytes(16), b"%PDF-1.4\n%%EOF\n"
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(png).decode()}},
        {
            "type": "file",
            "file": {
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64," + base64.b64encode(pdf).decode(),
            },
        },
    ]
    client.chat.completions.create(model=there.model, messages=[{"role": "user", "content": parts}])
    assert (there.server.asked[-1].images, there.server.asked[-1].documents) == ((png,), (pdf,))


def test_several_choices_come_in_order(there: There, client: OpenAI) -> None:
    completion = client.chat.completions.create(model=there.model, messages=HELLO, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    with client.chat.completions.stream(model=there.model, messages=HELLO, n=2) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["Hello from the upstream."] * 2


def test_what_the_model_cannot_do_is_a_bad_request_that_names_the_field(there: There, client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model=there.model, messages=HELLO, logprobs=True)
    assert refused.value.param == "logprobs"
    assert there.server.seen == []


def test_a_refusal_is_the_exception_that_the_sdk_has_for_it(there: There, client: OpenAI) -> None:
    there.server.plays(Refuses("context_too_long"))
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model=there.model, messages=HELLO)
    assert refused.value.code == "context_length_exceeded"


def test_a_failure_before_the_first_word_is_a_status_for_the_sdk(there: There, client: OpenAI) -> None:
    there.server.always_plays(Breaks("error", after=0))
    with pytest.raises(APIStatusError) as failed:
        client.chat.completions.create(model=there.model, messages=HELLO, stream=True)
    assert failed.value.status_code >= 500


def test_a_failure_in_mid_stream_is_raised_after_what_was_said(there: There, client: OpenAI) -> None:
    there.server.plays(there.broken_off("error"))
    said: list[str] = []
    stream = client.chat.completions.create(model=there.model, messages=HELLO, stream=True)
    with pytest.raises(APIError):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(said).startswith("Hello")


async def test_the_asynchronous_client_streams(there: There) -> None:
    there.server.plays(TWO)
    async with (
        AsyncOpenAI(**options(there.service)) as client,
        client.chat.completions.stream(model=there.model, messages=HELLO, tools=TOOLS) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Köln"}, {"zone": "UTC"}]
