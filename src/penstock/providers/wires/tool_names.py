"""Names of tools as every provider accepts them (`spec/providers.md` 13.2)."""

import hashlib
import re
from collections.abc import Iterable

from penstock.providers.base import Call

_MAX_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as providers accept it: `[A-Za-z_][A-Za-z0-9_-]{0,63}`, all different. Good names stay as they are."""
    names = list(dict.fromkeys(names))
    renamed = {name: name for name in names if _clean(name) == name}
    taken = set(renamed)
    for name in names:
        if name not in renamed:
            clean = _clean(name)
            if clean in taken or len(name) > _MAX_NAME:
                digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
                clean = f"{clean[: _MAX_NAME - 9]}_{digest}"
            renamed[name] = clean
            taken.add(clean)
    return renamed


def names_of(call: Call) -> dict[str, str]:
    """Those of a call, by the names that the caller has for them.

    What a tool is called does not hang on the history: the reader of the answer knows the tools only.
    """
    used = wire_names(one.name for message in call.messages for one in message.tool_calls)
    return used | wire_names(tool.name for tool in call.tools)


def _clean(name: str) -> str:
    clean = _NOT_IN_NAMES.sub("_", name)
    if not clean[:1].isalpha() and clean[:1] != "_":
        clean = f"_{clean}"
    return clean[:_MAX_NAME]
