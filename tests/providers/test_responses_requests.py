"""What is sent to the Responses surface: the exact bodies."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.providers.base import (
    Audio,
    Call,
    Document,
    Effort,
    Image,
    JsonSchema,
    Message,
    Opaque,
    Part,
    Quirks,
    Text,
    Tool,
    ToolCall,
)
from penstock.providers.failures import Unsupported
from penstock.providers.vendors import VENDORS
from penstock.providers.wires.openai.responses import WIRE

OPENAI = next(way.quirks for way in VENDORS["openai"].ways if way.wire == "openai_responses")
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
STRICT = SCHEMA | {"additionalProperties": False}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
PIXEL = Image("data:image/png;base64,AA==", "low")
PDF = Document("data:application/pdf;base64,AA==", "a.pdf")
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
OTHER = SEALED | {"id": "rs_2", "encrypted_content": "gBBB"}


def user(content: str | list[Part] = "Hi") -> Message:
    return Message(role="user", content=content)


def body(model: str = "gpt-5.5", quirks: Quirks = OPENAI, *messages: Message, **fields: Any) -> dict[str, Any]:
    exchange = WIRE.request(Call(messages=messages or [user()], **fields), model, quirks)
    assert (exchange.path, exchange.headers) == ("/responses", ())
    sent: dict[str, Any] = json.loads(exchange.body)
    return sent


def items(*messages: Message, quirks: Quirks = OPENAI) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body("gpt-5.5", quirks, *messages)["input"]
    return sent


@pytest.mark.parametrize("words, is_told", [("Hi", True), ("Answer in JSON", False)])
def test_json_without_a_schema_is_spoken_of_in_the_input(words: str, is_told: bool) -> None:
    sent = body("gpt-5.5", OPENAI, Message(role="system", content="JSON only."), user(words), answer_format="json")
    assert sent["text"] == {"format": {"type": "json_object"}}
    assert [one["role"] for one in sent["input"]] == (["system", "user"] if is_told else ["user"])
    assert "json" in str(sent["input"]).lower()


def test_each_turn_has_its_own_results_where_ids_are_numbered_anew() -> None:
    turns = []
    for words in ("first", "second"):
        turns.append(Message(role="assistant", tool_calls=[ToolCall("0", "look_up", "{}")]))
        turns.append(Message(role="tool", tool_call_id="0", content=words))
    outputs = [one["output"] for one in items(user(), *turns) if one["type"] == "function_call_output"]
    assert outputs == ["first", "second"]


def said(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content} | fields


def call_of(call_id: str, arguments: str = '{"q":"x"}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": arguments}


def output_of(call_id: str, output: Any = "found") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def asked(text: str = "Hi") -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def turn(content: str, *ids: str, opaque: tuple[Mapping[str, Any], ...] = (), model: str = "gpt-5.5") -> Message:
    calls = [ToolCall(one, "look_up", '{"q":"x"}') for one in ids]
    blocks = [Opaque("openai_responses", model, block) for block in opaque]
    return Message(role="assistant", content=content, tool_calls=calls, opaque=blocks)


def result(call_id: str, content: str | list[Part] = "found") -> Message:
    return Message(role="tool", tool_call_id=call_id, content=content)


def test_the_smallest_body() -> None:
    assert body() == {
        "model": "gpt-5.5",
        "input": [asked()],
        "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
    }


def test_the_body_with_everything() -> None:
    sent = body(
        "gpt-5.4",
        OPENAI,
        Message(role="system", content="Be brief."),
        Message(role="system", content="Be kind."),
        user(),
        max_output_tokens=3,
        temperature=0.5,
        top_p=0.9,
        seed=1,
        stop=["x"],
        presence_penalty=0.1,
        frequency_penalty=0.1,
        tools=[LOOK_UP],
        tool_choice="look_up",
        parallel_tool_calls=False,
        answer_format=JsonSchema(schema=SCHEMA, name="a b", strict=True, description="D"),
        user_ref="u1",
    )
    assert sent == {
        "model": "gpt-5.4",
        "instructions": "Be brief.\n\nBe kind.",
        "input": [asked()],
        "max_output_tokens": 16,
        "temperature": 0.5,
        "top_p": 0.9,
        "tools": [
            {
                "type": "function",
                "name": "look_up",
                "description": "Looks it up.",
                "parameters": SCHEMA,
                "strict": False,
            }
        ],
        "tool_choice": {"type": "function", "name": "look_up"},
        "parallel_tool_calls": False,
        "text": {
            "format": {"type": "json_schema", "name": "a_b", "schema": STRICT, "description": "D", "strict": True}
        },
        "safety_identifier": "u1",
        "include": ["reasoning.encrypted_content"],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
    }


def test_nothing_is_ever_left_with_the_provider_unless_an_administrator_says_so() -> None:
    learnt = replace(OPENAI, dropped=frozenset({"store", "include", "temperature"}))
    assert body("gpt-5.5", learnt)["store"] is False
    assert "include" not in body("gpt-5.5", learnt)
    assert body(extra={"store": True})["store"] is True


@pytest.mark.parametrize(
    "model, wanted, sent",
    [
        ("gpt-5.5", "high", {"effort": "high", "summary": "auto"}),
        ("gpt-5.5", "off", {"effort": "none"}),
        ("gpt-5.6", "minimal", {"effort": "low", "summary": "auto"}),
        ("gpt-5.4", None, None),
        ("gpt-5.4", "max", {"effort": "xhigh", "summary": "auto"}),
        ("gpt-5", "off", {"effort": "minimal", "summary": "auto"}),
        ("o3", "xhigh", {"effort": "high", "summary": "auto"}),
        ("gpt-6-astra", "off", {"effort": "low", "summary": "auto"}),
        ("gpt-6-astra", "max", {"effort": "max", "summary": "auto"}),
        ("gpt-4.1", "high", None),
        ("prod-deployment", "max", {"effort": "high", "summary": "auto"}),
        ("prod-deployment", "off", None),
    ],
)
def test_reasoning_is_asked_for_as_the_family_takes_it(model: str, wanted: Effort | None, sent: Any) -> None:
    assert body(model, reasoning=wanted).get("reasoning") == sent


def test_what_a_model_has_taught_about_its_levels_comes_first() -> None:
    learnt = replace(OPENAI, efforts=("medium",), dropped=frozenset({"reasoning.summary"}))
    assert body("gpt-5.5", learnt, reasoning="off")["reasoning"] == {"effort": "medium"}


def test_sampling_is_left_out_while_the_model_thinks() -> None:
    assert "temperature" not in body("gpt-5.5", temperature=0.5)
    assert body("gpt-5.5", temperature=0.5, reasoning="off")["temperature"] == 0.5
    assert "top_p" not in body("gpt-5.4", top_p=0.5, reasoning="low")


ITEMS: Mapping[str, tuple[list[Message], list[dict[str, Any]]]] = {
    "several turns": (
        [user("A"), turn("B"), user("C")],
        [asked("A"), said("B"), asked("C")],
    ),
    "a system message in the middle keeps its place": (
        [user("A"), Message(role="system", content="S"), user("B")],
        [asked("A"), {"type": "message", "role": "system", "content": "S"}, asked("B")],
    ),
    "files": (
        [user([Text("See"), PIXEL, PDF])],
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "See"},
                    {"type": "input_image", "image_url": PIXEL.url, "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": PDF.url},
                ],
            }
        ],
    ),
    "calls and their results, in the order of the calls": (
        [user(), turn("Wait.", "a", "b"), result("b", "B"), result("a", "A")],
        [asked(), said("Wait."), call_of("a"), call_of("b"), output_of("a", "A"), output_of("b", "B")],
    ),
    "a call without a result gets one, a result without a call goes": (
        [user(), turn("", "a"), result("z"), user("Go on")],
        [asked(), call_of("a"), output_of("a", "No result: the call was cancelled."), asked("Go on")],
    ),
    "an image in a result": (
        [user(), turn("", "a"), result("a", [Text("see"), PIXEL])],
        [
            asked(),
            call_of("a"),
            output_of(
                "a",
                [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": PIXEL.url, "detail": "low"},
                ],
            ),
        ],
    ),
    "thoughts stand before what they belong to": (
        [
            user(),
            turn(
                "Wait.",
                "a",
                opaque=(
                    SEALED,
                    {"type": "message", "chars": 5, "phase": "commentary"},
                    OTHER,
                    {"type": "function_call", "call_id": "a"},
                ),
            ),
            result("a"),
        ],
        [asked(), SEALED, said("Wait.", phase="commentary"), OTHER, call_of("a"), output_of("a")],
    ),
    "a text is cut into the messages that it came in": (
        [
            turn(
                "Wait.Done.",
                opaque=(
                    {"type": "message", "chars": 5, "phase": "commentary"},
                    {"type": "message", "chars": 5, "phase": "final_answer"},
                ),
            )
        ],
        [said("Wait.", phase="commentary"), said("Done.", phase="final_answer")],
    ),
    "a thought whose item was taken out goes, too": (
        [
            turn(
                "Hi",
                "b",
                opaque=(
                    SEALED,
                    {"type": "function_call", "call_id": "a"},
                    OTHER,
                    {"type": "function_call", "call_id": "b"},
                ),
            )
        ],
        [OTHER, call_of("b"), said("Hi"), output_of("b", "No result: the call was cancelled.")],
    ),
    "a thought of a hosted tool goes with it": (
        [turn("Hi", opaque=(SEALED, {"type": "web_search_call"}, {"type": "message", "chars": 2}))],
        [said("Hi")],
    ),
    "a thought at the very end is not sent": ([turn("", opaque=(SEALED,)), user()], [asked()]),
    "thoughts without a mark stand before the rest": ([turn("Hi", opaque=(SEALED,))], [SEALED, said("Hi")]),
    "thoughts of another model stay here": ([turn("Hi", opaque=(SEALED,), model="gpt-5.4")], [said("Hi")]),
}


@pytest.mark.parametrize("name", ITEMS)
def test_a_conversation_becomes_items(name: str) -> None:
    given, sent = ITEMS[name]
    assert items(*given) == sent


def test_thoughts_stay_here_once_they_were_refused() -> None:
    history = turn("Hi", opaque=(SEALED, {"type": "message", "chars": 2}))
    assert items(history, quirks=replace(OPENAI, opaque=False)) == [said("Hi")]


@pytest.mark.parametrize("choice, sent", [(None, None), ("auto", None), ("none", "none"), ("required", "required")])
def test_the_choice_of_tools(choice: str | None, sent: object) -> None:
    assert body(tools=[LOOK_UP], tool_choice=choice).get("tool_choice") == sent


def test_no_tools_no_fields_about_them() -> None:
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(
        body(tool_choice="required", parallel_tool_calls=True)
    )


def test_s053_tools_are_left_out_or_missed_for_a_model_without_them() -> None:
    without = replace(OPENAI, tools=False)
    assert "tools" not in body("m", without, tools=[LOOK_UP], tools_optional=True)
    with pytest.raises(Unsupported, match="does not support tools"):
        body("m", without, tools=[LOOK_UP])


def test_a_format_that_was_refused_is_asked_for_in_words() -> None:
    sent = body("m", replace(OPENAI, dropped=frozenset({"response_format"})), answer_format=JsonSchema(schema=SCHEMA))
    assert "text" not in sent
    assert '"properties"' in sent["instructions"]
    assert body(answer_format="json")["text"] == {"format": {"type": "json_object"}}


def test_s062_what_cannot_be_sent_is_refused_by_name() -> None:
    for part in (
        Audio("AA==", "wav"),
        Document("data:text/csv;base64,AA=="),
        Image("data:application/pdf;base64,AA=="),
    ):
        with pytest.raises(Unsupported):
            items(user([Text("x"), part]))
    with pytest.raises(Unsupported, match="documents"):
        items(user([PDF]), quirks=Quirks())


def test_lone_surrogates_are_replaced() -> None:
    assert items(user("a\ud83db😀")) == [asked("a\ufffdb😀")]
