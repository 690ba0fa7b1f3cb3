"""What a model finds in a call on editor content: the frames with what users wrote, and what stands around them."""

import re
from collections.abc import Callable, Sequence

from tests.fakes.openai_upstream import Finish, Received, Step, Text

_FRAME = re.compile(r"<(content|task|language|before|after)-(\w+)[^>]*>\n(.*?)\n</\1-\2>", re.DOTALL)


def frames_of(request: Received) -> dict[str, str]:
    """By name, from the last message."""
    return {name: text for name, _, text in _FRAME.findall(str(request.last_text))}


def content_of(request: Received) -> str:
    return frames_of(request)["content"]


def around_frames(request: Received) -> str:
    """Everything the model is told that no user wrote."""
    return "\n".join(_FRAME.sub("", str(message["content"])) for message in request.json["messages"])


def spoken(text: str, size: int = 9) -> Sequence[Step]:
    """As a model streams it."""
    return [*(Text(text[at : at + size]) for at in range(0, len(text), size)), Finish()]


def model(rewrite: Callable[[str], str]) -> Callable[[Received], Sequence[Step]]:
    """A model that makes its answer from the content it is given."""
    return lambda request: spoken(rewrite(content_of(request)))
