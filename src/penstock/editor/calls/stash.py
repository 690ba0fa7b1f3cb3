"""Files that stand in the HTML itself (`data:` addresses) are kept from the model and put back into its answer.

A pasted picture is often larger than the whole text around it, and no model can repeat it without a mistake.
"""

import re

# Possessive, so that a text which only begins like this costs one look at it.
_FILE = re.compile(r"data:[\w.+-]++/[\w.+-][\w;=.+-]*+,[^\"'\s<>)]{200,}+")
_NAME = re.compile(r"data:,file-(\d{1,6});")
_NAME_START = "data:,file-"
_LONGEST_NAME = len(_NAME_START) + 7
_MOST_TIMES = 4


class Stash:
    """The files of one document, each under a short name: `data:,file-1;`.

    `characters` is the length of all that was hidden.
    """

    def __init__(self) -> None:
        self._files: list[str] = []
        self._numbers: dict[str, int] = {}
        self.characters = 0

    @property
    def is_empty(self) -> bool:
        return not self._files

    def hidden(self, html: str) -> str:
        """`html` with the names in place of the files."""
        return _FILE.sub(self._name, html) if "data:" in html else html

    def restored(self, text: str) -> str:
        return Restoring(self).restored(text)

    def file(self, number: int) -> str | None:
        """None for a number that was never given."""
        return self._files[number] if number < len(self._files) else None

    def _name(self, found: "re.Match[str]") -> str:
        file = found.group()
        number = self._numbers.setdefault(file, len(self._files))
        if number == len(self._files):
            self._files.append(file)
        self.characters += len(file)
        return f"{_NAME_START}{number};"


class Restoring:
    """Puts the files back into text that comes in pieces.

    What it puts back is at most four times as long as all that was hidden: a model that repeats a name without end
    would make an answer of any length of it. From there on names stay names.
    """

    def __init__(self, stash: Stash) -> None:
        self._stash = stash
        self._held = ""
        self._characters_left = _MOST_TIMES * stash.characters

    def feed(self, text: str) -> str:
        if self._stash.is_empty:
            return text
        text = self._held + text
        begun = _begun_name(text)
        self._held = text[begun:]
        return self.restored(text[:begun])

    def end(self) -> str:
        held, self._held = self._held, ""
        return self.restored(held)

    def restored(self, text: str) -> str:
        return _NAME.sub(self._file, text)

    def _file(self, found: "re.Match[str]") -> str:
        file = self._stash.file(int(found[1]))
        if file is None or len(file) > self._characters_left:
            return found.group()
        self._characters_left -= len(file)
        return file


def _begun_name(text: str) -> int:
    """Where a name begins that the next piece may complete; the length of `text` where there is none."""
    for place in range(max(0, len(text) - _LONGEST_NAME), len(text)):
        tail = text[place:]
        digits = tail.removeprefix(_NAME_START)
        if _NAME_START.startswith(tail) or (digits != tail and digits.isdigit()):
            return place
    return len(text)
