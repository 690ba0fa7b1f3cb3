"""What an operator sees of the providers: `/health/ready?detail`. Nothing is called for it."""

from typing import Any

from penstock.gateway.catalog.service import Catalog
from penstock.providers.base import ProviderConfig
from penstock.providers.keys import KeyReport
from penstock.providers.provider import Providers


def provider_health(catalog: Catalog, providers: Providers) -> list[dict[str, Any]]:
    """One object for each entry of PROVIDERS, in order.

    `status`: `unused` (not called since the start), `ready`, `degraded` (some of its keys are set aside) or
    `unavailable` (all of them).
    """
    return [_entry(config, providers) for config in catalog.current.providers.values()]


def _entry(config: ProviderConfig, providers: Providers) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": config.key, "type": config.type, "baseUrl": config.base_url.partition("?")[0]}
    provider = providers.opened(config)
    if provider is None:
        return shown | {"status": "unused"}
    keys = provider.keys.states()
    return shown | {"status": _status(keys), "keys": [_key(one) for one in keys], "learnt": provider.learnt()}


def _status(keys: list[KeyReport]) -> str:
    ready = sum(one.state == "ready" for one in keys)
    return "ready" if ready == len(keys) else "degraded" if ready else "unavailable"


def _key(one: KeyReport) -> dict[str, Any]:
    shown: dict[str, Any] = {"hint": one.hint, "state": one.state}
    if one.state != "ready":
        shown |= {"forSeconds": round(one.for_s, 1), "reason": one.reason}
    return shown
