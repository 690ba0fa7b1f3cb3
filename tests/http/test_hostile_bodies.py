"""JSON meant to do harm, in every endpoint that reads a body, and ids that are no ids."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.http.raw import connected, request
from tests.http.test_faces_everywhere import assert_ours
from tests.http.test_hostile_wire import is_ours
from tests.service import Service

CHAT = "/oai/v1/chat/completions"
ENDPOINTS = [
    ("POST", CHAT),
    ("POST", "/v1/conversations"),
    ("PATCH", "/v1/conversations/hostile"),
    ("POST", "/v1/conversations/hostile/messages"),
]

NOT_JSON = {
    "nothing": b"",
    "spaces": b"   ",
    "half an object": b'{"model":',
    "a trailing comma": b'{"prompt":"x",}',
    "two values": b"{}{}",
    "single quotes": b"{'prompt':'x'}",
    "NUL bytes": b"\x00\x00\x00\x00",
    "invalid UTF-8": b'{"prompt":"\xff\xfe","title":"\xff","model":"one","messages":[{"content":"\xff"}]}',
    "overlong UTF-8": b'{"prompt":"\xc0\x80","title":"\xc0\x80","model":"one","messages":[{"content":"\xc0\x80"}]}',
    "UTF-8 surrogates": b'{"prompt":"\xed\xa0\x80","title":"\xed\xa0\x80","model":"","messages":[{"":"\xed\xa0\x80"}]}',
    "a raw line feed in a text": b'{"prompt":"a\nb","title":"a\nb","model":"a\nb","messages":[{}]}',
    "100,000 arrays": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 arrays in a field": b'{"model":"one","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 100,000 digits alone": b"9" * 100_000,
    "an array": b"[]",
    "a text": b'"x"',
    "a number": b"7",
    "null": b"null",
    "true": b"true",
}

WRONG: list[Any] = [None, True, 0, -1, 1e308, 2**70, "", "x", [], {}, [None], [[]], [{}], {"a": None}, "\x00", "\udfff"]


class Sender:
    def __init__(self, service: Service, client: httpx.Client, token_of: Callable[[str], dict[str, str]]) -> None:
        self.service = service
        self.client = client
        self.token_of = token_of

    def __call__(self, method: str, path: str, content: bytes = b"", user: str = "hostile-user") -> httpx.Response:
        credential = self.service.api_key_headers if path == CHAT else self.token_of(user)
        return self.client.request(
            method, path, content=content, headers={**credential, "Content-Type": "application/json"}
        )


@pytest.fixture
def send(service: Service, client: httpx.Client, token_of: Callable[[str], dict[str, str]]) -> Sender:
    """`Sender`, and a conversation `hostile` to send to."""
    sender = Sender(service, client, token_of)
    sender("POST", "/v1/conversations", b'{"id":"hostile","title":"Untouched"}')
    return sender


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_body_that_is_no_json_object_is_a_400(
    service: Service, send: Sender, method: str, path: str, content: bytes
) -> None:
    response = send(method, path, content)
    assert response.status_code == 400, response.text
    assert_ours(response, "openai" if path == CHAT else "editor")
    assert service.upstream.requests == []


FIELDS = {
    "/v1/conversations": ["id", "title", "group", "pinned", "attributes"],
    "/v1/conversations/hostile": ["title", "group", "pinned", "attributes"],
    "/v1/conversations/hostile/messages": ["prompt", "model", "content", "capabilities", "attributes"],
    CHAT: ["model", "messages", "stream", "stream_options", "temperature", "tools"],
}


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_wrong_types_in_any_field_are_never_a_500(send: Sender, method: str, path: str) -> None:
    right: dict[str, Any] = {"model": "one"}
    right |= {"messages": [{"role": "user", "content": "x"}]} if path == CHAT else {}
    right |= {"prompt": "x"} if path.endswith("/messages") else {}
    for field in FIELDS[path]:
        for value in WRONG:
            if field == "messages" and value in ([None], [[]]):
                continue  # what stands in the list is the provider's to judge
            response = send(method, path, json.dumps({**right, field: value}).encode())
            assert response.status_code < 500, (field, value, response.text)
            if response.status_code >= 400:
                assert_ours(response)


@pytest.mark.parametrize(
    "content",
    [
        b'{"title":"one","title":"two"}',
        b'{"attributes":{"a":1e999}}',
        b'{"attributes":{"a":-1e999}}',
        b'{"attributes":{"a":NaN}}',
        b'{"attributes":{"a":' + b"9" * 5000 + b"}}",
        b'{"attributes":{"\\u0000":"\\u0000"}}',
        b'{"attributes":{"\\ud800":"\\udfff"}}',
        b'{"title":"\\ud800"}',
        b'{"title":"\\u0000"}',
        b'{"group":"\\udfff"}',
        b'{"title":"' + b"x" * 1_000_000 + b'"}',
        b'{"attributes":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"__proto__":{"a":1},"constructor":{"prototype":{}}}',
    ],
)
def test_odd_values_are_stored_whole_or_not_at_all(send: Sender, content: bytes) -> None:
    user = "odd-values"
    send("POST", "/v1/conversations", b'{"id":"odd","title":"Untouched"}', user)
    before = send("GET", "/v1/conversations/odd", user=user).json()
    response = send("PATCH", "/v1/conversations/odd", content, user)
    after = send("GET", "/v1/conversations/odd", user=user)
    assert after.status_code == 200
    if response.status_code == 200:
        assert after.json()["title"] == response.json()["title"]
        assert after.json().get("attributes") == response.json().get("attributes")
    else:
        assert response.status_code == 400, response.text
        assert_ours(response, "editor")
        assert after.json()["title"] == before["title"]
        assert after.json().get("attributes") == before.get("attributes")
    listed = send("GET", "/v1/conversations", user=user)
    assert listed.status_code == 200
    send("DELETE", "/v1/conversations/odd", user=user)


def test_a_refused_message_leaves_no_trace(service: Service, send: Sender) -> None:
    user = "no-trace"
    send("POST", "/v1/conversations", b'{"id":"empty"}', user)
    for content in (*NOT_JSON.values(), b'{"prompt":""}', b'{"prompt":7}', b'{"prompt":"x","model":"unknown"}'):
        response = send("POST", "/v1/conversations/empty/messages", content, user)
        assert 400 <= response.status_code < 500, response.text
    messages = send("GET", "/v1/conversations/empty/messages", user=user).json()
    assert messages["items"] == []
    assert service.upstream.requests == []


IDS = [
    "%00",
    "%0a%0d",
    "%ff%fe",
    "%ed%a0%80",
    "%zz",
    "%",
    "%25%30%30",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "a%20b",
    "a:b@c",
    "a;;b",
    "';DROP TABLE conversations;--",
    "%F0%9F%92%A9" * 40,
    "x" * 256,
    "x" * 5000,
    "{conversation_id}",
    "null",
    "-1",
    "%E2%80%AE",
    "<script>",
]


@pytest.mark.parametrize("odd", IDS)
def test_an_id_that_is_none_is_simply_not_there(
    service: Service, client: httpx.Client, token: dict[str, str], odd: str
) -> None:
    for method, path, body in (
        ("GET", "/v1/conversations/{}", None),
        ("PATCH", "/v1/conversations/{}", {"title": "x"}),
        ("DELETE", "/v1/conversations/{}", None),
        ("GET", "/v1/conversations/{}/messages", None),
        ("POST", "/v1/conversations/{}/messages", {"prompt": "x"}),
        ("GET", "/v1/models/{}", None),
    ):
        response = client.request(method, path.replace("{}", odd), json=body, headers=token)
        assert 400 <= response.status_code < 500, response.text
        assert_ours(response)
    response = client.get(f"/oai/v1/models/{odd}", headers=service.api_key_headers)
    assert 400 <= response.status_code < 500
    assert_ours(response)


QUERIES = [
    "limit=0", "limit=-1", "limit=101", "limit=x", "limit=" + "9" * 5000, "limit=1.5", "limit=", "limit=1e2",
    "limit=%00", "cursor=x", "cursor=%00", "cursor=%ff", "cursor=" + "x" * 501, "cursor=bnVsbA", "cursor=W10",
    "sortBy=nothing", "sortBy=id;--", "order=sideways", "pinned=perhaps", "excludeEmpty=7", "group=" + "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_cannot_be_is_a_400_that_names_the_parameter(
    client: httpx.Client, token: dict[str, str], query: str
) -> None:
    response = client.get(f"/v1/conversations?{query}", headers=token)
    assert response.status_code == 400, response.text
    assert_ours(response, "editor")
    assert query.partition("=")[0] in response.json()["message"]


@pytest.mark.parametrize(
    "query", ["%ff=%ff", "a=" + "x" * 20_000, "&&&&===", "group=%00", "group=%ff", "limit=1&limit=2"]
)
def test_a_query_of_rubbish_is_never_a_500(client: httpx.Client, token: dict[str, str], query: str) -> None:
    response = client.get(f"/v1/conversations?{query}", headers=token)
    assert response.status_code < 500
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer a b c", "Bearer " + "x" * 20_000, "Bearer ey.ey.ey", "Bearer \xff",
     "Bearer sgk_", "Bearer null", "bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer " + "ey." * 5000],
)  # fmt: skip
@pytest.mark.parametrize("path", [CHAT, "/v1/conversations", "/oai/v1/models", "/v1/models/1"])
def test_a_credential_that_is_none_is_a_401(service: Service, path: str, authorization: str) -> None:
    method = "POST" if path == CHAT else "GET"
    with connected(service.port) as raw:
        answer = raw.send(request(method, path, b"{}", f"Authorization: {authorization}")).answer()
    assert answer.status == 401, answer.body
    assert is_ours(answer)
    assert answer.headers["www-authenticate"] == "Bearer"
