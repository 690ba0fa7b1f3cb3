"""The identity that AWS gives this machine (`spec/providers.md` 9.9).

botocore knows the sources; we put them in order, ask in a thread, and note what became of each.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from penstock.errors import UpstreamError
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.base import AwsKeys, ProviderConfig
from penstock.providers.credentials.aws import AwsSigner
from penstock.providers.credentials.bearer import bearer, with_headers
from penstock.providers.credentials.expiring import Expiring, Fetched
from penstock.providers.credentials.nothing_found import nothing_found
from penstock.providers.failures import NoUsableKey, Unreachable
from penstock.providers.transport.base import Request

REFRESH_EARLY_S = 600.0

_BEARER = "AWS_BEARER_TOKEN_BEDROCK"

# Each source, what is said when it has nothing, and botocore's names for it.
_SOURCES: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("environment", f"neither AWS_ACCESS_KEY_ID nor {_BEARER} is set", ("env",)),
    ("web identity", "AWS_WEB_IDENTITY_TOKEN_FILE not set", ("assume-role-with-web-identity",)),
    (
        "shared files",
        "no keys for the profile",
        ("assume-role", "sso", "shared-credentials-file", "login", "custom-process", "config-file"),
    ),
    ("container", "AWS_CONTAINER_CREDENTIALS_… not set", ("container-role",)),
    ("instance metadata", "no answer", ("iam-role",)),
)
_RENEWABLE = ("ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId")

Identity = AwsKeys | Secret
"""Keys to sign with, or a Bedrock API key."""


class AwsAmbientIdentity:
    """An Authorizer."""

    def __init__(self, config: ProviderConfig, region: str, clock: Clock) -> None:
        self._config = config
        self._region = region
        self._signer = AwsSigner(region, clock)
        self._kept: Expiring[Identity] = Expiring(self._fetch, clock, entry=config.key, early_s=REFRESH_EARLY_S)

    @property
    def hint(self) -> str | None:
        return self._kept.identity

    @property
    def secrets(self) -> Sequence[Secret]:
        return [secret for one in self._kept.lately for secret in _secrets_in(one)]

    async def authorize(self, request: Request) -> Request:
        identity = await self._kept.get()
        if isinstance(identity, AwsKeys):
            return await self._signer.signed(request, identity)
        return with_headers(request, (bearer(identity),))

    def refused(self, error: UpstreamError) -> bool:
        if self._signer.refused(error):
            return True
        said = f"{error.upstream_code or ''} {error.message}"
        is_about_keys = error.upstream_status is not None and any(word in said for word in _RENEWABLE)
        if is_about_keys:
            self._kept.forget()
        return is_about_keys

    async def _fetch(self) -> Fetched[Identity]:
        token = os.environ.get(_BEARER, "").strip()
        if token:
            return Fetched(Secret(token), None, f"environment ({_BEARER})", token[-4:] if len(token) >= 12 else "…")
        return await asyncio.to_thread(_load, self._config, self._region)


def _secrets_in(identity: Identity) -> tuple[Secret, ...]:
    if isinstance(identity, Secret):
        return (identity,)
    token = identity.session_token
    return (identity.secret_access_key,) if token is None else (identity.secret_access_key, token)


def _load(config: ProviderConfig, region: str) -> Fetched[Identity]:
    """The keys of the first source that has some. Raises NoUsableKey with all that were tried, and Unreachable.

    A source that is there and fails ends the search: the identity of the machine below must not stand in for it.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

    tried: list[tuple[str, str]] = []
    asked = "shared files"
    try:
        providers = _providers(config, region)
        for asked, nothing, methods in _SOURCES:
            for method in methods:
                found = providers[method].load() if method in providers else None
                if found is not None:
                    return _fetched(found, f"{asked} ({method})")
            tried.append((asked, nothing))
    except (BotoCoreError, ClientError, ResponseParserError, OSError, RuntimeError, ValueError, KeyError) as error:
        if _is_passing(error):
            raise _unreachable(asked, error) from error
        raise _nothing([*tried, (asked, str(error) or type(error).__name__)], config.key) from error
    raise _nothing(tried, config.key)


def _is_passing(error: Exception) -> bool:
    """Whoever gives the keys was not reached, or is busy: that says nothing about the keys."""
    from botocore import exceptions  # type: ignore[import-untyped]

    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or "Throttl" in error.response.get("Error", {}).get("Code", "")
    return isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError)


def _unreachable(source: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"AWS credentials could not be fetched ({source}): {error}",
        explanation="The service that gives keys is busy or was not reached; the model itself was not called.",
        action="Ask again in a minute. If it stays so, check that this service can reach it, through the entry's "
        "`proxy` if it has one.",
    ).cleaned()


def _nothing(tried: list[tuple[str, str]], provider_key: str) -> NoUsableKey:
    fields = "`credentials` (accessKeyId, secretAccessKey) or `apiKeys`"
    return nothing_found("AWS", tried, fields=fields, provider_key=provider_key)


def _fetched(found: Any, source: str) -> Fetched[Identity]:
    frozen = found.get_frozen_credentials()
    keys = AwsKeys(frozen.access_key, Secret(frozen.secret_key), Secret(frozen.token) if frozen.token else None)
    # botocore tells nobody when its keys end, but we refresh them ourselves.
    ends_at: datetime | None = getattr(found, "_expiry_time", None)
    lasts_s = None if ends_at is None else (ends_at - datetime.now(UTC)).total_seconds()
    return Fetched(keys, lasts_s, source, frozen.access_key[-4:])


def _providers(config: ProviderConfig, region: str) -> dict[str, Any]:
    """botocore's sources by their names, told what the entry says of proxy and authorities."""
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.credentials import create_credential_resolver  # type: ignore[import-untyped]
    from botocore.session import Session  # type: ignore[import-untyped]

    session = Session()
    session.set_config_variable("region", region)
    session.set_config_variable("ec2_metadata_v1_disabled", True)
    if "AWS_METADATA_SERVICE_NUM_ATTEMPTS" not in os.environ:
        session.set_config_variable("metadata_service_num_attempts", 2)
    if not config.verify_tls or config.ca_file:
        session.set_config_variable("ca_bundle", config.ca_file if config.verify_tls else False)
    proxies = {"https": config.proxy.reveal()} if config.proxy is not None else {}
    session.set_default_client_config(
        Config(proxies=proxies, connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    )
    resolver = create_credential_resolver(session, region_name=region)
    return {provider.METHOD: provider for provider in resolver.providers}
