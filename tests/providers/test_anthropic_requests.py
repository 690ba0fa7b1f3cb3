"""What is sent in the Messages format: the exact bodies."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.providers.base import (
    Audio,
    Call,
    Document,
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
from penstock.providers.wires.anthropic.wire import WIRE

DIRECT = VENDORS["anthropic"].ways[0].quirks
AT_VERTEX = next(way for way in VENDORS["vertex"].ways if way.wire == "anthropic").quirks
MODEL = "claude-sonnet-4-5"
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
SENT_TOOL = {"name": "look_up", "description": "Looks it up.", "input_schema": SCHEMA}
PIXEL = Image("data:image/png;base64,AAEC")
SENT_PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}}
LONG = "Long. " * 800


def user(content: str | Sequence[Part] = "Hi") -> Message:
    return Message(role="user", content=content)


def system(content: str) -> Message:
    return Message(role="system", content=content)


def assistant(content: str = "Hello", **more: Any) -> Message:
    return Message(role="assistant", content=content, **more)


def called(*ids: str, content: str = "", name: str = "look_up", opaque: Sequence[Opaque] = ()) -> Message:
    calls = [ToolCall(one, name, '{"q":"x"}') for one in ids]
    return Message(role="assistant", content=content, tool_calls=calls, opaque=opaque)


def result(call_id: str, content: str | Sequence[Part] = "found", **more: Any) -> Message:
    return Message(role="tool", tool_call_id=call_id, name="look_up", content=content, **more)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def sent_call(call_id: str, name: str = "look_up") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"q": "x"}}


def sent_result(call_id: str, content: Any = "found", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content} | more


CONTINUE = {"role": "user", "content": [text("(continue)")]}


def body(call: Call, model: str = MODEL, quirks: Quirks = DIRECT) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(WIRE.request(call, model, quirks).body)
    return sent


def body_of(*messages: Message, model: str = MODEL, quirks: Quirks = DIRECT, **fields: Any) -> dict[str, Any]:
    return body(Call(messages=messages or [user()], **fields), model, quirks)


def turns(*messages: Message, model: str = MODEL, quirks: Quirks = DIRECT, **fields: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body_of(*messages, model=model, quirks=quirks, **fields)["messages"]
    return sent


def test_the_smallest_request() -> None:
    exchange = WIRE.request(Call(messages=[user("Grüß Gott")]), MODEL, DIRECT)
    assert exchange.path == "/v1/messages"
    assert exchange.headers == ((b"anthropic-version", b"2023-06-01"),)
    assert exchange.body.decode() == (
        '{"model":"claude-sonnet-4-5","max_tokens":64000,'
        '"messages":[{"role":"user","content":[{"type":"text","text":"Grüß Gott"}]}],"stream":true}'
    )


def test_a_request_with_everything() -> None:
    call = Call(
        messages=[system("Be brief."), system("Be kind."), user()],
        tools=[LOOK_UP],
        parallel_tool_calls=False,
        max_output_tokens=500,
        temperature=1.7,
        stop=["END", " ", "\n"],
        user_ref="u1",
        seed=3,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        extra={"service_tier": "standard_only"},
    )
    assert body(call) == {
        "model": MODEL,
        "max_tokens": 500,
        "system": "Be brief.\n\nBe kind.",
        "messages": [{"role": "user", "content": [text("Hi")]}],
        "tools": [SENT_TOOL],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "temperature": 1.0,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "stream": True,
        "service_tier": "standard_only",
    }


def test_betas_and_the_version_are_headers() -> None:
    quirks = Quirks(format_version="2026-10-21", betas=("a-2026-01-01", "b"))
    assert WIRE.request(Call(messages=[user()]), MODEL, quirks).headers == (
        (b"anthropic-version", b"2026-10-21"),
        (b"anthropic-beta", b"a-2026-01-01,b"),
    )


def test_at_vertex_model_version_and_betas_are_no_headers() -> None:
    quirks = Quirks(format_version="vertex-2023-10-16", model_in_path=True, betas=("a", "b"))
    exchange = WIRE.request(Call(messages=[user()]), "claude-sonnet-4-5@20250929", quirks)
    assert (exchange.path, exchange.headers) == ("/v1/messages", ())
    assert json.loads(exchange.body) == {
        "max_tokens": 64_000,
        "messages": [{"role": "user", "content": [text("Hi")]}],
        "stream": True,
        "anthropic_version": "vertex-2023-10-16",
        "anthropic_beta": ["a", "b"],
    }


# --- turns ----------------------------------------------------------------------------------------------------------


def test_turns_alternate_and_neighbours_are_merged() -> None:
    assert turns(user("A"), user("B"), assistant("C"), assistant("D"), user("E")) == [
        {"role": "user", "content": [text("A"), text("B")]},
        {"role": "assistant", "content": [text("C"), text("D")]},
        {"role": "user", "content": [text("E")]},
    ]


def test_a_history_that_begins_with_the_assistant_gets_a_user_before_it() -> None:
    assert turns(assistant(), user()) == [
        CONTINUE,
        {"role": "assistant", "content": [text("Hello")]},
        {"role": "user", "content": [text("Hi")]},
    ]
    assert turns(system("Only this")) == [CONTINUE]


def test_blank_texts_are_left_out() -> None:
    assert turns(user([Text(""), Text("Hi"), Text(" \n")]), assistant("  "), user("more")) == [
        {"role": "user", "content": [text("Hi"), text("more")]}
    ]
    assert turns(user(" "), assistant(), user("")) == [
        CONTINUE,
        {"role": "assistant", "content": [text("Hello")]},
        CONTINUE,
    ]
    assert "system" not in body_of(system("  "), user())


def test_the_last_words_of_the_assistant_lose_their_trailing_blanks() -> None:
    assert turns(user(), assistant("It is \n"))[-1] == {"role": "assistant", "content": [text("It is")]}


@pytest.mark.parametrize("model, quirks", [("claude-opus-5", DIRECT), (MODEL, Quirks(dropped=frozenset({"prefill"})))])
def test_where_the_assistant_may_not_have_the_last_word_the_user_says_go_on(model: str, quirks: Quirks) -> None:
    assert turns(user(), assistant(), model=model, quirks=quirks)[1:] == [
        {"role": "assistant", "content": [text("Hello")]},
        CONTINUE,
    ]


def test_lone_surrogates_do_not_reach_the_provider() -> None:
    assert turns(user("a\ud83db"))[0]["content"] == [text("a\ufffdb")]


# --- tools ----------------------------------------------------------------------------------------------------------


def test_all_results_of_a_turn_come_first_and_in_the_order_of_their_calls() -> None:
    history = [
        user(),
        called("a", "b", content="Wait."),
        user("And?"),
        result("b", "B"),
        result("a", "A", is_error=True),
    ]
    assert turns(*history, tools=[LOOK_UP]) == [
        {"role": "user", "content": [text("Hi")]},
        {"role": "assistant", "content": [text("Wait."), sent_call("a"), sent_call("b")]},
        {
            "role": "user",
            "content": [sent_result("a", "A", is_error=True), sent_result("b", "B"), text("And?")],
        },
    ]


def test_a_call_without_a_result_gets_one_and_a_result_without_a_call_is_left_out() -> None:
    cancelled = "No result: the call was cancelled."
    assert turns(user(), called("a"), user("Go on"), result("zzz")) == [
        {"role": "user", "content": [text("Hi")]},
        {"role": "assistant", "content": [sent_call("a")]},
        {"role": "user", "content": [sent_result("a", cancelled, is_error=True), text("Go on")]},
    ]
    assert turns(user(), called("a"))[-1]["content"] == [sent_result("a", cancelled, is_error=True)]


def test_results_may_have_images_or_nothing_in_them() -> None:
    sent = turns(user(), called("a", "b", "c"), result("a", [Text("See"), PIXEL]), result("b", ""))[-1]["content"]
    assert sent[0] == sent_result("a", [text("See"), SENT_PIXEL])
    assert sent[1] == {"type": "tool_result", "tool_use_id": "b"}
    empty = turns(user(), called("a"), result("a", " ", is_error=True))[-1]["content"]
    assert empty == [sent_result("a", "The tool failed.", is_error=True)]


def test_ids_of_calls_are_rewritten_alike_in_calls_and_results_and_never_meet() -> None:
    sent = turns(user(), called("f.1:0", "f_1_0"), result("f.1:0", "A"), result("f_1_0", "B"), called("f.1:0"))
    assert [block["id"] for block in sent[1]["content"]] == ["f_1_0", "f_1_0_2"]
    assert sent[2]["content"] == [sent_result("f_1_0", "A"), sent_result("f_1_0_2", "B")]
    assert sent[3]["content"][0]["id"] == "f_1_0_3"
    assert turns(user(), called("", ""), result("", "A"), result("", "B"))[2]["content"] == [
        sent_result("call", "A"),
        sent_result("call_2", "B"),
    ]


@pytest.mark.parametrize(
    "arguments, sent",
    [
        ("", {}),
        ("null", {}),
        ('{"a":"é"}', {"a": "é"}),
        ("[1]", {"arguments": [1]}),
        ("{a", {"arguments": "{a"}),
    ],
)
def test_arguments_are_always_an_object(arguments: str, sent: Any) -> None:
    said = Message(role="assistant", tool_calls=[ToolCall("a", "look_up", arguments)])
    assert turns(user(), said)[1]["content"][0]["input"] == sent


def test_tools_that_only_the_history_has_are_declared_and_forbidden() -> None:
    sent = body_of(user(), called("a"), result("a"))
    assert sent["tools"] == [{"name": "look_up", "input_schema": {"type": "object"}}]
    assert sent["tool_choice"] == {"type": "none"}
    assert body_of(user(), called("a", name="old"), result("a"), tools=[LOOK_UP])["tools"] == [SENT_TOOL]


def test_a_name_that_would_be_refused_is_changed_everywhere() -> None:
    name = "server.tool/" + "x" * 70
    sent = body_of(user(), called("a", name=name), result("a"), tools=[Tool(name, "", {})], tool_choice=name)
    (tool,) = sent["tools"]
    assert tool["input_schema"] == {"type": "object"}
    assert "description" not in tool
    assert len(tool["name"]) == 64
    assert sent["messages"][1]["content"][0]["name"] == tool["name"]
    assert sent["tool_choice"] == {"type": "tool", "name": tool["name"]}


@pytest.mark.parametrize(
    "choice, parallel, sent",
    [
        (None, None, None),
        ("auto", True, None),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("look_up", None, {"type": "tool", "name": "look_up"}),
    ],
)
def test_the_choice_among_tools(choice: str | None, parallel: bool | None, sent: Any) -> None:
    assert body_of(tools=[LOOK_UP], tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == sent


def test_strict_tools_get_a_closed_schema_where_they_are_known() -> None:
    strict = Tool("look_up", "Looks it up.", SCHEMA, strict=True)
    closed = SCHEMA | {"additionalProperties": False}
    assert body_of(tools=[strict])["tools"] == [SENT_TOOL | {"input_schema": closed, "strict": True}]
    assert body_of(tools=[strict], model="claude-sonnet-4")["tools"] == [SENT_TOOL]
    assert body_of(tools=[strict], quirks=Quirks(dropped=frozenset({"strict"})))["tools"] == [SENT_TOOL]
    open_one = Tool("look_up", "Looks it up.", SCHEMA | {"additionalProperties": True}, strict=True)
    assert "strict" not in body_of(tools=[open_one])["tools"][0]
    many = body_of(tools=[Tool(f"t{at}", "", SCHEMA, strict=True) for at in range(25)])["tools"]
    assert sum("strict" in tool for tool in many) == 20


# --- files ----------------------------------------------------------------------------------------------------------


def document(source: dict[str, str], title: str = "a.pdf") -> dict[str, Any]:
    return {"type": "document", "source": source, "title": title}


def encoded(media_type: str, data: str = "AAEC") -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": data}


@pytest.mark.parametrize(
    "part, sent",
    [
        (PIXEL, SENT_PIXEL),
        (Image("data:image/JPG;base64,AA-_ 0w"), {"type": "image", "source": encoded("image/jpeg", "AA+/0w==")}),
        (Image("https://h/a.png"), {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}}),
        (Document("data:application/pdf;base64,AAEC", "a.pdf"), document(encoded("application/pdf"))),
        (Document("https://h/a.pdf", "a.pdf"), document({"type": "url", "url": "https://h/a.pdf"})),
        (
            Document("data:text/plain;charset=utf-8;base64,w6k=", "a.txt"),
            document({"type": "text", "media_type": "text/plain", "data": "é"}, "a.txt"),
        ),
        (
            Document("data:text/markdown,%23%20T", "a.md"),
            document({"type": "text", "media_type": "text/plain", "data": "# T"}, "a.md"),
        ),
        (Document("data:image/webp;base64,AAEC", "a"), {"type": "image", "source": encoded("image/webp")}),
    ],
)
def test_images_and_documents(part: Part, sent: Any) -> None:
    assert turns(user([Text("See"), part]))[0]["content"] == [text("See"), sent]


@pytest.mark.parametrize(
    "part, words",
    [
        (Audio("AA", "wav"), "audio"),
        (Document("data:application/zip;base64,AA"), "application/zip"),
        (Image("data:image/tiff;base64,AA"), "image/tiff"),
        (Image("data:image/png;base64,%%%"), "base64 is broken"),
        (Document("data:text/plain;base64,a!bcdefg"), "base64 is broken"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(part: Part, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        body_of(user([part]))


def test_vertex_fetches_no_files() -> None:
    with pytest.raises(Unsupported, match="address"):
        body_of(user([Image("https://h/a.png")]), quirks=AT_VERTEX)


# --- sampling, limits, thinking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model, version, asked, sent",
    [
        ("claude-3-5-haiku-latest", None, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}),
        (MODEL, None, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}),
        (MODEL, None, {"top_p": 1.5}, {"top_p": 1.0}),
        (MODEL, None, {"temperature": -1.0}, {"temperature": 0.0}),
        (MODEL, "2026-10-21", {"temperature": 0.5}, {}),
        ("claude-opus-4-7", None, {"temperature": 0.5, "top_p": 0.5}, {}),
        (MODEL, None, {"temperature": 0.5, "top_p": 0.96, "reasoning": "low"}, {"top_p": 0.96}),
        (MODEL, None, {"temperature": 0.5, "top_p": 0.9, "reasoning": "low"}, {}),
        (MODEL, None, {"temperature": 0.5, "reasoning": "off"}, {"temperature": 0.5}),
    ],
)
def test_sampling_is_sent_as_far_as_the_model_accepts_it(
    model: str, version: str | None, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    made = body_of(model=model, quirks=Quirks(format_version=version), **asked)
    assert {name: made[name] for name in ("temperature", "top_p") if name in made} == sent


def test_the_output_limit_is_always_there() -> None:
    assert body_of(model="my-model")["max_tokens"] == 4096
    assert body_of(model="claude-opus-4-1")["max_tokens"] == 32_000
    assert body_of(max_output_tokens=9, quirks=Quirks(max_output=5))["max_tokens"] == 5
    assert body_of(quirks=Quirks(dropped=frozenset({"max_tokens"})))["max_tokens"] == 4096


def test_thinking_and_effort() -> None:
    old = body_of(reasoning="medium", max_output_tokens=20_000)
    assert (old["thinking"], old["max_tokens"]) == ({"type": "enabled", "budget_tokens": 10_000}, 20_000)
    new = body_of(reasoning="medium", model="claude-opus-4-7")
    assert new["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert new["output_config"] == {"effort": "medium"}
    assert "thinking" not in body_of(model="claude-opus-4-7")
    assert body_of(reasoning="off", model="claude-opus-4-7")["thinking"] == {"type": "disabled"}
    assert "thinking" not in body_of(reasoning="off", model="claude-opus-5-5")


def test_a_forced_tool_switches_thinking_off_or_is_asked_for_kindly() -> None:
    asked: dict[str, Any] = {"tools": [LOOK_UP], "tool_choice": "required", "reasoning": "high"}
    old = body_of(**asked)
    assert ("thinking" in old, old["tool_choice"]) == (False, {"type": "any"})
    middle = body_of(**asked, model="claude-opus-5")
    assert (middle["thinking"], middle["tool_choice"]) == ({"type": "disabled"}, {"type": "any"})
    new = body_of(**asked, model="claude-opus-5-5")
    assert new["tool_choice"] == {"type": "auto"}
    assert new["system"] == "Call one of the tools; do not answer with words alone."
    named = body_of(**(asked | {"tool_choice": "look_up"}), quirks=Quirks(dropped=frozenset({"tool_choice"})))
    assert named["tool_choice"] == {"type": "auto"}
    assert named["system"] == "Call the tool `look_up`."


# --- thoughts that must come back -----------------------------------------------------------------------------------

THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eHg="}


def thoughts(model: str = MODEL, wire: str = "anthropic") -> list[Opaque]:
    return [Opaque(wire, model, THOUGHT), Opaque(wire, model, REDACTED)]


def test_thoughts_go_back_untouched_and_first() -> None:
    history = [user(), called("a", content="Wait.", opaque=thoughts()), result("a")]
    sent = body_of(*history, tools=[LOOK_UP], reasoning="low")
    assert sent["messages"][1]["content"] == [THOUGHT, REDACTED, text("Wait."), sent_call("a")]
    assert sent["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    "opaque, quirks",
    [
        (thoughts("claude-opus-4-5"), DIRECT),
        (thoughts(wire="bedrock"), DIRECT),
        (thoughts(), Quirks(opaque=False)),
    ],
)
def test_thoughts_of_another_model_or_wire_do_not(opaque: list[Opaque], quirks: Quirks) -> None:
    sent = body_of(user(), called("a", opaque=opaque), result("a"), tools=[LOOK_UP], reasoning="low", quirks=quirks)
    assert sent["messages"][1]["content"] == [sent_call("a")]
    assert "thinking" not in sent, "a tool loop that began without a thought is refused while thinking is on"


def test_a_new_question_after_a_tool_loop_may_think_again() -> None:
    history = [user(), called("a"), result("a"), assistant(), user("And now?")]
    assert body_of(*history, tools=[LOOK_UP], reasoning="low")["thinking"]["type"] == "enabled"


def test_a_turn_of_thoughts_alone_is_left_out() -> None:
    assert turns(user(), Message(role="assistant", opaque=thoughts()), user("Go on")) == [
        {"role": "user", "content": [text("Hi"), text("Go on")]}
    ]


# --- the form of the answer -----------------------------------------------------------------------------------------

LIST = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "description": "How many."},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 2},
        "kind": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "when": {"type": "string", "format": "date"},
        "color": {"type": "string", "format": "color"},
        "in": {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}},
    },
    "required": ["n"],
    "$defs": {"x": {"type": "number"}},
}
STRICT_LIST = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "description": 'How many.\n{"minimum":1}'},
        "tags": {
            "type": "array",
            "items": {"type": "string", "description": '{"maxLength":5}'},
            "description": '{"minItems":2}',
        },
        "kind": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "when": {"type": "string", "format": "date"},
        "color": {"type": "string", "description": '{"format":"color"}'},
        "in": {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "additionalProperties": False},
    },
    "required": ["n"],
    "$defs": {"x": {"type": "number"}},
    "additionalProperties": False,
}


def test_a_schema_is_sent_as_a_format_with_its_limits_in_words() -> None:
    sent = body_of(answer_format=JsonSchema(schema=LIST))
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": STRICT_LIST}}
    assert "tools" not in sent


@pytest.mark.parametrize(
    "model, schema, quirks",
    [
        ("claude-sonnet-4", LIST, DIRECT),
        (MODEL, LIST, Quirks(dropped=frozenset({"output_config.format"}))),
        (MODEL, {"type": "object", "additionalProperties": {"type": "string"}}, DIRECT),
        (MODEL, LIST | {"patternProperties": {"^x": {}}}, DIRECT),
    ],
)
def test_elsewhere_the_answer_is_the_input_of_a_forced_tool(model: str, schema: dict[str, Any], quirks: Quirks) -> None:
    sent = body_of(model=model, quirks=quirks, answer_format=JsonSchema(schema=schema, description="The list."))
    assert sent["tools"] == [{"name": "json_response", "description": "The list.", "input_schema": schema}]
    assert sent["tool_choice"] == {"type": "tool", "name": "json_response"}
    assert "output_config" not in sent


def test_the_tool_for_the_answer_stands_beside_the_tools_of_the_caller() -> None:
    wanted = JsonSchema(schema=SCHEMA)
    sent = body_of(model="claude-sonnet-4", tools=[LOOK_UP], answer_format=wanted)
    assert [tool["name"] for tool in sent["tools"]] == ["look_up", "json_response"]
    assert sent["tool_choice"] == {"type": "any"}
    sent = body_of(model="claude-sonnet-4", tools=[LOOK_UP], answer_format=wanted, tool_choice="none")
    assert sent["tool_choice"] == {"type": "tool", "name": "json_response"}
    sent = body_of(model="claude-sonnet-4", tools=[LOOK_UP], answer_format=wanted, tool_choice="look_up")
    assert sent["tool_choice"] == {"type": "tool", "name": "look_up"}


def test_a_schema_without_a_tool_for_it_becomes_an_instruction() -> None:
    array = JsonSchema(schema={"type": "array", "items": {"type": "string"}})
    sent = body_of(system("Be brief."), user(), model="claude-sonnet-4", answer_format=array)
    assert sent["system"].startswith("Be brief.\n\nAnswer with JSON and nothing else")
    assert '{"type":"array","items":{"type":"string"}}' in sent["system"]
    taken = body_of(
        model="claude-sonnet-4", tools=[Tool("json_response", "", SCHEMA)], answer_format=JsonSchema(schema=SCHEMA)
    )
    assert [tool["name"] for tool in taken["tools"]] == ["json_response"]
    assert "tool_choice" not in taken


def test_json_without_a_schema_is_an_instruction() -> None:
    assert body_of(answer_format="json")["system"].startswith("Answer with JSON and nothing else")


# --- the prompt cache -----------------------------------------------------------------------------------------------

CACHED = {"cache_control": {"type": "ephemeral"}}


def test_a_long_prefix_is_marked_for_the_cache() -> None:
    sent = body_of(system("Short."), system(LONG), user("A"), assistant("B"), user("C"))
    assert sent["system"] == [text("Short."), text(LONG) | CACHED]
    assert [turn["content"] for turn in sent["messages"]] == [[text("A")], [text("B") | CACHED], [text("C")]]


def test_a_long_history_is_marked_alone() -> None:
    sent = body_of(system("Short."), user(LONG), called("a"), result("a"), tools=[LOOK_UP])
    assert sent["system"] == "Short."
    assert sent["messages"][1]["content"] == [sent_call("a") | CACHED]


def test_short_prompts_and_single_questions_are_not_marked() -> None:
    assert "cache_control" not in json.dumps(body_of(system("Short."), user("A"), assistant("B"), user("C")))
    assert "cache_control" not in json.dumps(body_of(user(LONG)))
    refused = Quirks(dropped=frozenset({"cache_control"}))
    assert "cache_control" not in json.dumps(body_of(system(LONG), user(LONG), assistant(), user(), quirks=refused))


def test_what_is_written_does_not_change_the_call() -> None:
    opaque = thoughts()
    call = Call(messages=[system(LONG), user(LONG), assistant("B", opaque=opaque), user()])
    assert body(call) == body(call)
    assert opaque == thoughts()
