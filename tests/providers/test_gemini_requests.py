"""What is sent to Gemini for a call: the exact bodies, and what each generation gets."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.base import (
    Audio,
    Call,
    Delta,
    Document,
    Effort,
    Image,
    JsonSchema,
    Message,
    Opaque,
    OpaqueDelta,
    Part,
    Quirks,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolDelta,
)
from penstock.providers.failures import Unsupported
from penstock.providers.wires.gemini.signatures import PLACEHOLDER, on_call, on_text
from penstock.providers.wires.gemini.wire import WIRE
from tests.providers.gemini_streams import TAIL, frame

PLAIN = Quirks()
OLD, FLASH, PRO, NEW = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash"
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
LOOK_UP = Tool("look_up", "Looks it up.", SCHEMA)
PIXEL = Image("data:image/png;base64,AA==")
SENT_PIXEL = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def user(content: str | Sequence[Part] = "Hi") -> Message:
    return Message(role="user", content=content)


def system(text: str) -> Message:
    return Message(role="system", content=text)


def said(text: str, *opaque: Opaque) -> Message:
    return Message(role="assistant", content=text, opaque=opaque)


def called(*ids: str, content: str = "", opaque: Sequence[Opaque] = ()) -> Message:
    calls = [ToolCall(one, "look_up", '{"q":"x"}') for one in ids]
    return Message(role="assistant", content=content, tool_calls=calls, opaque=opaque)


def result(call_id: str, content: str | Sequence[Part] = "found", *, is_error: bool = False) -> Message:
    return Message(role="tool", tool_call_id=call_id, name="look_up", content=content, is_error=is_error)


def kept(block: Mapping[str, Any], model: str = NEW, wire: str = "gemini") -> Opaque:
    return Opaque(wire, model, block)


def body(call: Call, model: str = FLASH, quirks: Quirks = PLAIN) -> dict[str, Any]:
    exchange = WIRE.request(call, model, quirks)
    assert exchange.path == "/models/{model}:streamGenerateContent?alt=sse"
    assert (exchange.method, exchange.headers) == (b"POST", ())
    sent: dict[str, Any] = json.loads(exchange.body)
    return sent


def body_of(*messages: Message, model: str = FLASH, quirks: Quirks = PLAIN, **fields: Any) -> dict[str, Any]:
    return body(Call(messages=messages or [user()], **fields), model, quirks)


def contents(*messages: Message, model: str = FLASH, quirks: Quirks = PLAIN) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(one["role"], one["parts"]) for one in body_of(*messages, model=model, quirks=quirks)["contents"]]


def sent_call(name: str = "look_up", **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {"q": "x"}} | fields}


def sent_result(response: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": "look_up", "response": response or {"output": "found"}} | fields}


def test_the_smallest_body() -> None:
    assert WIRE.request(Call(messages=[user("Grüß Gott")]), FLASH, PLAIN).body.decode() == (
        '{"contents":[{"role":"user","parts":[{"text":"Grüß Gott"}]}]}'
    )


def test_a_body_with_everything() -> None:
    call = Call(
        messages=[system("A"), user(), system("B")],
        tools=[LOOK_UP],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        seed=7,
        stop=list("abcdefg"),
        answer_format=JsonSchema(schema=SCHEMA),
        reasoning="high",
        user_ref="u1",
    )
    assert body(call, NEW) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "A\n\nB"}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "look_up", "description": "Looks it up.", "parametersJsonSchema": SCHEMA}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "maxOutputTokens": 24_626,
            "temperature": 0.5,
            "topP": 0.9,
            "seed": 7,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "stopSequences": ["a", "b", "c", "d", "e"],
            "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        },
    }


CONVERSATIONS: Mapping[str, tuple[list[Message], list[tuple[str, list[dict[str, Any]]]]]] = {
    "several turns": (
        [user("A"), said("B"), user("C")],
        [("user", [{"text": "A"}]), ("model", [{"text": "B"}]), ("user", [{"text": "C"}])],
    ),
    "turns of the same role become one": (
        [user("A"), user("B"), said("C"), said("D"), user("E")],
        [
            ("user", [{"text": "A"}, {"text": "B"}]),
            ("model", [{"text": "C"}, {"text": "D"}]),
            ("user", [{"text": "E"}]),
        ],
    ),
    "empty texts and turns are left out": (
        [user([Text(""), Text("A")]), said(""), user("")],
        [("user", [{"text": "A"}])],
    ),
    "a conversation that ends with the model": (
        [user("A"), said("B")],
        [("user", [{"text": "A"}]), ("model", [{"text": "B"}]), ("user", [{"text": "Continue."}])],
    ),
    "a conversation that begins with the model": (
        [said("B"), user("C")],
        [("user", [{"text": "Continue."}]), ("model", [{"text": "B"}]), ("user", [{"text": "C"}])],
    ),
    "nothing but a system prompt": ([system("A")], [("user", [{"text": "Continue."}])]),
    "an image, a PDF, a text file, sound": (
        [
            user(
                [
                    Text("A"),
                    PIXEL,
                    Document("data:application/pdf;base64,JVBE"),
                    Document("data:text/plain;charset=utf-8,a%20b"),
                    Audio("UklG", "wav"),
                    Audio("SUQz", "mp3"),
                ]
            )
        ],
        [
            (
                "user",
                [
                    {"text": "A"},
                    SENT_PIXEL,
                    {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
                    {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
                    {"inlineData": {"mimeType": "audio/mp3", "data": "SUQz"}},
                ],
            )
        ],
    ),
    "a call and its result": (
        [user(), called("a"), result("a")],
        [("user", [{"text": "Hi"}]), ("model", [sent_call()]), ("user", [sent_result()])],
    ),
    "parallel calls, results in the order of the calls": (
        [user(), called("a", "b", content="Let me see."), result("b", "B"), result("a", "A")],
        [
            ("user", [{"text": "Hi"}]),
            ("model", [{"text": "Let me see."}, sent_call(), sent_call()]),
            ("user", [sent_result({"output": "A"}), sent_result({"output": "B"})]),
        ],
    ),
    "a tool that failed": (
        [user(), called("a"), result("a", "no net", is_error=True)],
        [("user", [{"text": "Hi"}]), ("model", [sent_call()]), ("user", [sent_result({"error": "no net"})])],
    ),
    "a call without a result gets one, and the user goes on in the same turn": (
        [user(), called("a"), user("Go on")],
        [
            ("user", [{"text": "Hi"}]),
            ("model", [sent_call()]),
            ("user", [sent_result({"error": "No result: the call was cancelled."}), {"text": "Go on"}]),
        ],
    ),
    "a result without a call is left out": ([user(), result("a")], [("user", [{"text": "Hi"}])]),
    "the same id in every step": (
        [user(), called("0"), result("0", "A"), called("0"), result("0", "B")],
        [
            ("user", [{"text": "Hi"}]),
            ("model", [sent_call()]),
            ("user", [sent_result({"output": "A"})]),
            ("model", [sent_call()]),
            ("user", [sent_result({"output": "B"})]),
        ],
    ),
    "arguments that are no object": (
        [
            user(),
            Message(role="assistant", tool_calls=[ToolCall(one, "f", one) for one in ("", "null", "[1]", "{a")]),
        ],
        [
            ("user", [{"text": "Hi"}]),
            (
                "model",
                [
                    {"functionCall": {"name": "f", "args": args}}
                    for args in ({}, {}, {"arguments": [1]}, {"arguments": "{a"})
                ],
            ),
            (
                "user",
                [{"functionResponse": {"name": "f", "response": {"error": "No result: the call was cancelled."}}}] * 4,
            ),
        ],
    ),
    "an image in a result follows it": (
        [user(), called("a"), result("a", [Text("see"), PIXEL])],
        [
            ("user", [{"text": "Hi"}]),
            ("model", [sent_call()]),
            ("user", [sent_result({"output": "see"}), {"text": "Files from the tool results:"}, SENT_PIXEL]),
        ],
    ),
    "lone surrogates are replaced, pairs stay": ([user("a\ud83db😀")], [("user", [{"text": "a\ufffdb😀"}])]),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_becomes_turns_of_user_and_model(name: str) -> None:
    given_, sent = CONVERSATIONS[name]
    assert contents(*given_) == sent


def test_newer_models_get_call_ids_and_media_inside_results() -> None:
    sent = contents(user(), called("a"), result("a", [Text("see"), PIXEL]), model=NEW)
    assert sent[1:] == [
        ("model", [sent_call(id="a") | {"thoughtSignature": PLACEHOLDER}]),
        ("user", [sent_result({"output": "see"}, id="a", parts=[SENT_PIXEL])]),
    ]


def test_an_image_by_address_needs_a_vendor_that_fetches() -> None:
    picture = user([Image("https://h/x.webp?y"), Image("https://h/x")])
    with pytest.raises(Unsupported, match="bytes"):
        body_of(picture)
    assert contents(picture, quirks=Quirks(fetches_images=True)) == [
        (
            "user",
            [
                {"fileData": {"mimeType": "image/webp", "fileUri": "https://h/x.webp?y"}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/x"}},
            ],
        )
    ]


def test_s062_office_files_go_to_models_that_read_them_and_are_refused_by_name_elsewhere() -> None:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    document = user([Document(f"data:{kind};base64,UEs=")])
    with pytest.raises(Unsupported, match="wordprocessingml"):
        body_of(document, model=NEW)
    assert contents(document, model="gemini-4-argon") == [
        ("user", [{"inlineData": {"mimeType": kind, "data": "UEs="}}])
    ]


@pytest.mark.parametrize("model", ["gemma-3-27b-it", "gemini-2.5-flash-image", "gemini-3-pro-image"])
def test_models_without_a_system_instruction_read_it_first(model: str) -> None:
    sent = body_of(system("Be kind."), user(), model=model)
    assert sent == {"contents": [{"role": "user", "parts": [{"text": "Be kind."}, {"text": "Hi"}]}]}
    assert body_of(system("Be kind."), user(), quirks=Quirks(system=False)) == sent


@pytest.mark.parametrize(
    "choice, sent",
    [
        (None, None),
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("look_up", {"mode": "ANY", "allowedFunctionNames": ["look_up"]}),
    ],
)
def test_tools_and_their_choice(choice: str | None, sent: object) -> None:
    written = body_of(tools=[LOOK_UP], tool_choice=choice)
    assert written["tools"][0]["functionDeclarations"][0]["name"] == "look_up"
    assert written.get("toolConfig") == (None if sent is None else {"functionCallingConfig": sent})


def test_a_tool_without_parameters_has_no_schema() -> None:
    for schema in ({}, {"type": "object"}, {"type": "object", "properties": {}, "additionalProperties": False}):
        (declared,) = body_of(tools=[Tool("f", "", schema)])["tools"][0]["functionDeclarations"]
        assert declared == {"name": "f", "description": "f"}


def test_long_and_odd_tool_names_are_made_acceptable_everywhere_alike() -> None:
    name = "server.tool/" + "x" * 60
    message = Message(role="assistant", tool_calls=[ToolCall("a", name, "{}")])
    sent = body_of(user(), message, result("a"), tools=[Tool(name, "", SCHEMA)], tool_choice=name)
    short = sent["tools"][0]["functionDeclarations"][0]["name"]
    assert len(short) <= 64
    assert sent["contents"][1]["parts"][0]["functionCall"]["name"] == short
    assert sent["contents"][2]["parts"][0]["functionResponse"]["name"] == short
    assert sent["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [short]


def test_s053_tools_are_left_out_for_a_model_that_is_known_to_lack_them() -> None:
    sent = body_of(tools=[LOOK_UP], tool_choice="required", quirks=Quirks(tools=False))
    assert not {"tools", "toolConfig"} & set(sent)


def test_before_the_third_generation_an_answer_format_beside_tools_is_asked_for_in_words() -> None:
    wanted = JsonSchema(schema=SCHEMA)
    told = body_of(tools=[LOOK_UP], answer_format=wanted)
    assert "generationConfig" not in told
    assert '{"type":"object","properties"' in told["systemInstruction"]["parts"][0]["text"]
    assert body_of(answer_format=wanted)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    assert body_of(answer_format="json")["generationConfig"] == {"responseMimeType": "application/json"}
    learnt = Quirks(dropped=frozenset({"responseMimeType"}))
    assert "generationConfig" not in body_of(answer_format=wanted, model=NEW, quirks=learnt)


def test_older_interfaces_get_schemas_in_their_own_subset() -> None:
    quirks = Quirks(dropped=frozenset({"parametersJsonSchema", "responseJsonSchema"}))
    schema = {
        "type": "object",
        "properties": {"q": {"$ref": "#/$defs/q"}},
        "$defs": {"q": {"type": ["string", "null"]}},
    }
    subset = {"type": "object", "properties": {"q": {"type": "string", "nullable": True}}}
    (declared,) = body_of(tools=[Tool("f", "F", schema)], quirks=quirks)["tools"][0]["functionDeclarations"]
    assert declared == {"name": "f", "description": "F", "parameters": subset}
    config = body_of(answer_format=JsonSchema(schema=schema), quirks=quirks)["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseSchema": subset}


EFFORTS: tuple[Effort, ...] = ("off", "minimal", "low", "medium", "high", "xhigh", "max")
GENERATIONS: Mapping[str, tuple[str, list[int | str | None]]] = {
    "gemini-2.0-flash": ("", [None] * 7),
    "gemini-1.5-pro": ("", [None] * 7),
    "gemma-3-27b-it": ("", [None] * 7),
    "gemini-2.5-flash-image": ("", [None] * 7),
    "gemini-2.5-flash": ("thinkingBudget", [0, 128, 2048, 8192, 24_576, 24_576, 24_576]),
    "gemini-2.5-flash-preview-09-2025": ("thinkingBudget", [0, 128, 2048, 8192, 24_576, 24_576, 24_576]),
    "gemini-2.5-flash-lite": ("thinkingBudget", [0, 512, 2048, 8192, 24_576, 24_576, 24_576]),
    "gemini-2.5-pro": ("thinkingBudget", [128, 128, 2048, 8192, 24_576, 32_768, 32_768]),
    "gemini-3-flash": ("thinkingLevel", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-3.1-flash-lite": ("thinkingLevel", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-3.7-flash": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-3.8-flash": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-3-pro-preview": ("thinkingLevel", ["LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH", "HIGH"]),
    "gemini-3.1-pro": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-4-argon": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "gemini-4-hydrogen": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "XHIGH", "XHIGH"]),
    "gemini-flash-latest": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
    "somebody-elses": ("thinkingLevel", ["LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH", "HIGH"]),
}


@pytest.mark.parametrize("model", GENERATIONS)
def test_each_generation_is_told_to_think_in_its_own_words(model: str) -> None:
    field, values = GENERATIONS[model]
    for effort, value in zip(EFFORTS, values, strict=True):
        config = body_of(model=model, reasoning=effort).get("generationConfig", {}).get("thinkingConfig")
        shown = {} if effort == "off" else {"includeThoughts": True}
        assert config == (None if value is None else {field: value, **shown})
    assert "generationConfig" not in body_of(model=model)


@pytest.mark.parametrize(
    "quirks, effort, sent",
    [
        (Quirks(thinking="none"), "high", None),
        (Quirks(thinking="dynamic"), "high", {"thinkingBudget": -1, "includeThoughts": True}),
        (Quirks(thinking="level"), "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (Quirks(efforts=("minimal", "low")), "off", {"thinkingBudget": 128}),
        (
            Quirks(thinking="level", efforts=("low", "high")),
            "medium",
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (Quirks(thinking="level", efforts=("high",)), "off", {"thinkingLevel": "HIGH"}),
    ],
)
def test_what_was_learnt_of_a_model_goes_before_its_family(quirks: Quirks, effort: Effort, sent: object) -> None:
    config = body_of(reasoning=effort, quirks=quirks).get("generationConfig", {})
    assert config.get("thinkingConfig") == sent


@pytest.mark.parametrize(
    "model, effort, asked, sent",
    [
        (FLASH, None, 100, 100),
        (FLASH, "off", 100, 100),
        (FLASH, "low", 100, 2148),
        (PRO, "off", 100, 228),
        (NEW, "high", 100, 24_676),
        (NEW, "high", 60_000, 65_536),
        (NEW, "high", 70_000, 70_000),
        (OLD, "high", 100, 100),
    ],
)
def test_thoughts_get_room_beside_the_answer(model: str, effort: Effort | None, asked: int, sent: int) -> None:
    config = body_of(model=model, reasoning=effort, max_output_tokens=asked)["generationConfig"]
    assert config["maxOutputTokens"] == sent


def test_who_asks_is_a_label_where_labels_are_known() -> None:
    call = Call(messages=[user()], user_ref="Jo.Doe@example.com" + "x" * 60)
    assert "labels" not in body(call, NEW)
    (label,) = body(call, NEW, Quirks(user_field="labels"))["labels"].items()
    assert label == ("user", ("jo_doe_example_com" + "x" * 60)[:63])
    assert "labels" not in body(call, NEW, Quirks(user_field="labels", dropped=frozenset({"labels"})))


def test_fields_that_were_refused_are_not_sent_again() -> None:
    quirks = Quirks(dropped=frozenset({"seed", "presencePenalty"}))
    assert "generationConfig" not in body_of(seed=1, presence_penalty=0.5, quirks=quirks)


def test_extra_fields_have_the_last_word_inside_objects_too() -> None:
    extra = {
        "generationConfig": {"topK": 5, "thinkingConfig": {"thinkingBudget": 1}},
        "safetySettings": [{"category": "x"}],
    }
    sent = body_of(temperature=0.1, reasoning="high", model=NEW, extra=extra)
    assert sent["generationConfig"] == {"temperature": 0.1, "topK": 5, "thinkingConfig": {"thinkingBudget": 1}}
    assert sent["safetySettings"] == [{"category": "x"}]


# --- signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_goes_back_on_the_call_that_it_came_with() -> None:
    message = called("a", "b", opaque=[kept(on_call("S", "a"))])
    assert contents(user(), message, result("a"), result("b"), model=NEW)[1] == (
        "model",
        [sent_call(id="a") | {"thoughtSignature": "S"}, sent_call(id="b")],
    )


def test_signatures_of_texts_stay_where_they_were() -> None:
    message = said(
        "Hello you there",
        kept(on_text("S", start=5, chars=4, after=0)),
        kept(on_text("T", start=15, chars=0, after=0)),
    )
    assert contents(user(), message, user(), model=NEW)[1] == (
        "model",
        [
            {"text": "Hello"},
            {"text": " you", "thoughtSignature": "S"},
            {"text": " there"},
            {"text": "", "thoughtSignature": "T"},
        ],
    )


def test_a_signature_whose_text_was_changed_stands_alone_at_the_end() -> None:
    message = said("He", kept(on_text("S", start=5, chars=4, after=0)))
    assert contents(user(), message, user(), model=NEW)[1] == (
        "model",
        [{"text": "He"}, {"text": "", "thoughtSignature": "S"}],
    )


def test_a_signature_after_a_call_stays_after_it() -> None:
    message = called("a", "b", content="See", opaque=[kept(on_text("S", start=3, chars=0, after=1))])
    parts = contents(user(), message, user(), called("c"), model=NEW)[1][1]
    assert parts == [{"text": "See"}, sent_call(id="a"), {"text": "", "thoughtSignature": "S"}, sent_call(id="b")]


@pytest.mark.parametrize(
    "block",
    [
        kept(on_call("S", "a"), model="gemini-3-pro"),
        kept(on_call("S", "a"), wire="anthropic"),
        kept({"call": "a"}),
        kept({"call": "a", "thoughtSignature": ""}),
        kept({"call": "a", "thoughtSignature": 5}),
        kept({"call": 5, "thoughtSignature": None, "start": "x"}),
    ],
)
def test_foreign_and_broken_signatures_stay_at_home(block: Opaque) -> None:
    sent = contents(user(), called("a", opaque=[block]), result("a"), user("Next"), model=NEW)
    assert sent[1] == ("model", [sent_call(id="a")])


def test_places_that_a_caller_made_up_break_nothing() -> None:
    block = kept({"thoughtSignature": "S", "start": -4, "chars": 10**9, "after": True})
    assert contents(user(), said("Hi", block), user(), model=NEW)[1] == (
        "model",
        [{"text": "Hi"}, {"text": "", "thoughtSignature": "S"}],
    )


def test_calls_of_the_current_turn_without_a_signature_get_the_placeholder_on_the_first_of_each_step() -> None:
    sent = contents(
        user(),
        called("a"),
        result("a"),
        user("Next"),
        called("b", "c"),
        result("b"),
        result("c"),
        called("d"),
        model=NEW,
    )
    signed = [
        (part["functionCall"]["id"], part.get("thoughtSignature"))
        for role, parts in sent
        if role == "model"
        for part in parts
    ]
    assert signed == [("a", None), ("b", PLACEHOLDER), ("c", None), ("d", PLACEHOLDER)]


def test_older_models_get_no_placeholder() -> None:
    assert contents(user(), called("a"), result("a"))[1] == ("model", [sent_call()])


def test_after_a_refused_signature_none_is_sent_and_the_current_turn_has_the_placeholder() -> None:
    message = called(
        "a", content="Hm", opaque=[kept(on_call("S", "a"), FLASH), kept(on_text("T", start=0, chars=2, after=0), FLASH)]
    )
    quirks = Quirks(opaque=False)
    assert contents(user(), message, user(), message, result("a"), quirks=quirks)[1::2][:2] == [
        ("model", [{"text": "Hm"}, sent_call()]),
        ("model", [{"text": "Hm"}, sent_call() | {"thoughtSignature": PLACEHOLDER}]),
    ]


# --- there and back --------------------------------------------------------------------------------------------------


def _message_of(deltas: Sequence[Delta]) -> Message:
    calls = [ToolCall(one.id or "", one.name or "", one.arguments) for one in deltas if isinstance(one, ToolDelta)]
    said_ = "".join(one.text for one in deltas if isinstance(one, TextDelta))
    blocks = [one.opaque for one in deltas if isinstance(one, OpaqueDelta)]
    return Message(role="assistant", content=said_, tool_calls=calls, opaque=blocks)


_SIGNATURES = st.none() | st.text("ABC=", min_size=1, max_size=4)
_TEXTS = st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), _SIGNATURES)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda one: st.lists(one, max_size=2)
)
_CALLS = st.tuples(st.dictionaries(st.text(max_size=4), _JSON, max_size=3), _SIGNATURES)


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    return part if signature is None else part | {"thoughtSignature": signature}


@given(st.lists(_TEXTS, max_size=4), st.lists(_CALLS, max_size=3))
@settings(max_examples=80)
def test_an_answer_goes_back_as_it_came(texts: list[tuple[str, str | None]], calls: list[Any]) -> None:
    parts = [_signed({"text": text}, signature) for text, signature in texts]
    parts += [
        _signed({"functionCall": {"name": "look_up", "args": args, "id": f"id{number}"}}, signature)
        for number, (args, signature) in enumerate(calls)
    ]
    reader = WIRE.reader(model=NEW)
    deltas = list(reader.feed("".join([frame(*parts), TAIL]).encode()))
    sent = contents(user(), _message_of(deltas), user("Next"), model=NEW)
    back = [part for role, parts in sent if role == "model" for part in parts]
    assert _joined(back) == _joined(parts)


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring texts without a signature are one: nothing says where the provider has cut them."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        if part == {"text": ""}:
            continue
        if joined and joined[-1].keys() == part.keys() == {"text"}:
            joined[-1] = {"text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined
