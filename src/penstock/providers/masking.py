"""What must not leave a provider's answer: keys, tokens, private keys."""

import re
from collections.abc import Iterable

MASK = "***"

# A configured value shorter than this is a word, not a secret; replacing it would garble every sentence.
_SHORTEST_SECRET = 6

# Nothing here may go back over blanks: a page of them would keep the event loop for seconds.
_OPENAI_ECHO = re.compile(
    r"(Incorrect API key provided)(?:\s*+:)?+\s++(?:'[^']*'|\"[^\"]*\"|[^\s'\"]*[^\s'\".])", re.IGNORECASE
)
_PATTERNS = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|\b(?:sk-|xai-|(?:sk|gsk|sgk|fw|hf|r8)_)[A-Za-z0-9_*-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{8,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}",
    re.DOTALL,
)
_NAMED = re.compile(
    r"(\bBearer\s+)[A-Za-z0-9._~+/=*-]{6,}"
    r"|(\bX-Amz-Security-Token[\"']?\s*[=:]\s*[\"']?)[^\s\"'&]+"
    r"|(\b(?:x-api-key|api-key|x-goog-api-key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]+",
    re.IGNORECASE,
)


_CUT = "…"


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every configured secret and everything that has the form of one replaced by `***`.

    `secrets` are revealed values. Account numbers in ARNs stay: the provider's support asks for them.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = _without_half(text.replace(secret, MASK), secret)
    text = _OPENAI_ECHO.sub(rf"\1: {MASK}", text)
    text = _PATTERNS.sub(MASK, text)
    return _NAMED.sub(lambda found: (found[1] or found[2] or found[3]) + MASK, text)


def _without_half(text: str, secret: str) -> str:
    """Texts may have been cut before their secrets were known: what is left of one stands at the end."""
    end = text.removesuffix(_CUT)
    for size in range(min(len(secret), len(end)), _SHORTEST_SECRET - 1, -1):
        if end.endswith(secret[:size]):
            return end[:-size] + MASK + text[len(end) :]
    return text
