"""What is not HTTP, nearly HTTP, or HTTP meant to do harm, on a bare socket in front of the real process."""

import json
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.fakes.openai_upstream import Hold, Stall, Text
from tests.http.raw import Answer, connected, head, request
from tests.service import Service

CHAT = "/oai/v1/chat/completions"
BODY = json.dumps({"model": "mock/one", "messages": [{"role": "user", "content": "x"}]}).encode()
STREAM = json.dumps({"model": "mock/one", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()


def bearer(service: Service) -> str:
    return f"Authorization: Bearer {service.api_key}"


def is_ours(answer: Answer) -> bool:
    """JSON in one of our faces, with a request id."""
    fields = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert "detail" not in fields
    if "statusCode" in fields:
        assert fields["statusCode"] == answer.status
        assert fields["traceId"] == answer.headers["x-request-id"]
        return bool(fields["message"])
    if "meta" in fields:
        assert fields["meta"]["request_id"] == answer.headers["x-scaigrid-request-id"]
    return bool(fields["error"]["message"])


def refused(service: Service, *pieces: bytes) -> Answer:
    """The one answer to `pieces`; the connection must end with it, and the service must live."""
    with connected(service.port) as raw:
        answer = raw.send(*pieces).only_answer()
    assert is_ours(answer)
    assert answer.headers["connection"] == "close"
    assert httpx.get(service.url + "/health").status_code == 200
    return answer


def eventually(true: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


# --- too large --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", CHAT, "/v1/conversations", "/v1/nothing"])
def test_a_header_block_over_32_kib_is_a_431(service: Service, path: str) -> None:
    answer = refused(service, head("GET", path, "X-Filler: " + "a" * 33_000))
    assert answer.status == 431


def test_a_header_block_below_32_kib_is_served(service: Service) -> None:
    with connected(service.port) as raw:
        assert raw.send(head("GET", "/health", "X-Filler: " + "a" * 31_000)).answer().status == 200


def test_many_small_headers_over_32_kib_are_a_431(service: Service) -> None:
    assert refused(service, head("GET", "/health", *(f"X-{n}: {n}" for n in range(4000)))).status == 431


def test_a_header_that_never_ends_is_refused_while_it_comes(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Filler: ")
        with pytest.raises(OSError):  # noqa: PT012 - the server stops reading at some point of its choosing
            for _ in range(20_000):
                raw.send(b"a" * 4096)
                raw.socket.setblocking(False)
                try:
                    if raw.socket.recv(1, socket.MSG_PEEK):
                        raise ConnectionAbortedError
                except BlockingIOError:
                    pass
                finally:
                    raw.socket.settimeout(20)
        answer = raw.answer()
    assert answer.status == 431
    assert is_ours(answer)


def test_headers_in_small_pieces_are_counted_once(service: Service) -> None:
    block = head("GET", "/health", *(f"X-Filler-{n}: " + "a" * 900 for n in range(30)))
    with connected(service.port) as raw:
        for start in range(0, len(block), 1000):
            raw.send(block[start : start + 1000])
            time.sleep(0.001)
        assert raw.answer().status == 200


def test_a_giant_url_is_a_431_in_the_face_of_its_surface(service: Service) -> None:
    answer = refused(service, head("GET", "/oai/" + "a" * 40_000))
    assert answer.status == 431
    assert answer.json["error"]["code"] == "headers_too_large"
    editor = refused(service, head("GET", "/v1/conversations/" + "a" * 40_000))
    assert editor.json["code"] == "headers-too-large"
    gateway = refused(service, head("GET", "/v1/" + "a" * 40_000))
    assert gateway.json["error"]["code"] == "HEADERS_TOO_LARGE"


# --- not HTTP ---------------------------------------------------------------------------------------------------------

TLS_HELLO = bytes.fromhex("16030100f8010000f40303") + bytes(range(200))

NOT_HTTP = {
    "a request line of one word": b"GARBAGE\r\n\r\n",
    "an unknown method": b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    "a lower case method": b"get /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": TLS_HELLO,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "SMTP": b"EHLO example.com\r\n",
    "an unknown version": b"GET /health HTTP/7.7\r\nHost: x\r\n\r\n",
    "a path without a slash": head("GET", "health"),
    "raw UTF-8 in the path": b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": head("GET", "/a b"),
    "an absolute form without a path": head("GET", "http://penstock"),
    "CONNECT": head("CONNECT", "example.com:443"),
    "a header without a colon": head("GET", "/health", "nocolon"),
    "a space before the colon": head("GET", "/health", "Authorization : x"),
    "an empty header name": head("GET", "/health", ": x"),
    "a folded header": head("GET", "/health", "X-A: a", " b"),
    "bare line feeds": b"GET /health HTTP/1.1\nHost: x\n\n",
    "NUL in a header": head("GET", "/health", "X-A: a\x00b"),
    "a control byte in a header": head("GET", "/health", "X-A: a\x01b"),
    "a control byte in a header name": head("GET", "/health", "X\x01A: b"),
    "DEL in a header": head("GET", "/health", "X-A: a\x7fb"),
    "NUL in the request line": b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a carriage return in a header": head("GET", "/health", "X-A: a\rb"),
    "two lengths": head("POST", CHAT, "Content-Length: 5", "Content-Length: 6") + b"hello",
    "the same length twice": head("POST", CHAT, "Content-Length: 5", "Content-Length: 5") + b"hello",
    "a list of lengths": head("POST", CHAT, "Content-Length: 5, 5") + b"hello",
    "a negative length": head("POST", CHAT, "Content-Length: -5") + b"hello",
    "a signed length": head("POST", CHAT, "Content-Length: +5") + b"hello",
    "a hexadecimal length": head("POST", CHAT, "Content-Length: 0x5") + b"hello",
    "a length in words": head("POST", CHAT, "Content-Length: five") + b"hello",
    "a length beyond 64 bits": head("POST", CHAT, "Content-Length: " + "9" * 40) + b"hello",
    "length, then chunks": head("POST", CHAT, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks, then length": head("POST", CHAT, "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    "an unknown transfer encoding": head("POST", CHAT, "Transfer-Encoding: x") + b"0\r\n\r\n",
    "chunked twice": head("POST", CHAT, "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked first": head("POST", CHAT, "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "a bad chunk size": head("POST", CHAT, "Transfer-Encoding: chunked") + b"ZZ\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": head("POST", CHAT, "Transfer-Encoding: chunked") + b"-1\r\nhello\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": head("POST", CHAT, "Transfer-Encoding: chunked") + b"f" * 20 + b"\r\nhello",
    "a chunk longer than its size": head("POST", CHAT, "Transfer-Encoding: chunked") + b"2\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_is_a_400_that_says_so(service: Service, data: bytes) -> None:
    answer = refused(service, data)
    assert answer.status == 400
    assert "HTTP/1.1" in answer.body.decode()
    assert service.upstream.requests == []


def test_a_broken_chunk_is_refused_while_the_request_waits_for_it(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(head("POST", CHAT, bearer(service), "Transfer-Encoding: chunked"))
        time.sleep(0.05)
        raw.send(b"5\r\nhel")
        time.sleep(0.05)
        answer = raw.send(b"loXX\r\n").only_answer()
    assert answer.status == 400
    assert is_ours(answer)


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Origin", "X-API-Key"])
@pytest.mark.parametrize("path", [CHAT, "/v1/conversations"])
def test_a_header_that_must_be_clear_is_refused_when_it_comes_twice(service: Service, path: str, name: str) -> None:
    with connected(service.port) as raw:
        answer = raw.send(request("POST", path, b"{}", f"{name}: a", f"{name.upper()}: b")).answer()
    assert answer.status == 400
    assert is_ours(answer)
    assert name.lower() in answer.body.decode()


@pytest.mark.parametrize("host", ["[", "a/b?c#d", "\xff\xfe", "", "x" * 5000, "]:99999999", "evil@host"])
def test_a_strange_host_changes_nothing(service: Service, host: str) -> None:
    with connected(service.port) as raw:
        raw.send(f"GET /v1/conversations/nothing/here HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        answer = raw.answer()
    assert answer.status == 404
    assert is_ours(answer)
    assert "/v1/conversations/nothing/here" in answer.json["message"]


# --- other versions and protocols -------------------------------------------------------------------------------------


def test_http_1_0_is_answered_without_chunks_and_closed(service: Service) -> None:
    with connected(service.port) as raw:
        answer = raw.send(request("POST", CHAT, STREAM, bearer(service), version="1.0")).only_answer()
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert answer.body.startswith(b"data: {")
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_http_1_0_gets_whole_answers_and_errors_too(service: Service) -> None:
    with connected(service.port) as raw:
        answer = raw.send(request("POST", CHAT, BODY, bearer(service), version="1.0")).only_answer()
    assert answer.json["choices"][0]["message"]["content"] == "Hello from the upstream."
    with connected(service.port) as raw:
        answer = raw.send(request("POST", CHAT, b"{", bearer(service), version="1.0")).only_answer()
    assert answer.status == 400


def test_an_offer_of_websockets_is_answered_as_an_ordinary_request(service: Service) -> None:
    offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13")
    with connected(service.port) as raw:
        answer = raw.send(head("GET", "/health", *offer), b"\x81\x85rubbish").only_answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_post_that_offers_http_2_keeps_its_body(service: Service, chunked: bool) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB", bearer(service))
    if chunked:
        pieces = [
            head("POST", CHAT, "Transfer-Encoding: chunked", *offer),
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        ]
    else:
        whole = request("POST", CHAT, BODY, *offer)
        pieces = [whole[:-10], whole[-10:]]
    with connected(service.port) as raw:
        for piece in pieces:
            raw.send(piece)
            time.sleep(0.05)
        answer = raw.only_answer()
    assert answer.status == 200, answer.body
    assert service.upstream.chats[-1].json["messages"] == [{"role": "user", "content": "x"}]


def test_expect_continue_is_told_to_go_on(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(head("POST", CHAT, bearer(service), "Expect: 100-continue", f"Content-Length: {len(BODY)}"))
        assert raw.answer().status == 100
        assert raw.send(BODY).answer().status == 200


def test_expect_continue_is_refused_without_the_body_when_it_is_too_large(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(head("POST", CHAT, bearer(service), "Expect: 100-continue", "Content-Length: 99999999999"))
        answer = raw.only_answer()
    assert answer.status == 413
    assert is_ours(answer)


# --- several requests on one connection -------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    with connected(service.port) as raw:
        raw.send(
            request("POST", CHAT, STREAM, bearer(service))
            + head("GET", "/health")
            + head("HEAD", "/health")
            + request("POST", CHAT, BODY, bearer(service))
            + head("OPTIONS", "/health", "Origin: https://editor.example.com", "Access-Control-Request-Method: GET")
            + head("GET", "/nothing", "Connection: close")
        )
        assert raw.answer().body.endswith(b"data: [DONE]\n\n")
        assert raw.answer().json["serviceName"]
        empty = raw.answer("HEAD")
        assert empty.status == 200
        assert raw.answer().json["choices"]
        assert raw.answer().status == 204
        assert raw.only_answer().status == 404


def test_what_was_asked_properly_is_answered_before_garbage_ends_the_connection(service: Service) -> None:
    with connected(service.port) as raw:
        answer = raw.send(request("POST", CHAT, BODY, bearer(service)) + b"\x00garbage\r\n\r\n").only_answer()
    assert answer.status == 200
    assert answer.json["choices"]


def test_a_body_longer_than_its_declared_length_is_judged_by_what_was_declared(service: Service) -> None:
    short = BODY[:20]
    with connected(service.port) as raw:
        raw.send(head("POST", CHAT, bearer(service), f"Content-Length: {len(short)}") + BODY)
        answer = raw.only_answer()
    assert answer.status == 400
    assert "JSON" in answer.json["error"]["message"]


def test_a_client_that_pipelines_and_leaves_frees_every_upstream(service: Service) -> None:
    service.upstream.plays(Text("one"), Stall())
    with connected(service.port) as raw:
        raw.send(request("POST", CHAT, STREAM, bearer(service)) + request("POST", CHAT, STREAM, bearer(service)))
        eventually(lambda: len(service.upstream.chats) == 1)
    eventually(lambda: service.upstream.cancelled == 1)


def test_blank_lines_between_requests_are_forgiven(service: Service) -> None:
    with connected(service.port) as raw:
        assert raw.send(b"\r\n\r\n" + head("GET", "/health")).answer().status == 200
        assert raw.send(b"\r\n" + head("GET", "/health")).answer().status == 200


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_request_may_come_in_any_pieces(service: Service, size: int) -> None:
    whole = request("POST", CHAT, BODY, bearer(service), "Content-Type: application/json")
    with connected(service.port) as raw:
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), size):
            raw.send(whole[start : start + size])
        assert raw.answer().status == 200


# --- bodies too large -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [CHAT, "/v1/conversations", "/v1/conversations/x/messages", "/oai/v1/models", "/nothing"]
)
def test_a_declared_body_over_the_limit_is_a_413_before_it_is_sent(service: Service, path: str) -> None:
    with connected(service.port) as raw:
        raw.send(head("POST", path, f"Authorization: Bearer {service.api_key}", "Content-Length: 99999999999"))
        answer = raw.answer()
    assert answer.status == 413
    assert is_ours(answer)
    assert "MAX_BODY_BYTES" in answer.body.decode()


@pytest.mark.parametrize("path", [CHAT, "/v1/conversations"])
def test_a_chunked_body_over_the_limit_is_a_413_without_reading_it_all(
    service: Service, token: dict[str, str], path: str
) -> None:
    credential = bearer(service) if path == CHAT else f"Authorization: {token['Authorization']}"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connected(service.port) as raw:
        raw.send(
            head("POST", path, credential, "Content-Type: application/json",
                 "Transfer-Encoding: chunked")
        )  # fmt: skip
        for _ in range(21 * 16):
            raw.send(chunk)
        answer = raw.answer()
    assert answer.status == 413
    assert is_ours(answer)


# --- clients that come and go -----------------------------------------------------------------------------------------


def test_a_client_that_closes_its_side_is_taken_to_be_gone(service: Service) -> None:
    service.upstream.plays(Text("one"), Stall())
    with connected(service.port) as raw:
        raw.send(request("POST", CHAT, STREAM, bearer(service)))
        eventually(lambda: len(service.upstream.chats) == 1)
        raw.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: service.upstream.cancelled == 1)


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /health HTTP/1.1\r\nHost:", b"POST " + CHAT.encode() + b" HTTP/1.1\r\n"]
)
def test_a_client_that_leaves_in_mid_request_leaves_nothing_behind(service: Service, sent: bytes) -> None:
    with connected(service.port) as raw:
        raw.send(sent)
    assert httpx.get(service.url + "/health").status_code == 200


def test_a_client_that_leaves_in_mid_body_is_logged_as_gone(service: Service, token: dict[str, str]) -> None:
    credentials = {CHAT: bearer(service), "/v1/conversations/gone/messages": f"Authorization: {token['Authorization']}"}
    for path, credential in credentials.items():
        before = len(service.logs)
        with connected(service.port) as raw:
            raw.send(
                head("POST", path, credential, "Content-Length: 1000",
                     "Content-Type: application/json") + b'{"a":'
            )  # fmt: skip
            time.sleep(0.2)
        eventually(lambda: any(line.get("path") == path for line in service.logs[before:]))  # noqa: B023
        line = next(line for line in service.logs[before:] if line.get("path") == path)
        assert line["outcome"] == "client-abort"
        assert line["statusCode"] == 499


@pytest.mark.parametrize("surface", ["openai", "editor"])
def test_a_client_that_never_reads_slows_the_upstream_instead_of_filling_memory(
    service: Service, token: dict[str, str], surface: str
) -> None:
    httpx.post(service.url + "/v1/conversations", headers=token, json={"id": "never-read"})
    asked = {
        "openai": request("POST", CHAT, STREAM, bearer(service)),
        "editor": request(
            "POST",
            "/v1/conversations/never-read/messages",
            b'{"prompt":"x"}',
            f"Authorization: {token['Authorization']}",
            "Content-Type: application/json",
        ),
    }
    before = _resident_kb(service)
    service.upstream.plays(*[Text("x" * 50_000)] * 3000, Hold())
    with connected(service.port) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(asked[surface])
        eventually(lambda: len(service.upstream.chats) == 1)
        time.sleep(1.5)
        assert _resident_kb(service) - before < 60_000
    eventually(lambda: service.upstream.cancelled == 1)


def _resident_kb(service: Service) -> int:
    with open(f"/proc/{service.process.pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
