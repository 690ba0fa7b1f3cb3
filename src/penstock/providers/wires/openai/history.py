"""What both OpenAI surfaces need of a conversation: texts, results, files, and a provider's own blocks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.providers.base import Document, Image, Message, Part, Quirks, Text
from penstock.providers.failures import Unsupported

NO_RESULT = "No result: the call was cancelled."


def plain(content: str | Sequence[Part]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if isinstance(part, Text))


def speaks_of_json(messages: Iterable[Message]) -> bool:
    return any("json" in plain(message.content).lower() for message in messages)


def results_of(messages: Sequence[Message], turn: int) -> Mapping[str, Message]:
    """The results of the calls of the turn at that place, by their ids; the last one counts.

    Some servers number their calls anew in each turn: a result is of the last call of its id before it.
    """
    wanted = {call.id for call in messages[turn].tool_calls}
    found: dict[str, Message] = {}
    for message in messages[turn + 1 :] if wanted else ():
        if message.role == "tool" and message.tool_call_id in wanted:
            found[message.tool_call_id] = message
        wanted.difference_update(call.id for call in message.tool_calls)
    return found


def own_blocks(message: Message, wire: str, model: str, quirks: Quirks) -> list[Mapping[str, Any]]:
    """The opaque blocks that may go back: of this wire and this model (`spec/providers.md` 2.5)."""
    if not quirks.opaque:
        return []
    return [one.block for one in message.opaque if one.wire == wire and one.model == model]


def image_url(image: Image, quirks: Quirks) -> str:
    """Raises Unsupported for what is no image, and for an address that the provider would not fetch."""
    scheme = image.url[:11].lower()
    if scheme == "data:image/":
        return image.url
    if scheme.startswith("data:"):
        raise Unsupported(
            "This provider reads images only; other files are not forwarded.",
            explanation="Documents are turned into text before they are sent. This one was not.",
            action="Send the text of the document, or use a provider that reads documents.",
        )
    if not quirks.fetches_images:
        raise Unsupported(
            "This provider does not fetch images; they are sent to it as data.",
            explanation="The image is an address whose bytes were not fetched.",
            action="Send the image itself, as a data: URI.",
        )
    return image.url


def document_of(document: Document, quirks: Quirks) -> Document:
    """Raises Unsupported where a PDF cannot be sent, and for any other kind of file."""
    if quirks.documents is None or document.url[:20].lower() != "data:application/pdf":
        raise Unsupported(
            "This provider does not read documents of this kind.",
            explanation="Their text is sent instead, where it can be extracted. This one came as a file.",
            action="Send the text of the document, or use a provider that reads documents.",
        )
    return document


def no_audio() -> Unsupported:
    return Unsupported(
        "This provider does not read audio.",
        explanation="The message has a recording, and this format has no place for one.",
        action="Send the text of the recording, or use a model that hears.",
    )


def needs_tools() -> Unsupported:
    """For a call that is about its tools, and a model that is known to lack them (S053)."""
    return Unsupported(
        "The model does not support tools.",
        explanation="It has said so a moment ago; the call was not sent again.",
        action="Choose a model with tool support for this feature.",
    )
