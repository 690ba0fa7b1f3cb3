"""What can be wrong with a conversation or a message."""

from collections.abc import Sequence
from typing import Any

from penstock.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, Unavailable, UpstreamError
from penstock.providers.base import FinishReason


class ConversationNotFound(NotFound):
    """Unknown, deleted, or somebody else's: the three are not told apart."""

    code = "conversation_not_found"

    def __init__(self) -> None:
        super().__init__(
            "conversation does not exist",
            explanation="No conversation of this user has that id; it may have been deleted.",
            action="Create a conversation with `POST /v1/conversations`, or list those there are.",
        )


class ConversationExists(Conflict):
    """Also for an id of another user in the same environment; nothing else about it is told."""

    def __init__(self) -> None:
        super().__init__(
            "A conversation with this id exists already.",
            explanation="Conversation ids are unique in an environment.",
            action="Use another id, or leave it out and one is made.",
            param="id",
        )


class ConversationInUse(Conflict):
    code = "conversation_in_use"
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            "conversation in use",
            explanation="Another message of this conversation is being answered, in another tab perhaps.",
            action="Wait for that answer or stop it, then send the message again.",
            retry_after_s=2,
        )


class ConversationDeleted(NotFound):
    """Said inside a stream whose conversation was deleted meanwhile."""

    code = "conversation_not_found"

    def __init__(self) -> None:
        super().__init__(
            "The conversation was deleted while it was being answered.",
            action="Start a new conversation.",
        )


class TakenOver(Conflict):
    """Said inside a stream that lost its conversation to a later message."""

    code = "conversation_taken_over"

    def __init__(self) -> None:
        super().__init__(
            "The answer was stopped because the conversation was continued elsewhere.",
            explanation="Its process had lost its hold on the conversation: it had stood still for too long, "
            "or Redis had just gone away.",
            action="Open the conversation again to see how it went on.",
        )


class Stopping(Unavailable):
    code = "stopping"

    def __init__(self) -> None:
        super().__init__(
            "The answer was stopped because the service is being restarted.",
            explanation="What was written so far is kept.",
            action="Send the message again in a moment.",
        )


class EmptyReply(UpstreamError):
    """`finish` is the model's own word for its end, `reasoned` whether it thought before (S050, S067)."""

    code = "empty_reply"

    def __init__(self, finish: FinishReason, *, reasoned: bool) -> None:
        action = "Send the message again, put another way, or choose another model."
        if finish == "content_filter":
            message = "The provider's content filter withheld the answer (content_filter)."
            explanation = "It judged the answer before the first word of it was sent; such filters are sometimes wrong."
        elif finish == "length":
            message = "The model gave an empty answer."
            explanation = "It came to the limit of its length " + (
                "while it was still reasoning." if reasoned else "before it had written a word."
            )
            action = "Ask for less at a time, switch reasoning off, or choose another model."
        else:
            message = "The model gave an empty answer."
            explanation = (
                f"It ended in good order without writing any text{', after some reasoning' if reasoned else ''}."
            )
        super().__init__(message, explanation=explanation, action=action)


class BadCursor(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(
            "cursor: this cursor does not belong to this list.",
            explanation="It was changed, or comes from a list with another filter or order.",
            action="Send `nextCursor` of the same list as it was given, or none to begin again.",
            param="cursor",
        )


class ContextTooLarge(PayloadTooLarge):
    def __init__(self, length: int, limit: int, model: str) -> None:
        message = f"The message and what is attached to it have {length} characters; {limit} fit into this model."
        issue: dict[str, Any] = {"type": "too-long", "message": message, "length": length, "maxLength": limit}
        super().__init__(
            message,
            explanation=f"`maxContextLength` of the model `{model}` is {limit} characters.",
            action="Attach less, or choose a model with a larger context.",
            data={"issues": [issue]},
            param="content",
        )


class MoreThanAnyModelTakes(PayloadTooLarge):
    def __init__(self, length: int, limit: int) -> None:
        message = f"What is attached to the message has {length} characters; {limit} can be sent at once."
        issue: dict[str, Any] = {"type": "too-long", "message": message, "length": length, "maxLength": limit}
        super().__init__(
            message,
            explanation="That is more than any model takes.",
            action="Attach less, or the part that matters.",
            data={"issues": [issue]},
            param="content",
        )


class TooManyAttached(PayloadTooLarge):
    """`over` has what is too large, how large it is, and the limit; a model may be stricter than the upload was."""

    def __init__(self, over: Sequence[tuple[str, int, int]], model: str) -> None:
        issues = [
            {"type": "too-long", "message": f"{what}; {limit} are allowed.", "length": length, "maxLength": limit}
            for what, length, limit in over
        ]
        what, _, limit = over[0]
        super().__init__(
            f"The model `{model}` cannot take what is attached: {what}; {limit} are allowed.",
            explanation="These are the limits of the chosen model (`contextLimits` of its entry in MODELS).",
            action="Attach less, or choose a model with larger limits.",
            data={"issues": issues},
            param="content",
        )


class ContentNotFound(NotFound):
    """An attached thing that this conversation does not have."""

    def __init__(self, kind: str, content_id: str, place: str) -> None:
        super().__init__(
            f"There is no {kind} `{content_id}` in this conversation.",
            explanation="It was never uploaded to this conversation, or was deleted.",
            action=f"Leave it out of `content`, or attach the {kind} again.",
            param=place,
        )
