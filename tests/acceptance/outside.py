"""What a deployment asks for beside models: a service that searches the web, and a scraper of web pages."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SITE = "http://93.184.216.34"
"""A public address without a name to look up; nobody connects to it, the scraper is asked."""

RESULT = {
    "url": "https://example.com/news",
    "title": "News",
    "text": "It rained in Bonn.",
    "favicon": "https://example.com/i.ico",
}


@dataclass
class Outside:
    """`pages` by path: status and body of the scraper's answer; what is missing is never answered."""

    port: int = 0
    search_status: int = 200
    queries: list[str] = field(default_factory=list)
    pages: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)

    def page(self, path: str, kind: str, data: str) -> str:
        """The address of a page that can be read."""
        return self.answer(path, 200, json.dumps({"type": kind, "data": data}).encode())

    def answer(self, path: str, status: int, body: bytes) -> str:
        self.pages[path] = (status, body)
        return SITE + path

    def reset(self) -> None:
        self.search_status = 200
        self.queries.clear()
        self.pages.clear()

    def env(self) -> dict[str, str]:
        return {
            "WEBSEARCH_ENABLED": "true",
            "WEBSEARCH_ENDPOINT": f"http://127.0.0.1:{self.port}/search",
            "WEBRESOURCES_ENABLED": "true",
            "WEBRESOURCES_ENDPOINT": f"http://127.0.0.1:{self.port}/scrape",
            "WEBRESOURCES_REQUEST_TIMEOUT": "2500",
        }

    def answer_to(self, path: str, asked: Any) -> tuple[int, bytes]:
        if path == "/search":
            self.queries.append(asked["query"])
            return self.search_status, json.dumps({"results": [RESULT]}).encode()
        found = self.pages.get(asked["url"].removeprefix(SITE))
        if found is None:
            self.gone.wait(30)
        return found or (500, b"")


@contextmanager
def running_outside() -> Iterator[Outside]:
    outside = Outside()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = outside.answer_to(self.path, asked)
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    outside.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        outside.gone.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
