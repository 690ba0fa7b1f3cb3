"""What is sent for a call: the exact bodies, for OpenAI and for everybody else."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

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
    TextDelta,
    Tool,
    ToolCall,
)
from penstock.providers.failures import Unsupported
from penstock.providers.vendors import FLAVOURS, VENDORS
from penstock.providers.wires.openai.chat import WIRE

PLAIN = Quirks()
OPENAI = VENDORS["openai"].ways[0].quirks
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
PIXEL = Image("data:image/png;base64,AA==")


def user(content: str | list[Part] = "Hi") -> Message:
    return Message(role="user", content=content)


def system(text: str) -> Message:
    return Message(role="system", content=text)


def called(*ids: str, name: str = "look_up", content: str = "") -> Message:
    calls = [ToolCall(one, name, '{"q":"x"}') for one in ids]
    return Message(role="assistant", content=content, tool_calls=calls)


def result(call_id: str, content: str | list[Part] = "found") -> Message:
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


def test_each_turn_has_its_own_results_where_ids_are_numbered_anew() -> None:
    turns = [user(), called("0"), result("0", "first"), called("0"), result("0", "second"), called("0")]
    results = [one["content"] for one in messages_of(*turns) if one["role"] == "tool"]
    assert results == ["first", "second", "No result: the call was cancelled."]


@pytest.mark.parametrize("words, is_told", [("Hi", True), ("Answer in JSON", False)])
def test_json_without_a_schema_is_spoken_of_in_words(words: str, is_told: bool) -> None:
    sent = body_of(user(words), answer_format="json", quirks=OPENAI)
    assert sent["response_format"] == {"type": "json_object"}
    assert [one["role"] for one in sent["messages"]] == (["system", "user"] if is_told else ["user"])
    assert "json" in str(sent["messages"]).lower()


@pytest.mark.parametrize("flavour, wanted, sent", [("mistral", 2, 1.5), ("qwen", 2, 1.99), ("mistral", 0.7, 0.7)])
def test_a_wish_for_more_warmth_than_a_vendor_has_becomes_the_most(flavour: str, wanted: float, sent: float) -> None:
    assert body_of(temperature=wanted, quirks=FLAVOURS[flavour])["temperature"] == sent


def test_qwens_omni_models_are_told_to_answer_with_text() -> None:
    assert body(Call(messages=[user()]), "qwen3-omni-flash", FLAVOURS["qwen"])["modalities"] == ["text"]
    assert "modalities" not in body(Call(messages=[user()]), "qwen-plus", FLAVOURS["qwen"])


def test_stop_sequences_that_are_too_many_are_cut_here() -> None:
    reader = WIRE.reader(model="gpt-4.1", quirks=OPENAI, stop=["a", "b", "c", "d", "END"])
    chunk = {"choices": [{"index": 0, "delta": {"content": "One END two"}, "finish_reason": None}]}
    texts = [
        one.text for one in reader.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n") if isinstance(one, TextDelta)
    ]
    assert (texts, reader.finish) == (["One "], "stop")


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
        ("openai", "gpt-5.4", "max", {"reasoning_effort": "xhigh"}),
        ("openai", "gpt-5.6", "minimal", {"reasoning_effort": "low"}),
        ("openai", "o3", "max", {"reasoning_effort": "high"}),
        ("openai", "o1-mini", "high", {}),
        ("qwen", "qwen3", "off", {"enable_thinking": False}),
        ("qwen", "qwen3", "low", {"enable_thinking": True, "thinking_budget": 2048}),
        ("qwen", "qwen3", "max", {"enable_thinking": True, "thinking_budget": 32768}),
        ("mistral", "mistral-small-2603", "off", {"reasoning_effort": "none"}),
        ("mistral", "mistral-small-2603", "minimal", {"reasoning_effort": "none"}),
        ("mistral", "mistral-small-2603", "low", {"reasoning_effort": "high"}),
        ("mistral", "mistral-large-latest", "medium", {"reasoning_effort": "medium"}),
        ("mistral", "magistral-medium-latest", "high", {"prompt_mode": "reasoning"}),
        ("mistral", "magistral-medium-latest", "off", {}),
        ("mistral", "codestral-latest", "high", {}),
        ("groq", "openai/gpt-oss-120b", "off", {"reasoning_effort": "low"}),
        ("groq", "openai/gpt-oss-120b", "max", {"reasoning_effort": "high"}),
        ("groq", "qwen/qwen3-32b", "off", {"reasoning_effort": "none"}),
        ("groq", "qwen/qwen3-32b", "high", {"reasoning_effort": "default"}),
        ("groq", "llama-3.3-70b", "high", {}),
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


@pytest.mark.parametrize("flavour", ["openai", "mistral", "qwen", "groq", "openrouter"])
def test_parallel_calls_are_switched_where_the_field_is_known(flavour: str) -> None:
    sent = body_of(tools=[LOOK_UP], parallel_tool_calls=False, quirks=FLAVOURS[flavour])
    assert sent["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in body_of(parallel_tool_calls=False, quirks=FLAVOURS[flavour])


def test_sampling_is_sent_under_the_names_of_the_vendor() -> None:
    wanted: dict[str, Any] = {"top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.2, "seed": 7}
    assert wanted.items() <= body_of(**wanted).items()
    mistral = body_of(**wanted, quirks=FLAVOURS["mistral"])
    assert (mistral["random_seed"], "seed" in mistral) == (7, False)
    qwen = body_of(**wanted, quirks=FLAVOURS["qwen"])
    assert (qwen["presence_penalty"], "frequency_penalty" in qwen) == (0.1, False)


def test_a_model_that_may_reason_gets_sampling_while_it_does_not() -> None:
    def sent(reasoning: Effort | None) -> bool:
        return "temperature" in body(Call(messages=[user()], temperature=0.5, reasoning=reasoning), "gpt-5.6", OPENAI)

    assert [sent(None), sent("off"), sent("low")] == [False, True, False]


def test_what_was_learnt_is_not_sent() -> None:
    learnt = Quirks(dropped=frozenset({"temperature", "stop"}), max_tokens_field="max_completion_tokens")
    sent = body_of(temperature=1, stop=["a"], max_output_tokens=5, top_p=1, quirks=learnt)
    assert not {"temperature", "stop", "max_tokens"} & set(sent)
    assert (sent["top_p"], sent["max_completion_tokens"]) == (1, 5)


@pytest.mark.parametrize(
    "model, role", [("gpt-5.6", "developer"), ("o3", "developer"), ("gpt-4.1", "system"), ("prod", "system")]
)
def test_instructions_have_the_role_of_the_family(model: str, role: str) -> None:
    call = Call(messages=[system("A"), user()])
    assert body(call, model, OPENAI)["messages"][0] == {"role": role, "content": "A"}
    assert body(call, model, PLAIN)["messages"][0]["role"] == "system"
    learnt = msgspec.structs.replace(OPENAI, developer=False)
    assert body(call, model, learnt)["messages"][0]["role"] == "system"


def test_a_model_without_a_role_for_instructions_reads_them_with_the_first_words() -> None:
    call = Call(messages=[system("A"), user(), system("B"), user("C")])
    assert body(call, "o1-mini", OPENAI)["messages"] == [
        {"role": "user", "content": "A\n\nB\n\nHi"},
        {"role": "user", "content": "C"},
    ]
    parts = Call(messages=[system("A"), user([Text("B"), PIXEL])])
    first = body(parts, "m", Quirks(system=False))["messages"][0]["content"]
    assert first[0] == {"type": "text", "text": "A"}
    assert body(Call(messages=[system("A")]), "o1-mini", OPENAI)["messages"] == [{"role": "user", "content": "A"}]


PDF = Document("data:application/pdf;base64,AA==", "a.pdf")
SPEECH = Audio("AA==", "wav")
PARTS: list[tuple[str, Part, dict[str, Any]]] = [
    ("openai", PDF, {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF.url}}),
    ("mistral", PDF, {"type": "document_url", "document_url": PDF.url}),
    ("openai", SPEECH, {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}),
    (
        "qwen",
        SPEECH,
        {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AA==", "format": "wav"}},
    ),
    ("openai", Image("https://h/x.png"), {"type": "image_url", "image_url": {"url": "https://h/x.png"}}),
]


@pytest.mark.parametrize("flavour, part, sent", PARTS)
def test_files_are_sent_in_the_vendors_own_part(flavour: str, part: Part, sent: dict[str, Any]) -> None:
    (message,) = messages_of(user([part]), quirks=FLAVOURS[flavour])
    assert message["content"] == [sent]


@pytest.mark.parametrize(
    "flavour, part",
    [
        ("vllm", PDF),
        ("vllm", SPEECH),
        ("vllm", Image("https://h/x.png")),
        ("openai", Document("data:text/csv;base64,AA==")),
        ("qwen", PDF),
    ],
)
def test_s062_what_a_vendor_has_no_part_for_is_refused_by_name(flavour: str, part: Part) -> None:
    with pytest.raises(Unsupported) as caught:
        messages_of(user([Text("See"), part]), quirks=FLAVOURS[flavour])
    assert caught.value.action


def test_a_strict_schema_is_rewritten_for_openai_and_left_alone_elsewhere() -> None:
    tool = Tool("look_up", "Looks it up.", SCHEMA, strict=True)
    for quirks, strict, is_closed in ((OPENAI, True, True), (PLAIN, True, False), (Quirks(strict=None), None, False)):
        (sent,) = body_of(tools=[tool], quirks=quirks)["tools"]
        assert sent["function"].get("strict") is strict
        assert ("additionalProperties" in sent["function"]["parameters"]) is is_closed
    loose = Tool("look_up", "", {"type": "object", "additionalProperties": True}, strict=True)
    (sent,) = body_of(tools=[loose], quirks=OPENAI)["tools"]
    assert (sent["function"]["strict"], sent["function"]["parameters"]) == (False, loose.schema)


def test_a_format_that_a_vendor_refuses_beside_tools_is_asked_for_in_words() -> None:
    wanted = JsonSchema(schema=SCHEMA, strict=True)
    fireworks = FLAVOURS["fireworks"]
    sent = body_of(system("A"), user(), tools=[LOOK_UP], answer_format=wanted, quirks=fireworks)
    assert "response_format" not in sent
    assert sent["messages"][0]["content"].startswith("A\n\nAnswer with JSON of this schema")
    assert body_of(answer_format=wanted, quirks=fireworks)["response_format"]["json_schema"]["strict"] is True
    without = body_of(answer_format="json", quirks=Quirks(dropped=frozenset({"response_format"})))
    assert without["messages"][0] == {"role": "system", "content": "Answer with one JSON object and nothing else."}


def test_groq_is_asked_to_keep_thoughts_out_of_the_text_where_it_insists() -> None:
    groq = FLAVOURS["groq"]
    sent = body(Call(messages=[user()], tools=[LOOK_UP]), "qwen/qwen3-32b", groq)
    assert sent["reasoning_format"] == "parsed"
    assert "reasoning_format" not in body(Call(messages=[user()], tools=[LOOK_UP]), "llama-3.3-70b", groq)
    assert "reasoning_format" not in body(Call(messages=[user()]), "qwen/qwen3-32b", groq)


def test_mistral_gets_names_on_results_and_a_turn_before_the_users_next_words() -> None:
    history = [user(), called("AbCdEf123"), result("AbCdEf123", [Text("see"), PIXEL]), user("Go on")]
    sent = messages_of(*history, quirks=FLAVOURS["mistral"])
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "assistant", "user", "user"]
    assert (sent[2]["name"], sent[2]["content"]) == ("look_up", "see")
    plain = messages_of(user(), called("AbCdEf123"), result("AbCdEf123"), user("Go"), quirks=FLAVOURS["mistral"])
    assert [one["role"] for one in plain] == ["user", "assistant", "tool", "assistant", "user"]


def thinking(model: str = "m", **block: Any) -> Opaque:
    return Opaque("openai_chat", model, block)


def answered(*opaque: Opaque, call: str | None = None) -> Message:
    calls = [ToolCall(call, "look_up", "{}")] if call else []
    return Message(role="assistant", content="Hi", tool_calls=calls, opaque=opaque)


DETAILS = [{"type": "reasoning.encrypted", "data": "x", "index": 0}]
THINKING = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]


def test_openrouter_gets_its_details_back_on_the_turn_that_they_came_with() -> None:
    openrouter = FLAVOURS["openrouter"]
    _, sent = messages_of(user(), answered(thinking(reasoning_details=DETAILS)), quirks=openrouter)
    assert sent["reasoning_details"] == DETAILS
    _, foreign = messages_of(user(), answered(thinking("other", reasoning_details=DETAILS)), quirks=openrouter)
    assert "reasoning_details" not in foreign
    refused = msgspec.structs.replace(openrouter, opaque=False)
    _, without = messages_of(user(), answered(thinking(reasoning_details=DETAILS)), quirks=refused)
    assert "reasoning_details" not in without


def test_deepseek_gets_its_thoughts_back_inside_a_running_tool_loop_only() -> None:
    deepseek = FLAVOURS["deepseek"]
    kept = answered(thinking(reasoning_content="Hm"), call="a")
    _, running, _ = messages_of(user(), kept, result("a"), quirks=deepseek)
    assert running["reasoning_content"] == "Hm"
    _, lost, _ = messages_of(user(), answered(call="a"), result("a"), quirks=deepseek)
    assert lost["reasoning_content"] == ""
    _, over, _, _ = messages_of(user(), kept, result("a"), user("Next"), quirks=deepseek)
    assert "reasoning_content" not in over
    older = body(Call(messages=[user(), kept, result("a")]), "deepseek-r1", deepseek)["messages"][1]
    assert "reasoning_content" not in older


def test_mistral_gets_its_thinking_back_before_the_text() -> None:
    _, sent = messages_of(user(), answered(thinking(thinking=THINKING)), quirks=FLAVOURS["mistral"])
    assert sent["content"] == [*THINKING, {"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("model, is_cut", [("gpt-5.6", True), ("gpt-4.1", False)])
def test_stop_sequences_are_cut_here_where_the_model_knows_none(model: str, is_cut: bool) -> None:
    sent = body(Call(messages=[user()], stop=["END"]), model, OPENAI)
    assert ("stop" in sent) is not is_cut
    reader = WIRE.reader(model=model, quirks=OPENAI, stop=["END"])
    deltas = reader.feed(b'data: {"choices":[{"delta":{"content":"a END b"}}]}\n\n')
    assert deltas[0] == TextDelta("a " if is_cut else "a END b")
    assert reader.terminated is is_cut
