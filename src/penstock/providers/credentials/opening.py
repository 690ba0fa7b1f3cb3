"""Which authorizers an entry without keys gets. Each kind is imported when it is first used."""

from collections.abc import Sequence
from typing import Literal

from penstock.kit.clock import Clock
from penstock.providers.base import AwsKeys, ProviderConfig, ServiceAccount
from penstock.providers.credentials.base import Authorizer
from penstock.providers.transport.base import Transport

Kind = Literal["aws", "google", "entra"]


def open_authorizers(kind: Kind, config: ProviderConfig, transport: Transport, clock: Clock) -> Sequence[Authorizer]:
    """One for each of the entry's credentials; without any, one for the platform's own identity.

    Does no input or output: what is needed is fetched with the first call. Empty when the entry wants neither.
    """
    if config.credentials:
        return _given(config, transport, clock)
    return [_ambient(kind, config, transport, clock)] if config.ambient else ()


def _given(config: ProviderConfig, transport: Transport, clock: Clock) -> Sequence[Authorizer]:
    found: list[Authorizer] = []
    for credentials in config.credentials:
        if isinstance(credentials, AwsKeys):
            from penstock.providers.credentials.aws import AwsKeysIdentity

            found.append(AwsKeysIdentity(credentials, _region(config), clock))
        elif isinstance(credentials, ServiceAccount):
            from penstock.providers.credentials.google import service_account_identity

            found.append(service_account_identity(credentials, config, transport, clock))
    return found


def _ambient(kind: Kind, config: ProviderConfig, transport: Transport, clock: Clock) -> Authorizer:
    if kind == "aws":
        from penstock.providers.credentials.aws_ambient import AwsAmbientIdentity

        return AwsAmbientIdentity(config, _region(config), clock)
    if kind == "google":
        from penstock.providers.credentials.google_ambient import ambient_identity

        return ambient_identity(config, transport, clock)
    from penstock.providers.credentials.entra import entra_identity

    return entra_identity(config, transport, clock)


def _region(config: ProviderConfig) -> str:
    return dict(config.details).get("region", "us-east-1")
