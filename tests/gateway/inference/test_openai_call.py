"""A chat completion request becomes a neutral call, or a 400 that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.gateway.inference.openai_call import AskedCall, read_call
from penstock.gateway.inference.openai_thoughts import Thoughts, thoughts_box
from penstock.providers.base import Audio, Call, Document, Image, JsonSchema, Message, Opaque, Text, Tool, ToolCall

THOUGHTS = Thoughts(thoughts_box(("the master secret of these tests",)), "tenant-1")
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
USER = {"role": "user", "content": "Hello"}


def asked(messages: Any = None, **fields: Any) -> AskedCall:
    return read_call(json.dumps({"model": "m", "messages": messages or [USER], **fields}).encode(), THOUGHTS)


def call(messages: Any = None, **fields: Any) -> Call:
    return asked(messages, **fields).call


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


# --- messages ---------------------------------------------------------------------------------------------------------


def test_roles_keep_their_order_and_developers_speak_for_the_system() -> None:
    said = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        USER,
        {"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": None},
        {"role": "user", "content": "Bye", "name": "ann"},
    ]
    assert call(said).messages == (
        Message(role="system", content="Be brief."),
        Message(role="system", content=(Text("Be kind."),)),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi"),
        Message(role="user", content="Bye"),
    )


def test_parts_of_every_kind_are_read() -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    assert call([{"role": "user", "content": parts}]).messages[0].content == (
        Text("Look"),
        Image(PNG, "low"),
        Image("https://example.com/a.png"),
        Document(PDF, "a.pdf"),
        Audio("AAAA", "wav"),
    )


def test_a_file_without_its_kind_is_known_by_its_name() -> None:
    files: list[dict[str, Any]] = [
        {"file_data": "JVBERi0="},
        {"file_data": "aGk=", "filename": "a.txt"},
        {"file_data": "https://a.example/b.pdf"},
    ]
    parts = [{"type": "file", "file": file} for file in files]
    assert call([{"role": "user", "content": parts}]).messages[0].content == (
        Document(PDF),
        Document("data:text/plain;base64,aGk=", "a.txt"),
        Document("https://a.example/b.pdf"),
    )


def test_a_tool_round_trip_keeps_ids_names_arguments_and_results() -> None:
    calls = [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}},
        {"id": "call_b", "function": {"name": "clock", "arguments": {"zone": "UTC"}}},
    ]
    said = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_b", "content": "noon"},
        {"role": "tool", "tool_call_id": "call_a", "content": [{"type": "text", "text": "rain"}]},
    ]
    _, assistant, second, first = call(said).messages
    assert assistant.content == ""
    assert assistant.tool_calls == (
        ToolCall("call_a", "weather", '{"city": "Köln"}'),
        ToolCall("call_b", "clock", '{"zone":"UTC"}'),
    )
    assert second == Message(role="tool", content="noon", tool_call_id="call_b", name="clock")
    assert first == Message(role="tool", content=(Text("rain"),), tool_call_id="call_a", name="weather")


def test_legacy_functions_are_tools_that_are_called_one_at_a_time() -> None:
    said = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "rain"},
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"a":1}'}},
        {"role": "function", "name": "weather", "content": "sun"},
    ]
    read = asked(said, functions=[{"name": "weather", "parameters": SCHEMA}], function_call={"name": "weather"})
    assert read.is_legacy
    assert read.call.tools == (Tool("weather", "", SCHEMA),)
    assert read.call.tool_choice == "weather"
    assert read.call.parallel_tool_calls is False
    _, first, rain, second, sun = read.call.messages
    assert first.tool_calls[0].id == rain.tool_call_id
    assert second.tool_calls[0].id == sun.tool_call_id
    assert rain.tool_call_id != sun.tool_call_id
    assert (sun.name, sun.content) == ("weather", "sun")


def test_a_refusal_of_an_earlier_turn_is_what_was_said() -> None:
    said = [USER, {"role": "assistant", "content": None, "refusal": "I will not."}, USER]
    assert call(said).messages[1].content == "I will not."
    said[1] = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert call(said).messages[1].content == (Text("No."),)


def test_signed_thoughts_come_back_with_their_turn() -> None:
    thought = Opaque("anthropic", "claude", {"type": "thinking", "thinking": "é", "signature": "s=="})
    foreign = {"type": "reasoning.text", "text": "x", "format": "unknown"}
    said = [
        USER,
        {"role": "assistant", "content": "4", "reasoning_details": [foreign, THOUGHTS.packed(thought, 0)]},
        USER,
    ]
    assert call(said).messages[1].opaque == (thought,)


# --- tools and formats ------------------------------------------------------------------------------------------------


def test_tools_keep_their_schema_and_strictness() -> None:
    tools = [function("weather", description="Of a city", parameters=SCHEMA, strict=True), function("clock")]
    read = call(tools=tools, parallel_tool_calls=False)
    assert read.tools == (
        Tool("weather", "Of a city", SCHEMA, True),
        Tool("clock", "", {"type": "object", "properties": {}}),
    )
    assert read.parallel_tool_calls is False


@pytest.mark.parametrize(
    ("choice", "neutral", "offered"),
    [
        (None, None, ["a", "b", "required"]),
        ("auto", "auto", ["a", "b", "required"]),
        ("none", "none", ["a", "b", "required"]),
        ("required", "required", ["a", "b", "required"]),
        (named("a"), "a", ["a", "b", "required"]),
        (named("required"), "required", ["required"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("a"), named("b")]}},
            "auto",
            ["a", "b"],
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("a"), named("b")]}},
            "required",
            ["a", "b"],
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("b")]}}, "auto", ["b"]),
    ],
)
def test_every_way_to_choose_a_tool_is_understood(choice: Any, neutral: str | None, offered: list[str]) -> None:
    read = call(tools=[function(name) for name in ("a", "b", "required")], tool_choice=choice)
    assert read.tool_choice == neutral
    assert [tool.name for tool in read.tools] == offered


def test_a_choice_without_tools_is_no_choice() -> None:
    read = call(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert (read.tools, read.tool_choice, read.parallel_tool_calls) == ((), None, None)


@pytest.mark.parametrize(
    ("wanted", "neutral"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}},
            JsonSchema(schema=SCHEMA, name="city", strict=True),
        ),
    ],
)
def test_the_format_of_the_answer_is_read(wanted: Any, neutral: Any) -> None:
    assert call(response_format=wanted).answer_format == neutral


# --- parameters -------------------------------------------------------------------------------------------------------


def test_parameters_are_read() -> None:
    read = call(
        max_tokens=5,
        temperature=0.5,
        top_p=1,
        presence_penalty=-2,
        frequency_penalty=1.5,
        seed=7,
        stop=["a", "", "b"],
        user="u",
        invented={"deep": [1]},
        metadata={"a": "b"},
    )
    assert (read.max_output_tokens, read.temperature, read.top_p) == (5, 0.5, 1.0)
    assert (read.presence_penalty, read.frequency_penalty, read.seed) == (-2.0, 1.5, 7)
    assert (read.stop, read.user_ref, read.extra) == (("a", "b"), "u", None)


def test_fields_that_are_null_say_nothing() -> None:
    names = ("tools", "tool_choice", "max_tokens", "temperature", "stop", "response_format", "reasoning_effort", "n")
    assert call(**dict.fromkeys(names)) == call()


def test_the_newer_name_of_a_field_counts() -> None:
    read = call(max_tokens=5, max_completion_tokens=6, user="old", safety_identifier="new", stop="x")
    assert (read.max_output_tokens, read.user_ref, read.stop) == (6, "new", ("x",))


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, "off"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"reasoning": {"enabled": False}}, "off"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"max_tokens": 0}}, "off"),
        ({"reasoning": {"max_tokens": 1024}}, "minimal"),
        ({"reasoning": {"max_tokens": 4096}}, "low"),
        ({"reasoning": {"max_tokens": 12288}}, "medium"),
        ({"reasoning": {"max_tokens": 24576}}, "high"),
        ({"reasoning": {"max_tokens": 99999}}, "xhigh"),
        ({"reasoning_effort": "minimal", "reasoning": {"max_tokens": 99999}}, "minimal"),
    ],
)
def test_reasoning_is_read_in_both_spellings(fields: dict[str, Any], effort: str | None) -> None:
    assert call(**fields).reasoning == effort


def test_reasoning_may_be_hidden() -> None:
    assert not asked(reasoning={"effort": "low", "exclude": True}).shows_reasoning
    assert asked(reasoning={"effort": "low"}).shows_reasoning


def test_several_choices_may_be_asked_for() -> None:
    assert asked(n=4).choices == 4
    assert asked().choices == 1


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [7]}, "messages.0"),
        ({"messages": [USER, {"content": "x"}]}, "messages.1.role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.name"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages.0.audio"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages.0.content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://a.example/"}]}]},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages.0.content.0.file.file_data",
        ),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stop": [1]}, "stop.0"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}, "tool_choice"),
        ({"function_call": {"name": "nobody"}}, "function_call"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x", "format": "mp3"}}, "modalities"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
    ],
)
def test_what_cannot_be_done_is_a_400_that_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_call(json.dumps({"messages": [USER], **fields}).encode(), THOUGHTS)
    assert refused.value.param == param
    assert refused.value.message


def test_a_body_that_is_too_deep_is_refused() -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    with pytest.raises(InvalidRequest, match="nested"):
        read_call(b'{"messages":[{"role":"user","content":"x","reasoning_details":' + deep + b"}]}", THOUGHTS)


# --- there and back ---------------------------------------------------------------------------------------------------

_words = st.text(max_size=20)
_tools = st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=4, unique=True)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(_words, min_size=1, max_size=5), names=_tools, arguments=st.dictionaries(_words, _words))
def test_texts_and_tool_calls_come_through_unchanged(
    texts: list[str], names: list[str], arguments: dict[str, str]
) -> None:
    spelled = json.dumps(arguments)
    calls = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": spelled}}
        for at, name in enumerate(names)
    ]
    said: list[Any] = [{"role": "user", "content": text} for text in texts]
    said += [{"role": "assistant", "content": texts[0], "tool_calls": calls}]
    said += [{"role": "tool", "tool_call_id": one["id"], "content": texts[-1]} for one in calls]
    read = call(said, tools=[function(name) for name in names])
    messages = read.messages
    assert [one.content for one in messages if one.role == "user"] == texts
    assistant = messages[len(texts)]
    assert (assistant.content, [(one.name, one.arguments) for one in assistant.tool_calls]) == (
        texts[0],
        [(name, spelled) for name in names],
    )
    results = [(one.tool_call_id, one.name, one.content) for one in messages if one.role == "tool"]
    assert results == [(one["id"], name, texts[-1]) for one, name in zip(calls, names, strict=True)]
    assert [tool.name for tool in read.tools] == names
