"""Azure without keys: tokens of Microsoft Entra for the identity of this workload (`spec/providers.md` 5.2)."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig
from penstock.providers.credentials.bearer import BearerIdentity, Token
from penstock.providers.credentials.expiring import Fetched
from penstock.providers.credentials.nothing_found import nothing_found
from penstock.providers.credentials.token_endpoints import METADATA_LIMITS, Said, TokenClient, token_in
from penstock.providers.failures import Unreachable
from penstock.providers.transport.base import Transport

_RESOURCE = "https://cognitiveservices.azure.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_WORKLOAD = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
_APP_SERVICE = ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")


def entra_identity(config: ProviderConfig, transport: Transport, clock: Clock) -> BearerIdentity:
    return BearerIdentity(EntraAmbient(TokenClient(config, transport)).fetch, clock, entry=config.key)


class _NotThere(Exception):
    """This source has nothing; the text says why."""


class EntraAmbient:
    """Reads the variables of the platform at each fetch: files and addresses may change while we run."""

    def __init__(self, client: TokenClient) -> None:
        self._client = client

    async def fetch(self) -> Fetched[Token]:
        """Raises NoUsableKey with all that was tried; TokenRefused and Unreachable of the first source that is set."""
        tried: list[tuple[str, str]] = []
        for name, ask in (
            ("workload identity", self._from_workload),
            ("App Service identity", self._from_app_service),
            ("instance metadata 169.254.169.254", self._from_metadata),
        ):
            try:
                secret, lasts_s = await ask()
            except _NotThere as reason:
                tried.append((name, str(reason)))
            else:
                return Fetched(Token(secret), lasts_s, name, _client_shown())
        raise nothing_found("Azure", tried, fields="`apiKeys`", provider_key=self._client.entry)

    async def _from_workload(self) -> tuple[Secret, float]:
        file, tenant, client_id = _set(_WORKLOAD)
        try:
            assertion = await asyncio.to_thread(Path(file).read_text)
        except (OSError, ValueError) as error:
            raise _NotThere("AZURE_FEDERATED_TOKEN_FILE cannot be read") from error
        authority = os.environ.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
        said = await self._client.post_form(
            f"{authority.rstrip('/')}/{quote(tenant, safe='')}/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "scope": f"{_RESOURCE}/.default",
                "client_assertion_type": _ASSERTION,
                "client_assertion": Secret(assertion.strip()),
            },
        )
        return token_in(said, "Microsoft Entra")

    async def _from_app_service(self) -> tuple[Secret, float]:
        endpoint, header = _set(_APP_SERVICE)
        query = urlencode({"api-version": "2019-08-01", "resource": _RESOURCE, **_client_id()})
        said = await self._client.ask(b"GET", f"{endpoint}?{query}", ((b"x-identity-header", header.encode()),))
        return _token_of_machine(said, "the App Service identity")

    async def _from_metadata(self) -> tuple[Secret, float]:
        # The variable is how the pod identity of AKS moves this endpoint, in Microsoft's own libraries too.
        host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254"
        query = urlencode({"api-version": "2018-02-01", "resource": f"{_RESOURCE}/", **_client_id()})
        url = f"{host.rstrip('/')}/metadata/identity/oauth2/token?{query}"
        try:
            said = await self._client.ask(b"GET", url, ((b"metadata", b"true"),), limits=METADATA_LIMITS)
        except Unreachable as error:
            raise _NotThere(error.message) from error
        if said.status in (400, 404):
            raise _NotThere(f"the machine has no identity ({said.error})")
        return _token_of_machine(said, "Azure's instance metadata")


def _set(names: tuple[str, ...]) -> tuple[str, ...]:
    """The values of variables that only mean something together. Raises _NotThere with those that are missing."""
    found = tuple(os.environ.get(name, "").strip() for name in names)
    if missing := [name for name, value in zip(names, found, strict=True) if not value]:
        raise _NotThere(f"{', '.join(missing)} not set")
    return found


def _client_id() -> dict[str, str]:
    """Which of several user-assigned identities; without it the machine's own."""
    client_id = os.environ.get("AZURE_CLIENT_ID")
    return {"client_id": client_id} if client_id else {}


def _client_shown() -> str:
    client_id = os.environ.get("AZURE_CLIENT_ID", "")
    return f"client …{client_id[-4:]}" if client_id else "the machine's identity"


def _token_of_machine(said: Said, service: str) -> tuple[Secret, float]:
    """These services say when a token ends (`expires_on`), not always how long it lasts."""
    secret, lasts_s = token_in(said, service)
    ends_at: Any = said.payload.get("expires_on")
    if "expires_in" not in said.payload and ends_at is not None:
        try:
            return secret, max(float(ends_at) - time.time(), 0.0)
        except (TypeError, ValueError):
            return secret, lasts_s
    return secret, lasts_s
