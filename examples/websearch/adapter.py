"""A web search for Penstock: over a folder of texts, or in front of any search API that answers with JSON."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

MOST = 10
TOKEN = os.environ.get("TOKEN", "")
FIELDS = json.loads(os.environ.get("FIELDS", '{"url": "url", "title": "title", "text": "text"}'))


def in_folder(query: str) -> list[dict[str, str]]:
    """The files that have most of the query's words, best first."""
    words, root = set(re.findall(r"\w+", query.lower())), Path(os.environ["FOLDER"])
    texts = [(path, path.read_text("utf-8", "replace")) for path in root.rglob("*") if path.suffix in (".md", ".txt")]
    ranked = [(len(words & set(re.findall(r"\w+", text.lower()))), path, text) for path, text in texts]
    best = sorted((one for one in ranked if one[0]), key=lambda one: (-one[0], one[1]))[:MOST]
    base = os.environ.get("BASE_URL", "https://docs.example.com").rstrip("/")
    return [{"url": f"{base}/{quote(path.relative_to(root).as_posix())}", "title": path.stem, "text": text}
            for _, path, text in best]  # fmt: skip


def at_service(query: str) -> list[dict[str, str]]:
    """What the search API finds, its fields renamed."""
    address = os.environ["SEARCH_URL"].replace("{query}", quote(query, safe=""))
    headers = json.loads(os.environ.get("SEARCH_HEADERS", "{}"))
    with urlopen(Request(address, headers=headers), timeout=8) as answer:  # noqa: S310
        found = json.load(answer)
    for step in filter(None, os.environ.get("RESULTS", "results").split(".")):
        found = found[step]
    return [{ours: one[theirs] for ours, theirs in FIELDS.items() if theirs in one} for one in found[:MOST]]


class Adapter(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        if TOKEN and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.say(401, {"error": "wrong token"})
        try:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
            self.say(200, {"results": (in_folder if "FOLDER" in os.environ else at_service)(query)})
        except (OSError, ValueError, LookupError, TypeError) as error:
            self.say(502, {"error": type(error).__name__})

    def say(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9200"))
    ThreadingHTTPServer((host, port), Adapter).serve_forever()
