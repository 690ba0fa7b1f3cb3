"""A client that goes away: its upstream is closed, whatever it had sent."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from tests.fakes.openai_upstream import Stall
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


def _wait_until(count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + 10
    while count() != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
