"""What is sent to Bedrock for a call: the exact bodies, and the rules of each family."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from penstock.providers.vendors import VENDORS, base_url_of
from penstock.providers.wires.bedrock.calls import call_id
from penstock.providers.wires.bedrock.families import profile_prefixes
from penstock.providers.wires.bedrock.wire import WIRE
from tests.fakes.dialects import bedrock as fake

CLAUDE_3 = "anthropic.claude-3-haiku-20240307-v1:0"
CLAUDE_4_5 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE_4_7 = "eu.anthropic.claude-opus-4-7-v1"
CLAUDE_5_5 = "global.anthropic.claude-opus-5-5"
NOVA = "us.amazon.nova-2-lite-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
MISTRAL_7B = "mistral.mistral-7b-instruct-v0:2"
WRITER = "us.writer.palmyra-x5-v1:0"
IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc"

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
ANSWER = JsonSchema(
    name="my answer",
    description="An answer.",
    schema={"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
)
PIXEL = Image("data:image/png;base64,AA==")
PDF = Document("data:application/pdf;base64,UERG", "Jahres.bericht_2026 (1).pdf")
HI = [{"role": "user", "content": [{"text": "Hi"}]}]


def user(content: str | list[Part] = "Hi") -> Message:
    return Message(role="user", content=content)


def system(text: str) -> Message:
    return Message(role="system", content=text)


def said(content: str, **fields: Any) -> Message:
    return Message(role="assistant", content=content, **fields)


def called(*ids: str, content: str = "", arguments: str = '{"q":"x"}') -> Message:
    return said(content, tool_calls=[ToolCall(one, "look_up", arguments) for one in ids])


def result(call: str, content: str | list[Part] = "found", **fields: Any) -> Message:
    return Message(role="tool", tool_call_id=call, name="look_up", content=content, **fields)


def body(*messages: Message, model: str = CLAUDE_3, quirks: Quirks | None = None, **fields: Any) -> dict[str, Any]:
    call = Call(messages=messages or [user()], **fields)
    sent: dict[str, Any] = json.loads(WIRE.request(call, model, quirks or Quirks()).body)
    return sent


def turns(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body(*messages, **options)["messages"]
    return sent


def use(call: str = "a", name: str = "look_up", sent: Any = None) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call, "name": name, "input": {"q": "x"} if sent is None else sent}}


def found(call: str = "a", *content: Any, status: str | None = "success") -> dict[str, Any]:
    written = {"toolUseId": call, "content": list(content) or [{"text": "found"}]}
    return {"toolResult": written | ({"status": status} if status else {})}


def spec(name: str = "look_up", description: str = "Looks it up.", schema: Any = None) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "description": description, "inputSchema": {"json": schema or SCHEMA}}}


def both(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def replied(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


TEXT = {"text": "Hi"}
NO_RESULT = {"text": "No result: the call was cancelled."}


def test_the_smallest_request() -> None:
    exchange = WIRE.request(Call(messages=[user("Grüß Gott")]), CLAUDE_3, Quirks())
    assert exchange.method == b"POST"
    assert exchange.path == "/model/{model}/converse-stream"
    assert exchange.headers == ((b"accept", b"application/vnd.amazon.eventstream"),)
    assert exchange.body.decode() == '{"messages":[{"role":"user","content":[{"text":"Grüß Gott"}]}]}'


def test_what_everybody_understands() -> None:
    quirks = VENDORS["bedrock"].ways[0].quirks
    call = Call(
        messages=[system("A"), user(), system("B"), system(" ")],
        max_output_tokens=5,
        temperature=1.7,
        top_p=0.5,
        stop=["END", " "],
        seed=3,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        parallel_tool_calls=False,
        user_ref="u§1",
        tools=[LOOK_UP],
        tool_choice="auto",
        extra={"top_k": 5},
    )
    assert json.loads(WIRE.request(call, CLAUDE_3, quirks).body) == {
        "messages": HI,
        "system": [{"text": "A"}, {"text": "B"}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 1.0, "topP": 0.5, "stopSequences": ["END"]},
        "toolConfig": {"tools": [spec()]},
        "additionalModelRequestFields": {"top_k": 5},
        "requestMetadata": {"user": "u_1"},
    }


def test_lone_surrogates_are_replaced() -> None:
    assert turns(user("a\ud83db")) == [both({"text": "a\ufffdb"})]


# --- turns -----------------------------------------------------------------------------------------------------------

TURNS: Mapping[str, tuple[list[Message], list[dict[str, Any]]]] = {
    "several turns": (
        [user("A"), said("B"), user("C")],
        [both({"text": "A"}), replied({"text": "B"}), both({"text": "C"})],
    ),
    "neighbours of one role become one turn": (
        [user("A"), user("B"), said("C"), said("D"), user("E")],
        [both({"text": "A"}, {"text": "B"}), replied({"text": "C"}, {"text": "D"}), both({"text": "E"})],
    ),
    "blank texts are left out": ([user("Hi"), said(" \n"), user([Text(""), Text("C")])], [both(TEXT, {"text": "C"})]),
    "nothing at all": ([user("")], [both({"text": "Begin."})]),
    "an image": ([user([Text("Hi"), PIXEL])], [both(TEXT, {"image": {"format": "png", "source": {"bytes": "AA=="}}})]),
    "a document alone gets a text": (
        [user([PDF])],
        [
            both(
                {"document": {"format": "pdf", "name": "Jahres bericht 2026 (1) pdf", "source": {"bytes": "UERG"}}},
                {"text": "See the attached document."},
            )
        ],
    ),
    "a call and its result": ([user(), called("a"), result("a")], [both(TEXT), replied(use()), both(found())]),
    "results stand together, in the order of the calls": (
        [user(), called("a", "b", content="Let me see."), result("b", "B"), result("a", "A"), user("Go on")],
        [
            both(TEXT),
            replied({"text": "Let me see."}, use("a"), use("b")),
            both(found("a", {"text": "A"}), found("b", {"text": "B"}), {"text": "Go on"}),
        ],
    ),
    "a call without a result gets one": (
        [user(), called("a"), user("Go on")],
        [both(TEXT), replied(use()), both(found("a", NO_RESULT, status="error"), {"text": "Go on"})],
    ),
    "a result without a call is left out": ([user(), result("lost")], [both(TEXT)]),
    "ids that come again in another turn": (
        [user(), called("a"), result("a", "1"), called("a"), result("a", "2"), said("Done."), user("Hi")],
        [
            both(TEXT),
            replied(use("a")),
            both(found("a", {"text": "1"})),
            replied(use("a_2")),
            both(found("a_2", {"text": "2"})),
            replied({"text": "Done."}),
            both(TEXT),
        ],
    ),
    "an id that comes twice in one turn, and again without a result": (
        [user(), called("a", "a"), result("a", "1"), result("a", "2"), result("a", "3"), called("a")],
        [
            both(TEXT),
            replied(use("a"), use("a_2")),
            both(found("a", {"text": "1"}), found("a_2", {"text": "2"})),
            replied(use("a_3")),
            both(found("a_3", NO_RESULT, status="error")),
        ],
    ),
    "a failed tool, and an empty result": (
        [user(), called("a", "b"), result("a", "boom", is_error=True), result("b", "")],
        [
            both(TEXT),
            replied(use("a"), use("b")),
            both(found("a", {"text": "boom"}, status="error"), found("b", {"text": "(empty)"})),
        ],
    ),
    "an image in a result": (
        [user(), called("a"), result("a", [Text("see"), PIXEL])],
        [
            both(TEXT),
            replied(use()),
            both(found("a", {"text": "see"}, {"image": {"format": "png", "source": {"bytes": "AA=="}}})),
        ],
    ),
    "documents do not stand beside results": (
        [user(), called("a"), result("a"), user([PDF])],
        [
            both(TEXT),
            replied(use()),
            both(found()),
            replied({"text": "I have read the results."}),
            both(
                {"document": {"format": "pdf", "name": "Jahres bericht 2026 (1) pdf", "source": {"bytes": "UERG"}}},
                {"text": "See the attached document."},
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", TURNS)
def test_turns_as_claude_takes_them(name: str) -> None:
    messages, expected = TURNS[name]
    assert turns(*messages) == expected


def test_results_stand_alone_for_llama_and_mistral() -> None:
    history = [user(), called("a"), result("a"), user("Go on")]
    for model in (LLAMA, MISTRAL_7B):
        assert turns(*history, model=model)[2:] == [
            both(found()),
            replied({"text": "I have read the results."}),
            both({"text": "Go on"}),
        ]


def test_writer_is_not_told_whether_a_tool_succeeded() -> None:
    assert turns(user(), called("a"), result("a"), model=WRITER)[2] == both(found(status=None))


def test_only_claude_and_qwen_may_hear_the_assistant_first() -> None:
    history = [said("Welcome."), user()]
    assert turns(*history) == [replied({"text": "Welcome."}), both(TEXT)]
    assert turns(*history, model=LLAMA)[0] == both({"text": "Begin."})


def test_a_beginning_for_the_model_has_no_blanks_at_its_end_and_is_no_end_where_none_is_taken() -> None:
    assert turns(user(), said("It is ")) == [both(TEXT), replied({"text": "It is"})]
    assert turns(user(), said("It is "), model=CLAUDE_5_5)[-1] == both({"text": "Continue."})


@pytest.mark.parametrize(
    "given, sent",
    [
        ("", {}),
        ("null", {}),
        ('{"a":[1]}', {"a": [1]}),
        ("[1]", {"unreadable": "[1]"}),
        ('{"a":', {"unreadable": '{"a":'}),
    ],
)
def test_arguments_are_always_an_object(given: str, sent: Any) -> None:
    assert turns(user(), called("a", arguments=given), result("a"))[1] == replied(use(sent=sent))


def test_ids_of_calls_are_rewritten_alike_on_both_sides() -> None:
    long = "call:" + "x" * 90
    sent = turns(user(), called(long), result(long))
    short = sent[1]["content"][0]["toolUse"]["toolUseId"]
    assert short == call_id(long) == sent[2]["content"][0]["toolResult"]["toolUseId"]
    assert len(short) <= 64
    assert call_id("tooluse_1-a") == "tooluse_1-a"
    assert call_id("a:b") != call_id("a.b")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mime, kind",
    [("image/jpg", "jpeg"), ("image/JPEG", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")],
)
def test_images_of_the_formats_that_are_read(mime: str, kind: str) -> None:
    (block,) = turns(user([Image(f"data:{mime};base64,QQ")]))[0]["content"]
    assert block == {"image": {"format": kind, "source": {"bytes": "QQ=="}}}


@pytest.mark.parametrize(
    "url, kind, data",
    [
        ("data:text/csv;charset=utf-8;base64,QQ==", "csv", "QQ=="),
        ("data:text/plain,a%20b", "txt", "YSBi"),
        ("data:text/x-python;base64,QQ==", "txt", "QQ=="),
        ("data:text/html;base64,_-8", "html", "/+8="),
        ("data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,QQ==", "docx", "QQ=="),
    ],
)
def test_documents_of_the_formats_that_are_read(url: str, kind: str, data: str) -> None:
    block = turns(user([Text("Hi"), Document(url)]))[0]["content"][1]
    assert block == {"document": {"format": kind, "name": "document", "source": {"bytes": data}}}


@pytest.mark.parametrize(
    "part",
    [
        Image("https://h/x.png"),
        Image("data:image/tiff;base64,QQ=="),
        Image("data:image/png;base64,Q"),
        Document("https://h/x.pdf"),
        Document("data:application/zip;base64,QQ=="),
        Audio("QQ==", "wav"),
    ],
)
def test_what_cannot_be_said_is_refused(part: Part) -> None:
    with pytest.raises(Unsupported) as caught:
        body(user([Text("Hi"), part]))
    assert caught.value.explanation
    assert caught.value.action


def test_names_of_documents_are_clean_and_all_different() -> None:
    names = ["a_b", "a.b", "a  b", "", "ü", "x" * 300, "x" * 300]
    blocks = turns(user([Text("Hi"), *(Document("data:text/plain,x", name) for name in names)]))[0]["content"][1:]
    sent = [block["document"]["name"] for block in blocks]
    assert sent[:5] == ["a b", "a b (2)", "a b (3)", "document", "document (2)"]
    assert len(set(sent)) == len(names)
    assert max(map(len, sent)) == 200


# --- thoughts --------------------------------------------------------------------------------------------------------


def test_thoughts_go_back_to_the_model_that_signed_them_and_to_no_other() -> None:
    block = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}
    own, other, foreign = (
        Opaque("bedrock", CLAUDE_3, block),
        Opaque("bedrock", NOVA, block),
        Opaque("anthropic", CLAUDE_3, {}),
    )
    history = [user(), said("A", opaque=[foreign, own, other]), user()]
    assert turns(*history)[1] == replied(block, {"text": "A"})
    assert turns(*history, quirks=Quirks(opaque=False))[1] == replied({"text": "A"})


REASONING: list[tuple[str, Effort | None, dict[str, Any]]] = [
    (CLAUDE_3, "high", {}),
    (CLAUDE_4_5, None, {}),
    (CLAUDE_4_5, "off", {}),
    (CLAUDE_4_5, "medium", {"thinking": {"type": "enabled", "budget_tokens": 10_000}}),
    (
        CLAUDE_4_7,
        "high",
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}},
    ),
    (CLAUDE_4_7, "off", {"thinking": {"type": "disabled"}}),
    (CLAUDE_5_5, "off", {}),
    (GPT_OSS, "off", {"reasoning_effort": "low"}),
    (GPT_OSS, "xhigh", {"reasoning_effort": "high"}),
    (NOVA, "off", {"reasoningConfig": {"type": "disabled"}}),
    (NOVA, "medium", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
    (LLAMA, "high", {}),
]


@pytest.mark.parametrize("model, effort, fields", REASONING)
def test_reasoning_is_switched_as_the_family_wants_it(model: str, effort: Effort | None, fields: Any) -> None:
    assert body(model=model, reasoning=effort).get("additionalModelRequestFields", {}) == fields


def test_a_limit_that_is_too_small_for_thinking_is_raised() -> None:
    sent = body(model=CLAUDE_4_5, reasoning="low", max_output_tokens=500, temperature=0.5)
    assert sent["inferenceConfig"] == {"maxTokens": 2048}
    assert sent["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 1024


def test_a_tool_loop_that_began_without_a_thought_goes_on_without_thinking() -> None:
    thought = Opaque("bedrock", CLAUDE_4_5, {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}})
    asked: dict[str, Any] = {"model": CLAUDE_4_5, "reasoning": "high", "tools": [LOOK_UP]}
    thoughtful = said("", tool_calls=[ToolCall("a", "look_up", "{}")], opaque=[thought])
    lost = [user(), called("a"), result("a")]
    kept = [user(), thoughtful, result("a"), called("b"), result("b")]
    assert "additionalModelRequestFields" not in body(*lost, **asked)
    assert "additionalModelRequestFields" not in body(*kept, **asked, quirks=Quirks(opaque=False))
    assert "thinking" in body(*kept, **asked)["additionalModelRequestFields"]
    assert "thinking" in body(*lost, user("Another question"), **asked)["additionalModelRequestFields"]
    assert "thinking" in body(*lost, **(asked | {"model": CLAUDE_4_7}))["additionalModelRequestFields"]


def test_thoughts_alone_are_no_turn() -> None:
    thought = Opaque("bedrock", CLAUDE_3, {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}})
    assert turns(user("A"), said("", opaque=[thought]), user("B")) == [both({"text": "A"}, {"text": "B"})]


def test_sampling_is_sent_as_far_as_the_model_takes_it() -> None:
    wished: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9}
    assert body(**wished)["inferenceConfig"] == {"temperature": 0.5, "topP": 0.9}
    assert body(model=CLAUDE_4_5, **wished)["inferenceConfig"] == {"temperature": 0.5}
    assert body(model=CLAUDE_4_5, top_p=0.9)["inferenceConfig"] == {"topP": 0.9}
    assert "inferenceConfig" not in body(model=CLAUDE_4_7, **wished)


def test_betas_are_for_claude_only_and_what_administrators_add_comes_last() -> None:
    quirks = Quirks(betas=("context-1m-2025-08-07",))
    extra = {"thinking": {"type": "mine"}}
    assert body(model=CLAUDE_4_7, quirks=quirks, reasoning="off", extra=extra)["additionalModelRequestFields"] == {
        "thinking": {"type": "mine"},
        "anthropic_beta": ["context-1m-2025-08-07"],
    }
    assert "additionalModelRequestFields" not in body(model=NOVA, quirks=quirks)


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_tool_always_has_a_description_and_an_object_at_its_root() -> None:
    tools = [Tool("f", "", {}), Tool("a.b", " ", {"anyOf": [SCHEMA]})]
    assert body(tools=tools)["toolConfig"]["tools"] == [
        spec("f", "f", {"type": "object"}),
        spec("a_b", "a_b", {"anyOf": [SCHEMA], "type": "object"}),
    ]


def test_a_strict_tool_is_strict_where_it_can_be() -> None:
    tool = Tool("f", "F", {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}, strict=True)
    (sent,) = body(model=CLAUDE_4_5, tools=[tool])["toolConfig"]["tools"]
    assert sent["toolSpec"]["strict"] is True
    assert sent["toolSpec"]["inputSchema"]["json"] == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": '{"minimum":1}'}},
        "additionalProperties": False,
    }
    (plain,) = body(tools=[tool])["toolConfig"]["tools"]
    assert plain == spec("f", "F", tool.schema)


CHOICES: list[tuple[str, str, Any, str | None]] = [
    (CLAUDE_3, "auto", None, None),
    (CLAUDE_3, "required", {"any": {}}, None),
    (CLAUDE_3, "look_up", {"tool": {"name": "look_up"}}, None),
    (NOVA, "required", {"any": {}}, None),
    (LLAMA, "required", None, "Answer only by calling one of the tools."),
    (LLAMA, "look_up", None, "Answer only by calling the tool `look_up`."),
    (CLAUDE_5_5, "required", None, "Answer only by calling one of the tools."),
    (IMPORTED, "required", {"any": {}}, None),
]


@pytest.mark.parametrize("model, choice, sent, told", CHOICES)
def test_a_choice_is_sent_where_it_is_understood_and_asked_for_elsewhere(
    model: str, choice: str, sent: Any, told: str | None
) -> None:
    written = body(model=model, tools=[LOOK_UP], tool_choice=choice)
    assert written["toolConfig"].get("toolChoice") == sent
    assert written.get("system") == ([{"text": told}] if told else None)


def test_a_tool_that_must_be_called_goes_before_thinking() -> None:
    written = body(model=CLAUDE_4_5, tools=[LOOK_UP], tool_choice="required", reasoning="high")
    assert written["toolConfig"]["toolChoice"] == {"any": {}}
    assert "additionalModelRequestFields" not in written
    written = body(model=NOVA, tools=[LOOK_UP], tool_choice="look_up", reasoning="high")
    assert written["toolConfig"]["toolChoice"] == {"tool": {"name": "look_up"}}
    assert written["additionalModelRequestFields"] == {"reasoningConfig": {"type": "disabled"}}


def test_no_tool_may_be_called() -> None:
    assert "toolConfig" not in body(tools=[LOOK_UP], tool_choice="none")
    written = body(user(), called("a"), result("a"), tools=[LOOK_UP], tool_choice="none")
    assert written["toolConfig"] == {"tools": [spec()]}
    assert written["system"] == [{"text": "Do not call any tool: answer in words."}]


def test_tools_of_the_history_that_are_gone_are_declared_and_forbidden() -> None:
    written = body(user(), called("a"), result("a"), tools=[Tool("other", "O", SCHEMA)])
    assert written["toolConfig"]["tools"] == [
        spec("other", "O"),
        spec("look_up", "No longer available.", {"type": "object", "properties": {}}),
    ]
    assert written["system"] == [{"text": "These tools cannot be called any more: look_up."}]


def test_for_a_model_without_tools_the_history_is_told_in_words() -> None:
    written = body(user(), called("a"), result("a"), tools=[LOOK_UP], quirks=Quirks(tools=False))
    assert "toolConfig" not in written
    assert written["messages"] == [
        both(TEXT),
        replied({"text": '[Called `look_up` with {"q":"x"}]'}),
        both({"text": "[Result of `look_up`:]"}, {"text": "found"}),
    ]


# --- answers in JSON -------------------------------------------------------------------------------------------------


def test_a_schema_is_native_where_the_model_can_be_held_to_it() -> None:
    written = body(model=CLAUDE_4_5, answer_format=ANSWER)
    (native,) = written["outputConfig"]["textFormat"]["structure"].values()
    assert (native["name"], native["description"]) == ("my_answer", "An answer.")
    assert json.loads(native["schema"]) == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": '{"minimum":1}'}},
        "additionalProperties": False,
    }
    assert "toolConfig" not in written


def test_a_schema_that_cannot_be_enforced_is_that_of_the_tool() -> None:
    anything = JsonSchema(schema={"type": "object", "additionalProperties": True})
    written = body(model=CLAUDE_4_5, answer_format=anything)
    assert "outputConfig" not in written
    assert written["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == anything.schema


def test_elsewhere_the_answer_is_the_input_of_a_tool() -> None:
    quirks = Quirks(dropped=frozenset({"outputConfig"}))
    for written in (body(answer_format=ANSWER), body(model=CLAUDE_4_5, quirks=quirks, answer_format=ANSWER)):
        assert written["toolConfig"]["toolChoice"] == {"tool": {"name": "json_response"}}
        (tool,) = written["toolConfig"]["tools"]
        assert tool["toolSpec"]["inputSchema"]["json"] == ANSWER.schema
        assert "outputConfig" not in written


def test_with_tools_of_the_callers_any_tool_may_come_first() -> None:
    written = body(answer_format=ANSWER, tools=[LOOK_UP, Tool("json_response", "Mine.", SCHEMA)])
    assert written["toolConfig"]["toolChoice"] == {"any": {}}
    assert [one["toolSpec"]["name"] for one in written["toolConfig"]["tools"]] == [
        "look_up",
        "json_response",
        "json_response_",
    ]


def test_where_nothing_can_be_forced_the_answer_is_asked_for() -> None:
    assert body(model=LLAMA, answer_format=ANSWER)["system"] == [
        {"text": "Answer only by calling the tool `json_response`."}
    ]
    assert body(model=LLAMA, answer_format=ANSWER, quirks=Quirks(tools=False))["system"][0]["text"].startswith(
        "Answer with JSON of this schema and nothing else: {"
    )
    assert body(answer_format="json")["system"] == [{"text": "Answer with one JSON object and nothing else."}]


# --- what was learnt, and data ---------------------------------------------------------------------------------------


def test_a_system_prompt_that_is_refused_goes_before_the_users_words() -> None:
    for written in (
        body(system("S"), user(), model=MISTRAL_7B),
        body(system("S"), user(), quirks=Quirks(system=False)),
    ):
        assert "system" not in written
        assert written["messages"] == [both({"text": "S"}, TEXT)]


def test_fields_that_were_refused_are_left_out() -> None:
    quirks = Quirks(dropped=frozenset({"temperature", "stopSequences", "maxTokens", "reasoningConfig"}))
    written = body(
        model=NOVA, quirks=quirks, temperature=0.5, top_p=0.5, stop=["x"], max_output_tokens=5, reasoning="low"
    )
    assert written == {"messages": HI, "inferenceConfig": {"topP": 0.5}}


def test_no_more_is_asked_for_than_the_model_was_found_to_write() -> None:
    assert body(max_output_tokens=9000, quirks=Quirks(max_output=4096))["inferenceConfig"] == {"maxTokens": 4096}
    thinking = body(model=CLAUDE_4_5, reasoning="high", max_output_tokens=9000, quirks=Quirks(max_output=4096))
    assert thinking["inferenceConfig"] == {"maxTokens": 4096}
    assert thinking["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 3072


def test_a_model_that_cannot_stream_is_asked_for_its_whole_answer() -> None:
    exchange = WIRE.request(Call(messages=[user()]), LLAMA, Quirks(dropped=frozenset({"stream"})))
    assert exchange.path == "/model/{model}/converse"
    assert exchange.headers == ((b"accept", b"application/json"),)


@pytest.mark.parametrize(
    "region, prefixes",
    [
        ("eu-central-1", ("eu.", "global.")),
        ("us-east-1", ("us.", "global.")),
        ("us-gov-west-1", ("us-gov.",)),
        ("ap-northeast-1", ("jp.", "apac.", "global.")),
        ("ap-southeast-2", ("au.", "apac.", "global.")),
        ("ap-south-1", ("apac.", "global.")),
        ("ca-central-1", ("ca.", "global.")),
        ("sa-east-1", ("global.",)),
        ("cn-north-1", ()),
    ],
)
def test_s044_a_region_has_its_profiles(region: str, prefixes: tuple[str, ...]) -> None:
    assert profile_prefixes(region) == prefixes


def test_where_a_region_is_called() -> None:
    assert base_url_of("bedrock", {"region": "eu-west-1"}) == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert base_url_of("bedrock", {"region": "cn-north-1"}) == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"


# --- the prompt cache ------------------------------------------------------------------------------------------------

POINT = {"cachePoint": {"type": "default"}}
LONG = "long " * 1000


def test_a_long_prefix_is_marked_for_the_cache() -> None:
    sent = body(system(LONG), user("A"), said("B"), user("C"), model=CLAUDE_4_5)
    assert sent["system"] == [{"text": LONG}, POINT]
    assert sent["messages"] == [both({"text": "A"}), replied({"text": "B"}, POINT), both({"text": "C"})]


def test_a_long_history_is_marked_alone() -> None:
    sent = body(system("Short."), user(LONG), called("a"), result("a"), tools=[LOOK_UP], model=CLAUDE_4_5)
    assert sent["system"] == [{"text": "Short."}]
    assert sent["messages"][1] == replied(use("a"), POINT)
    fake.check_request(sent, CLAUDE_4_5)


@pytest.mark.parametrize(
    "model, quirks",
    [
        (CLAUDE_3, Quirks()),
        (NOVA, Quirks()),
        (IMPORTED, Quirks()),
        (CLAUDE_4_5, Quirks(dropped=frozenset({"cachePoint"}))),
    ],
)
def test_a_model_without_a_cache_gets_no_marks(model: str, quirks: Quirks) -> None:
    sent = body(system(LONG), user(LONG), said("B"), user("C"), model=model, quirks=quirks)
    assert "cachePoint" not in json.dumps(sent)


def test_short_prompts_and_single_questions_are_not_marked() -> None:
    for messages in ([system("Short."), user("A"), said("B"), user("C")], [user(LONG)]):
        assert "cachePoint" not in json.dumps(body(*messages, model=CLAUDE_4_5))


# --- properties ------------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c:d", "x" * 70])
WORDS = st.sampled_from(["", " ", "Hi", "ü\n", "a\ud83d", LONG])
PARTS = st.lists(st.sampled_from([Text("Hi"), Text(" "), PIXEL, PDF]), max_size=3)
MESSAGES = st.one_of(
    st.builds(lambda content: Message(role="user", content=content), WORDS | PARTS),
    st.builds(lambda text: Message(role="system", content=text), WORDS),
    st.builds(
        lambda text, ids: Message(
            role="assistant", content=text, tool_calls=[ToolCall(one, "a b", "{}") for one in ids]
        ),
        WORDS,
        st.lists(IDS, max_size=2, unique=True),
    ),
    st.builds(lambda one, content: Message(role="tool", tool_call_id=one, content=content), IDS, WORDS | PARTS),
)


@given(
    st.lists(MESSAGES, min_size=1, max_size=8),
    st.sampled_from([CLAUDE_3, CLAUDE_4_5, CLAUDE_5_5, LLAMA, NOVA]),
    st.sampled_from([None, "auto", "none", "required", "look_up"]),
    st.booleans(),
    st.sampled_from([None, "off", "high"]),
    st.sampled_from([None, ANSWER, "json"]),
)
@settings(max_examples=100)
def test_any_conversation_is_written_as_the_service_takes_it(
    messages: list[Message], model: str, choice: Any, with_tools: bool, effort: Any, answer: Any
) -> None:
    tools = [LOOK_UP] if with_tools else []
    fake.check_request(
        body(*messages, model=model, tools=tools, tool_choice=choice, reasoning=effort, answer_format=answer), model
    )
