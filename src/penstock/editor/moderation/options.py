"""Who screens what users send, as `MODERATION` says (`spec/editor-api.md` 10.6)."""

import msgspec

from penstock.kit.secret import Secret

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
