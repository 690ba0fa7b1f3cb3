"""A client that goes away: its upstream is closed, whatever it had sent."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_upstream import Stall, Text
from tests.service import Service


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [10, 300_000, 3_000_000])
def test_a_hang_up_is_noticed_however_large_the_request_was(service: Service, stream: bool, size: int) -> None:
    messages = [{"role": "user", "content": "x" * size}]
    body = json.dumps({"model": "one", "stream": stream, "messages": messages}).encode()
    head = (
        "POST /oai/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {service.api_key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for times in range(1, 5):
        service.upstream.plays(Stall())
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(head.encode() + body)
            _wait_until(lambda: len(service.upstream.chats), times)
        _wait_until(lambda: service.upstream.cancelled, times)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_given_up_before_its_answer_is_in_the_log_with_a_guess_of_its_cost(
    service: Service, stream: bool
) -> None:
    service.upstream.plays(Stall())
    before = len(service.logs)
    _give_up(service, {"model": "one", "stream": stream, "messages": [_said("x" * 4000)]})
    line = _line_of(service, before)
    assert line["outcome"] == "client-abort"
    assert [one["outcome"] for one in line["tried"]] == ["cancelled"]
    assert line["attempts"] == 1
    assert 1000 <= line["inputTokens"] < 1200
    assert line["outputTokens"] == 0
    assert "pricing" in line


def test_a_picture_is_not_guessed_by_its_letters(service: Service) -> None:
    service.upstream.plays(Text("so far"), Stall())
    before = len(service.logs)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 200_000}}
    _give_up(service, {"model": "one", "stream": True, "messages": [_said([picture])]})
    line = _line_of(service, before)
    assert line["outcome"] == "client-abort"
    assert 500 < line["inputTokens"] < 2000


def test_a_client_that_hangs_up_ends_the_reading_of_its_file(service: Service) -> None:
    page = base64.b64encode(b"<p>hello</p>" * 900_000).decode()
    file = {"type": "file", "file": {"file_data": f"data:text/html;base64,{page}", "filename": "a.html"}}
    before = len(service.logs)
    with _asked(service, {"model": "one", "messages": [_said([file])]}):
        _wait_until(lambda: len(_children(service)), 1)
    _wait_until(lambda: len(_children(service)), 0)
    line = _line_of(service, before)
    assert line["attempts"] == 0
    assert "inputTokens" not in line
    assert service.upstream.chats == []


def _children(service: Service) -> list[str]:
    threads = Path(f"/proc/{service.process.pid}/task").iterdir()
    return [child for thread in threads for child in (thread / "children").read_text().split()]


def _said(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def _give_up(service: Service, body: object) -> None:
    """Ask, and hang up when the upstream has been asked."""
    with _asked(service, body):
        _wait_until(lambda: len(service.upstream.chats), 1)
    _wait_until(lambda: service.upstream.cancelled, 1)


@contextmanager
def _asked(service: Service, body: object) -> Iterator[None]:
    """Hangs up at the end of the block."""
    sent = json.dumps(body).encode()
    head = (
        "POST /oai/v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {service.api_key}\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(head.encode() + sent)
        yield


def _line_of(service: Service, before: int) -> dict[str, Any]:
    """What the metric log says of the call that was given up; `before` lines were there already."""
    found: list[dict[str, Any]] = []

    def count() -> int:
        found[:] = [line for line in service.logs[before:] if line.get("outcome") == "client-abort"]
        return len(found)

    _wait_until(count, 1)
    return found[0]


def _wait_until(count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + 10
    while count() != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
