"""Which transport a provider gets: the demo answers in the process, everything else is reached over HTTP."""

from penstock.providers.base import ProviderConfig
from penstock.providers.transport.base import Transport


def open_provider_transport(config: ProviderConfig) -> Transport:
    if config.type == "demo":
        from penstock.providers.demo import DemoTransport

        return DemoTransport()
    from penstock.providers.transport.drivers import open_transport

    proxy = config.proxy.reveal() if config.proxy is not None else None
    return open_transport(proxy=proxy, ca_file=config.ca_file, verify=config.verify_tls)
