"""What a refusal of the Messages format teaches about a model, and how the call is said again (4.7 and 6.4)."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.errors import UpstreamError
from penstock.providers.base import Amendment, Quirks
from penstock.providers.wires.anthropic.families import LEVELS, family_of
from penstock.providers.wires.anthropic.tools import FORMAT_FIELD

_LEVELS_LISTED = re.compile(r"supported (?:effort )?(?:levels|values)(?: are)?:?\s*([a-z',\"` ]+)")
_EXTRA = re.compile(r"(?:^|[\s\"'`])([a-z_0-9.]+)[\"'`]?: extra inputs are not permitted")
_MOST_OUTPUT = re.compile(r"max_tokens: \d+ > (\d+)")
_SAMPLING = ("temperature", "top_p")

Lesson = Callable[[str, str, Quirks], Amendment | None]


def amended(error: UpstreamError, model: str, quirks: Quirks) -> Amendment | None:
    """Another way to say the same; None when the refusal names nothing that could be said otherwise."""
    if error.upstream_status not in (400, 422):
        return None
    text = error.message.lower()
    found = (lesson(text, model, quirks) for lesson in _LESSONS)
    return next((one for one in found if one is not None), None)


def _complaint(text: str) -> str:
    """The sentence up to what is accepted instead: `… is not supported. Use "thinking.type.adaptive" and …`."""
    return re.split(r"supported (?:types|values)|instead|\buse ", text)[0]


def _about_effort(text: str, _: str, quirks: Quirks) -> Amendment | None:
    complaint = _complaint(text)
    if "effort" not in complaint or not ("support" in complaint or "not permitted" in complaint):
        return None
    listed = _LEVELS_LISTED.search(text)
    words = re.findall(r"[a-z]+", listed[1]) if listed else []
    return _learnt(quirks, efforts=tuple(level for level in LEVELS if level in words))


def _about_thinking(text: str, model: str, quirks: Quirks) -> Amendment | None:
    """Which ways of switching it there are."""
    if "expected `thinking`" in text or "must start with a thinking block" in text:
        return _for_this_call(quirks, thinking="off")
    if "display" in text and "thinking" in text:
        return _dropping(quirks, "display")
    if "thinking.type" in text or "adaptive thinking" in text:
        refused = _complaint(text)
        if "disabled" in refused or "between_tools" in refused:
            return _dropping(quirks, "thinking")
        return _learnt(quirks, thinking="budget" if "adaptive" in refused else "adaptive")
    if "thinking" in text and "tool_choice" in text:
        if family_of(model).always_thinks or "thinking" in quirks.dropped:
            return _dropping(quirks, "tool_choice", lasts_s=0)
        return _for_this_call(quirks, thinking="off")
    if "does not support" in text and "thinking" in text:
        return _dropping(quirks, "thinking", thinking="off")
    return None


def _about_blocks(text: str, _: str, quirks: Quirks) -> Amendment | None:
    if "signature" in text or ("thinking" in text and "block" in text):
        return _for_this_call(quirks, opaque=False)
    return None


def _about_prefill(text: str, _: str, quirks: Quirks) -> Amendment | None:
    if "prefill" in text or "must end with a user message" in text:
        return _dropping(quirks, "prefill")
    return None


def _about_output_size(text: str, _: str, quirks: Quirks) -> Amendment | None:
    if (most := _MOST_OUTPUT.search(text)) is not None and int(most[1]) > 0:
        return _learnt(quirks, max_output=int(most[1]))
    if "max_tokens" in text and "exceed context limit" in text:
        return _dropping(quirks, "max_tokens", lasts_s=0)
    return None


def _about_form(text: str, _: str, quirks: Quirks) -> Amendment | None:
    """A schema that is refused says nothing about the next one; a model without the field does."""
    lasting: dict[str, Any] = {"lasts_s": 0} if "schema" in text else {}
    if "output_config.format" in text or "output_format" in text or "structured output" in text:
        return _dropping(quirks, FORMAT_FIELD, **lasting)
    if "strict" in text and "tool" in text:
        return _dropping(quirks, "strict", **lasting)
    return None


def _about_sampling(text: str, _: str, quirks: Quirks) -> Amendment | None:
    if "temperature" in text and "top_p" in text and "both" in text:
        return _dropping(quirks, "top_p")
    refused = "not supported" in text or "deprecated" in text or "not permitted" in text or "may only be set" in text
    named = [field for field in _SAMPLING if field in text]
    return _dropping(quirks, *named) if refused and named else None


def _about_fields(text: str, _: str, quirks: Quirks) -> Amendment | None:
    """`system.0.cache_control: Extra inputs are not permitted`, and any other field that is not known."""
    extra = _EXTRA.search(text)
    if extra is None:
        return None
    known = ("cache_control", "stop_sequences", "metadata", "tool_choice")
    named = [field for field in known if field in extra[1].split(".")]
    return _dropping(quirks, *named) if named else None


_LESSONS: Sequence[Lesson] = (
    _about_effort,
    _about_thinking,
    _about_blocks,
    _about_prefill,
    _about_output_size,
    _about_form,
    _about_sampling,
    _about_fields,
)


def _learnt(quirks: Quirks, **changes: Any) -> Amendment | None:
    other = msgspec.structs.replace(quirks, **changes)
    return None if other == quirks else Amendment(quirks=other)


def _for_this_call(quirks: Quirks, **changes: Any) -> Amendment | None:
    found = _learnt(quirks, **changes)
    return None if found is None else msgspec.structs.replace(found, lasts_s=0.0)


def _dropping(quirks: Quirks, *fields: str, lasts_s: float | None = None, **changes: Any) -> Amendment | None:
    found = _learnt(quirks, dropped=quirks.dropped.union(fields), **changes)
    if found is None or lasts_s is None:
        return found
    return msgspec.structs.replace(found, lasts_s=lasts_s)
