"""What is sent for a call: the exact bodies, for OpenAI and for everybody else."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from penstock.providers.base import Call, Effort, Image, JsonSchema, Message, Quirks, Text, Tool, ToolCall
from penstock.providers.failures import Unsupported
from penstock.providers.vendors import FLAVOURS, VENDORS
from penstock.providers.wires.openai_chat import WIRE

PLAIN = Quirks()
OPENAI = VENDORS["openai"].ways[0].quirks
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
PIXEL = Image("data:image/png;base64,AA==")


def user(content: str | list[Text | Image] = "Hi") -> Message:
    return Message(role="user", content=content)


def system(text: str) -> Message:
    return Message(role="system", content=text)


def called(*ids: str, name: str = "look_up", content: str = "") -> Message:
    calls = [ToolCall(one, name, '{"q":"x"}') for one in ids]
    return Message(role="assistant", content=content, tool_calls=calls)


def result(call_id: str, content: str | list[Text | Image] = "found") -> Message:
    return Message(role="tool", tool_call_id=call_id, name="look_up", content=content)


def sent_tool(name: str = "look_up") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Looks it up.", "parameters": SCHEMA}}


def sent_call(call_id: str, name: str = "look_up", arguments: str = '{"q":"x"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def body(call: Call, model: str = "m", quirks: Quirks = PLAIN) -> dict[str, Any]:
    exchange = WIRE.request(call, model, quirks)
    assert (exchange.path, exchange.headers) == ("/chat/completions", ())
    sent: dict[str, Any] = json.loads(exchange.body)
    return sent


def body_of(*messages: Message, quirks: Quirks = PLAIN, **fields: Any) -> dict[str, Any]:
    return body(Call(messages=messages or [user()], **fields), quirks=quirks)


def messages_of(*messages: Message, quirks: Quirks = PLAIN) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body_of(*messages, quirks=quirks)["messages"]
    return sent


def test_the_smallest_body_for_an_unknown_server() -> None:
    assert WIRE.request(Call(messages=[user("Grüß Gott")]), "m", PLAIN).body.decode() == (
        '{"model":"m","messages":[{"role":"user","content":"Grüß Gott"}],'
        '"stream":true,"stream_options":{"include_usage":true}}'
    )


def test_the_body_for_openai() -> None:
    call = Call(messages=[user()], max_output_tokens=5, temperature=0.5, stop=["a"], user_ref="u1")
    assert body(call, "gpt-4.1", OPENAI) == {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 5,
        "temperature": 0.5,
        "stop": ["a"],
        "safety_identifier": "u1",
        "store": False,
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }


def test_the_output_limit_is_never_sent_under_both_names() -> None:
    assert {"max_tokens"} == {name for name in body_of(max_output_tokens=5) if name.startswith("max")}


@pytest.mark.parametrize("flavour", ["mistral", "tgi"])
def test_usage_is_not_asked_for_where_the_field_is_refused(flavour: str) -> None:
    assert "stream_options" not in body_of(quirks=FLAVOURS[flavour])


@pytest.mark.parametrize(
    "field", ["user", "store", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier"]
)
def test_fields_that_unknown_servers_refuse_are_not_sent(field: str) -> None:
    assert field not in body_of(user_ref="u", tools=[LOOK_UP])


MESSAGES: Mapping[str, tuple[list[Message], list[dict[str, Any]]]] = {
    "several turns": (
        [user("A"), Message(role="assistant", content="B"), user("C")],
        [
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": "B"},
            {"role": "user", "content": "C"},
        ],
    ),
    "system messages become one, first": (
        [system("A"), user(), system("B"), system("")],
        [{"role": "system", "content": "A\n\nB"}, {"role": "user", "content": "Hi"}],
    ),
    "an empty system message is left out": ([system(""), user()], [{"role": "user", "content": "Hi"}]),
    "texts become one string": (
        [user([Text("A"), Text("B")])],
        [{"role": "user", "content": "A\nB"}],
    ),
    "an image keeps the parts": (
        [user([Text("A"), PIXEL, Image("data:image/webp;base64,AA==", "low")])],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "A"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AA==", "detail": "low"}},
                ],
            }
        ],
    ),
    "a call and its result": (
        [user(), called("a"), result("a")],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [sent_call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": "found"},
        ],
    ),
    "parallel calls, results in the order of the calls": (
        [user(), called("a", "b", content="Let me see."), result("b", "B"), result("a", "A")],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [sent_call("a"), sent_call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "A"},
            {"role": "tool", "tool_call_id": "b", "content": "B"},
        ],
    ),
    "a call without a result gets one": (
        [user(), called("a"), user("Go on")],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [sent_call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": "No result: the call was cancelled."},
            {"role": "user", "content": "Go on"},
        ],
    ),
    "a result without a call is left out": ([user(), result("a")], [{"role": "user", "content": "Hi"}]),
    "an image in a result follows as a message": (
        [user(), called("a"), result("a", [Text("see"), PIXEL])],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [sent_call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": "see"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Images from the tool results:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                ],
            },
        ],
    ),
    "empty texts stay": ([user("")], [{"role": "user", "content": ""}]),
    "lone surrogates are replaced, pairs stay": (
        [user("a\ud83db😀")],
        [{"role": "user", "content": "a\ufffdb😀"}],
    ),
    "a call without arguments": (
        [user(), Message(role="assistant", tool_calls=[ToolCall("a", "f", "")]), result("a")],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [sent_call("a", "f", "{}")]},
            {"role": "tool", "tool_call_id": "a", "content": "found"},
        ],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_written_as_every_server_takes_them(name: str) -> None:
    given, sent = MESSAGES[name]
    assert messages_of(*given) == sent


def test_openai_keeps_system_messages_where_they_stand() -> None:
    roles = [one["role"] for one in messages_of(system("A"), user(), system("B"), quirks=OPENAI)]
    assert roles == ["system", "user", "system"]


def test_lone_surrogates_are_replaced_wherever_they_hide() -> None:
    call = Call(messages=[called("a\ud83d"), result("a\ud83d")], tools=[Tool("f", "\ude00", {})], stop=["\ud800"])
    sent = WIRE.request(call, "m", PLAIN).body.decode("utf-8")
    assert sent.count("\ufffd") == 4


@pytest.mark.parametrize(
    "choice, sent",
    [
        (None, None),
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ("look_up", {"type": "function", "function": {"name": "look_up"}}),
    ],
)
def test_tools_and_their_choice(choice: str | None, sent: object) -> None:
    written = body_of(tools=[LOOK_UP], tool_choice=choice)
    assert written["tools"] == [sent_tool()]
    assert written.get("tool_choice") == sent


def test_a_choice_that_a_vendor_does_not_know_is_not_sent() -> None:
    together = FLAVOURS["together"]
    assert "tool_choice" not in body_of(tools=[LOOK_UP], tool_choice="required", quirks=together)
    assert "tools" not in body_of(tools=[LOOK_UP], tool_choice="none", quirks=together)


def test_no_tools_no_fields_about_them() -> None:
    assert "tool_choice" not in body_of(tool_choice="required")
    assert "tools" not in body_of(tools=[])


def test_s053_tools_are_left_out_for_a_model_that_is_known_to_lack_them() -> None:
    without = Quirks(tools=False)
    assert "tools" not in body_of(tools=[LOOK_UP], tool_choice="auto", tools_optional=True, quirks=without)
    with pytest.raises(Unsupported, match="does not support tools"):
        body_of(tools=[LOOK_UP], quirks=without)


def test_long_and_odd_tool_names_are_made_acceptable_everywhere_alike() -> None:
    name = "server.tool/" + "x" * 60
    sent = body_of(
        user(), called("a", name=name), result("a"), tools=[Tool(name, "Looks it up.", SCHEMA)], tool_choice=name
    )
    (tool,) = sent["tools"]
    short = tool["function"]["name"]
    assert len(short) <= 64
    assert short.startswith("server_tool_x")
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == short
    assert sent["tool_choice"]["function"]["name"] == short


def test_mistral_gets_call_ids_of_nine_letters_and_digits() -> None:
    sent = messages_of(user(), called("call_abc", "AbCdEf123"), result("call_abc"), quirks=FLAVOURS["mistral"])
    first, second = (one["id"] for one in sent[1]["tool_calls"])
    assert (len(first), first.isalnum(), second) == (9, True, "AbCdEf123")
    assert sent[2]["tool_call_id"] == first


def test_a_schema_becomes_a_named_response_format() -> None:
    schema = {"title": "A list!", "type": "object"}
    assert body_of(answer_format=JsonSchema(schema=schema, name="A list!"))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "A_list_", "schema": schema},
    }
    assert body_of(answer_format=JsonSchema(schema={}))["response_format"]["json_schema"]["name"] == "answer"


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5.6", "gpt-6-astra", "codex-mini"])
def test_models_that_reason_get_no_sampling_parameters(model: str) -> None:
    sent = body(Call(messages=[user()], temperature=0.5, stop=["a"]), model, OPENAI)
    assert not {"temperature", "stop"} & set(sent)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "omni-x"])
def test_other_models_get_them(model: str) -> None:
    sent = body(Call(messages=[user()], temperature=0.5, stop=list("abcdef")), model, OPENAI)
    assert (sent["temperature"], sent["stop"]) == (0.5, ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    "flavour, model, wanted, sent",
    [
        ("openai", "gpt-5.4", "medium", {"reasoning_effort": "medium"}),
        ("openai", "gpt-5.4", "off", {"reasoning_effort": "none"}),
        ("openai", "gpt-5", "off", {"reasoning_effort": "minimal"}),
        ("openai", "gpt-6-astra", "off", {"reasoning_effort": "low"}),
        ("openai", "gpt-4o", "medium", {}),
        ("qwen", "qwen3", "off", {"enable_thinking": False}),
        ("openrouter", "x/y", "medium", {"reasoning": {"effort": "medium"}}),
        ("openrouter", "x/y", "off", {"reasoning": {"enabled": False}}),
        ("deepseek", "v4", "medium", {"thinking": {"type": "enabled"}}),
        ("ollama", "llama", "medium", {}),
        ("vllm", "x", "off", {}),
    ],
)
def test_reasoning_is_switched_as_each_vendor_does_it(
    flavour: str, model: str, wanted: Effort, sent: dict[str, Any]
) -> None:
    without = body(Call(messages=[user()]), model, FLAVOURS[flavour])
    switched = body(Call(messages=[user()], reasoning=wanted), model, FLAVOURS[flavour])
    assert {name: value for name, value in switched.items() if name not in without} == sent


def test_extra_fields_have_the_last_word() -> None:
    sent = body_of(temperature=0.1, extra={"temperature": 1, "top_k": 5})
    assert (sent["temperature"], sent["top_k"]) == (1, 5)


def test_answers_other_than_200_become_failures() -> None:
    failure = WIRE.failure(429, [(b"retry-after", b"3")], b'{"error":{"message":"slow"}}')
    assert (failure.message, failure.retry_after_s, failure.status) == ("slow", 3.0, 429)


def test_s062_a_document_is_refused_by_name_and_never_dropped_in_silence() -> None:
    with pytest.raises(Unsupported, match="images only"):
        body_of(user([Text("Read"), Image("data:application/pdf;base64,AA==")]))
