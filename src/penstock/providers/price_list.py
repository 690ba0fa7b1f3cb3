"""The price list that ships with the service, and how our providers and models are called in it.

The list is the `genai-prices` package (`spec/providers.md` 17.2). It takes 150 ms to import and 27 MiB, so it is loaded
once, in a thread, after the service has started; until then nothing is priced by it.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from penstock.providers.base import ProviderConfig
from penstock.providers.prices import Price, Priced, Rates, tiers_of
from penstock.providers.vendors import flavour_of

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices
    from genai_prices.types import Provider as Publisher

SOURCE: Final = "genai-prices"

_MOST_FOUND: Final = 1_000

# How the list calls our types and flavours; what is missing has no prices of its own there. Azure's own rows are few,
# and the list itself goes on to OpenAI's for the rest.
_PUBLISHERS: Mapping[str, str] = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "google": "google",
    "vertex": "google",
    "bedrock": "aws",
    "mistral": "mistral",
}
_FLAVOURS: Mapping[str, str] = {
    "openai": "openai",
    "openrouter": "openrouter",
    "groq": "groq",
    "together": "together",
    "fireworks": "fireworks",
    "deepseek": "deepseek",
    "mistral": "mistral",
}

# The path before a model's name at Google; of an ARN the list finds the name inside by itself.
_PATH = re.compile(
    r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/)?(?:google/|anthropic/|mistralai/)?(?:models/)?"
)

# Our rates, and the list's names for them.
_RATES: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}


class _List(msgspec.Struct, frozen=True):
    snapshot: "DataSnapshot"
    version: str


class PriceList:
    """What models cost and hold by the list. Every look-up gives None until `load` is done, and for what it lacks."""

    def __init__(self) -> None:
        self._list: _List | None = None
        self._loading: asyncio.Task[_List] | None = None
        self._priced: dict[int, Priced] = {}
        self._found: dict[tuple[object, ...], tuple[Publisher, ModelInfo] | None] = {}

    @staticmethod
    def covers(config: ProviderConfig) -> bool:
        """Whether loading may bring prices for this entry."""
        if config.type != "openai-compatible":
            return config.type in _PUBLISHERS
        named = dict(config.details).get("flavor", "auto")
        return (named if named != "auto" else flavour_of(config.base_url)) in _FLAVOURS

    @property
    def is_loaded(self) -> bool:
        return self._list is not None

    async def load(self) -> None:
        """Once, however often it is asked for at a time. Raises ImportError when the package cannot be imported."""
        if self._list is not None:
            return
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(asyncio.to_thread(_load))
        self._list = await asyncio.shield(self._loading)

    def price_of(self, config: ProviderConfig, model: str, at: datetime | None = None) -> Priced | None:
        """The price of a model in force at that instant, now by default. None: unpriced."""
        found = self._find(config, model)
        if found is None or self._list is None:
            return None
        info = found[1]
        if not info.prices:
            return None
        current = info.get_prices(at or datetime.now(UTC))
        priced = self._priced.get(id(current))  # the list keeps these for as long as it lives
        if priced is None:
            owner = _owner(self._list.snapshot, info)
            priced = self._priced[id(current)] = Priced(
                price=_price(current), source=SOURCE, version=self._list.version, model=f"{owner}/{info.id}"
            )
        return priced if priced.price.rates.is_known else None

    def context_tokens(self, config: ProviderConfig, model: str) -> int | None:
        """The largest input of the model, in tokens."""
        found = self._find(config, model)
        return found[1].context_window if found else None

    def _find(self, config: ProviderConfig, model: str) -> "tuple[Publisher, ModelInfo] | None":
        """Looking up takes the list some tens of microseconds, longest for what it does not have: it is remembered."""
        if self._list is None:
            return None
        key = (config.type, config.base_url, config.details, model)
        if key not in self._found:
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            self._found[key] = self._look_up(self._list.snapshot, config, model)
        return self._found[key]

    @staticmethod
    def _look_up(snapshot: "DataSnapshot", config: ProviderConfig, model: str) -> "tuple[Publisher, ModelInfo] | None":
        name = _PATH.sub("", model) if config.type in ("google", "vertex") else model
        try:
            publisher = _publisher(snapshot, config)
            return snapshot.find_provider_model(name, publisher, None, None) if publisher else None
        except LookupError:
            return None


def _load() -> _List:
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    return _List(get_snapshot(), __version__)


def _publisher(snapshot: "DataSnapshot", config: ProviderConfig) -> "Publisher | None":
    """Raises LookupError when the list does not know the address."""
    if config.type != "openai-compatible":
        name = _PUBLISHERS.get(config.type)
        return snapshot.find_provider(None, name, None) if name else None
    named = dict(config.details).get("flavor", "auto")
    flavour = named if named != "auto" else flavour_of(config.base_url)
    if flavour is None:
        return snapshot.find_provider(None, None, config.base_url)
    name = _FLAVOURS.get(flavour)
    return snapshot.find_provider(None, name, None) if name else None


def _owner(snapshot: "DataSnapshot", info: "ModelInfo") -> str:
    """Whose row it is: for Azure, for instance, the list goes on to the rows of OpenAI."""
    return next(one.id for one in snapshot.providers if any(info is model for model in one.models))


def _price(current: "ModelPrice") -> Price:
    listed = {ours: getattr(current, theirs) for ours, theirs in _RATES.items()}
    thousand = getattr(current, "requests_kcount")  # noqa: B009  the list's attributes are made up as they are asked for
    per_request = thousand / 1000 if isinstance(thousand, Decimal) else None
    starts = sorted({start for price in listed.values() for start in _starts(price)})
    return Price(
        rates=_rates(listed, -1, per_request),
        tiers=tiers_of([(start, _rates(listed, start, per_request)) for start in starts]),
    )


def _starts(price: "Decimal | TieredPrices | None") -> Iterator[int]:
    if price is not None and not isinstance(price, Decimal):
        yield from (tier.start for tier in price.tiers)


def _rates(
    listed: "Mapping[str, Decimal | TieredPrices | None]", above_input: int, per_request: Decimal | None
) -> Rates:
    return Rates(**{name: _rate(price, above_input) for name, price in listed.items()}, per_request=per_request)


def _rate(price: "Decimal | TieredPrices | None", above_input: int) -> Decimal | None:
    """The rate of a call with more than `above_input` tokens of input."""
    if price is None or isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= above_input]
    return reached[-1] if reached else price.base
