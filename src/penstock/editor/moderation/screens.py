"""The services that screen: what each is asked, and how its answer is read."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from penstock.editor.moderation.options import CustomScreening, ModerationOptions, OpenAIScreening
from penstock.http.endpoint import Endpoint, EndpointFailed
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig

Providers = Callable[[], Iterable[ProviderConfig]]
"""The entries of PROVIDERS that are in force now."""

Flagged = Sequence[str] | None
"""The service's own names of what it flagged, which may be none; None: nothing was flagged."""

_MOST_ANSWER_BYTES: Final = 1024 * 1024
_ANOTHER_KEY_MAY_DO: Final = frozenset({401, 403, 429})
_ODD: Final = "gave an answer that is none to the question"


class Screen(Protocol):
    texts_at_once: int

    async def texts(self, texts: Sequence[str]) -> Flagged:
        """At most `texts_at_once`. Raises EndpointFailed."""

    async def image(self, mime: str, content: bytes) -> Flagged:
        """Raises EndpointFailed."""

    async def aclose(self) -> None: ...


def open_screen(options: ModerationOptions, providers: Providers) -> Screen:
    match options.screening:
        case OpenAIScreening() as screening:
            return OpenAIScreen(screening, options.timeout_s, providers)
        case CustomScreening() as screening:
            return CustomScreen(screening, options.timeout_s)


class CustomScreen:
    """One question for each text or picture; a picture goes as a data URI (`spec/editor-api.md` 10.6)."""

    texts_at_once = 1

    def __init__(self, screening: CustomScreening, timeout_s: float) -> None:
        headers = [(name, value.reveal()) for name, value in screening.headers]
        self._endpoint = Endpoint(screening.url, headers=headers, timeout_s=timeout_s, max_bytes=_MOST_ANSWER_BYTES)

    async def texts(self, texts: Sequence[str]) -> Flagged:
        return _verdict(await self._endpoint.ask({"type": "text", "content": texts[0]}))

    async def image(self, mime: str, content: bytes) -> Flagged:
        return _verdict(await self._endpoint.ask({"type": "image", "content": _data_uri(mime, content)}))

    async def aclose(self) -> None:
        await self._endpoint.aclose()


class _Account(msgspec.Struct, frozen=True):
    base_url: str
    keys: tuple[Secret, ...]
    headers: tuple[tuple[str, str], ...] = ()
    proxy: Secret | None = None
    ca_file: str | None = None


class OpenAIScreen:
    """`POST /moderations`, many texts to a question. Where one key is refused or spent, the next one is tried."""

    texts_at_once = 16

    def __init__(self, screening: OpenAIScreening, timeout_s: float, providers: Providers) -> None:
        self._screening = screening
        self._timeout_s = timeout_s
        self._providers = providers
        self._endpoints: dict[tuple[str, str | None, str | None], Endpoint] = {}

    async def texts(self, texts: Sequence[str]) -> Flagged:
        return await self._asked(list(texts), len(texts))

    async def image(self, mime: str, content: bytes) -> Flagged:
        return await self._asked([{"type": "image_url", "image_url": {"url": _data_uri(mime, content)}}], 1)

    async def aclose(self) -> None:
        for endpoint in self._endpoints.values():
            await endpoint.aclose()

    async def _asked(self, asked: Sequence[Any], results: int) -> Flagged:
        account = self._account()
        question = {"model": self._screening.model, "input": asked}
        for number, key in enumerate(account.keys, 1):
            headers = [*account.headers, ("Authorization", f"Bearer {key.reveal()}")]
            try:
                return _together(await self._endpoint(account).ask(question, headers=headers), results)
            except EndpointFailed as error:
                if error.status not in _ANOTHER_KEY_MAY_DO or number == len(account.keys):
                    raise
        raise EndpointFailed("has no key: PROVIDERS has no entry of type `openai` any more")

    def _account(self) -> _Account:
        if self._screening.key is not None:
            return _Account(self._screening.base_url, (self._screening.key,))
        for one in self._providers():
            if one.type == "openai":
                headers = tuple(
                    (name, value.reveal() if isinstance(value, Secret) else value) for name, value in one.headers
                )
                return _Account(one.base_url, one.api_keys, headers, one.proxy, one.ca_file)
        return _Account("", ())

    def _endpoint(self, account: _Account) -> Endpoint:
        proxy = account.proxy.reveal() if account.proxy else None
        place = (account.base_url, proxy, account.ca_file)
        if place not in self._endpoints:
            self._endpoints[place] = Endpoint(
                account.base_url.rstrip("/") + "/moderations",
                timeout_s=self._timeout_s,
                max_bytes=_MOST_ANSWER_BYTES,
                proxy=proxy,
                ca_file=account.ca_file,
            )
        return self._endpoints[place]


def _together(answer: Any, expected: int) -> Flagged:
    """One verdict over all results. Raises EndpointFailed when a text has none."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != expected:
        raise EndpointFailed(_ODD)
    verdicts = [one for one in map(_verdict, results) if one is not None]
    return [name for verdict in verdicts for name in verdict] if verdicts else None


def _verdict(answer: Any) -> Flagged:
    """`flagged` decides, `categories` say why. Raises EndpointFailed when there is no decision."""
    if not isinstance(answer, dict) or not isinstance(answer.get("flagged"), bool):
        raise EndpointFailed(_ODD)
    if not answer["flagged"]:
        return None
    categories = answer.get("categories")
    if not isinstance(categories, Mapping):
        return []
    return [name for name, is_flagged in categories.items() if is_flagged is True]


def _data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{b64encode(content).decode()}"
