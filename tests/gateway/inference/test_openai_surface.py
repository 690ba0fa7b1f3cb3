"""`/oai/v1` through the real process: what is relayed, what is refused, what happens when an upstream misbehaves."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import (
    CutShort,
    EndWithoutFinish,
    Finish,
    Hold,
    Raw,
    Reset,
    Stall,
    Status,
    Text,
    Wait,
)
from tests.service import Service, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"
SPELLED = b'{"role":"user","content":"\\u00e9\xc3\xa9"}'


def body(**more: Any) -> dict[str, Any]:
    return {"model": "mock/one", "messages": [{"role": "user", "content": "Hello"}], **more}


def post(service: Service, content: Any = None, **more: Any) -> httpx.Response:
    headers = {**service.api_key_headers, **more.pop("headers", {})}
    if isinstance(content, bytes):
        return httpx.post(service.url + CHAT, content=content, headers=headers, timeout=30, **more)
    return httpx.post(service.url + CHAT, json=content or body(), headers=headers, timeout=30, **more)


def frames(text: str) -> list[str]:
    return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


# --- relaying ---------------------------------------------------------------------------------------------------------


def test_a_whole_answer_arrives_byte_for_byte(service: Service) -> None:
    choice = b'{"index":0,"message":{"role":"assistant","content":"1.0"},"finish_reason":"stop"}'
    answer = b'{ "id":"x", "choices":[' + choice + b'],\n "n":1.50, "odd":{"b":1,"a":2} }'
    service.upstream.plays(Status(200, answer))
    response = post(service)
    assert response.status_code == 200
    assert response.content == answer
    assert response.headers["content-type"] == "application/json"


def test_every_field_reaches_the_upstream_unknown_ones_too(service: Service) -> None:
    sent = body(
        temperature=0.10,
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        seed=7,
        invented={"deep": [1, {"x": None}]},
    )
    sent["messages"] = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    ]
    assert post(service, sent).status_code == 200
    assert service.upstream.chats[-1].json == {**sent, "model": "one"}


def test_numbers_keep_their_spelling(service: Service) -> None:
    rest = b'"temperature":1.0,"big":123456789012345678901234567890,"messages":[' + SPELLED + b"]"
    assert post(service, b'{"model":"mock/one",' + rest + b"}").status_code == 200
    assert service.upstream.chats[-1].body == b"{" + rest + b',"model":"one"}'


def test_a_stream_arrives_with_its_terminator(service: Service) -> None:
    service.upstream.plays(Text("Hel"), Text("lo"), Finish())
    response = post(service, body(stream=True))
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["x-accel-buffering"] == "no"
    data = frames(response.text)
    assert data[-1] == "[DONE]"
    assert "".join(c["delta"].get("content", "") for f in data[:-1] for c in json.loads(f)["choices"]) == "Hello"


def test_usage_is_asked_for_and_kept_from_a_client_that_did_not_ask(service: Service) -> None:
    response = post(service, body(stream=True))
    assert service.upstream.chats[-1].json["stream_options"] == {"include_usage": True}
    assert all(json.loads(frame)["choices"] for frame in frames(response.text)[:-1])


def test_usage_reaches_a_client_that_asked(service: Service) -> None:
    response = post(service, body(stream=True, stream_options={"include_usage": True}))
    last = json.loads(frames(response.text)[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 12


def test_a_stream_that_never_says_who_speaks_is_given_a_role(service: Service) -> None:
    chunk = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    service.upstream.plays(Raw(chunk), Finish())
    first, second, *_ = [json.loads(frame) for frame in frames(post(service, body(stream=True)).text)[:-1]]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert second["choices"][0]["delta"] == {"content": "Hi"}
    assert (first["id"], first["model"]) == ("1", "m")


def test_a_stream_that_says_who_speaks_is_left_alone(service: Service) -> None:
    opening = b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
    service.upstream.plays(Raw(opening), Text("Hi"), Finish())
    assert post(service, body(stream=True)).content.startswith(opening)


def test_the_first_chunk_does_not_wait_for_the_second(service: Service) -> None:
    service.upstream.plays(Text("first"), Hold(), Text(" second"), Finish())
    with httpx.stream(
        "POST", service.url + CHAT, json=body(stream=True), headers=service.api_key_headers, timeout=30
    ) as response:
        pieces = response.iter_text()
        assert "first" in next(pieces)
        service.upstream.go_on()
        assert "[DONE]" in "".join(pieces)


@pytest.mark.parametrize("name", ["mock/one", "one", "mock:one", "agent-1", "auto"])
def test_a_model_answers_to_its_names(service: Service, name: str) -> None:
    assert post(service, body(model=name)).status_code == 200
    assert service.upstream.chats[-1].json["model"] == "one"


def test_the_models_that_a_key_may_use_are_listed(service: Service) -> None:
    response = httpx.get(service.url + "/oai/v1/models", headers=service.api_key_headers)
    assert [one["id"] for one in response.json()["data"]] == ["agent-1", "mock/one", "mock/two"]


@pytest.mark.parametrize("name", ["mock/one", "mock%2Fone", "one", "agent-1"])
def test_one_model_is_found_by_slug_or_id(service: Service, name: str) -> None:
    response = httpx.get(f"{service.url}/oai/v1/models/{name}", headers=service.api_key_headers)
    assert response.status_code == 200
    assert response.json()["object"] == "model"


# --- who may ----------------------------------------------------------------------------------------------------------


def test_without_a_key_nothing_is_sent_upstream(service: Service) -> None:
    response = httpx.post(service.url + CHAT, json=body())
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    assert service.upstream.requests == []


def test_a_key_in_x_api_key_is_accepted(service: Service) -> None:
    response = httpx.post(service.url + CHAT, json=body(), headers={"x-api-key": service.api_key}, timeout=30)
    assert response.status_code == 200


def test_a_revoked_key_stops_working_within_a_second_or_so(service: Service) -> None:
    made = service.cli("api-key", "create", "--tenant", service.tenant_id, "--name", "short-lived")
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert post(service, headers=headers).status_code == 200
    service.cli("api-key", "revoke", made["id"], "--tenant", service.tenant_id)
    eventually(lambda: post(service, headers=headers).status_code == 401)


def test_a_key_without_the_permission_is_refused(service: Service) -> None:
    made = service.cli(
        "api-key", "create", "--tenant", service.tenant_id, "--name", "listing", "--permission", "models:list"
    )
    headers = {"Authorization": f"Bearer {made['key']}"}
    response = post(service, headers=headers)
    assert response.status_code == 403, response.text
    assert httpx.get(service.url + "/oai/v1/models", headers=headers).status_code == 200


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"null", None),
        (b'{"model":"one","messages":[}', None),
        (b"\xff\xfe", None),
        (b'{"model":"one\xff","messages":[{}]}', None),
        (b"[" * 100_000, None),
        (json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode(), "model"),
        (json.dumps({"model": 7, "messages": [{}]}).encode(), "model"),
        (json.dumps({"model": "one"}).encode(), "messages"),
        (json.dumps({"model": "one", "messages": []}).encode(), "messages"),
        (json.dumps({"model": "one", "messages": "hello"}).encode(), "messages"),
        (json.dumps({"model": "one", "messages": [{}], "stream": "yes"}).encode(), "stream"),
        (
            json.dumps({"model": "one", "messages": [{}], "stream": True, "stream_options": 3}).encode(),
            "stream_options",
        ),
    ],
)
def test_a_body_that_cannot_be_used_is_a_400_that_names_the_field(
    service: Service, content: bytes, param: str | None
) -> None:
    response = post(service, content)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert service.upstream.requests == []


def test_an_unknown_model_is_a_404_with_the_nearest_name(service: Service) -> None:
    response = post(service, body(model="mock/onne"))
    assert response.status_code == 404
    assert "mock/one" in response.json()["error"]["message"]
    assert response.json()["error"]["code"] == "model_not_found"


def test_a_body_over_the_limit_is_a_413(service: Service) -> None:
    response = post(service, b'{"model":"' + b"x" * (21 * 1024 * 1024) + b'"}')
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_a_405_in_the_face_of_the_surface(service: Service, method: str) -> None:
    response = httpx.request(method, service.url + CHAT, headers=service.api_key_headers)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert "error" in response.json()


def test_an_unknown_path_is_a_404_in_the_face_of_the_surface(service: Service) -> None:
    response = httpx.get(service.url + "/oai/v1/nothing", headers=service.api_key_headers)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


# --- upstream trouble -------------------------------------------------------------------------------------------------


def test_s040_a_refused_key_names_the_entry_and_the_key_and_keeps_the_providers_sentence(service: Service) -> None:
    sentence = "Incorrect API key provided: sk-upstr***1234."
    service.upstream.plays(Status(401, {"error": {"message": sentence, "code": "invalid_api_key"}}))
    with _own_service(service) as fresh:
        response = post(fresh)
    assert response.status_code == 502
    message = response.json()["error"]["message"]
    assert "Incorrect API key provided" in message
    assert "`mock`" in message
    assert "1234" in message
    assert "sk-upstream-key" not in message


def _own_service(service: Service) -> Any:
    """A process whose only key may be set aside without harm to other tests."""
    import tempfile
    from contextlib import contextmanager
    from pathlib import Path

    from tests.service import service_env, start_service, with_tenant

    @contextmanager
    def fresh() -> Any:
        with (
            tempfile.TemporaryDirectory() as directory,
            start_service(service_env(service.upstream, Path(directory)), service.upstream) as started,
        ):
            yield with_tenant(started)

    return fresh()


def test_a_rate_limit_keeps_its_retry_after(service: Service) -> None:
    with _own_service(service) as fresh:
        refusal = Status(
            429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, (("retry-after", "7"),)
        )
        fresh.upstream.plays(refusal)
        response = post(fresh)
        assert response.status_code == 429
        assert response.headers["retry-after"] == "7"
        assert response.json()["error"]["type"] == "rate_limit_error"


def test_a_bad_request_of_the_upstream_is_a_400(service: Service) -> None:
    service.upstream.plays(Status(400, {"error": {"message": "temperature must be below 2", "param": "temperature"}}))
    response = post(service)
    assert response.status_code == 400
    assert "temperature must be below 2" in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "temperature"


def test_an_error_before_the_first_token_of_a_stream_is_a_status(service: Service) -> None:
    service.upstream.plays(Raw(b'data: {"error":{"message":"model exploded","code":500}}\n\n'), Wait(0.1), CutShort())
    response = post(service, body(stream=True))
    assert response.status_code >= 500
    assert "model exploded" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "ending",
    [
        (Raw(b'data: {"error":{"message":"it broke"}}\n\n'), EndWithoutFinish()),
        (CutShort(),),
        (Reset(),),
        (EndWithoutFinish(),),
        (Raw(b"data: {not json}\n\n"), EndWithoutFinish()),
    ],
)
def test_a_stream_that_fails_ends_with_an_error_and_without_done(service: Service, ending: Any) -> None:
    service.upstream.plays(Text("so far"), Wait(0.05), *ending)
    response = post(service, body(stream=True))
    assert response.status_code == 200
    data = frames(response.text)
    assert "so far" in data[0]
    assert "error" in json.loads(data[-1])
    assert "[DONE]" not in response.text


def test_a_whole_answer_cut_short_is_an_error(service: Service) -> None:
    with _own_service(service) as fresh:
        fresh.upstream.plays(Status(200, b'{"choices":[]}', (("content-length", "9999"),)), Reset())
        assert post(fresh).status_code == 502


def test_an_error_object_inside_a_200_is_an_error(service: Service) -> None:
    service.upstream.plays(Status(200, {"error": {"message": "context overflow", "code": 400}}))
    assert post(service).status_code == 400


def test_an_html_page_instead_of_an_answer_is_an_error(service: Service) -> None:
    service.upstream.plays(Status(200, b"<html>welcome</html>", (("content-type", "text/html"),)))
    response = post(service)
    assert response.status_code == 502
    assert response.json()["error"]["type"] == "api_error"


def test_a_client_that_hangs_up_frees_the_upstream(service: Service) -> None:
    service.upstream.plays(Text("one"), Stall())
    with httpx.stream(
        "POST", service.url + CHAT, json=body(stream=True), headers=service.api_key_headers, timeout=30
    ) as response:
        next(response.iter_text())
    eventually(lambda: service.upstream.cancelled == 1, within_s=5)


def test_a_client_that_gives_up_waiting_frees_the_upstream(service: Service) -> None:
    service.upstream.plays(Stall())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(service.url + CHAT, json=body(), headers=service.api_key_headers, timeout=0.5)
    eventually(lambda: service.upstream.cancelled == 1, within_s=5)


def test_the_same_connection_serves_the_next_call(service: Service) -> None:
    post(service)
    before = service.upstream.connections
    for _ in range(5):
        post(service)
        post(service, body(stream=True))
    assert service.upstream.connections == before


def test_comments_fill_the_silence_also_after_a_client_that_read_slowly(service: Service, tmp_path: Path) -> None:
    env = service_env(service.upstream, tmp_path, SSE_KEEPALIVE_SECONDS="1")
    with start_service(env, service.upstream) as started:
        patient = with_tenant(started)
        service.upstream.plays(Text("x" * 8_000_000), Stall())
        with httpx.stream(
            "POST", patient.url + CHAT, json=body(stream=True), headers=patient.api_key_headers, timeout=10
        ) as response:
            time.sleep(1)
            for piece in response.iter_bytes():
                if b": keep-alive\n\n" in piece:
                    break
