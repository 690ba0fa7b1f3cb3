"""Slow clients, bugs behind the door, and the end of the grace, with bounds short enough to be waited for."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.raw import Raw, connected, head, request
from tests.http.small_house import MAX_BODY_BYTES, SmallHouse, small_house
from tests.http.test_hostile_wire import is_ours


@pytest.fixture(scope="module")
def house() -> Iterator[SmallHouse]:
    bounds = {"headers_s": 0.5, "silent_s": 0.5, "stalled_s": 0.5, "linger_s": 0.5}
    with small_house(bounds=bounds, body_within_s=0.5) as house:
        yield house


@pytest.fixture(scope="module")
def impatient() -> Iterator[SmallHouse]:
    with small_house(bounds={"keep_alive_s": 0.5}) as house:
        yield house


# --- kept connections -------------------------------------------------------------------------------------------------


def test_a_connection_on_which_nothing_more_comes_is_closed(impatient: SmallHouse) -> None:
    with connected(impatient.port) as raw:
        assert raw.send(request("POST", "/call", b"{}")).answer().status == 200
        assert raw.rest() == b""


def test_a_connection_that_is_used_again_in_time_is_kept(impatient: SmallHouse) -> None:
    with connected(impatient.port) as raw:
        for _ in range(6):
            assert raw.send(request("POST", "/call", b"{}")).answer().status == 200
            time.sleep(0.2)


def test_a_request_that_is_on_its_way_when_the_time_is_over_is_still_served(impatient: SmallHouse) -> None:
    whole = request("POST", "/call", b"{}")
    with connected(impatient.port) as raw:
        assert raw.send(whole).answer().status == 200
        time.sleep(0.3)
        raw.send(whole[:10])
        time.sleep(0.5)
        assert raw.send(whole[10:]).answer().status == 200


# --- slow clients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_headers_that_do_not_arrive_in_time_are_a_408(house: SmallHouse, sent: bytes) -> None:
    with connected(house.port) as raw:
        answer = raw.send(sent).only_answer()
    assert answer.status == 408
    assert is_ours(answer)
    assert answer.headers["connection"] == "close"


def test_a_drop_now_and_then_does_not_keep_a_connection(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):  # noqa: PT012 - it ends at some point
            for number in range(400):
                raw.send(f"X-{number}: x\r\n".encode())
                time.sleep(0.05)


def test_slow_headers_on_a_kept_connection_are_a_408_too(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        assert raw.send(request("POST", "/call", b"{}")).answer().status == 200
        answer = raw.send(b"GET /").only_answer()
    assert answer.status == 408


def test_blank_lines_do_not_keep_a_connection(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        assert raw.send(request("POST", "/call", b"{}")).answer().status == 200
        with pytest.raises(OSError):  # noqa: PT012 - it ends at some point
            for _ in range(400):
                raw.send(b"\r\n")
                time.sleep(0.05)


@pytest.mark.parametrize("path", ["/call", "/oai/call", "/body", "/json"])
@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_arrive_in_time_is_a_408(house: SmallHouse, path: str, framing: str) -> None:
    with connected(house.port) as raw:
        raw.send(head("POST", path, framing, "Content-Type: application/json"))
        answer = raw.answer()
    assert answer.status == 408
    assert is_ours(answer)


def test_a_client_that_goes_on_sending_after_its_refusal_is_left(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("POST", "/call", "Content-Length: 99999999999"))
        assert raw.answer().status == 413
        with pytest.raises(OSError):  # noqa: PT012 - it ends at some point
            for _ in range(2000):
                raw.send(b" " * 1000)
                time.sleep(0.01)


def test_a_client_that_sends_the_rest_of_a_refused_body_may_go_on(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("POST", "/call", "Content-Length: 5000"))
        assert raw.answer().status == 413
        raw.send(b" " * 5000, request("POST", "/call", b"[]"))
        assert raw.answer().body == b"[]"


def test_a_client_that_never_reads_is_left_after_a_while() -> None:
    with small_house(bounds={"stalled_s": 0.5}) as house, connected(house.port) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.send(request("POST", "/call/flood", b""))
        assert house.process.stdout is not None
        assert json.loads(house.process.stdout.readline())["message"] == "the flood has ended"


def test_a_client_that_reads_slowly_keeps_its_stream(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        raw.send(request("POST", "/call/flood", b""))
        for _ in range(15):
            time.sleep(0.1)
            assert len(raw.socket.recv(400_000)) > 0


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/call", "/body", "/json"])
def test_a_body_at_the_limit_is_served_and_one_byte_more_is_not(house: SmallHouse, path: str) -> None:
    fits = b'{"a":"' + b"x" * (MAX_BODY_BYTES - 8) + b'"}'
    kind = "Content-Type: application/json"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n"
    more = fits + b" "
    with connected(house.port) as raw:
        assert raw.send(request("POST", path, fits, kind)).answer().status == 200
        whole = head("POST", path, "Transfer-Encoding: chunked", kind)
        assert raw.send(whole + chunked % (len(fits), fits)).answer().status == 200
        assert raw.send(request("POST", path, more, kind)).answer().status == 413
        assert raw.send(whole + chunked % (len(more), more)).answer().status == 413


# --- bugs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/bug"), ("GET", "/v1/bug"), ("GET", "/oai/bug"), ("POST", "/call/bug")]
)
def test_a_bug_is_a_500_in_our_json_that_gives_nothing_away(house: SmallHouse, method: str, path: str) -> None:
    with connected(house.port) as raw:
        answer = raw.send(request(method, path, b"")).answer()
        assert answer.status == 500
        assert is_ours(answer)
        assert answer.headers["x-request-id"] in answer.body.decode()
        assert b"secret" not in answer.body
        assert b"ZeroDivisionError" not in answer.body
        assert raw.send(request("POST", "/call", b"{}")).answer().status == 200


def test_a_stream_with_a_bug_ends_with_an_error_frame(house: SmallHouse) -> None:
    answer = httpx.get(house.url + "/stream/bug")
    assert answer.status_code == 200
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error\ndata: ")
    assert answer.headers["x-request-id"] in last
    assert "secret" not in last


def test_a_stream_that_fails_on_purpose_ends_with_its_three_sentences(house: SmallHouse) -> None:
    last = httpx.get(house.url + "/stream/down").text.strip().split("\n\n")[-1]
    error = json.loads(last.partition("data: ")[2])
    assert error["message"] == "It is down."
    assert error["cause"]["explanation"] == "Somebody pulled the plug."
    assert error["cause"]["hint"] == "Wait."


def test_a_body_that_breaks_after_its_status_does_not_look_complete(house: SmallHouse) -> None:
    with connected(house.port) as raw:
        raw.send(head("GET", "/broken-stream"))
        assert not raw.rest().endswith(b"0\r\n\r\n")


# --- the end ----------------------------------------------------------------------------------------------------------


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_the_end_of_the_grace_cuts_a_stream_that_never_ends_and_lets_it_save() -> None:
    with small_house(grace_s=1) as house, connected(house.port) as raw:
        raw.send(head("GET", "/stream/endless"))
        while b"textDelta" not in raw.socket.recv(65536):
            pass
        code, output = house.stop()
        assert code == 0
        assert not raw.rest().endswith(b"0\r\n\r\n")
    lines = lines_of(output)
    saved = next(
        n for n, line in enumerate(lines) if line["message" if "message" in line else "path"] == "saved what there was"
    )
    metric = next(line for line in lines if line.get("path") == "/stream/endless")
    assert metric["outcome"] == "error"
    assert saved >= 0
    assert "Traceback" not in output


def test_the_end_of_the_grace_answers_who_still_waits() -> None:
    with small_house(grace_s=1) as house, connected(house.port) as raw:
        raw.send(head("GET", "/sleep"))
        raw.send(b"")
        time.sleep(0.3)
        code, output = house.stop()
        answer = raw.answer()
    assert code == 0
    assert answer.status == 503
    assert is_ours(answer)
    assert answer.headers["retry-after"]
    assert "Traceback" not in output


def test_an_idle_connection_does_not_delay_the_end() -> None:
    with small_house(grace_s=60) as house:
        idle, silent, half = Raw(house.port), Raw(house.port), Raw(house.port)
        assert idle.send(request("POST", "/call", b"{}")).answer().status == 200
        half.send(b"GET /health HT")
        assert house.stop()[0] == 0
        for raw in (idle, silent, half):
            assert raw.rest() == b""
            raw.close()
