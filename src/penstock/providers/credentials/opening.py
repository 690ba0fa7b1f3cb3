"""Which authorizers an entry without keys gets. Each kind is imported when it is first used."""

from collections.abc import Sequence
from typing import Literal

from penstock.kit.clock import Clock
from penstock.providers.base import ProviderConfig
from penstock.providers.credentials.base import Authorizer
from penstock.providers.transport.base import Transport

Kind = Literal["aws", "google", "entra"]


def open_authorizers(kind: Kind, config: ProviderConfig, transport: Transport, clock: Clock) -> Sequence[Authorizer]:
    """One for each of the entry's credentials; without any, one for the platform's own identity."""
    raise NotImplementedError(kind)
