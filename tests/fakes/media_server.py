"""A loopback server for what models do beside chat; which vendor it is, a function of requests decides.

What the vendor would refuse is an assertion of that function: it is answered with 400 and kept in `faults`, which a
test must look at.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> list[tuple[Any, str | None, Any]]:
        """`(name, file name, value)` of each part, read by the standard library."""
        head = b"Content-Type: " + self.headers["content-type"].encode() + b"\r\n\r\n"
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        found = []
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            found.append((name, part.get_filename(), part.get_payload(decode=True)))
        return found

    @property
    def fields(self) -> dict[str, str]:
        return {name: value.decode() for name, file_name, value in self.form if file_name is None}


@dataclass
class Reply:
    """A body in several pieces is sent in chunks. `cut` leaves out the last chunk."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps(value).encode(), status, headers={k.replace("_", "-"): v for k, v in headers.items()})


Vendor = Callable[[Asked], Reply | None]
"""None: there is no such path."""


class MediaServer:
    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.port = 0
        self.seen: list[Asked] = []
        self.faults: list[str] = []
        self.at_once = self.most_at_once = 0
        self._scripted: list[Reply] = []
        self.cancelled = threading.Event()
        """An answer was cut short by the client."""
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plays(self, *replies: Reply) -> None:
        """For the next requests, one each, whatever they are."""
        self._scripted += replies

    def reset(self) -> None:
        self.seen.clear()
        self.faults.clear()
        self._scripted.clear()
        self.cancelled.clear()
        self.most_at_once = 0

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.seen.append(asked)
            if self._scripted:
                return self._scripted.pop(0)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.vendor(asked) or as_json({"error": {"message": "Not Found"}}, 404)
        except AssertionError as error:
            self.faults.append(f"{asked.method} {asked.path}: {error}")
            return as_json({"error": {"message": f"fault: {error}"}}, 400)
        finally:
            with self._lock:
                self.at_once -= 1


@contextmanager
def media_serving(*vendors: Vendor) -> Iterator[list[MediaServer]]:
    """One server for each vendor, on free ports, until the block is left."""
    servers = [MediaServer(vendor) for vendor in vendors]
    listening = []
    for server in servers:
        http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
        http.daemon_threads = True
        server.port = http.server_port
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        listening.append(http)
    try:
        yield servers
    finally:
        for http in listening:
            http.shutdown()
            http.server_close()


def _handler(server: MediaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            try:
                self._answer()
            except ConnectionError:
                server.cancelled.set()
                self.close_connection = True

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path, _, query = self.path.partition("?")
            reply = server.answer(Asked(self.command, path, query, headers, body))
            self.send_response(reply.status)
            self.send_header("content-type", reply.content_type)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if isinstance(reply.body, bytes):
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
                return
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in reply.body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if reply.cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

    return Handler
