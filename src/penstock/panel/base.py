"""What the panel is given. It asks these services, and holds no rule of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import msgspec

from penstock.coordination.base import Coordination
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Problem
from penstock.gateway.identity.service import Identity
from penstock.http.health import Probe
from penstock.kit.clock import Clock
from penstock.kit.secret import Secret
from penstock.providers.provider import Providers


class Setting(msgspec.Struct, frozen=True):
    """One variable in force. `value` None is unset; the value of a secret is hidden already."""

    name: str
    value: str | int | float | bool | None
    source: str
    group: str
    sentence: str

    @property
    def is_set(self) -> bool:
        return self.source not in ("default", "unset")


class Part(msgspec.Struct, frozen=True):
    """Something this service stands on. `where` never holds a password; without a `probe` nothing can be asked."""

    name: str
    where: str
    probe: Probe | None = None


@dataclass(frozen=True, kw_only=True)
class PanelServices:
    """`external_endpoint` is scheme and host under which users come, when that is known."""

    identity: Identity
    catalog: Catalog
    providers: Providers
    coordination: Coordination
    clock: Clock
    management_secret: Secret | None
    allowed: Sequence[IPv4Network | IPv6Network]
    trusted_proxies: Sequence[IPv4Network | IPv6Network]
    external_endpoint: str | None
    parts: Sequence[Part]
    settings: Sequence[Setting]
    problems: Sequence[Problem]
