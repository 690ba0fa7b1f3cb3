"""The services around AWS, Google and Azure that give out identities, on one loopback port, in threads of its own.

Token services verify what they are given; a model endpoint accepts the tokens that were given out, and requests whose
signature is right. Knobs make them stall, refuse, be busy, or give out things that end soon.
"""

import hashlib
import hmac
import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote

import jwt

GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
CANARY = "canary-of-a-token-"
AWS_SECRET = "canary-of-a-secret-key"


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Reply:
    status: int
    body: Any
    """JSON, or text as it is."""


@dataclass
class Clouds:
    google_keys: dict[str, Any] = field(default_factory=dict)
    """Public keys of service accounts, by e-mail."""
    lasts_s: int = 3600
    refusals: deque[Reply] = field(default_factory=deque)
    """What the token services say instead, one for each request."""
    revoked: set[str] = field(default_factory=set)
    aws_keys: dict[str, str] = field(default_factory=lambda: {"AKIDEXAMPLE": AWS_SECRET})
    aws_refusals: deque[Reply] = field(default_factory=deque)
    borrowing: Reply | None = None
    """What is said instead of a token of another service account."""
    aws_now: datetime | None = None
    """What time it is at AWS."""
    has_metadata: bool = True
    port: int = 0
    scheme: str = "http"
    seen: list[Seen] = field(default_factory=list)
    given: int = 0
    flowing: threading.Event = field(default_factory=threading.Event)
    """Cleared: the token services stall."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Seen]:
        return [one for one in self.seen if one.path.startswith(path)]

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        if seen.path.startswith(("/model/", "/projects/", "/v1beta1/", "/openai/")):
            return self._model(seen)
        self.flowing.wait(20)
        if self.refusals:
            return self.refusals.popleft()
        if seen.path.startswith("/computeMetadata/"):
            return self._google_metadata(seen)
        if seen.path.startswith(("/latest/", "/container")):
            return self._aws_metadata(seen)
        if seen.path == "/federation/credentials":
            return self._aws_sso(seen)
        if seen.path in ("/metadata/identity/oauth2/token", "/msi/token"):
            return self._azure_metadata(seen)
        if seen.method != "POST":
            return Reply(404, {"error": "not_found"})
        if seen.path == "/":
            return self._aws_sts(seen)
        if seen.path.endswith(":generateAccessToken"):
            return self.borrowing or self._borrowed(seen)
        if seen.path.endswith("/oauth2/v2.0/token"):
            return self._entra(seen)
        return self._google(seen)

    def new_token(self) -> str:
        self.given += 1
        return f"{CANARY}{self.given}"

    # --- Google ---

    def _google(self, seen: Seen) -> Reply:
        grant = seen.form["grant_type"]
        if grant == "refresh_token" and seen.form["refresh_token"] != "canary-refresh":
            return Reply(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        if grant.endswith("jwt-bearer"):
            try:
                email = jwt.decode(seen.form["assertion"], options={"verify_signature": False})["iss"]
                claims = jwt.decode(
                    seen.form["assertion"],
                    self.google_keys[email],
                    algorithms=["RS256"],
                    audience=GOOGLE_AUDIENCE,
                    options={"require": ["iss", "scope", "iat", "exp"], "verify_exp": False, "verify_iat": False},
                )
            except (jwt.PyJWTError, KeyError):
                return Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
            assert claims["exp"] - claims["iat"] == 3600
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        if grant.endswith("token-exchange"):
            is_aws = seen.form["subject_token_type"].endswith("aws4_request")
            subject = seen.form["subject_token"]
            assert "AWS4-HMAC-SHA256" in subject if is_aws else subject == "canary-subject"
        token_type = "urn:ietf:params:oauth:token-type:access_token"
        given = {"access_token": self.new_token(), "expires_in": self.lasts_s, "token_type": "Bearer"}
        return Reply(200, {**given, "issued_token_type": token_type})

    def _borrowed(self, seen: Seen) -> Reply:
        if not seen.headers["authorization"].startswith(f"Bearer {CANARY}"):
            return Reply(401, {"error": {"code": 401, "message": "No token.", "status": "UNAUTHENTICATED"}})
        ends_at = datetime.now(UTC) + timedelta(seconds=self.lasts_s)
        return Reply(200, {"accessToken": self.new_token(), "expireTime": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _google_metadata(self, seen: Seen) -> Reply:
        if not self.has_metadata or seen.headers.get("metadata-flavor") != "Google":
            return Reply(404, "no")
        if seen.path.endswith("/email"):
            return Reply(200, "machine@mine.iam.gserviceaccount.com")
        return Reply(200, {"access_token": self.new_token(), "expires_in": self.lasts_s, "token_type": "Bearer"})

    # --- AWS ---

    def _aws_metadata(self, seen: Seen) -> Reply:
        if not self.has_metadata:
            return Reply(404, "no")
        if seen.path == "/latest/api/token":
            return Reply(200, "imds-session") if seen.method == "PUT" else Reply(405, "")
        if seen.path.startswith("/latest/") and seen.headers.get("x-aws-ec2-metadata-token") != "imds-session":
            return Reply(401, "")
        if seen.path == "/container" and seen.headers.get("authorization") != "canary-container":
            return Reply(401, "")
        if seen.path.endswith("/security-credentials/"):
            return Reply(200, "the-role")
        names = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        return Reply(200, {"Code": "Success", **dict(zip(names, self._new_aws_keys(), strict=True))})

    def _aws_sts(self, seen: Seen) -> Reply:
        action = seen.form["Action"]
        if action == "AssumeRoleWithWebIdentity":
            assert "authorization" not in seen.headers
            assert seen.form["WebIdentityToken"] == "canary-web-identity"
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        keys = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, self._new_aws_keys(), strict=True))
        role = "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>"
        result = f"<{action}Result><Credentials>{keys}</Credentials>{role}</{action}Result>"
        return Reply(
            200, f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</{action}Response>'
        )

    def _aws_sso(self, seen: Seen) -> Reply:
        if seen.headers.get("x-amz-sso_bearer_token") != "canary-sso":
            return Reply(401, {"__type": "UnauthorizedException", "message": "Session token not found or invalid"})
        key_id, secret, token, _ = self._new_aws_keys()
        ends_at = int((datetime.now(UTC).timestamp() + self.lasts_s) * 1000)
        keys = {"accessKeyId": key_id, "secretAccessKey": secret, "sessionToken": token, "expiration": ends_at}
        return Reply(200, {"roleCredentials": keys})

    def _new_aws_keys(self) -> tuple[str, str, str, str]:
        token = self.new_token()
        key_id = f"ASIAEXAMPLE{self.given:05d}"
        self.aws_keys[key_id] = AWS_SECRET
        ends_at = datetime.now(UTC) + timedelta(seconds=self.lasts_s)
        return key_id, AWS_SECRET, token, ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- Azure ---

    def _entra(self, seen: Seen) -> Reply:
        form = seen.form
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["scope"] == "https://cognitiveservices.azure.com/.default"
        if form["client_assertion"] != "canary-federated":
            return Reply(401, {"error": "invalid_client", "error_description": "AADSTS700213: No matching identity."})
        return Reply(200, {"access_token": self.new_token(), "expires_in": self.lasts_s, "token_type": "Bearer"})

    def _azure_metadata(self, seen: Seen) -> Reply:
        nearby = seen.headers.get("metadata") == "true" or seen.headers.get("x-identity-header") == "canary-header"
        if not self.has_metadata or not nearby:
            return Reply(404, "no")
        ends_on = int(datetime.now(UTC).timestamp()) + self.lasts_s
        return Reply(200, {"access_token": self.new_token(), "expires_on": str(ends_on), "token_type": "Bearer"})

    # --- models ---

    def _model(self, seen: Seen) -> Reply:
        auth = seen.headers.get("authorization", "")
        if auth.startswith("AWS4-HMAC-SHA256 "):
            if self.aws_refusals:
                return self.aws_refusals.popleft()
            if signature_of(seen, self.aws_keys) != auth:
                return Reply(403, {"__type": "InvalidSignatureException", "message": "The signature does not match."})
            return Reply(200, {"model": "said"})
        token = auth.removeprefix("Bearer ")
        if not token.startswith(CANARY) or token in self.revoked:
            return Reply(
                401, {"error": {"code": 401, "message": "Expected OAuth 2 access token", "status": "UNAUTHENTICATED"}}
            )
        if seen.path.endswith("/chat/completions"):
            said = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
            return Reply(200, f"data: {json.dumps(said)}\n\ndata: [DONE]\n\n")
        return Reply(200, {"model": "said"})


def signature_of(seen: Seen, keys: dict[str, str]) -> str:
    """The header that a request should have, worked out from what arrived (`spec/providers.md` 9.3)."""
    given = dict(part.split("=", 1) for part in seen.headers["authorization"].split(" ", 1)[1].split(", "))
    key_id, day, region, service, _ = given["Credential"].split("/")
    names = sorted(name for name in seen.headers if name in ("content-type", "host") or name.startswith("x-amz-"))
    canonical = "\n".join(
        [
            seen.method,
            quote(seen.path, safe="/~-._"),
            "&".join(sorted(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in seen.query.items())),
            *(f"{name}:{seen.headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(seen.body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{seen.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{keys[key_id]}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"


@contextmanager
def clouds(tls: ssl.SSLContext | None = None) -> Iterator[Clouds]:
    found = Clouds(scheme="https" if tls else "http")
    found.flowing.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            queried = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
            reply = found.answer(Seen(self.command, path, queried, headers, body))
            is_text = isinstance(reply.body, str)
            data = (reply.body if is_text else json.dumps(reply.body)).encode()
            self.send_response_only(reply.status)
            self.send_header("Date", format_datetime((found.aws_now or datetime.now(UTC)), usegmt=True))
            kind = "text/event-stream" if is_text and data.startswith(b"data:") else "text/plain"
            self.send_header("Content-Type", kind if is_text else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.block_on_close = False
    found.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.flowing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
