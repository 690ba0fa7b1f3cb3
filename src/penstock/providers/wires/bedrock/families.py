"""What the families of models on Bedrock accept, as data (`spec/providers.md` 9.2 and 9.4).

Claude is told apart further in `anthropic/families.py`. A model that no row knows (an imported model, the ARN of an
application's own profile) is given everything: its refusals say what to leave out.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from penstock.providers.wires.anthropic import families as anthropic_families

_ALL_CHOICES = frozenset({"required", "named"})


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of Converse that differ from one maker of models to the next."""

    tool_choices: frozenset[str] = frozenset()
    """The forms of `tool_choice` that are understood, beside `auto`."""
    results_alone: bool = False
    """A message with results of tools has nothing else."""
    results_beside_documents: bool = True
    """A message with results of tools may have documents."""
    result_status: bool = True
    """Results of tools say whether they succeeded."""
    starts_with_assistant: bool = False
    """The first turn may be the assistant's."""
    system: bool = True
    structured: bool = False
    """`outputConfig` and strict tools are known."""
    reasoning: Literal["anthropic", "effort", "nova"] | None = None
    """How reasoning is switched; None: it cannot be."""
    sampling: Literal["both", "one", "none"] = "both"
    """Whether `temperature` and `topP` are accepted, and together."""
    prefill: bool = True
    """The conversation may end with words of the assistant."""
    caches: bool = False
    """Marks for the prompt cache are accepted."""


_UNKNOWN = Family(tool_choices=_ALL_CHOICES)
_CLAUDE = Family(
    tool_choices=_ALL_CHOICES, results_beside_documents=False, starts_with_assistant=True, reasoning="anthropic"
)
_OPEN = Family(structured=True)

# Searched in the whole id, whatever its geography or ARN; the first that matches counts.
_FAMILIES: Sequence[tuple[str, Family]] = (
    (r"anthropic\.claude|claude-", _CLAUDE),
    (r"amazon\.nova-2", Family(tool_choices=_ALL_CHOICES, reasoning="nova")),
    (r"amazon\.nova", Family(tool_choices=_ALL_CHOICES)),
    (r"amazon\.titan", Family(system=False)),
    (r"openai\.gpt-oss", Family(structured=True, reasoning="effort")),
    (r"meta\.llama", Family(results_alone=True)),
    (r"mistral\.(?:mistral-7b|mixtral-8x7b)", Family(results_alone=True, system=False)),
    (r"mistral\.mistral-large-24", Family(results_alone=True, tool_choices=_ALL_CHOICES)),
    (r"mistral\.mistral-large", Family(results_alone=True, tool_choices=_ALL_CHOICES, structured=True)),
    (r"mistral\.(?:magistral|ministral|voxtral)", Family(results_alone=True, structured=True)),
    (r"mistral\.", Family(results_alone=True)),
    (r"writer\.", Family(result_status=False)),
    (r"qwen\.", Family(structured=True, starts_with_assistant=True)),
    (r"cohere\.command-(?:text|light)|ai21\.j2", Family(system=False)),
    (r"deepseek\.r1", Family()),
    (r"(?:deepseek|google|minimax|moonshot|moonshotai|nvidia|zai)\.", _OPEN),
    (r"(?:cohere|ai21|stability|luma|twelvelabs)\.", Family()),
    (r"", _UNKNOWN),
)


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """The family by the model's id: bare, with a geography before it, or inside an ARN."""
    name = model.lower()
    family = next(family for pattern, family in _FAMILIES if re.search(pattern, name))
    if family is not _CLAUDE:
        return family
    claude = anthropic_families.family_of(model)
    return msgspec.structs.replace(
        family,
        structured=claude.structured,
        sampling=claude.sampling,
        prefill=claude.prefill,
        # Older ones refuse a mark, except one that is hardly called any more.
        caches=claude.thinking is not None,
    )


# Where an inference profile keeps its calls, by the beginning of the region; the first that matches counts.
_PROFILE_PREFIXES: Sequence[tuple[str, tuple[str, ...]]] = (
    ("us-gov-", ("us-gov.",)),
    ("us-", ("us.", "global.")),
    ("ca-", ("ca.", "global.")),
    ("eu-", ("eu.", "global.")),
    ("ap-northeast-1", ("jp.", "apac.", "global.")),
    ("ap-northeast-3", ("jp.", "apac.", "global.")),
    ("ap-southeast-2", ("au.", "apac.", "global.")),
    ("ap-southeast-4", ("au.", "apac.", "global.")),
    ("ap-", ("apac.", "global.")),
    ("cn-", ()),
)


def profile_prefixes(region: str) -> tuple[str, ...]:
    """What may stand before a base model's id in calls from `region`, the nearest first; empty: nothing may."""
    return next((found for start, found in _PROFILE_PREFIXES if region.startswith(start)), ("global.",))
