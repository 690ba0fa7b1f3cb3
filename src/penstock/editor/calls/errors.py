"""What can be wrong with a call on editor content, or with what a model made of it."""

import difflib
from collections.abc import Iterable
from typing import Any

from penstock.errors import InvalidRequest, NotFound, PayloadTooLarge, Unprocessable, UpstreamError
from penstock.providers.base import FinishReason


class UnknownName(NotFound):
    """`kind` is `action` or `review`."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(name.lower().replace("_", "-"), names, n=3, cutoff=0.5)
        meant = "Did you mean " + ", ".join(f"`{one}`" for one in nearest) + "?" if nearest else "Use one of these."
        super().__init__(
            f"There is no {kind} `{name[:100]}`.",
            explanation=f"The {kind}s are: {', '.join(names)}.",
            action=f"{meant} With a prompt of your own, `POST /v1/{kind}s/custom/calls`.",
        )


class EmptyContent(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(
            "content: there is nothing to work on.",
            explanation="`content` has no item, or only empty ones.",
            action='Send the HTML of the editor: `"content": [{"type": "text", "content": "<p>…</p>"}]`.',
            param="content",
        )


class LanguageMissing(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(
            "args.language: a translation needs a language.",
            explanation="The request does not say into which language the content is to be translated.",
            action='Send it by its name: `"args": {"language": "spanish"}`.',
            param="args.language",
        )


class ContentTooLong(PayloadTooLarge):
    def __init__(self, length: int, limit: int, model: str) -> None:
        message = f"The content has {length} characters; {limit} fit into this model."
        issue: dict[str, Any] = {"type": "too-long", "message": message, "length": length, "maxLength": limit}
        super().__init__(
            message,
            explanation=f"`maxContextLength` of the model `{model}` is {limit} characters; the prompt counts too.",
            action="Select less at a time, or use a model with a larger context.",
            data={"issues": [issue]},
            param="content",
        )


class NoModelFor(Unprocessable):
    code = "no_model"

    def __init__(self, feature: str) -> None:
        umbrella = feature.partition(".")[0]
        wanted = f"`{umbrella}`" if umbrella == feature else f"`{umbrella}` or `{feature}`"
        super().__init__(
            f"No model is set up for `{feature}`.",
            explanation=f"No usable entry of MODELS has {wanted} in its `features`.",
            action=f"Ask the operator to add {wanted} to the `features` of a model.",
        )


class NothingUsable(UpstreamError):
    """`finish` is the model's own word for its end, `complaint` what is wrong with what it wrote."""

    code = "empty_reply"

    def __init__(self, finish: FinishReason, complaint: str | None = None) -> None:
        action = "Try again, put it another way, or choose another model."
        if finish == "content_filter":
            message = "The provider's content filter withheld the answer (content_filter)."
            explanation = "It judged the answer before any of it was usable; such filters are sometimes wrong."
        elif finish == "length":
            message = "The model came to the limit of its length before it had written anything usable."
            explanation = "Its answer was cut off."
            action = "Select less at a time, or choose another model."
        elif complaint:
            message = "The model gave an answer that the editor cannot use."
            explanation = complaint
        else:
            message = "The model gave an empty answer."
            explanation = "It ended in good order without writing any text."
        super().__init__(message, explanation=explanation, action=action)
