"""The metric log through the real process: one line per request, when its answer has ended, and no secret in it."""

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator
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
    running_upstream,
)
from tests.service import MANAGEMENT_SECRET, Service, service_env, start_service, with_tenant

CHAT = "/oai/v1/chat/completions"
BODY: dict[str, Any] = {"model": "mock/one", "messages": [{"role": "user", "content": "x"}]}
STREAM = BODY | {"stream": True}


def metric_lines(service: Service, path: str) -> list[dict[str, Any]]:
    return [line for line in service.logs if line.get("path") == path and "durationMs" in line]


def one_line(service: Service, response: httpx.Response) -> dict[str, Any]:
    """The line of this answer; there must be exactly one."""
    request_id = response.headers["x-request-id"]
    service.wait_for_log(f'"traceId":"{request_id}"')
    found = [line for line in service.logs if line.get("traceId") == request_id]
    assert len(found) == 1
    return found[0]


def call(service: Service, body: Any = BODY, **headers: str) -> httpx.Response:
    return httpx.post(service.url + CHAT, json=body, headers={**service.api_key_headers, **headers}, timeout=30)


def test_t_32_every_request_has_one_line_with_the_five_fields_and_ours(service: Service) -> None:
    line = one_line(service, call(service, **{"x-editor-version": "8.8.0"}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
    assert line["method"] == "POST"
    assert line["path"] == CHAT
    assert line["statusCode"] == 200
    assert isinstance(line["durationMs"], int)
    assert line["outcome"] == "ok"
    assert line["bytesOut"] > 100
    assert line["environmentId"] == service.tenant_id
    assert line["editorVersion"] == "8.8.0"
    assert line["model"] == "mock/one"
    assert line["provider"] == "mock"
    assert line["inputTokens"] == 7
    assert line["outputTokens"] == 5
    assert line["timeToFirstTokenMs"] >= 0


def test_t_32_the_path_is_written_without_its_query(service: Service) -> None:
    response = httpx.get(service.url + "/v1/conversations?cursor=what-a-user-looked-for", headers={"X-API-Key": "x"})
    assert one_line(service, response)["path"] == "/v1/conversations"
    assert not any("what-a-user-looked-for" in line for line in service.lines)


def test_t_32_health_is_not_logged(service: Service) -> None:
    for path in ("/health", "/health/ready"):
        httpx.get(service.url + path)
        httpx.head(service.url + path)
    one_line(service, httpx.get(service.url + "/v1/after-health"))
    assert not metric_lines(service, "/health")
    assert not metric_lines(service, "/health/ready")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/conversations", 405),
        ("GET", "/v1/conversations", 401),
        ("POST", "/v1/conversations", 401),
        ("POST", CHAT, 401),
        ("GET", CHAT, 405),
        ("OPTIONS", "/v1/conversations", 403),
    ],
)
def test_t_32_a_refusal_has_one_line_with_the_status_that_was_sent(
    service: Service, method: str, path: str, status: int
) -> None:
    headers = {"Origin": "https://e.example", "Access-Control-Request-Method": "GET"} if method == "OPTIONS" else {}
    response = httpx.request(method, service.url + path, headers=headers)
    assert response.status_code == status
    line = one_line(service, response)
    assert line["statusCode"] == status
    assert line["outcome"] == "error"


def test_t_32_a_preflight_that_is_granted_is_no_error(service: Service) -> None:
    headers = {"Origin": "https://editor.example.com", "Access-Control-Request-Method": "GET"}
    line = one_line(service, httpx.options(service.url + "/v1/conversations", headers=headers))
    assert line["statusCode"] == 204
    assert line["outcome"] == "ok"


def test_t_32_the_line_of_a_stream_is_written_when_it_ends(service: Service) -> None:
    service.upstream.plays(Text("one"), Hold(), Text("two"), Finish())
    with httpx.stream("POST", service.url + CHAT, json=STREAM, headers=service.api_key_headers, timeout=30) as response:
        pieces = response.iter_bytes()
        size = len(next(pieces))
        time.sleep(0.2)
        request_id = response.headers["x-request-id"]
        assert not any(line.get("traceId") == request_id for line in service.logs)
        service.upstream.go_on()
        size += sum(len(piece) for piece in pieces)
    line = one_line(service, response)
    assert line["bytesOut"] == size
    assert line["durationMs"] >= 200
    assert line["outputTokens"] == 5


@pytest.mark.parametrize(
    "ending",
    [(CutShort(),), (Reset(),), (EndWithoutFinish(),), (Raw(b'data: {"error":{"message":"it broke"}}\n\n'),)],
)
def test_s085_a_stream_that_fails_after_its_200_is_an_error_in_the_log(service: Service, ending: Any) -> None:
    service.upstream.plays(Text("so far"), *ending)
    response = call(service, STREAM)
    assert response.status_code == 200
    line = one_line(service, response)
    assert line["statusCode"] == 200
    assert line["outcome"] == "error"


def test_s085_an_editor_stream_that_fails_after_its_200_is_an_error_in_the_log(service: Service) -> None:
    token = service.token_headers()
    path = "/v1/conversations/metric-log/messages"
    httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "metric-log"})
    service.upstream.plays(Text("so far"), Reset())
    response = httpx.post(service.url + path, headers=token, json={"prompt": "Hi"}, timeout=30)
    assert response.status_code == 200
    assert "event: error" in response.text
    line = one_line(service, response)
    assert line["outcome"] == "error"
    assert line["model"] == "mock/one"
    assert line["environmentId"] == service.tenant_id


@pytest.mark.parametrize("surface", ["openai", "editor"])
def test_t_32_a_client_that_hangs_up_is_told_apart(service: Service, surface: str) -> None:
    token = service.token_headers()
    path = CHAT if surface == "openai" else "/v1/conversations/hung-up/messages"
    httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "hung-up"})
    body = STREAM if surface == "openai" else {"prompt": "Hi"}
    headers = service.api_key_headers if surface == "openai" else token
    service.upstream.plays(Text("one"), Stall())
    with httpx.stream("POST", service.url + path, json=body, headers=headers, timeout=30) as response:
        text = response.iter_text()
        while "one" not in next(text):
            pass
    line = one_line(service, response)
    assert line["statusCode"] == 200
    assert line["outcome"] == "client-abort"


def test_t_32_a_client_that_gives_up_before_its_answer_is_a_499(service: Service) -> None:
    before = len(metric_lines(service, CHAT))
    service.upstream.plays(Stall())
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(service.url + CHAT, json=BODY, headers=service.api_key_headers, timeout=0.5)
    deadline = time.monotonic() + 10
    while len(lines := metric_lines(service, CHAT)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert lines[-1]["statusCode"] == 499
    assert lines[-1]["outcome"] == "client-abort"


def test_t_32_a_user_is_written_as_a_hash_that_groups_his_lines(service: Service) -> None:
    subject = "anna.schmidt@example.com"
    token = service.token_headers(subject)
    lines = [one_line(service, httpx.get(service.url + "/v1/conversations", headers=token)) for _ in range(2)]
    assert lines[0]["sub"] == lines[1]["sub"] == hashlib.sha256(subject.encode()).hexdigest()[:16]
    assert not any(subject in line for line in service.lines)


# --- other settings ---------------------------------------------------------------------------------------------------

PROVIDER_KEY = "sk-canary-provider-5f1c0e7d9b3a"
PROMPT = "canary-prompt-0b7e"
CANARIES = (PROVIDER_KEY, MANAGEMENT_SECRET, PROMPT)


@pytest.fixture(scope="module")
def watched() -> Iterator[Service]:
    """User ids are logged, everything is logged at debug level, and the secrets are known."""
    with tempfile.TemporaryDirectory() as directory, running_upstream() as upstream:
        provider = {"type": "openai-compatible", "baseUrl": upstream.url, "apiKeys": [PROVIDER_KEY]}
        env = service_env(
            upstream, Path(directory), PROVIDERS=json.dumps({"mock": provider}), LOG_USER_IDS="true", LOG_LEVEL="10"
        )
        with start_service(env, upstream) as service:
            yield with_tenant(service)


def test_t_32_user_ids_are_written_when_that_is_wanted(watched: Service) -> None:
    token = watched.token_headers("anna")
    line = one_line(watched, httpx.get(watched.url + "/v1/conversations", headers=token))
    assert line["sub"] == "anna"


def test_no_secret_is_in_any_line_of_a_session_full_of_errors(watched: Service) -> None:
    token = watched.token()
    signature = token.rsplit(".", 1)[1]
    key = watched.api_key
    bearers = [key, token, key[:-1], key + "x", token[:-4], token + "abcd", MANAGEMENT_SECRET, PROVIDER_KEY, "x" * 200]
    said = {"messages": [{"role": "user", "content": PROMPT}]}
    refusal = {"error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}.", "code": "invalid_api_key"}}
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        for credential in bearers:
            for headers in (
                {"Authorization": f"Bearer {credential}"},
                {"X-API-Key": credential},
                {"Cookie": credential},
            ):
                client.get("/v1/conversations", headers=headers)
                client.get("/oai/v1/models", headers=headers)
                client.get("/v1/nothing", headers=headers)
                client.post(CHAT, headers=headers, json={"model": "none", **said})
                client.post(CHAT, headers=headers, content=f'{{"model":"one","messages":["{PROMPT}"'.encode())
        client.get("/v1/conversations", headers=[("Authorization", f"Bearer {key}"), ("Authorization", "Bearer x")])
        client.get(f"/v1/conversations?token={token}&key={key}")
        headers = {"Authorization": f"Bearer {key}"}
        endings: list[Any] = [
            (Status(500, {"error": {"message": f"crashed with {PROVIDER_KEY}"}}),),
            (Status(400, {"error": {"message": f"bad {PROVIDER_KEY}"}}),),
            (Status(200, b"<html>" + PROVIDER_KEY.encode(), (("content-type", "text/html"),)),),
            (Text("so far"), Reset()),
            (Text("so far"), Raw(f'data: {{"error":{{"message":"{PROVIDER_KEY}"}}}}\n\n'.encode()), EndWithoutFinish()),
            (Raw(b"data: {" + PROVIDER_KEY.encode() + b"\n\n"), EndWithoutFinish()),
            (Status(401, refusal),),
        ]
        for ending in endings:
            for stream in (True, False):
                watched.upstream.plays(*ending)
                client.post(CHAT, headers=headers, json={"model": "one", "stream": stream, **said})
        client.post(
            "/v1/conversations", headers={"Authorization": f"Bearer {token}"}, json={"id": "c", "title": PROMPT}
        )
        client.post(
            "/v1/conversations/c/messages", headers={"Authorization": f"Bearer {token}"}, json={"prompt": PROMPT}
        )
    one_line(watched, httpx.get(watched.url + "/v1/last"))
    assert watched.stop() == 0
    output = "\n".join(watched.lines)
    assert len(watched.logs) > 100
    for canary in (*CANARIES, key, key[10:], signature, token, PROVIDER_KEY[:-4]):
        assert canary not in output


def test_without_the_variable_there_is_no_metric_log() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        start_service(service_env(upstream, Path(directory), ENABLE_METRIC_LOGS="false"), upstream) as service,
    ):
        httpx.get(service.url + "/v1/nothing")
        assert service.stop() == 0
        assert not any("durationMs" in line for line in service.lines)
