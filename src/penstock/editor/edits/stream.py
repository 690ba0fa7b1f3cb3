"""What a model writes as an edit, made into what the editor's client understands, while it is written."""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from penstock.editor.edits.chat import ChatWriter
from penstock.editor.edits.continuation import ContinuationWriter
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.elements import BLOCKS
from penstock.editor.edits.findings import Findings
from penstock.editor.edits.nodes import Comment, Loose, NodeReader, RawElement, RawNode
from penstock.editor.edits.plain import readable
from penstock.editor.edits.replacement import ReplacementWriter
from penstock.editor.edits.writer import Writer

_ESCAPED: Final = re.compile(rf"[ \t]*(&lt;(?:!--|(?:edit|img|{'|'.join(sorted(BLOCKS))})(?:\s|&gt;)))", re.IGNORECASE)
_MAY_BE_ESCAPED: Final = re.compile(r"[ \t]*(?:&|&l|&lt|&lt;[!\w-]{0,14}(?:&|&g|&gt)?)?\Z", re.IGNORECASE)
_LINE_ENDS: Final = re.compile("[\n<]")
_REFERENCES: Final = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#34;": '"', "&#39;": "'", "&apos;": "'", "&amp;": "&"}
_REFERENCE: Final = re.compile("|".join(_REFERENCES))
_LONGEST_REFERENCE: Final = 6


class Grammar(Enum):
    CHAT = "chat"
    """8.2 and 8.3."""
    REPLACEMENT = "replacement"
    """8.4: all actions but `continue`."""
    CONTINUATION = "continuation"
    """8.4: `continue`."""


_WRITERS: Final[dict[Grammar, type[Writer]]] = {
    Grammar.CHAT: ChatWriter,
    Grammar.REPLACEMENT: ReplacementWriter,
    Grammar.CONTINUATION: ContinuationWriter,
}


class EditStream:
    """Takes the model's text; gives what may be sent to the client, element by element at the top."""

    def __init__(self, document: SentDocument, grammar: Grammar) -> None:
        self.has_output = False
        """Whether something of the model's was sent, not only what was filled in so that nothing is lost."""
        self._findings = Findings(document)
        self._reader = NodeReader(document)
        self._writer = _WRITERS[grammar](document, self._findings)
        self._loose: list[str] = []
        self._has_text = False
        self._line: str | None = ""
        """What there is of a line that may be escaped markup; None when it is not."""
        self._unescape: _Unescaper | None = None

    @property
    def repairs(self) -> Sequence[str]:
        """What was mended, in words, for the log."""
        dropped = [f"<{name}> was left out" for name in dict.fromkeys(self._reader.dropped)]
        return [*self._findings.repairs, *dropped]

    @property
    def is_between_nodes(self) -> bool:
        return self._reader.is_between_nodes

    def feed(self, text: str) -> str:
        """What may be sent to the client now; mostly nothing."""
        self._has_text = self._has_text or not text.isspace()
        position = 0
        while position < len(text):
            position = self._feed_some(text, position)
        return self._taken()

    def pause(self) -> str:
        """The model has left the edit, and may come back to it."""
        self._end_node(cut_off=False)
        self._writer.pause()
        return self._taken()

    def end(self, *, cut_off: bool = False) -> str:
        """The rest. `cut_off`: the answer did not end in good order; what was begun and not finished is dropped."""
        self._end_node(cut_off=cut_off)
        if not self._has_text:
            return ""
        self._writer.end(cut_off=cut_off)
        return self._taken()

    def complaint(self) -> str | None:
        """What the model has to do better, when something it wrote was thrown away; None when nothing was lost."""
        return self._findings.complaint()

    def rejected_text(self) -> str:
        """What a person can read of what was thrown away."""
        return self._findings.rejected_text()

    def _taken(self) -> str:
        out = self._writer.take().replace("\0", "")
        self.has_output = self.has_output or self._writer.has_written
        return out

    def _end_node(self, *, cut_off: bool) -> None:
        if self._unescape is not None:
            self._read(self._unescape.end())
        for node in self._reader.end():
            if isinstance(node, RawElement) and (cut_off or not node.markup.strip()):
                self._findings.lost("The answer broke off within an element.", readable(node.markup))
            else:
                self._take(node)
        self._end_loose()
        self._line = ""
        self._unescape = None

    def _read(self, text: str) -> None:
        for node in self._reader.feed(text):
            self._take(node)

    def _take(self, node: RawNode) -> None:
        if isinstance(node, Loose):
            self._loose.append(node.text)
            return
        self._end_loose()
        if isinstance(node, Comment):
            self._writer.comment(node.text)
        else:
            self._writer.element(node)

    def _end_loose(self) -> None:
        if self._loose:
            self._writer.loose("".join(self._loose))
            self._loose.clear()

    # --- markup that the model has escaped ---------------------------------------------------------------------------

    def _feed_some(self, text: str, start: int) -> int:
        """Read up to where the answer to what follows may be another; where that is, no cut of the text changes."""
        if self._unescape is not None:
            self._read(self._unescape.feed(text[start:]))
            return len(text)
        if not self._reader.is_between_nodes:
            end = text.find(">", start) + 1 or len(text)
            self._line = ""
        elif self._line is None:
            stop = _LINE_ENDS.search(text, start)
            end = stop.end() if stop else len(text)
            self._line = "" if stop and stop.group() == "\n" else None
        else:
            return self._feed_line(self._line + text[start], text, start)
        self._read(text[start:end])
        return end

    def _feed_line(self, line: str, text: str, place: int) -> int:
        """Between elements, at the beginning of a line: escaped markup would begin here."""
        found = _ESCAPED.fullmatch(line)
        if found is not None:
            self._begin_unescaping(found[1], text[place + 1 :])
            return len(text)
        self._line = line if _MAY_BE_ESCAPED.match(line) else "" if text[place] == "\n" else None
        self._read(text[place])
        return place + 1

    def _begin_unescaping(self, begun: str, rest: str) -> None:
        self._findings.mended("the markup was escaped")
        self._unescape = _Unescaper()
        whole = "".join(self._loose)
        self._loose = [whole[: len(whole) - len(begun) + 1]]
        self._read(self._unescape.feed(begun + rest))


class _Unescaper:
    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        text = self._held + text
        start = text.rfind("&", max(0, len(text) - _LONGEST_REFERENCE))
        self._held = text[start:] if start >= 0 and ";" not in text[start:] else ""
        return _REFERENCE.sub(lambda found: _REFERENCES[found[0]], text[: len(text) - len(self._held)])

    def end(self) -> str:
        held, self._held = self._held, ""
        return held
