"""Files that stand in the HTML itself (`data:` addresses) are kept from the model and put back into its answer.

A pasted picture is often larger than the whole text around it, and no model can repeat it without a mistake.
"""

import re

_FILE = re.compile(r"data:[\w.+-]+/[\w.+-]+[\w;=.+-]*,[^\"'\s<>)]{200,}")
_NAME = re.compile(r"data:,file-(\d{1,6});")
_NAME_START = "data:,file-"
_LONGEST_NAME = len(_NAME_START) + 7


class Stash:
    """The files of one document, each under a short name: `data:,file-1;`."""

    def __init__(self) -> None:
        self._files: list[str] = []

    @property
    def is_empty(self) -> bool:
        return not self._files

    def hidden(self, html: str) -> str:
        """`html` with the names in place of the files."""
        return _FILE.sub(self._name, html) if "data:" in html else html

    def restored(self, text: str) -> str:
        return _NAME.sub(self._file, text)

    def _name(self, found: "re.Match[str]") -> str:
        file = found.group()
        if file not in self._files:
            self._files.append(file)
        return f"{_NAME_START}{self._files.index(file)};"

    def _file(self, found: "re.Match[str]") -> str:
        """A name that was never given stays as it is."""
        number = int(found[1])
        return self._files[number] if number < len(self._files) else found.group()


class Restoring:
    """Puts the files back into text that comes in pieces."""

    def __init__(self, stash: Stash) -> None:
        self._stash = stash
        self._held = ""

    def feed(self, text: str) -> str:
        if self._stash.is_empty:
            return text
        text = self._held + text
        begun = _begun_name(text)
        self._held = text[begun:]
        return self._stash.restored(text[:begun])

    def end(self) -> str:
        held, self._held = self._held, ""
        return self._stash.restored(held)


def _begun_name(text: str) -> int:
    """Where a name begins that the next piece may complete; the length of `text` where there is none."""
    for place in range(max(0, len(text) - _LONGEST_NAME), len(text)):
        tail = text[place:]
        digits = tail.removeprefix(_NAME_START)
        if _NAME_START.startswith(tail) or (digits != tail and digits.isdigit()):
            return place
    return len(text)
