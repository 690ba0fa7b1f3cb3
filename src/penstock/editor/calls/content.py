"""The content of a call, checked before a model sees it."""

from typing import TYPE_CHECKING

from penstock.editor.calls.errors import EmptyContent
from penstock.editor.calls.schemas import ContentCall

if TYPE_CHECKING:
    from penstock.editor.moderation.service import Moderation


def html_of(call: ContentCall) -> str:
    """Raises EmptyContent. An empty paragraph is not empty: that is how an empty editor is sent."""
    html = call.html
    if not html.strip():
        raise EmptyContent
    return html


async def screen(moderation: "Moderation | None", *texts: str) -> None:
    """Raises ContentModerated, for what the user wrote as a whole."""
    if moderation is not None:
        await moderation.check_text("\n\n".join(texts))
