"""`/oai/v1/chat/completions` through the real process, in front of providers of other formats."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.dialects.base import SaidTool, Says
from tests.fakes.provider_server import Breaks, Refuses, Slowly
from tests.gateway.inference.translated_house import CHAT, DIALECTS, House, There, deltas, frames, running_house

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": SCHEMA}}]
RAIN = SaidTool("tool_1", "weather", {"city": "Köln"})
CALLS = Says(pieces=(), tools=(RAIN,))
SIGNED = Says(pieces=("Let me look.",), reasoning="The weather is asked.", signature="c2lnbmVk", tools=(RAIN,))


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with running_house() as running:
        yield running


@pytest.fixture(params=[dialect.kind for dialect in DIALECTS])
def there(house: House, request: pytest.FixtureRequest) -> There:
    found = There(house, request.param)
    found.server.reset()
    return found


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_a_chat_completion_in_the_callers_words(there: There) -> None:
    answer = there.answer(there.body())
    assert answer["object"] == "chat.completion"
    assert answer["model"] == there.model
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello from the upstream.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    assert there.server.asked[-1].model == there.server.dialect.model
    assert there.server.asked[-1].texts == ("Hello",)


def test_a_stream_has_role_text_reason_and_terminator(there: There) -> None:
    response = there.post(there.body(stream=True))
    assert response.headers["content-type"] == "text/event-stream"
    first, *texts, last = deltas(response.text)
    assert first == {"role": "assistant", "content": ""}
    assert "".join(one["content"] for one in texts) == "Hello from the upstream."
    assert last == {}
    chunks = [json.loads(frame) for frame in frames(response.text)[:-1]]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {(one["id"], one["model"]) for one in chunks} == {(chunks[0]["id"], there.model)}


def test_usage_of_a_stream_is_sent_when_it_was_asked_for_and_only_then(there: There) -> None:
    there.server.plays(Says(cached_tokens=3), Says())
    asked = frames(there.post(there.body(stream=True, stream_options={"include_usage": True})).text)
    last = json.loads(asked[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 12
    assert last["usage"]["prompt_tokens_details"]["cached_tokens"] == 3
    assert all(json.loads(frame)["choices"] for frame in frames(there.post(there.body(stream=True)).text)[:-1])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_was_cut_says_why(there: There, finish: Any, stream: bool) -> None:
    there.server.plays(Says(finish=finish))
    response = there.post(there.body(stream=stream))
    choices = json.loads(frames(response.text)[-2] if stream else response.text)["choices"]
    assert choices[0]["finish_reason"] == finish


def test_the_first_words_do_not_wait_for_the_last(there: There) -> None:
    there.server.plays(there.broken_off("stall"))
    with httpx.stream(
        "POST",
        there.service.url + CHAT,
        json=there.body(stream=True),
        headers=there.service.api_key_headers,
        timeout=30,
    ) as response:
        read = ""
        for piece in response.iter_text():
            read += piece
            if "Hello " in read:
                break
    assert "[DONE]" not in read


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_images_and_documents_reach_the_provider(there: There) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": uri("image/png", PNG)}},
        {"type": "file", "file": {"file_data": uri("application/pdf", PDF), "filename": "a.pdf"}},
    ]
    there.answer(there.body(parts))
    asked = there.server.asked[-1]
    assert asked.images == (PNG,)
    assert asked.documents == (PDF,)
    assert "What is this?" in asked.texts[0]


def test_instructions_limits_and_tools_reach_the_provider(there: There) -> None:
    there.server.plays(CALLS)
    body = there.body(tools=TOOLS, tool_choice="required", max_completion_tokens=77)
    body["messages"].insert(0, {"role": "developer", "content": "Be brief."})
    there.answer(body)
    asked = there.server.asked[-1]
    assert "Be brief." in asked.system
    assert asked.max_tokens == 77
    assert [tool.name for tool in asked.tools] == ["weather"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_round_trip_brings_signed_thoughts_back(there: There, stream: bool) -> None:
    there.server.plays(SIGNED)
    body = there.body(tools=TOOLS, reasoning_effort="low", stream=stream)
    response = there.post(body)
    assert response.status_code == 200, response.text
    message = _put_together(deltas(response.text)) if stream else response.json()["choices"][0]["message"]
    assert message["content"] == "Let me look."
    assert message["reasoning_content"] == "The weather is asked."
    call = message["tool_calls"][0]
    assert (call["id"], call["function"]["name"]) == ("tool_1", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Köln"}
    body["messages"] += [message, {"role": "tool", "tool_call_id": "tool_1", "content": "rain"}]
    assert there.post(body).status_code == 200
    assert there.server.faults == []
    asked = there.server.asked[-1]
    assert asked.tool_calls == (("tool_1", "weather", {"city": "Köln"}),)
    assert asked.tool_results == (("tool_1", "rain"),)
    assert asked.opaque == ("c2lnbmVk",)


def _put_together(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """A message from the deltas of a stream, as a client does it."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": ""}
    for delta in pieces:
        message["content"] += delta.get("content", "")
        message["reasoning_content"] += delta.get("reasoning_content", "")
        message.setdefault("reasoning_details", []).extend(delta.get("reasoning_details", ()))
        for call in delta.get("tool_calls", ()):
            calls = message.setdefault("tool_calls", [])
            if call.get("id"):
                calls.append(call)
            else:
                calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return message


def test_foreign_thoughts_are_not_sent_on(there: There) -> None:
    body = there.body()
    details = [{"type": "reasoning.text", "text": "of another", "signature": "zzz"}, {"nonsense": True}]
    body["messages"] += [
        {"role": "assistant", "content": "4", "reasoning_details": details},
        {"role": "user", "content": "Why?"},
    ]
    there.answer(body)
    assert there.server.asked[-1].opaque == ()


def test_a_client_of_functions_is_answered_in_its_own_words(there: There) -> None:
    there.server.plays(CALLS)
    body = there.body(functions=[TOOLS[0]["function"]])
    choice = there.answer(body)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    called = choice["message"]["function_call"]
    assert (called["name"], json.loads(called["arguments"])) == ("weather", {"city": "Köln"})
    body["messages"] += [choice["message"], {"role": "function", "name": "weather", "content": "rain"}]
    there.answer(body)
    asked = there.server.asked[-1]
    assert [result for _, result in asked.tool_results] == ["rain"]


def test_hidden_reasoning_is_not_shown(there: There) -> None:
    there.server.plays(Says(reasoning="secret thoughts", signature="c2lnbmVk"))
    answer = there.answer(there.body(reasoning={"effort": "low", "exclude": True}))
    assert "secret thoughts" not in json.dumps(answer)
    assert "reasoning_content" not in answer["choices"][0]["message"]


# --- several choices --------------------------------------------------------------------------------------------------


def test_several_choices_are_as_many_calls(there: There) -> None:
    there.server.plays(Says(pieces=("a",)), Says(pieces=("b",)), Says(pieces=("c",)))
    response = there.post(there.body(n=3))
    answer = response.json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert sorted(choice["message"]["content"] for choice in answer["choices"]) == ["a", "b", "c"]
    assert answer["usage"] == {"prompt_tokens": 21, "completion_tokens": 15, "total_tokens": 36}
    assert response.headers["x-penstock-attempts"] == "3"
    request_id = response.headers["x-request-id"]
    eventually(lambda: _attempts_logged(there, request_id) == [3])
    line = next(line for line in there.service.logs if line.get("traceId") == request_id and "attempts" in line)
    assert (line["inputTokens"], line["outputTokens"]) == (21, 15)


def test_several_choices_are_streamed_together(there: There) -> None:
    response = there.post(there.body(n=2, stream=True, stream_options={"include_usage": True}))
    *chunks, done = frames(response.text)
    assert done == "[DONE]"
    read = [json.loads(chunk) for chunk in chunks]
    assert read[-1]["usage"]["total_tokens"] == 24
    assert len({one["id"] for one in read}) == 1
    for index in (0, 1):
        mine = [choice for one in read for choice in one["choices"] if choice["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(one["delta"].get("content", "") for one in mine) == "Hello from the upstream."
        assert mine[-1]["finish_reason"] == "stop"


def test_files_are_made_ready_for_every_one_of_several_choices(there: There) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "file", "file": {"file_data": uri("text/html", b"<h1>Rivers</h1>"), "filename": "a.html"}},
    ]
    there.answer(there.body(parts, n=3))
    read = ["".join(asked.texts) + repr(asked.documents) for asked in there.server.asked]
    assert len(read) == 3
    assert all("Rivers" in one for one in read)
    assert len(set(read)) == 1


def test_a_client_that_hangs_up_frees_the_upstream_of_every_choice(there: There) -> None:
    there.server.always_plays(Slowly(Says(pieces=("word ",) * 200), pause_s=0.05))
    with httpx.stream(
        "POST",
        there.service.url + CHAT,
        json=there.body(stream=True, n=3),
        headers=there.service.api_key_headers,
        timeout=30,
    ) as response:
        request_id = response.headers["x-request-id"]
        next(response.iter_text())
    eventually(lambda: there.server.cancelled == 3, within_s=5)
    eventually(lambda: _attempts_logged(there, request_id) == [3])


def test_a_client_that_hangs_up_while_choices_wait_leaves_a_guess_of_what_all_have_cost(there: There) -> None:
    """The first choice has begun, the others say nothing yet."""
    says = Says(pieces=("word ",) * 200)
    there.server.plays(Slowly(says, pause_s=0.05), Breaks("stall", -1), Breaks("stall", -1))
    before = len(there.service.logs)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            there.service.url + CHAT,
            json=there.body("x" * 400, stream=True, n=3),
            headers=there.service.api_key_headers,
            timeout=httpx.Timeout(30, read=1.5),
        )
    eventually(lambda: there.server.cancelled == 3, within_s=5)
    line: dict[str, Any] = {}
    eventually(lambda: bool(line.update(_aborted(there, before)) or line))
    assert sorted(one["outcome"] for one in line["tried"]) == ["cancelled", "cancelled", "ok"]
    assert line["inputTokens"] > 200


def _aborted(there: There, before: int) -> dict[str, Any]:
    lines = there.service.logs[before:]
    return next((line for line in lines if line.get("outcome") == "client-abort" and "attempts" in line), {})


def test_one_choice_that_fails_fails_the_answer(there: There) -> None:
    there.server.plays(Says(), Refuses("invalid_request"))
    assert there.post(there.body(n=2)).status_code == 400
    breaks = there.broken_off("error")
    there.server.plays(Says(), breaks)
    text = there.post(there.body(n=2, stream=True)).text
    assert "error" in json.loads(frames(text)[-1])
    assert "[DONE]" not in text


# --- refusals and failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"n": 5}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(there: There, field: Any, param: str) -> None:
    response = there.post({**there.body(), **field})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert there.server.seen == []
    assert "x-penstock-attempts" not in response.headers


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_the_provider_is_a_status(there: There, stream: bool) -> None:
    there.server.plays(Refuses("invalid_request"))
    response = there.post(there.body(stream=stream))
    assert response.status_code == 400
    assert response.json()["error"]["message"]
    assert response.headers["x-penstock-attempts"] == "1"


def test_s040_a_refused_key_is_a_status_and_stays_secret(house: House, there: There) -> None:
    there.server.plays(Refuses("auth"))
    response = there.post({**there.body(), "model": f"{there.kind}-spare/{there.server.dialect.model}"})
    assert response.status_code == 502
    assert f"`{there.kind}-spare`" in response.json()["error"]["message"]
    entry = json.dumps(there.server.entry())
    for secret in (value for value in _strings(json.loads(entry)) if len(value) > 18 and "http" not in value):
        assert secret not in response.text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def test_an_error_before_the_first_word_of_a_stream_is_a_status(there: There) -> None:
    there.server.always_plays(Breaks("error", after=0))
    response = there.post(there.body(stream=True))
    assert response.status_code >= 500
    assert int(response.headers["x-penstock-attempts"]) >= 1


@pytest.mark.parametrize("how", ["error", "end", "reset"])
def test_a_stream_that_fails_ends_with_an_error_and_without_done(there: There, how: str) -> None:
    there.server.plays(there.broken_off(how))
    response = there.post(there.body(stream=True))
    assert response.status_code == 200
    data = frames(response.text)
    assert "Hello" in response.text
    assert "error" in json.loads(data[-1])
    assert "[DONE]" not in response.text
    assert response.headers["x-penstock-attempts"] == "1"


def test_a_client_that_hangs_up_frees_the_upstream(there: There) -> None:
    there.server.plays(Slowly(Says(pieces=("word ",) * 200), pause_s=0.05))
    with httpx.stream(
        "POST",
        there.service.url + CHAT,
        json=there.body(stream=True),
        headers=there.service.api_key_headers,
        timeout=30,
    ) as response:
        next(response.iter_text())
    eventually(lambda: there.server.cancelled == 1, within_s=5)


def test_a_backend_that_is_gone_is_replaced_and_both_attempts_are_counted(there: There) -> None:
    response = there.post({**there.body(), "model": there.server.dialect.model})
    assert response.status_code == 200, response.text
    attempts = int(response.headers["x-penstock-attempts"])
    assert attempts >= 2
    request_id = response.headers["x-request-id"]
    eventually(lambda: _attempts_logged(there, request_id) == [attempts])


def _attempts_logged(there: There, request_id: str) -> list[int]:
    return [line["attempts"] for line in there.service.logs if line.get("traceId") == request_id and "attempts" in line]


def test_an_answer_of_the_callers_own_format_counts_its_attempts_too(there: There) -> None:
    body = {**there.body(), "model": "mock/one"}
    assert there.post(body).headers["x-penstock-attempts"] == "1"
    assert there.post({**body, "stream": True}).headers["x-penstock-attempts"] == "1"
