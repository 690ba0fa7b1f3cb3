"""Every answer, whatever the route, method and size: its content type to the byte, its ids, and our JSON."""

import json
from typing import Any

import httpx
import pytest

from penstock.errors import UpstreamError, UpstreamTimeout
from penstock.http.faces import EDITOR
from penstock.providers.failures import ContentFiltered
from tests.fakes.openai_upstream import Finish, Reset, Status, Text
from tests.service import Service

CHAT = "/oai/v1/chat/completions"
BODY: dict[str, Any] = {"model": "mock/one", "messages": [{"role": "user", "content": "x"}]}
CONVERSATION = "/v1/conversations/faces-everywhere"

METHODS = {
    "/health": {"GET", "HEAD"},
    "/health/ready": {"GET", "HEAD"},
    "/v1/api/doc.json": {"GET", "HEAD"},
    "/v1/models/1": {"GET"},
    "/v1/conversations": {"GET", "POST"},
    CONVERSATION: {"GET", "PATCH", "DELETE"},
    CONVERSATION + "/messages": {"GET", "POST"},
    "/v1/actions/system/translate/calls": {"POST"},
    "/v1/actions/custom/calls": {"POST"},
    "/v1/actions/translate": {"POST"},
    "/v1/reviews/system/clarity/calls": {"POST"},
    "/v1/reviews/custom/calls": {"POST"},
    "/v1/reviews/clarity": {"POST"},
    "/oai/v1/models": {"GET"},
    "/oai/v1/models/mock/one": {"GET"},
    CHAT: {"POST"},
}
PREFIXES = {
    "/": "editor",
    "/nothing": "editor",
    "/v1/conversations/": "editor",
    "/v1/conversations/x/": "editor",
    "/v1/conversations/x/messages/": "editor",
    "/v1/conversations/x/y/z": "editor",
    "/v1/actions/system/none/calls/none": "editor",
    "/v1/reviews/none/none": "editor",
    "/v1/models/1/": "editor",
    "/v1/mcp/none": "editor",
    "/v1/api/none": "editor",
    "/docs/none": "editor",
    "/health/": "editor",
    "/health/none": "editor",
    "/v1": "editor",
    "/v1/": "gateway",
    "/v1/nothing": "gateway",
    "/v1/inference/none": "gateway",
    "/v1/accounting/none": "gateway",
    "/oai/": "openai",
    "/oai/v1": "openai",
    "/oai/v1/": "openai",
    "/oai/v1/chat/completions/": "openai",
    "/oai/v1/chat": "openai",
    "/oai/v2/chat/completions": "openai",
    "/%2e%2e/%2e%2e/etc/passwd": "editor",
    "/oai/%00": "openai",
    "/v1/conversations/%2F/%00%ff/": "editor",
}


def assert_ours(response: httpx.Response, face: str | None = None) -> None:
    """The content type to the byte, the ids, and a body in one of the three shapes."""
    assert response.headers["content-type"] == "application/json"
    request_id = response.headers["x-request-id"]
    assert request_id.startswith("req_")
    fields = response.json()
    assert "detail" not in fields
    if "statusCode" in fields:
        found = "editor"
        assert fields["statusCode"] == response.status_code
        assert fields["traceId"] == request_id
        assert fields["code"] == fields["code"].strip()
        assert fields["message"]
        assert None not in fields.values()
    elif "meta" in fields:
        found = "gateway"
        assert fields["status"] == "error"
        assert fields["meta"]["request_id"] == request_id == response.headers["x-scaigrid-request-id"]
        assert fields["error"]["code"] == fields["error"]["code"].upper()
        assert fields["error"]["message"]
    else:
        found = "openai"
        assert set(fields["error"]) == {"message", "type", "param", "code"}
        assert fields["error"]["message"]
    if face is not None:
        assert found == face


@pytest.mark.parametrize(("path", "face"), PREFIXES.items())
def test_an_unknown_path_is_a_404_in_the_face_of_its_prefix(
    service: Service, client: httpx.Client, path: str, face: str
) -> None:
    for method in ("GET", "POST", "DELETE"):
        response = client.request(method, path, headers=service.api_key_headers)
        assert response.status_code == 404, response.text
        assert_ours(response, face)
        assert "location" not in response.headers


def test_the_panel_answers_people_with_pages_and_programs_with_json(client: httpx.Client) -> None:
    page = client.get("/panel/none")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    refused = client.get("/panel/api/environments")
    assert refused.status_code == 401
    assert_ours(refused, "editor")


def test_the_credential_decides_the_face_of_a_shared_path(service: Service, token: dict[str, str]) -> None:
    assert_ours(httpx.get(service.url + "/v1/nothing", headers=token), "editor")
    assert_ours(httpx.get(service.url + "/v1/nothing", headers=service.api_key_headers), "gateway")


@pytest.mark.parametrize("path", METHODS)
def test_a_wrong_method_is_a_405_that_lists_every_right_one(client: httpx.Client, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - METHODS[path]:
        response = client.request(method, path)
        assert response.status_code == 405, method
        assert {one.strip() for one in response.headers["allow"].split(",")} == METHODS[path]
        assert_ours(response)


@pytest.mark.parametrize("path", [path for path in METHODS if "HEAD" not in METHODS[path]])
def test_head_where_it_is_not_served_is_a_405_without_a_body(client: httpx.Client, path: str) -> None:
    response = client.head(path)
    assert response.status_code == 405
    assert response.content == b""
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_head_of_health_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    response = client.head(path)
    assert response.status_code == 200
    assert response.content == b""
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) > 10


def test_t_02_json_of_every_status_has_the_exact_content_type(
    service: Service, client: httpx.Client, token: dict[str, str]
) -> None:
    key = service.api_key_headers
    weak = service.token_headers("weak", permissions=["ai:models:none"])
    service.upstream.plays(Status(400, {"error": {"message": "no"}}))
    service.upstream.plays(Status(200, b"<html>", (("content-type", "text/html; charset=utf-8"),)))
    answers = [
        client.get("/health"),
        client.get("/health/ready"),
        client.get("/v1/models/1", headers=token),
        client.get("/oai/v1/models", headers=key),
        client.post(CHAT, headers=key, json=BODY),
        client.post(CHAT, headers=key, json=BODY),
        client.post(CHAT, headers=key, json=BODY),
        client.post(CHAT, headers=key, content=b"\xff"),
        client.post(CHAT, json=BODY),
        client.post("/v1/conversations", headers=token, json={"id": "content-types"}),
        client.post("/v1/conversations", headers=token, json={"id": "content-types"}),
        client.post("/v1/conversations", headers=token, content=b"{"),
        client.post("/v1/conversations", headers=weak, json={}),
        client.get("/v1/conversations", headers=token),
        client.get("/v1/conversations/content-types", headers=token),
        client.get("/v1/conversations/content-types/messages", headers=token),
        client.patch("/v1/conversations/content-types", headers=token, json={"title": "T"}),
        client.patch("/v1/conversations/none", headers=token, json={"title": "T"}),
    ]
    found = [one.status_code for one in answers]
    assert found == [200, 200, 200, 200, 400, 502, 200, 400, 401, 201, 409, 400, 403, 200, 200, 200, 200, 404]
    for one in answers:
        assert one.headers["content-type"] == "application/json"
        assert one.headers.get_list("x-request-id") == [one.headers["x-request-id"]]
        if one.status_code >= 400:
            assert_ours(one)


def test_a_deletion_has_no_body_and_an_id(client: httpx.Client, token: dict[str, str]) -> None:
    client.post("/v1/conversations", headers=token, json={"id": "to-delete"})
    response = client.delete("/v1/conversations/to-delete", headers=token)
    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["x-request-id"]
    assert "content-type" not in response.headers


def test_t_02_streams_have_the_exact_content_type_also_when_they_fail(service: Service, token: dict[str, str]) -> None:
    key = service.api_key_headers
    httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "stream-types"})
    messages = service.url + "/v1/conversations/stream-types/messages"
    for steps in ((Text("a"), Finish()), (Text("a"), Reset())):
        service.upstream.plays(*steps)
        service.upstream.plays(*steps)
        for response in (
            httpx.post(messages, headers=token, json={"prompt": "Hi", "model": "agent-1"}, timeout=20),
            httpx.post(service.url + CHAT, headers=key, json=BODY | {"stream": True}, timeout=20),
        ):
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream"
            assert response.headers["cache-control"] == "no-cache"
            assert response.headers["x-accel-buffering"] == "no"
            assert "content-encoding" not in response.headers
            assert response.headers["x-request-id"].startswith("req_")
            assert b"\r" not in response.content


def test_every_request_has_an_id_of_its_own(service: Service) -> None:
    with httpx.Client() as client:
        ids = [client.get(service.url + "/health").headers["x-request-id"] for _ in range(200)]
    assert len(set(ids)) == 200


def test_a_clients_own_request_id_is_not_taken_over(service: Service) -> None:
    response = httpx.get(service.url + "/v1/nothing", headers={"X-Request-Id": "mine"})
    assert response.headers.get_list("x-request-id") == [response.json()["meta"]["request_id"]]
    assert "mine" not in response.text


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "nonsense"])
@pytest.mark.parametrize("path", [CHAT, "/v1/conversations"])
def test_an_encoded_body_is_refused_by_name(
    service: Service, client: httpx.Client, token: dict[str, str], path: str, encoding: str
) -> None:
    headers = token if path != CHAT else service.api_key_headers
    response = client.post(path, content=b"\x1f\x8b\x08\x00", headers={**headers, "Content-Encoding": encoding})
    assert response.status_code == 415
    assert_ours(response)
    assert encoding in response.text
    assert "Content-Encoding" in response.text


def test_identity_is_no_encoding(service: Service) -> None:
    headers = {**service.api_key_headers, "Content-Encoding": "identity"}
    assert httpx.post(service.url + CHAT, json=BODY, headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_a_body_that_is_not_declared_as_json_is_a_400_that_names_the_header(
    client: httpx.Client, token: dict[str, str], kind: str | None
) -> None:
    headers = {**token, **({"Content-Type": kind} if kind else {})}
    response = client.post("/v1/conversations", content=json.dumps({}).encode(), headers=headers)
    assert response.status_code == 400
    assert_ours(response, "editor")
    assert "Content-Type: application/json" in response.json()["action"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/JSON", "application/vnd.api+json"])
def test_json_may_be_declared_with_parameters(client: httpx.Client, token: dict[str, str], kind: str) -> None:
    headers = {**token, "Content-Type": kind}
    assert client.post("/v1/conversations", content=b"{}", headers=headers).status_code == 201


def test_to_the_editor_a_filtered_prompt_is_the_prompts_fault_and_any_other_failure_the_providers() -> None:
    assert EDITOR.status(ContentFiltered("no")) == 422
    assert EDITOR.status(UpstreamError("?")) == EDITOR.status(UpstreamTimeout("?")) == 502
