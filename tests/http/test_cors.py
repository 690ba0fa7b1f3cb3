"""Browsers on other origins: preflights, and the headers without which a browser hides even the error."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.openai_upstream import Status, running_upstream
from tests.service import Service, service_env, start_service, with_tenant

ALLOWED = "https://editor.example.com"
STRANGER = "https://evil.example.net:8443"
PATHS = [
    "/v1/conversations",
    "/v1/conversations/some-id/messages",
    "/v1/models/1",
    "/oai/v1/chat/completions",
    "/oai/v1/models",
    "/v1/nothing",
    "/health",
]
CHAT = "/oai/v1/chat/completions"


def preflight(
    service: Service, path: str, origin: str, headers: str | None = None, method: str = "POST"
) -> httpx.Response:
    asked = {"Access-Control-Request-Headers": headers} if headers else {}
    return httpx.options(
        service.url + path, headers={"Origin": origin, "Access-Control-Request-Method": method, **asked}, timeout=20
    )


def varies(response: httpx.Response) -> bool:
    return "origin" in response.headers.get("vary", "").lower()


@pytest.mark.parametrize("path", PATHS)
def test_t_01_a_preflight_from_an_allowed_origin_is_granted_without_a_credential(service: Service, path: str) -> None:
    response = preflight(service, path, ALLOWED, "authorization,content-type,x-editor-version")
    assert response.status_code in (200, 204)
    assert response.content == b""
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-allow-headers"] == "authorization,content-type,x-editor-version"
    methods = {method.strip() for method in response.headers["access-control-allow-methods"].split(",")}
    assert methods >= {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert response.headers["access-control-max-age"] == "600"
    assert varies(response)
    assert response.headers["x-request-id"]


def test_t_01_a_preflight_that_asks_for_no_headers_learns_those_that_are_allowed(service: Service) -> None:
    allowed = preflight(service, "/v1/conversations", ALLOWED).headers["access-control-allow-headers"].lower()
    assert {name.strip() for name in allowed.split(",")} >= {"authorization", "content-type", "x-editor-version"}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
def test_t_01_every_method_is_granted(service: Service, method: str) -> None:
    assert preflight(service, "/v1/conversations/x", ALLOWED, method=method).status_code in (200, 204)


@pytest.mark.parametrize("path", PATHS)
def test_s033_a_refused_preflight_names_the_origin_and_the_variable(service: Service, path: str) -> None:
    response = preflight(service, path, STRANGER)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["content-type"] == "application/json"
    assert STRANGER in response.text
    assert "ALLOWED_ORIGINS" in response.text
    assert ALLOWED in response.text
    assert varies(response)


@pytest.mark.parametrize("origin", [ALLOWED + "/", ALLOWED.upper(), "HTTPS://Editor.Example.com/"])
def test_s033_a_trailing_slash_and_case_are_forgiven(service: Service, origin: str) -> None:
    response = preflight(service, "/v1/conversations", origin)
    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://editor.example.com.evil.net",
        "https://evil-editor.example.com",
        "http://editor.example.com",
        "https://editor.example.com:444",
        "https://editor.example.com, https://other.example.com",
        "*",
    ],
)
def test_an_origin_that_only_looks_like_an_allowed_one_is_refused(service: Service, origin: str) -> None:
    response = preflight(service, "/v1/conversations", origin)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_s033_a_refused_origin_is_logged_once(service: Service) -> None:
    origin = "https://logged-once.example.org"
    for _ in range(3):
        preflight(service, "/v1/conversations", origin)
    service.wait_for_log(origin)
    preflight(service, "/v1/conversations", "https://after-it.example.org")
    service.wait_for_log("https://after-it.example.org")
    refusals = [line for line in service.logs if line.get("origin") == origin]
    assert len(refusals) == 1
    assert "ALLOWED_ORIGINS" in refusals[0]["action"]


def test_cors_headers_are_on_errors_and_on_streams(service: Service) -> None:
    origin = {"Origin": ALLOWED}
    key = {**service.api_key_headers, **origin}
    body = {"model": "mock/one", "messages": [{"role": "user", "content": "x"}]}
    service.upstream.plays(Status(400, {"error": {"message": "no"}}))
    answers = [
        httpx.get(service.url + "/health", headers=origin),
        httpx.get(service.url + "/v1/conversations", headers=origin),
        httpx.get(service.url + "/v1/nothing", headers=origin),
        httpx.put(service.url + "/v1/conversations", headers=origin),
        httpx.post(service.url + CHAT, headers=key, content=b"{", timeout=20),
        httpx.post(service.url + CHAT, headers=key, json=body, timeout=20),
        httpx.post(service.url + CHAT, headers=key, json=body | {"stream": True}, timeout=20),
    ]
    assert [one.status_code for one in answers] == [200, 401, 404, 405, 400, 400, 200]
    for one in answers:
        assert one.headers["access-control-allow-origin"] == ALLOWED
        assert one.headers["access-control-allow-credentials"] == "true"
        assert {"Retry-After", "X-Request-Id"} <= set(one.headers["access-control-expose-headers"].split(", "))
        assert varies(one)


def test_an_answer_to_another_origin_or_to_none_grants_nothing_but_varies(service: Service) -> None:
    for headers in ({"Origin": STRANGER}, {}):
        response = httpx.get(service.url + "/health", headers=headers)
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers
        assert varies(response)


def test_options_that_is_no_preflight_is_an_ordinary_refusal(service: Service) -> None:
    response = httpx.options(service.url + CHAT, headers={"Origin": ALLOWED})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert json.loads(response.content)["error"]["message"]


@pytest.fixture(scope="module")
def open_service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_upstream() as upstream,
        start_service(service_env(upstream, Path(directory), ALLOWED_ORIGINS="*"), upstream) as service,
    ):
        yield with_tenant(service)


def test_a_star_allows_every_origin_without_credentials(open_service: Service) -> None:
    for response in (
        preflight(open_service, "/v1/conversations", STRANGER, "authorization"),
        httpx.get(open_service.url + "/v1/conversations", headers={"Origin": STRANGER}),
        httpx.post(open_service.url + CHAT, headers={"Origin": STRANGER}, content=b"{}"),
    ):
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers
        assert varies(response)
