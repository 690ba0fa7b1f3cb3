"""What a call on editor content is asked with (`spec/editor-api.md` 6.10 and 6.11)."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from penstock.gateway.routing.candidates import AGENT

MAX_PROMPT_LENGTH: Final = 100_000
MAX_ITEMS: Final = 200
_MAX_MODEL_LENGTH = 255
_MAX_LANGUAGE_LENGTH = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is null; leave the field out instead")
    return value


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds the character U+0000")
    return text


def _without_controls(text: str) -> str:
    """No HTML may hold them, and no editor shows them; they come along when text is pasted."""
    return _CONTROL.sub("", text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


Given = BeforeValidator(_given)
_Plain = AfterValidator(_without_nul)
_Html = Annotated[str, Field(max_length=10_000_000), AfterValidator(_without_controls)]
_Language = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=_MAX_LANGUAGE_LENGTH), AfterValidator(_one_line)
]


class Body(BaseModel):
    """Unknown fields are ignored, wrong types are refused and never converted, null is a wrong type."""

    model_config = ConfigDict(strict=True, extra="ignore")


class TextItem(Body):
    """HTML of the editor, whose blocks and images carry `data-id`."""

    type: Literal["text"]
    content: _Html


class Args(Body):
    """`language` is a free label: `spanish`, `Brazilian Portuguese`."""

    language: Annotated[_Language | None, Given] = None


class ContentCall(Body):
    """`content` is one item in practice; several are joined."""

    content: Annotated[list[TextItem], Field(max_length=MAX_ITEMS)]

    @property
    def html(self) -> str:
        return "".join(item.content for item in self.content)


class SystemCall(ContentCall):
    args: Annotated[Args, Given] = Args()


class CustomCall(ContentCall):
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_LENGTH), _Plain]
    model: Annotated[str, Field(min_length=1, max_length=_MAX_MODEL_LENGTH), _Plain] = AGENT
