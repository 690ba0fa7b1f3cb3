"""Whatever arrives on the port: the process answers in HTTP or hangs up, and lives."""

from contextlib import suppress

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.raw import connected
from tests.service import Service

LINES = st.sampled_from(
    [
        b"GET /health HTTP/1.1",
        b"POST /oai/v1/chat/completions HTTP/1.1",
        b"POST /v1/conversations HTTP/1.1",
        b"HEAD /health HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"Host: x",
        b"Host:",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Content-Type: application/json",
        b"Content-Encoding: gzip",
        b"Origin: https://editor.example.com",
        b"Access-Control-Request-Method: POST",
        b"5\r\nhello",
        b"0",
        b"",
        b"{}",
        b'{"model":"one","messages":[{}]}',
    ]
)
PIECES = st.lists(st.one_of(LINES.map(lambda line: line + b"\r\n"), st.binary(max_size=60)), max_size=14)
bounded = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@bounded
@given(pieces=PIECES)
def test_nearly_http_never_kills_the_process_nor_finds_a_bug(service: Service, pieces: list[bytes]) -> None:
    _send_and_look(service, b"".join(pieces))


@bounded
@given(data=st.binary(max_size=4000))
def test_random_bytes_never_kill_the_process_nor_find_a_bug(service: Service, data: bytes) -> None:
    _send_and_look(service, data)


@bounded
@given(body=st.binary(max_size=300), path=st.sampled_from(["/oai/v1/chat/completions", "/v1/conversations"]))
def test_random_bodies_are_the_callers_fault(
    service: Service, token: dict[str, str], client: httpx.Client, body: bytes, path: str
) -> None:
    headers = service.api_key_headers if path.startswith("/oai/") else token
    response = client.post(path, content=body, headers={**headers, "Content-Type": "application/json"})
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/json"


def _send_and_look(service: Service, data: bytes) -> None:
    answers = b""
    with connected(service.port) as raw:
        raw.send(data)
        raw.socket.settimeout(0.03)  # many requests lack something, and the service waits for it
        with suppress(TimeoutError, ConnectionResetError):
            while piece := raw.socket.recv(65536):
                answers += piece
    assert not answers or answers.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answers
    assert b"text/plain" not in answers
    assert service.process.poll() is None


def test_the_service_still_works_after_all_that(service: Service) -> None:
    body = {"model": "one", "messages": [{"role": "user", "content": "x"}]}
    response = httpx.post(
        service.url + "/oai/v1/chat/completions", headers=service.api_key_headers, json=body, timeout=30
    )
    assert response.status_code == 200
    assert not any("unexpected failure" in line for line in service.lines)
    assert not any("Traceback" in line for line in service.lines)
