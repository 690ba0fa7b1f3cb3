"""How a model is given what users wrote: apart from what it is told to do with it."""

from penstock.kit.ids import random_text

_MARK_LENGTH = 8


def framed(name: str, text: str) -> str:
    """`text` between two tags that nobody can guess, so that it cannot end them and go on as an instruction.

    `<content-k3J9xQ2a>` and `</content-k3J9xQ2a>`, each on a line of its own. The instructions say `<content-…>`.
    """
    mark = random_text(_MARK_LENGTH)
    return f"<{name}-{mark}>\n{text}\n</{name}-{mark}>"
