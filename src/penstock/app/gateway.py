"""The gateway's rooms: who asks, which models there are, and the one pipe of every call."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.app.background import Work
from penstock.app.ground import Ground
from penstock.errors import Conflict
from penstock.gateway.catalog.service import Catalog
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.gateway.identity.declared import DeclaredTenant
from penstock.gateway.identity.secrets import MasterSecrets
from penstock.gateway.identity.service import Identity
from penstock.gateway.inference.attachments.extraction import Extraction
from penstock.gateway.inference.attachments.preparing import Attachments
from penstock.gateway.inference.discovery import Discovery
from penstock.gateway.inference.openai_thoughts import thoughts_box
from penstock.gateway.inference.service import Inference
from penstock.http.outbound import Outbound
from penstock.kit.crypto import SecretBox
from penstock.providers.opening import open_provider_transport
from penstock.providers.price_list import PriceList
from penstock.providers.provider import Providers
from penstock.settings import Settings
from penstock.telemetry.logs import log


@dataclass(frozen=True)
class Gateway:
    """`works` run beside it."""

    identity: Identity
    catalog: Catalog
    providers: Providers
    inference: Inference
    outbound: Outbound
    extraction: Extraction
    thoughts: SecretBox
    works: tuple[Work, ...]


async def open_gateway(settings: Settings, ground: Ground, stack: AsyncExitStack) -> Gateway:
    """Raises SecretsUnreadable."""
    management = settings.management_secret.reveal() if settings.management_secret else None
    secrets = MasterSecrets(ground.masters)
    identity = Identity(ground.database, ground.coordination.broadcast, secrets, management, ground.clock)
    await identity.check_secrets()
    await _declare(identity, settings.bootstrap)
    catalog = Catalog(settings.catalog, settings.snapshot)
    providers = Providers(open_provider_transport, ground.clock)
    stack.push_async_callback(providers.aclose)
    outbound, extraction, prices = Outbound(allow=map(str, settings.outbound_allow)), Extraction(), PriceList()

    async def load_prices(snapshot: Snapshot) -> None:
        if any(map(prices.covers, snapshot.providers.values())):
            await prices.load()

    catalog.on_change(lambda snapshot: providers.keep_only(snapshot.providers.values()))
    catalog.on_change(load_prices)
    return Gateway(
        identity=identity,
        catalog=catalog,
        providers=providers,
        inference=Inference(catalog, providers, Attachments(outbound, extraction), prices),
        outbound=outbound,
        extraction=extraction,
        thoughts=thoughts_box(ground.masters),
        works=(
            identity.watch,
            catalog.watch,
            Discovery(catalog, providers).watch,
            lambda: load_prices(catalog.current),
        ),
    )


async def _declare(identity: Identity, tenants: Iterable[DeclaredTenant]) -> None:
    """Make what BOOTSTRAP_ENVIRONMENTS declares (W-07). One that cannot be made keeps no other from working."""
    for declared in tenants:
        try:
            await identity.declare_tenant(declared)
        except Conflict as error:
            log.error(error.message, variable="BOOTSTRAP_ENVIRONMENTS", reason=error.explanation, action=error.action)
