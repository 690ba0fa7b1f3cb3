"""Models that nobody has listed: while MODELS is not set, openai-compatible providers are asked what they have.

So that a service in front of Ollama or vLLM works with PROVIDERS alone (`spec/editor-api.md` W-35). Nothing of it costs
anything; a provider that is down is asked again.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from penstock.errors import UpstreamError
from penstock.gateway.catalog.service import Catalog
from penstock.providers.base import ProviderConfig
from penstock.providers.listing import list_models
from penstock.providers.provider import Providers
from penstock.telemetry.logs import log

EVERY_S: Final = 300.0
_AGAIN_AFTER_S: Final = 5.0
_MOST: Final = 100
_TYPE: Final = "openai-compatible"
_NO_CHAT: Final = re.compile(r"embed|bge-|rerank|whisper|tts|moderation|diffusion|clip", re.IGNORECASE)


class Discovery:
    def __init__(
        self, catalog: Catalog, providers: Providers, *, every_s: float = EVERY_S, again_after_s: float = _AGAIN_AFTER_S
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._every_s = every_s
        self._again_after_s = again_after_s

    async def watch(self) -> None:
        """Runs beside the service, for ever where there is something to discover."""
        while self._catalog.takes_discovered:
            configs = [one for one in self._catalog.current.providers.values() if one.type == _TYPE]
            answered = [await self._ask(config) for config in configs]
            await asyncio.sleep(self._every_s if all(answered) else self._again_after_s)

    async def _ask(self, config: ProviderConfig) -> bool:
        try:
            listed = await list_models(self._providers.of(config))
        except UpstreamError as error:
            log.warning("a provider's models could not be listed", provider=config.key, reason=error.message)
            return False
        await self._catalog.offer(config.key, chat_models(listed.names))
        return True


def chat_models(names: Sequence[str]) -> list[str]:
    """Those that answer, as far as a name tells."""
    return [name for name in names if not _NO_CHAT.search(name)][:_MOST]
