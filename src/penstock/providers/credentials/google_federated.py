"""Google identities that are exchanged or borrowed: workload identity federation, impersonation.

google-auth reads their files and speaks their protocols; it runs in a thread, and every request of it goes through the
entry's own connections.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from typing import Any

from penstock.kit.secret import Secret
from penstock.providers.credentials.bearer import Token
from penstock.providers.credentials.expiring import Fetched
from penstock.providers.credentials.google import SCOPE, SERVICE
from penstock.providers.credentials.token_endpoints import Said, TokenClient, TokenRefused, refusal
from penstock.providers.failures import Failure, Unreachable

_WAIT_S = 60.0
_AWS_TOKEN = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105


async def fetch_federated(found: dict[str, Any], client: TokenClient, source: str) -> Fetched[Token]:
    """`found` is the file. Raises TokenRefused and Unreachable."""
    request = _Requests(client, asyncio.get_running_loop())
    return await asyncio.to_thread(_fetch, found, request, source)


class _Answer:
    """What google-auth calls a Response."""

    def __init__(self, said: Said) -> None:
        self.status = said.status
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in said.headers}
        self.data = said.body


class _Requests:
    """What google-auth calls a Request: called in its thread, carried out on our loop."""

    def __init__(self, client: TokenClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self.failure: Failure | None = None
        self.said: Said | None = None
        """What was answered last."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        from google.auth.exceptions import TransportError

        sent = tuple((name.lower().encode(), value.encode()) for name, value in (headers or {}).items())
        data = body.encode() if isinstance(body, str) else body or b""
        asking = asyncio.run_coroutine_threadsafe(self._client.once(method.encode(), url, sent, data), self._loop)
        try:
            self.said = asking.result(_WAIT_S)
            return _Answer(self.said)
        except (Failure, CancelledError, TimeoutError) as error:
            self.failure = error if isinstance(error, Failure) else None
            raise TransportError(str(error)) from error  # type: ignore[no-untyped-call]


def _fetch(found: dict[str, Any], request: _Requests, source: str) -> Fetched[Token]:
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        credentials = _reader_of(found)(found)
        credentials.refresh(request)
    except TransportError as error:
        raise request.failure or Unreachable(f"Google's token service: {error}").cleaned() from error
    except (GoogleAuthError, ValueError, TypeError, AttributeError, KeyError, OSError) as error:  # a file of any shape
        raise _refused(error, request.said, source) from error
    email = getattr(credentials, "service_account_email", None)
    expiry = credentials.expiry
    lasts_s = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if expiry else 300.0
    return Fetched(Token(Secret(credentials.token)), lasts_s, source, str(email or "a federated identity"))


def _refused(error: Exception, said: Said | None, source: str) -> Failure:
    """In the service's own words where one has refused; google-auth keeps them to itself."""
    if said is not None and said.status != 200:
        failure = refusal(said, SERVICE)
        if isinstance(failure, TokenRefused):
            failure.message = f"{source}: {failure.message}"
        return failure.cleaned()
    words = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    return TokenRefused(f"{source}: {words}").cleaned()


def _reader_of(found: Mapping[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """Raises ValueError for a type that there is no reader for."""
    kind = found.get("type")
    if kind == "external_account":
        return _external
    if kind == "external_account_authorized_user":
        from google.auth import external_account_authorized_user

        return external_account_authorized_user.Credentials.from_info
    if kind == "impersonated_service_account":
        from google.auth import impersonated_credentials

        read = impersonated_credentials.Credentials.from_impersonated_service_account_info
        return lambda info: read(info, scopes=[SCOPE])  # type: ignore[no-untyped-call]
    raise ValueError(f"credentials of the type `{str(kind)[:40]}` cannot be used here")


def _external(found: dict[str, Any]) -> Any:
    source = found.get("credential_source")
    if found.get("subject_token_type") == _AWS_TOKEN:
        from google.auth import aws

        return aws.Credentials.from_info(found, scopes=[SCOPE])  # type: ignore[no-untyped-call]
    if isinstance(source, dict) and source.get("executable") is not None:
        from google.auth import pluggable

        return pluggable.Credentials.from_info(found, scopes=[SCOPE])  # type: ignore[no-untyped-call]
    from google.auth import identity_pool

    return identity_pool.Credentials.from_info(found, scopes=[SCOPE])  # type: ignore[no-untyped-call]
