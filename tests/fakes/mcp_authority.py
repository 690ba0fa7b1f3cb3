"""An authorization server for the fake MCP server: registration, PKCE, rotating refresh tokens, and lies on demand."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Authority:
    """`names_metadata`: the 401 says where the resource's metadata is. `well_known`: the metadata is there at all.

    `metadata` overrides fields of the authorization server's, `resource` of the resource's. `hangs` on `metadata`,
    `register` or `token`. `refuses` is the error that the token endpoint answers with. `faults` is what clients did
    wrong.
    """

    names_metadata: bool = True
    well_known: bool = True
    rotates: bool = True
    life_s: float = 3600
    method: str = "client_secret_basic"
    metadata: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    refuses: str | None = None
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access: dict[str, float] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    """Everything that nobody but its two ends may ever see."""

    # --- what a test does in the place of a user ---------------------------------------------------------------------

    def authorize(self, url: str) -> tuple[str, str]:
        """Follow the link that the user was given, and agree. Returns `code` and `state`."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] in self.clients
        code = self._secret("code")
        self.codes[code] = query
        return code, query["state"]

    def revoke(self) -> None:
        """Every token that was ever given."""
        self.access.clear()
        self.refresh.clear()

    # --- the resource ------------------------------------------------------------------------------------------------

    def admits(self, authorization: str) -> bool:
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and self.access.get(token, 0) > time.time()

    def challenge(self, url: str) -> dict[str, str]:
        if not self.names_metadata:
            return {"www-authenticate": "Bearer"}
        base = url.removesuffix("/mcp")
        where = f"{base}/.well-known/oauth-protected-resource/mcp"
        return {"www-authenticate": f'Bearer error="invalid_token", resource_metadata="{where}"'}

    # --- the authorization server ------------------------------------------------------------------------------------

    def app(self, url: str) -> Starlette:
        base = url.removesuffix("/mcp")
        routes = [("/register", self._register, "POST"), ("/token", self._token, "POST")]
        if self.well_known:
            routes += [
                ("/.well-known/oauth-protected-resource/mcp", self._about_resource(url, base), "GET"),
                ("/.well-known/oauth-authorization-server", self._about_us(base), "GET"),
            ]
        return Starlette(routes=[Route(path, self._noted(work), methods=[how]) for path, work, how in routes])

    def _noted(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(request: Request) -> Response:
            self.asked.append(request.url.path)
            response: Response = await work(request)
            return response

        return noted

    def _about_resource(self, url: str, base: str) -> Callable[..., Any]:
        async def about(request: Request) -> Response:
            await self._hang("metadata")
            return JSONResponse({"resource": url, "authorization_servers": [base], **self.resource})

        return about

    def _about_us(self, base: str) -> Callable[..., Any]:
        async def about(request: Request) -> Response:
            return JSONResponse(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "registration_endpoint": f"{base}/register",
                    "scopes_supported": ["read", "write"],
                    "token_endpoint_auth_methods_supported": [self.method],
                    "code_challenge_methods_supported": ["S256"],
                    **self.metadata,
                }
            )

        return about

    async def _register(self, request: Request) -> Response:
        await self._hang("register")
        asked = await request.json()
        client = {**asked, "client_id": secrets.token_hex(8)}
        if asked["token_endpoint_auth_method"] != "none":
            client["client_secret"] = self._secret("client")
        self.clients[client["client_id"]] = client
        return JSONResponse(client, 201)

    async def _token(self, request: Request) -> Response:
        await self._hang("token")
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.forms.append(form)
        if self.refuses is not None:
            return JSONResponse({"error": self.refuses}, 400)
        if not self._knows(request.headers.get("authorization", ""), form):
            return JSONResponse({"error": "invalid_client"}, 401)
        works = {"authorization_code": self._of_code, "refresh_token": self._of_refresh}
        fault = works[form["grant_type"]](form)
        if fault:
            self.faults.append(fault)
            return JSONResponse({"error": "invalid_grant", "error_description": fault}, 400)
        return JSONResponse(self._tokens(), headers={"cache-control": "no-store"})

    def _knows(self, authorization: str, form: dict[str, str]) -> bool:
        if authorization.startswith("Basic "):
            client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        client = self.clients.get(client_id)
        return client is not None and client.get("client_secret", "") == secret

    def _of_code(self, form: dict[str, str]) -> str:
        asked = self.codes.pop(form["code"], None)
        if asked is None:
            return "an unknown or used code"
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        if challenge != asked["code_challenge"]:
            return "the verifier does not fit"
        same = ("redirect_uri", "resource")
        return next((f"another {name}" for name in same if form.get(name) != asked[name]), "")

    def _of_refresh(self, form: dict[str, str]) -> str:
        token = form["refresh_token"]
        if token in self.used:
            self.revoke()  # as RFC 9700, 4.14.2 has it
            return "a used refresh token"
        if token not in self.refresh:
            return "an unknown refresh token"
        if self.rotates:
            self.used.add(token)
            del self.refresh[token]
        return ""

    def _tokens(self) -> dict[str, Any]:
        access, refresh = self._secret("access"), self._secret("refresh")
        self.access[access] = time.time() + 3600
        self.refresh[refresh] = access
        given: dict[str, Any] = {"access_token": access, "token_type": "bearer", "expires_in": self.life_s}
        return given | {"refresh_token": refresh}

    def _secret(self, kind: str) -> str:
        made = f"{kind}-canary-{secrets.token_hex(8)}"
        self.secrets.append(made)
        return made

    async def _hang(self, where: str) -> None:

        if where in self.hangs:
            await asyncio.Event().wait()
