"""The page, and the part that every application needs at its own server: an endpoint that signs tokens.

Who may have a token is for the application to say: sign one for users who are signed in, with what they may do. Here
everyone is the same user, so this server listens on 127.0.0.1 only.
"""

import json
import os
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

PERMISSIONS = ["ai:conversations:*", "ai:models:*", "ai:models:agent", "ai:actions:*", "ai:reviews:*"]


def token() -> str:
    """Good for fifteen minutes; the plugin asks for the next one in time."""
    now = int(time.time())
    claims = {"aud": os.environ["PENSTOCK_ENVIRONMENT_ID"], "sub": "user-1", "iat": now, "exp": now + 900}
    return jwt.encode({**claims, "auth": {"ai": {"permissions": PERMISSIONS}}}, os.environ["PENSTOCK_ACCESS_KEY"])


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/token":
                self._answer({"token": token()})
            case "/settings.json":
                self._answer({"serviceUrl": os.environ["PENSTOCK_URL"]})
            case _:
                super().do_GET()

    def _answer(self, value: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the service beside it has a log worth reading."""


if __name__ == "__main__":
    handler = partial(Handler, directory=Path(__file__).parent)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), handler).serve_forever()
