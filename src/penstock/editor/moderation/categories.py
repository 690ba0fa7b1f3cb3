"""The names of what is flagged: the editor's six where they fit (`spec/editor-api.md` 9.1), else the service's own."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

OURS: Final = ("sexual", "harassment", "hate", "illicit", "selfHarm", "violence")

_BY_PLAIN_NAME: Final = {name.lower(): name for name in OURS}
_MOST_NAMES: Final = 20
_MOST_CHARS: Final = 64


def named(flagged: Iterable[str]) -> Sequence[str]:
    """Ours first and in their order, without repetition: `self-harm/intent` is `selfHarm`."""
    found = dict.fromkeys(_name(one) for one in flagged)
    others = [name for name in found if name and name not in OURS]
    return [*(name for name in OURS if name in found), *others][:_MOST_NAMES]


def _name(given: str) -> str:
    main = re.split(r"[/:.]", given, maxsplit=1)[0]
    known = _BY_PLAIN_NAME.get(re.sub(r"[-_ ]", "", main).lower())
    return known or "".join(sign for sign in given if sign.isprintable())[:_MOST_CHARS].strip()
