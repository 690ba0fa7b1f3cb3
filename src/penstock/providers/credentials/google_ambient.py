"""The identity that Google's platform or tools give this machine (`spec/providers.md` 8.6).

The order is that of Google's own libraries. They are used for federated identities only: their way to the metadata
server needs a second HTTP client, and knows nothing of the entry's proxy and authorities.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig, ServiceAccount
from penstock.providers.credentials.bearer import BearerIdentity, Token
from penstock.providers.credentials.expiring import Fetched
from penstock.providers.credentials.google import SERVICE, TOKEN_URI, JwtGrant
from penstock.providers.credentials.nothing_found import nothing_found
from penstock.providers.credentials.token_endpoints import METADATA_LIMITS, TokenClient, TokenRefused, token_in
from penstock.providers.failures import Failure, Unreachable
from penstock.providers.json_text import NotJson, lenient_json
from penstock.providers.transport.base import Transport

_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/"
_FLAVOR = ((b"metadata-flavor", b"Google"),)
_FIELDS = "`credentials` (clientEmail, privateKey) or `apiKeys`"


def ambient_identity(config: ProviderConfig, transport: Transport, clock: Clock) -> BearerIdentity:
    return BearerIdentity(GoogleAmbient(TokenClient(config, transport), clock).fetch, clock, entry=config.key)


class _NotThere(Exception):
    """This source has nothing; the text says why."""


class GoogleAmbient:
    def __init__(self, client: TokenClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def fetch(self) -> Fetched[Token]:
        """From the first source that has something. Raises NoUsableKey with all that were tried, or what the first
        one failed with: an identity that is there and broken is not replaced by another."""
        tried: list[tuple[str, str]] = []
        for name, ask in (
            (_VARIABLE, self._from_variable),
            (f"gcloud's file {_user_file()}", self._from_user_file),
            (f"metadata server {_metadata_host()}", self._from_metadata),
        ):
            try:
                return await ask()
            except _NotThere as reason:
                tried.append((name, str(reason)))
        raise nothing_found("Google", tried, fields=_FIELDS, provider_key=self._client.entry)

    async def _from_variable(self) -> Fetched[Token]:
        path = os.environ.get(_VARIABLE)
        if not path:
            raise _NotThere("not set")
        found = await asyncio.to_thread(_read, Path(path))
        if found is None:
            tried = [(_VARIABLE, "names a file that is not there, or no JSON object")]
            raise nothing_found("Google", tried, fields=_FIELDS, provider_key=self._client.entry)
        return await self._from_file(found, _VARIABLE)

    async def _from_user_file(self) -> Fetched[Token]:
        found = await asyncio.to_thread(_read, _user_file())
        if found is None:
            raise _NotThere("not there")
        return await self._from_file(found, "gcloud's application default credentials")

    async def _from_file(self, found: dict[str, Any], source: str) -> Fetched[Token]:
        kind = found.get("type")
        if kind == "service_account":
            return await JwtGrant(_account(found), self._client, self._clock, source).fetch()
        if kind == "authorized_user":
            return await self._from_user(found, source)
        from penstock.providers.credentials.google_federated import fetch_federated

        return await fetch_federated(found, self._client, source)

    async def _from_user(self, found: dict[str, Any], source: str) -> Fetched[Token]:
        fields = {name: Secret(found.get(name) or "") for name in ("client_id", "client_secret", "refresh_token")}
        said = await self._client.post_form(
            str(found.get("token_uri") or TOKEN_URI), {"grant_type": "refresh_token", **fields}
        )
        secret, lasts_s = token_in(said, SERVICE)
        project = found.get("quota_project_id")
        more = ((b"x-goog-user-project", project.encode()),) if isinstance(project, str) and project else ()
        return Fetched(Token(secret, more), lasts_s, source, str(found.get("account") or "a user of gcloud"))

    async def _from_metadata(self) -> Fetched[Token]:
        if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
            raise _NotThere("switched off by NO_GCE_CHECK")
        url = f"http://{_metadata_host()}{_METADATA}"
        try:
            said = await self._client.ask(b"GET", url + "token", _FLAVOR, limits=METADATA_LIMITS)
        except Unreachable as error:
            raise _NotThere(error.message) from error
        if said.status == 404:
            raise _NotThere("it has no service account for this machine")
        secret, lasts_s = token_in(said, "Google's metadata server")
        return Fetched(Token(secret), lasts_s, "metadata server", await self._email(url))

    async def _email(self, url: str) -> str:
        try:
            said = await self._client.once(b"GET", url + "email", _FLAVOR, limits=METADATA_LIMITS)
        except Failure:
            return "the machine's service account"
        return said.body.decode("latin-1")[:200] if said.status == 200 else "the machine's service account"


def _account(found: dict[str, Any]) -> ServiceAccount:
    email, key = found.get("client_email"), found.get("private_key")
    if not isinstance(email, str) or not isinstance(key, str):
        raise TokenRefused("invalid_grant: the service account's file has no `client_email` or no `private_key`.")
    uri, key_id = found.get("token_uri"), found.get("private_key_id")
    return ServiceAccount(
        client_email=email,
        private_key=Secret(key),
        key_id=key_id if isinstance(key_id, str) else None,
        token_uri=uri if isinstance(uri, str) and uri else TOKEN_URI,
    )


def _user_file() -> Path:
    folder = os.environ.get("CLOUDSDK_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"


def _metadata_host() -> str:
    return os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT") or "metadata.google.internal"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = lenient_json(path.read_bytes())
    except (OSError, NotJson):
        return None
    return found if isinstance(found, dict) else None
