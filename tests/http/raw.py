"""A client that sends any bytes at all, and reads answers without believing them."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """`closed`: the connection ended with it. `body` is without the framing of chunks."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """One connection."""

    def __init__(self, port: int, timeout_s: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._read = b""

    def send(self, *pieces: bytes) -> "Raw":
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; 100 Continue is an answer too."""
        while b"\r\n\r\n" not in self._read:
            self._more("an answer")
        head, self._read = self._read.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        assert len(headers) == len(lines) - 1, f"a header was sent twice: {lines}"
        answer = Answer(int(lines[0].split(" ")[1]), headers, b"")
        if method != "HEAD" and answer.status >= 200 and answer.status not in (204, 304):
            answer.body = self._body(answer)
        return answer

    def only_answer(self, method: str = "GET") -> Answer:
        """The next answer, after which the connection must end without another byte."""
        answer = self.answer(method)
        assert self.rest() == b""
        answer.closed = True
        return answer

    def rest(self) -> bytes:
        """Everything until the connection ends; a reset is an end."""
        try:
            while piece := self.socket.recv(65536):
                self._read += piece
        except ConnectionResetError:
            pass
        rest, self._read = self._read, b""
        return rest

    def close(self) -> None:
        self.socket.close()

    def _body(self, answer: Answer) -> bytes:
        if answer.headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        if "content-length" in answer.headers:
            return self._exactly(int(answer.headers["content-length"]))
        return self.rest()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._read:
                self._more("a chunk")
            size, self._read = self._read.split(b"\r\n", 1)
            chunk = self._exactly(int(size, 16) + 2)[:-2]
            if not chunk:
                return
            yield chunk

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more("a body")
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _more(self, what: str) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError(f"the connection ended instead of {what}, after {self._read!r}")
        self._read += piece


@contextmanager
def connected(port: int, timeout_s: float = 20) -> Iterator[Raw]:
    raw = Raw(port, timeout_s)
    try:
        yield raw
    finally:
        raw.close()


def head(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: penstock", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(method: str, path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    return head(method, path, f"Content-Length: {len(body)}", *headers, version=version) + body
