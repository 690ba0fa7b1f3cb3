"""What must be true of any provider, through the real service process, over both surfaces."""

import base64
import json
import time
from typing import Any

import httpx
import pytest

from tests.conformance.conftest import BLIND, CHAT, HASTY, NOT_REASONING, PNG, REASONING, TWO_KEYS, Provided, shared_id
from tests.fakes.dialects.base import RefusalKind, SaidTool, Says
from tests.fakes.provider_server import Breaks, Dribbles, Refuses, Slowly

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
BOTH_WAYS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# --- what a model says -----------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_the_text_arrives_with_its_end_and_its_usage(provided: Provided, stream: bool) -> None:
    provided.server.plays(Says(pieces=("Grüße, ", "Welt ", "👋"), input_tokens=11, output_tokens=4))
    answer = provided.ask({"role": "system", "content": "Be brief."}, user("Hello"), stream=stream)
    assert (answer.text, answer.finish, answer.is_done) == ("Grüße, Welt 👋", "stop", True)
    assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (11, 4)
    assert answer.headers["x-penstock-attempts"] == "1"
    (asked,) = provided.server.asked
    assert (asked.system, asked.texts, asked.model) == ("Be brief.", ("Hello",), provided.dialect.model)


def test_the_editor_gets_the_text(provided: Provided) -> None:
    provided.server.plays(Says(pieces=("Grüße, ", "Welt ", "👋")))
    events = provided.edit()
    assert "".join(data["textDelta"] for name, data in events if name == "text-delta") == "Grüße, Welt 👋"
    assert events[-1][0] == "done"


@BOTH_WAYS
def test_cached_tokens_are_part_of_the_input(provided: Provided, stream: bool) -> None:
    provided.server.plays(Says(input_tokens=20, cached_tokens=8, output_tokens=6))
    usage = provided.ask(stream=stream).usage
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (20, 6)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 8


def test_a_stream_that_comes_byte_by_byte_is_the_same_stream(provided: Provided) -> None:
    call = SaidTool("call_1a2b3c4d5", "weather", {"town": "Köln 👋"})
    provided.server.plays(Dribbles(Says(pieces=("Grüße, ", "Welt 👋"), tools=[call], input_tokens=11, output_tokens=4)))
    answer = provided.ask(user("Weather?"), tools=[WEATHER])
    assert (answer.text, answer.finish, answer.is_done) == ("Grüße, Welt 👋", "tool_calls", True)
    assert [json.loads(one["function"]["arguments"]) for one in answer.tool_calls] == [{"town": "Köln 👋"}]
    assert (answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) == (11, 4)


@BOTH_WAYS
def test_a_tool_call_goes_there_and_its_result_back(provided: Provided, stream: bool) -> None:
    call = SaidTool("call_1a2b3c4d5", "weather", {"town": "Köln", "days": [1, 2]})
    provided.server.plays(Says(pieces=(), tools=[call]), Says(pieces=("Rain.",)))
    first = provided.ask(user("Weather?"), tools=[WEATHER], stream=stream)
    assert first.finish == "tool_calls"
    (made,) = first.tool_calls
    assert made["function"]["name"] == "weather"
    assert json.loads(made["function"]["arguments"]) == {"town": "Köln", "days": [1, 2]}
    result = {"role": "tool", "tool_call_id": made["id"], "content": "rain all day"}
    second = provided.ask(user("Weather?"), first.message, result, tools=[WEATHER], stream=stream)
    assert (second.text, second.finish) == ("Rain.", "stop")
    asked = provided.server.asked[1]
    ((call_id, name, arguments),) = asked.tool_calls
    assert (name, arguments) == ("weather", {"town": "Köln", "days": [1, 2]})
    assert [one for one, text in asked.tool_results if "rain all day" in text] == [call_id]
    assert [tool.name for tool in asked.tools] == ["weather"]


def test_two_tools_called_at_once_are_two_calls(provided: Provided) -> None:
    calls = [SaidTool("call_aaaaaaaaa", "weather", {"town": "A"}), SaidTool("call_bbbbbbbbb", "weather", {"town": "B"})]
    provided.server.plays(Says(pieces=("Let me see.",), tools=calls))
    answer = provided.ask(user("Weather?"), tools=[WEATHER])
    assert answer.text == "Let me see."
    assert [json.loads(one["function"]["arguments"]) for one in answer.tool_calls] == [{"town": "A"}, {"town": "B"}]
    assert len({one["id"] for one in answer.tool_calls}) == 2


def test_signed_thoughts_survive_a_clients_tool_loop(provided: Provided) -> None:
    thought = Says(
        pieces=(), reasoning="Let me look.", signature="c2lnbmVk", tools=[SaidTool("call_1a2b3c4d5", "weather", {})]
    )
    provided.server.plays(thought, Says())
    more = {} if provided.dialect in NOT_REASONING else {"reasoning_effort": "medium"}
    first = provided.ask(user("Weather?"), tools=[WEATHER], **more)
    result = {"role": "tool", "tool_call_id": first.tool_calls[0]["id"], "content": "rain"}
    second = provided.ask(user("Weather?"), first.message, result, tools=[WEATHER], **more)
    assert second.error is None
    came_back = provided.server.asked[1].opaque
    if first.reasoning_details:  # otherwise this vendor signs nothing
        assert any("c2lnbmVk" in one for one in came_back)
    else:
        assert came_back == ()


def test_an_image_arrives_as_it_was(provided: Provided) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    answer = provided.ask(user([{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]))
    if provided.dialect in BLIND:
        assert answer.status == 400
        assert answer.error is not None
        assert "does not see" in answer.error["message"]
        return
    assert answer.error is None
    assert provided.server.asked[0].images == (PNG,)


def test_a_picture_behind_an_address_is_fetched_where_the_provider_does_not(
    provided: Provided, picture_url: str
) -> None:
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": picture_url}}]
    answer = provided.ask(user(parts))
    if provided.dialect in BLIND:
        assert answer.status == 400
        return
    assert answer.error is None, answer.error
    (seen,) = [one for one in provided.server.seen if one.asked is not None]
    passed_on = picture_url.encode() in seen.body
    assert passed_on or provided.server.asked[0].images == (PNG,)
    assert passed_on == (provided.dialect.kind in ("openai", "azure"))


def test_s062_a_pdf_arrives_as_it_is_or_as_its_text(provided: Provided, a_pdf: bytes) -> None:
    data = "data:application/pdf;base64," + base64.b64encode(a_pdf).decode()
    part = {"type": "file", "file": {"filename": "report.pdf", "file_data": data}}
    answer = provided.ask(user([{"type": "text", "text": "Summarise."}, part]))
    assert answer.error is None, answer.error
    (asked,) = provided.server.asked
    if asked.documents:
        assert asked.documents == (a_pdf,)
    else:
        assert "penstock in a pdf" in "\n".join(asked.texts).lower()
        assert "report.pdf" in "\n".join(asked.texts)


@pytest.mark.parametrize("provided", REASONING, indirect=True)
def test_reasoning_that_was_asked_for_reaches_the_provider_and_its_thoughts_come_back(provided: Provided) -> None:
    provided.server.plays(Says(pieces=("42",), reasoning="Six times seven.", reasoning_tokens=3))
    answer = provided.ask(reasoning_effort="high")
    assert answer.text == "42"
    assert answer.reasoning == "Six times seven."
    assert provided.server.asked[0].reasons


@BOTH_WAYS
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_why_an_answer_ended_is_told(provided: Provided, finish: Any, stream: bool) -> None:
    provided.server.plays(Says(pieces=("Half a",), finish=finish))
    answer = provided.ask(stream=stream)
    assert (answer.text, answer.finish, answer.is_done) == ("Half a", finish, True)


def test_an_answer_of_a_schema_is_json_text(provided: Provided) -> None:
    schema = {
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
        "additionalProperties": False,
    }
    answer = provided.ask(
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    )
    assert answer.error is None
    (asked,) = provided.server.asked
    assert asked.schema is not None or asked.tools
    assert answer.finish == "stop"


def test_an_output_limit_arrives(provided: Provided) -> None:
    provided.ask(max_completion_tokens=100)
    assert (provided.server.asked[0].max_tokens or 0) >= 100


@BOTH_WAYS
def test_a_field_that_a_format_has_no_word_for_is_named(provided: Provided, stream: bool) -> None:
    answer = provided.ask(seed=7, stream=stream)
    assert answer.status == 200
    sent = provided.server.seen[-1].body
    warned = any("`seed`" in text for text in answer.headers.get_list("x-warning"))
    assert warned != (b'seed":7' in sent)


# --- refusals --------------------------------------------------------------------------------------------------------

STATUSES: dict[RefusalKind, set[int]] = {
    "auth": {502},
    "permission": {502},
    "billing": {502},
    "not_found": {502, 404},
    "rate_limited": {429},
    "invalid_request": {400},
    "context_too_long": {400},
    "content_filtered": {400},
    "server_error": {502},
    "overloaded": {503},
}
_ENTRY_OF = {"auth": "auth", "permission": "permission", "billing": "billing", "rate_limited": "rate_limited"}


@BOTH_WAYS
@pytest.mark.parametrize("kind", list(STATUSES))
def test_a_refusal_is_a_status_with_a_sentence(provided: Provided, kind: RefusalKind, stream: bool) -> None:
    wait_s = 30 if kind == "rate_limited" else None
    provided.server.always_plays(Refuses(kind, retry_after_s=wait_s))
    answer = provided.ask(entry=_ENTRY_OF.get(kind, "usual"), stream=stream)
    assert answer.status in STATUSES[kind], answer.error
    assert answer.error is not None
    assert len(answer.error["message"]) > 20
    if kind == "rate_limited":
        assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert "{" not in answer.error["message"]


@pytest.mark.parametrize("kind", list(STATUSES))
def test_a_refusal_is_an_event_with_a_sentence_in_the_editor(provided: Provided, kind: RefusalKind) -> None:
    provided.server.always_plays(Refuses(kind, retry_after_s=30 if kind == "rate_limited" else None))
    name, data = provided.edit(entry=_ENTRY_OF.get(kind, "usual"))[-1]
    assert name == "error"
    assert len(data["message"]) > 10
    assert data["cause"]["explanation"]
    assert data["cause"]["hint"]
    assert "providerStatusCode" in data.get("cause", {}) or kind in ("auth", "permission", "billing", "rate_limited")


def test_of_two_credentials_one_is_revoked_and_no_call_fails(provided: Provided) -> None:
    assert provided.ask(entry=TWO_KEYS).status == 200
    revoked = provided.server.asked[0].credential
    assert revoked
    provided.server.refused_keys.add(revoked)
    for _ in range(4):
        answer = provided.ask(entry=TWO_KEYS)
        assert (answer.status, answer.is_done) == (200, True), answer.error
    used = {asked.credential for asked in provided.server.asked}
    assert len(used) > 1


@BOTH_WAYS
@pytest.mark.parametrize(
    "death",
    [Breaks("reset", after=0), Breaks("end", after=0), Refuses("server_error")],
    ids=["reset", "end", "server error"],
)
def test_of_two_backends_one_dies_before_its_first_delta_and_no_call_fails(
    provided: Provided, death: Any, stream: bool
) -> None:
    provided.server.plays(death)
    answer = provided.ask(model=shared_id(provided.dialect), stream=stream)
    assert (answer.status, answer.is_done) == (200, True), answer.error
    assert answer.headers["x-penstock-attempts"] == "2"
    line = provided.metric_line(answer)
    assert [one["outcome"] == "ok" for one in line["tried"]] == [False, True]
    assert len({one["provider"] for one in line["tried"]}) == 2


# --- silence and death -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [-1, 0], ids=["before the headers", "before the first content"])
def test_s054_a_silent_provider_is_given_up(provided: Provided, after: int) -> None:
    provided.server.plays(Breaks("stall", after=after))
    answer = provided.ask(entry=HASTY)
    assert answer.status == 504
    assert answer.error is not None
    assert "LLM_TIMEOUT_MS=700" in answer.error["message"]


def test_s054_silence_in_mid_stream_is_an_error_frame(provided: Provided) -> None:
    provided.server.plays(Breaks("stall", after=_after_content(provided), says=LONG))
    answer = provided.ask(entry=HASTY)
    assert answer.text
    assert answer.error is not None
    assert "LLM_IDLE_TIMEOUT_MS=700" in answer.error["message"]
    assert not answer.is_done


@pytest.mark.parametrize("how", ["reset", "end", "error"])
def test_a_death_before_the_first_content_is_a_status(provided: Provided, how: str) -> None:
    provided.server.always_plays(Breaks(how, after=0))
    answer = provided.ask()
    assert answer.status in (502, 503), answer
    assert answer.error is not None


@pytest.mark.parametrize("how", ["reset", "end", "error"])
def test_a_death_in_mid_stream_never_looks_like_an_end(provided: Provided, how: str) -> None:
    provided.server.plays(Breaks(how, after=_after_content(provided), says=LONG))
    answer = provided.ask()
    assert answer.text.startswith("word ")
    assert answer.error is not None
    assert not answer.is_done


@pytest.mark.parametrize("how", ["reset", "end", "error"])
def test_a_death_in_mid_stream_is_an_error_event_in_the_editor(provided: Provided, how: str) -> None:
    provided.server.plays(Breaks(how, after=_after_content(provided), says=LONG))
    names = [name for name, _ in provided.edit()]
    assert "text-delta" in names
    assert names[-1] == "error"


def test_a_client_that_hangs_up_frees_the_provider(provided: Provided) -> None:
    provided.server.plays(Slowly(LONG, pause_s=0.1))
    body = {"model": provided.name(), "messages": [user("Hello")], "stream": True}
    url, headers = provided.service.url + CHAT, provided.service.api_key_headers
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
        next(response.iter_bytes())
    deadline = time.monotonic() + 10
    while not provided.server.cancelled:
        assert time.monotonic() < deadline, "the provider still talks"
        time.sleep(0.02)


LONG = Says(pieces=tuple(f"word {number} " for number in range(40)))


def _after_content(provided: Provided) -> int:
    """How many frames are surely past the first content and well before the end."""
    return 12
