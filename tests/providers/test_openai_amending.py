"""What refusals teach: which words count, and what is sent instead."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.providers.base import Amendment, Call, JsonSchema, Message, Opaque, Quirks, Tool
from penstock.providers.vendors import FLAVOURS, VENDORS
from penstock.providers.wires.openai import chat as openai_chat
from penstock.providers.wires.openai import responses as openai_responses

OPENAI = VENDORS["openai"].ways[0].quirks
PLAIN = Quirks()
SURFACES: dict[str, Any] = {"chat": openai_chat.WIRE, "responses": openai_responses.WIRE}


def refused(surface: str, body: Any, status: int = 400, quirks: Quirks = OPENAI) -> Amendment | None:
    wire = SURFACES[surface]
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found: Amendment | None = wire.amended(wire.failure(status, [], raw), "m", quirks)
    return found


def error(message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def unsupported(field: str) -> dict[str, Any]:
    message = f"Unsupported parameter: '{field}' is not supported with this model."
    return error(message, "unsupported_parameter", field)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("field", ["temperature", "top_p", "parallel_tool_calls", "safety_identifier"])
def test_a_field_that_a_model_refuses_is_left_out_from_then_on(surface: str, field: str) -> None:
    found = refused(surface, unsupported(field))
    assert found == Amendment(quirks=replace(OPENAI, dropped=frozenset({field})))
    again = refused(surface, unsupported("user"), quirks=found.quirks)
    assert again is not None
    assert again.quirks.dropped == {field, "user"}


@pytest.mark.parametrize(
    "body, field",
    [
        (unsupported("stop"), "stop"),
        (unsupported("seed"), "seed"),
        (unsupported("presence_penalty"), "presence_penalty"),
        (
            error(
                "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
                "supported.",
                "unsupported_value",
                "temperature",
            ),
            "temperature",
        ),
        (error("Unrecognized request argument supplied: parallel_tool_calls"), "parallel_tool_calls"),
        (error("Unknown parameter: 'store'.", "unknown_parameter", "store"), "store"),
        ({"detail": [{"loc": ["body", "random_seed"], "msg": "Extra inputs are not permitted"}]}, "random_seed"),
        (error("property 'seed' is unsupported"), "seed"),
        ({"object": "error", "message": "reasoning_effort is not enabled for this model"}, "reasoning_effort"),
        (unsupported("reasoning_effort"), "reasoning_effort"),
        (
            error("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
            "response_format",
        ),
        (error("This response_format type is unavailable now"), "response_format"),
    ],
)
def test_refusals_name_their_field_in_many_ways(body: Any, field: str) -> None:
    found = refused("chat", body)
    assert found is not None
    assert found.quirks.dropped == {field}


@pytest.mark.parametrize(
    "body",
    [
        error("Invalid value: 'temperature'."),
        error("Invalid 'temperature': decimal above maximum value.", "decimal_above_max_value", "temperature"),
        error("The word 'Unsupported parameter: 'stop'' stands in your prompt."),
        error("'messages' must contain the word 'json'. You wrote: Unknown parameter: 'seed'", None, "messages"),
        error("Unsupported parameter: 'messages'", "unsupported_parameter", "messages"),
        error("Prompt: temperature: Extra inputs are not permitted"),
        error("The model `x does not support tools` does not exist", "model_not_found"),
        error("You said: llama does not support tools"),
        error("You said: Function tools with reasoning_effort are not supported for x in /v1/chat/completions."),
        b"<html>temperature</html>",
        b"",
    ],
)
def test_words_of_the_caller_and_other_mistakes_teach_nothing(body: Any) -> None:
    assert refused("chat", body) is None
    assert refused("responses", body) is None


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_other_statuses_teach_nothing(status: int) -> None:
    assert refused("chat", unsupported("temperature"), status) is None


def test_the_output_limit_changes_its_name() -> None:
    old = error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "unsupported_parameter",
        "max_tokens",
    )
    found = refused("chat", old, quirks=PLAIN)
    assert found is not None
    assert found.quirks.max_tokens_field == "max_completion_tokens"
    back = refused("chat", error("Unrecognized request argument supplied: max_completion_tokens"), quirks=OPENAI)
    assert back is not None
    assert back.quirks.max_tokens_field == "max_tokens"
    assert refused("chat", old, quirks=OPENAI) is None


@pytest.mark.parametrize(
    "surface, body, levels",
    [
        (
            "chat",
            error(
                "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: "
                "'low', 'medium', and 'high'.",
                "unsupported_value",
                "reasoning_effort",
            ),
            ("low", "medium", "high"),
        ),
        (
            "responses",
            error(
                "Unsupported value: 'xhigh' is not supported with the 'm' model. Supported values are: 'medium'.",
                "unsupported_value",
                "reasoning.effort",
            ),
            ("medium",),
        ),
        ("chat", error("`reasoning_effort` must be one of `none` or `default`"), ("none", "default")),
    ],
)
def test_a_list_of_levels_is_learnt(surface: str, body: Any, levels: tuple[str, ...]) -> None:
    found = refused(surface, body)
    assert found == Amendment(quirks=replace(OPENAI, efforts=levels))


def test_tools_with_reasoning_move_to_the_other_surface() -> None:
    body = error(
        "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. To use function "
        "tools, use /v1/responses or set reasoning_effort to 'none'.",
        None,
        "reasoning_effort",
    )
    found = refused("chat", body)
    assert found is not None
    assert (found.wire, found.lasts_s) == ("openai_responses", 86_400)
    assert refused("responses", body) != found


@pytest.mark.parametrize("status, body", [(404, b"404 page not found"), (404, {"detail": "Not Found"}), (405, b"")])
def test_a_server_without_responses_is_called_on_chat_for_a_while(status: int, body: Any) -> None:
    found = refused("responses", body, status)
    assert found is not None
    assert (found.wire, found.lasts_s) == ("openai_chat", 600)


def test_a_missing_item_is_no_missing_surface() -> None:
    body = error("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", None, "input")
    assert refused("responses", body, 404) == Amendment(quirks=replace(OPENAI, opaque=False), lasts_s=0)
    assert refused("responses", body, 404, replace(OPENAI, opaque=False)) is None


def test_a_level_that_is_refused_without_a_list_is_left_out_of_this_call_only() -> None:
    value = "Unsupported value: 'reasoning_effort' does not support 'x' with this model."
    found = refused("chat", error(value, "unsupported_value", "reasoning_effort"))
    assert found is not None
    assert found == Amendment(quirks=replace(OPENAI, dropped=frozenset({"reasoning_effort"})), lasts_s=0)


def test_a_missing_model_is_no_missing_surface() -> None:
    assert refused("responses", error("The requested model 'x' does not exist.", "model_not_found"), 404) is None
    assert refused("chat", {"detail": "Not Found"}, 404) is None


@pytest.mark.parametrize(
    "status, body",
    [
        (400, error("registry.ollama.ai/library/gemma does not support tools")),
        (400, error('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')),
        (404, error("No endpoints found that support tool use.")),
    ],
)
def test_s053_a_model_without_tools_is_remembered_for_a_while(status: int, body: Any) -> None:
    found = refused("chat", body, status, PLAIN)
    assert found == Amendment(quirks=Quirks(tools=False), lasts_s=600, drops_tools=True)
    assert refused("chat", body, status, Quirks(tools=False)) is None


def test_roles_that_a_model_does_not_know() -> None:
    developer = error(
        "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
        "unsupported_value",
        "messages[0].role",
    )
    found = refused("chat", developer)
    assert found is not None
    assert (found.quirks.developer, found.quirks.system) == (False, True)
    system = error(
        developer["error"]["message"].replace("developer", "system"), "unsupported_value", "messages[0].role"
    )
    again = refused("chat", system, quirks=found.quirks)
    assert again is not None
    assert not again.quirks.system


def test_an_account_without_summaries_reads_none() -> None:
    body = error(
        "Your organization must be verified to generate reasoning summaries.", "unsupported_value", "reasoning.summary"
    )
    found = refused("responses", body)
    assert found is not None
    sent = json.loads(openai_responses.WIRE.request(_call(), "gpt-5.5", found.quirks).body)
    assert sent.get("reasoning", {}) == {}


def test_a_model_without_encrypted_content_is_not_asked_for_it() -> None:
    found = refused("responses", error("Encrypted content is not supported with this model.", None, "include"))
    assert found is not None
    assert "include" not in json.loads(openai_responses.WIRE.request(_call(), "m", found.quirks).body)


@pytest.mark.parametrize(
    "body",
    [
        error("The encrypted content gAAA... could not be verified.", "invalid_encrypted_content"),
        error("Item 'rs_1' of type 'reasoning' was provided without its required following item.", None, "input"),
        error("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", None, "input"),
    ],
)
def test_blocks_that_are_refused_are_left_out_of_this_call_only(body: Any) -> None:
    assert refused("responses", body) == Amendment(quirks=replace(OPENAI, opaque=False), lasts_s=0)
    assert refused("responses", body, quirks=replace(OPENAI, opaque=False)) is None


def test_a_signature_that_a_router_refuses_is_left_out_of_this_call_only() -> None:
    quirks = FLAVOURS["openrouter"]
    found = refused("chat", error("messages.1.content.0: Invalid `signature` in `thinking` block"), quirks=quirks)
    assert found == Amendment(quirks=replace(quirks, opaque=False), lasts_s=0)


@pytest.mark.parametrize(
    "body",
    [
        error("Invalid schema for response_format 'a': 'x' is not permitted.", None, "response_format"),
        error("Invalid schema for response_format 'a': 'x' is wrong.", "invalid_json_schema", "text.format.schema"),
    ],
)
def test_a_refused_schema_is_sent_as_no_strict_one_then_in_words(body: Any) -> None:
    wanted = Call(messages=[Message(role="user", content="Hi")], answer_format=JsonSchema(schema={"type": "object"}))
    for surface, field in (("chat", "response_format"), ("responses", "text")):
        weaker = refused(surface, body)
        assert weaker == Amendment(quirks=replace(OPENAI, strict=None), lasts_s=0)
        words = refused(surface, body, quirks=weaker.quirks)
        assert words is not None
        assert words.lasts_s == 0
        assert field not in json.loads(SURFACES[surface].request(wanted, "m", words.quirks).body)


def test_a_refused_schema_of_a_tool_is_sent_as_no_strict_one() -> None:
    body = error("Invalid schema for function 'f': x", "invalid_function_parameters", "tools[0].function.parameters")
    found = refused("chat", body)
    assert found == Amendment(quirks=replace(OPENAI, strict=None), lasts_s=0)
    assert refused("chat", body, quirks=found.quirks) is None


def test_obfuscation_is_given_up_before_the_token_counts() -> None:
    body = error("Unknown parameter: 'stream_options.include_obfuscation'.", "unknown_parameter", "stream_options")
    found = refused("chat", body)
    assert found == Amendment(quirks=replace(OPENAI, obfuscation=False))
    again = refused("chat", error("Unrecognized request argument supplied: stream_options"), quirks=found.quirks)
    assert again is not None
    assert not again.quirks.stream_options


def test_a_choice_of_tools_that_is_refused_says_nothing_about_other_calls() -> None:
    message = (
        "<400> InternalError.Algo.InvalidParameter: The tool_choice parameter does not support being set to required "
        "or object in thinking mode"
    )
    found = refused("chat", error(message), quirks=FLAVOURS["qwen"])
    assert found is not None
    assert ("tool_choice" in found.quirks.dropped, found.lasts_s) == (True, 0)


@pytest.mark.parametrize("prefix", ["", "<400> InternalError.Algo.InvalidParameter: "])
def test_qwen_is_asked_for_json_in_words_while_it_thinks(prefix: str) -> None:
    body = error(prefix + "Json mode response is not supported when enable_thinking is true")
    found = refused("chat", body, quirks=FLAVOURS["qwen"])
    assert found is not None
    assert ("response_format" in found.quirks.dropped, found.lasts_s) == (True, 0)


def _call() -> Call:
    turn = Message(role="assistant", content="x", opaque=[Opaque("w", "m", {})])
    return Call(messages=[Message(role="user", content="Hi"), turn], tools=[Tool("f", "", {})])
