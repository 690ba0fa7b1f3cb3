"""Who screens what users send, as `MODERATION` says (`spec/editor-api.md` 10.6)."""

from collections.abc import Iterable

import msgspec

from penstock.http.outbound import shown
from penstock.kit.secret import Secret
from penstock.providers.base import ProviderConfig

OPENAI_URL = "https://api.openai.com/v1"
OMNI = "omni-moderation-latest"


class OpenAIScreening(msgspec.Struct, frozen=True, kw_only=True):
    """`key` None: the keys of the first entry of type `openai` in PROVIDERS, at that entry's address."""

    key: Secret | None = None
    base_url: str = OPENAI_URL
    model: str = OMNI


class CustomScreening(msgspec.Struct, frozen=True, kw_only=True):
    """A service of the operator's own. `headers` may hold its credential."""

    url: str
    headers: tuple[tuple[str, Secret], ...] = ()

    def __repr__(self) -> str:
        """Without the query of the address, which may hold a key."""
        return f"CustomScreening({self.url.partition('?')[0]!r})"


class ModerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`timeout_s` is the time of one request to the screening service."""

    screening: OpenAIScreening | CustomScreening
    timeout_s: float = 15.0


def described(options: ModerationOptions | None, providers: Iterable[ProviderConfig]) -> str:
    """For the boot report: whether anything is screened, and where it is sent for that (W-32)."""
    if options is None:
        return "Moderation is off: nothing that users write is screened, or sent anywhere to be screened."
    match options.screening:
        case CustomScreening(url=url):
            place = f"the service at {shown(url)}"
        case OpenAIScreening(key=None, base_url=base_url, model=model):
            lent = next((one for one in providers if one.type == "openai"), None)
            place = f"{model} at {shown(lent.base_url if lent else base_url)}"
        case OpenAIScreening(base_url=base_url, model=model):
            place = f"{model} at {shown(base_url)}"
    return f"Moderation is on: what users write, and the pictures they upload, is sent to {place} before any model."
