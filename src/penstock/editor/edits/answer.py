"""A chat model's answer: what it says, and what it edits, told apart while it arrives.

Models are told to put edits between `<edit>` and `</edit>`. Those that forget write a block of HTML in a fence, or bare
HTML at the beginning of a line; both count when their elements carry ids of the document. HTML that is only talked
about stays prose.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from penstock.editor.edits.document import NEW, SentDocument, data_id_of
from penstock.editor.edits.nodes import NodeReader
from penstock.editor.edits.plain import readable
from penstock.editor.edits.stream import EditStream, Grammar
from penstock.editor.edits.writer import read_comment

_INLINE: Final = re.compile(r"[<`\n]")
_INDENT: Final = re.compile(r"[ \t]*")
_FENCE: Final = re.compile(r"(`{3,}|~{3,})([^\n`]*)(?:\n|\Z)")
_FENCE_BEGUN: Final = re.compile(r"(?:`{1,2}|~{1,2}|`{3,}[^\n`]{0,80}|~{3,}[^\n]{0,80})\Z")
_EDIT_TAG: Final = re.compile(r"<(/?)edit\b([^<>]{0,200})>", re.IGNORECASE)
_ESCAPED_TAG: Final = re.compile(r"&lt;(/?)edit\b((?:(?!&lt;|&gt;).){0,200})&gt;", re.IGNORECASE)
_TAG_BEGUN: Final = re.compile(r"<(?:[a-zA-Z]|!|\Z)")
_NUMBER: Final = re.compile(r"document\D{0,10}(\d{1,4})", re.IGNORECASE)
_HTML_FENCES: Final = frozenset(("", "edit", "htm", "html", "xhtml", "xml"))
_LONGEST_EDIT_TAG: Final = 250
_LONGEST_TAG: Final = 2_000
_LONGEST_COMMENT: Final = 300


class Said(msgspec.Struct, frozen=True):
    text: str


class Edited(msgspec.Struct, frozen=True):
    """A piece of an edit. `document` is the index into the documents."""

    document: int
    html: str


class _Sink(Protocol):
    @property
    def is_between_nodes(self) -> bool: ...
    def feed(self, text: str) -> str: ...
    def pause(self) -> str: ...


class AnswerReader:
    """Splits a model's output into prose (Markdown) and edits. Without documents all of it is prose."""

    def __init__(self, documents: Sequence[SentDocument]) -> None:
        self._documents = documents
        self._streams = [EditStream(document, Grammar.CHAT) for document in documents]
        self._readable = _Readable()
        self._pieces: list[Said | Edited] = []
        self._held = ""
        self._mode: Callable[[str, int, bool], int] = self._prose
        self._current = 0
        self._is_line_start = True
        self._code_ticks = 0
        self._fence = ""
        """The fence that is open around an edit, or around code."""
        self._is_escaped = False

    @property
    def has_edits(self) -> bool:
        return any(stream.has_output for stream in self._streams)

    @property
    def repairs(self) -> Sequence[str]:
        """What was mended, in words, for the log."""
        return [repair for stream in self._streams for repair in stream.repairs]

    def feed(self, text: str) -> Sequence[Said | Edited]:
        self._read(self._held + text, is_end=False)
        return self._taken()

    def end(self, *, cut_off: bool = False) -> Sequence[Said | Edited]:
        """The rest. `cut_off`: the answer did not end in good order; an edit that was begun is dropped."""
        self._read(self._held, is_end=True)
        if not self._documents:
            self._say(self._readable.pause())
        for index, stream in enumerate(self._streams):
            self._edit(index, stream.end(cut_off=cut_off))
        return self._taken()

    def complaint(self) -> str | None:
        """For the model: what of its edits was thrown away, and what to write instead. None when nothing was lost."""
        complaints = [stream.complaint() for stream in self._streams]
        told = [
            f"Document {number}: {complaint}" if len(complaints) > 1 else complaint
            for number, complaint in enumerate(complaints, 1)
            if complaint
        ]
        return "\n\n".join(told) or None

    def rejected_text(self) -> str:
        """What a person can read of what was thrown away."""
        return "\n\n".join(text for stream in self._streams if (text := stream.rejected_text()))

    # --- what is given -----------------------------------------------------------------------------------------------

    def _taken(self) -> Sequence[Said | Edited]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _say(self, text: str) -> None:
        if not text:
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Said):
            self._pieces[-1] = Said(last.text + text)
        else:
            self._pieces.append(Said(text))

    def _edit(self, document: int, html: str) -> None:
        if html:
            self._pieces.append(Edited(document, html))

    def _sink(self) -> _Sink:
        return self._streams[self._current] if self._streams else self._readable

    def _put(self, text: str) -> None:
        if text:
            self._hand_on(self._sink().feed(text))

    def _leave(self) -> None:
        self._hand_on(self._sink().pause())
        self._mode, self._is_line_start, self._code_ticks = self._prose, True, 0

    def _hand_on(self, out: str) -> None:
        if self._streams:
            self._edit(self._current, out)
        else:
            self._say(out)

    def _read(self, text: str, *, is_end: bool) -> None:
        """Every mode gives the place up to which it has read; the same place when it has to wait for more."""
        position = 0
        while position < len(text):
            reached = self._mode(text, position, is_end)
            if reached == position:
                break
            position = reached
        self._held = text[position:]

    # --- prose -------------------------------------------------------------------------------------------------------

    def _prose(self, text: str, start: int, is_end: bool) -> int:
        if self._is_line_start:
            return self._line_start(text, start, is_end)
        stop = _INLINE.search(text, start)
        place = len(text) if stop is None else stop.start()
        if place > start or stop is None:
            self._say(text[start:place])
            return place
        if stop.group() == "\n":
            self._is_line_start = True
            return self._spoken(text, start, start + 1)
        if stop.group() == "`":
            return self._ticks(text, start, is_end)
        return self._angle(text, start, is_end)

    def _spoken(self, text: str, start: int, end: int) -> int:
        self._say(text[start:end])
        return end

    def _ticks(self, text: str, start: int, is_end: bool) -> int:
        end = start
        while end < len(text) and text[end] == "`":
            end += 1
        if end == len(text) and not is_end and end - start < _LONGEST_EDIT_TAG:
            return start
        ticks = end - start
        self._code_ticks = ticks if self._code_ticks == 0 else 0 if self._code_ticks == ticks else self._code_ticks
        return self._spoken(text, start, end)

    def _angle(self, text: str, start: int, is_end: bool) -> int:
        """Within a line only the tag of an edit counts."""
        if self._code_ticks:
            return self._spoken(text, start, start + 1)
        tag = _EDIT_TAG.match(text, start)
        if tag is not None:
            return self._edit_tag(tag)
        if not is_end and _is_tag_begun(text, start, "<"):
            return start
        return self._spoken(text, start, start + 1)

    def _line_start(self, text: str, start: int, is_end: bool) -> int:
        indent = _INDENT.match(text, start)
        place = indent.end() if indent else start
        if place == len(text) and not is_end:
            return start if place - start < _LONGEST_TAG else self._line_goes_on(text, start, place)
        first = text[place : place + 1]
        if first == "\n":
            self._code_ticks = 0
        elif first and first in "`~":
            return self._fence_start(text, start, place, is_end)
        elif first == "<":
            begun = self._markup(text, place, is_end)
            if begun is not None:
                return begun if begun > place else start
        elif first == "&":
            escaped = _ESCAPED_TAG.match(text, place)
            if escaped is not None:
                self._is_escaped = True
                return self._edit_tag(escaped)
            if not is_end and _is_tag_begun(text, place, "&lt;"):
                return start
        return self._line_goes_on(text, start, place)

    def _line_goes_on(self, text: str, start: int, place: int) -> int:
        """What stands here is prose, up to and with this place."""
        self._is_line_start = text[place : place + 1] == "\n"
        special = text[place : place + 1] in ("`", "~")
        end = place if special else place + 1
        while special and text[end : end + 1] == text[place]:
            end += 1
        return self._spoken(text, start, min(end, len(text)))

    def _markup(self, text: str, place: int, is_end: bool) -> int | None:
        """At the beginning of a line: where reading goes on, the same place to wait, None for prose."""
        tag = _EDIT_TAG.match(text, place)
        if tag is not None:
            return self._edit_tag(tag)
        if not is_end and _is_tag_begun(text, place, "<"):
            return place
        limit = _LONGEST_COMMENT if text.startswith("<!-", place) else _LONGEST_TAG
        end = text.find(">", place, place + limit)
        if end < 0:
            waits = not is_end and len(text) - place <= limit and _TAG_BEGUN.match(text, place)
            return place if waits else None
        document = self._document_of(text[place : end + 1])
        if document is None:
            return None
        self._current, self._mode = document, self._bare
        return self._bare(text, place, is_end)

    def _document_of(self, tag: str) -> int | None:
        """The document that bare markup belongs to, None if it is no edit."""
        if tag.startswith("<!--"):
            remark = read_comment(tag[4:].removesuffix(">").rstrip("-!"))
            if remark is None:
                return None
            return self._document_with(remark) if remark else self._current
        data_id = data_id_of(tag) if tag[1:2].isalpha() else None
        if data_id is None:
            return None
        if data_id == NEW or not self._documents:
            return self._current
        return self._document_with(data_id)

    def _document_with(self, data_id: str) -> int | None:
        order = [max(self._current, 0), *range(len(self._documents))] if self._documents else []
        return next((index for index in order if self._documents[index].entry(data_id) is not None), None)

    # --- edits -------------------------------------------------------------------------------------------------------

    def _edit_tag(self, tag: "re.Match[str]") -> int:
        if tag[1]:
            self._is_escaped = False
            if self._mode == self._block:
                self._leave()
            return tag.end()
        if self._mode == self._block:
            self._hand_on(self._sink().pause())
        self._current = self._numbered(tag[2])
        self._mode = self._block
        return tag.end()

    def _numbered(self, attributes: str) -> int:
        number = _NUMBER.search(attributes)
        index = int(number[1]) - 1 if number else -1
        return index if 0 <= index < len(self._documents) else -1 if len(self._documents) > 1 else 0

    def _block(self, text: str, start: int, is_end: bool) -> int:
        """Between `<edit>` and `</edit>`."""
        tag = (_ESCAPED_TAG if self._is_escaped else _EDIT_TAG).search(text, start)
        end = tag.start() if tag is not None else len(text)
        if tag is None and not is_end:
            end = self._end_of_sure(text, start)
        if self._current < 0 and not self._choose(text[start:end], is_end or tag is not None):
            return start
        self._put(text[start:end])
        return end if tag is None else self._edit_tag(tag)

    def _end_of_sure(self, text: str, start: int) -> int:
        """Up to where it is certain that no tag of an edit has begun."""
        begins = "&lt;" if self._is_escaped else "<"
        tails = (
            (text.rfind("&lt;", start), len(text) - 3, len(text) - 2, len(text) - 1)
            if self._is_escaped
            else (text.rfind("<", start),)
        )
        return next((one for one in tails if one >= start and _is_tag_begun(text, one, begins)), len(text))

    def _choose(self, text: str, must: bool) -> bool:
        """Whether it is known whose edit this is: the first id that is known says so."""
        for end in re.finditer(">", text):
            begin = text.rfind("<", 0, end.start())
            markup = text[begin : end.end()]
            remark = read_comment(markup[4:].removesuffix(">").rstrip("-!")) if markup.startswith("<!--") else None
            data_id = remark or data_id_of(markup)
            found = self._document_with(data_id) if data_id and data_id != NEW else None
            if found is not None:
                self._current = found
                return True
        if must or len(text) > _LONGEST_TAG:
            self._current = 0
            return True
        return False

    def _bare(self, text: str, start: int, is_end: bool) -> int:
        """HTML without a frame around it: it ends where something else than HTML stands between its elements."""
        if not self._sink().is_between_nodes:
            end = text.find(">", start) + 1 or len(text)
            self._put(text[start:end])
            return end
        if text[start].isspace():
            return start + 1
        if self._fence and (closing := self._closes_fence(text, start, is_end)) is not None:
            if closing > start:
                self._leave()
            return closing
        if text[start] != "<" and not self._fence:
            self._leave()
            return self._prose(text, start, is_end)
        if text[start] != "<":
            self._put(text[start])
            return start + 1
        end = text.find(">", start, start + _LONGEST_TAG) + 1
        if not end and not is_end and len(text) - start < _LONGEST_TAG:
            return start
        found = self._document_of(text[start:end]) if end else None
        if found is not None and found != self._current:
            self._hand_on(self._sink().pause())
            self._current = found
        self._put(text[start : end or len(text)])
        return end or len(text)

    # --- fences ------------------------------------------------------------------------------------------------------

    def _fence_start(self, text: str, start: int, place: int, is_end: bool) -> int:
        fence = _FENCE.match(text, place)
        if fence is None or (fence.end() == len(text) and not text.endswith("\n") and not is_end):
            waits = not is_end and len(text) - start < _LONGEST_EDIT_TAG and _FENCE_BEGUN.match(text, place)
            return start if waits else self._line_goes_on(text, start, place)
        language = fence[2].strip().lower()
        if self._fence and not language:
            self._fence = ""  # it was opened around the edit, and is closed after it
            return fence.end()
        if language in _HTML_FENCES:
            inside = re.compile(r"\s*").match(text, fence.end())
            first = inside.end() if inside else fence.end()
            if first == len(text) and not is_end and first - start < _LONGEST_TAG:
                return start
            if text[first : first + 1] == "<":
                self._fence = fence[1]
                begun = self._markup(text, first, is_end)
                if begun is not None:
                    self._fence = self._fence if begun > first else ""
                    return begun if begun > first else start
        self._fence, self._mode = fence[1], self._code
        return self._spoken(text, start, fence.end())

    def _code(self, text: str, start: int, is_end: bool) -> int:
        """Inside a fence around anything but an edit, at the beginning of a line."""
        closing = self._closes_fence(text, start, is_end)
        if closing is not None:
            if closing > start:
                self._mode, self._fence, self._is_line_start = self._prose, "", True
                self._say(text[start:closing])
            return closing
        end = text.find("\n", start) + 1 or len(text)
        self._say(text[start:end])
        if not text[start:end].endswith("\n"):
            self._mode = self._code_line
        return end

    def _code_line(self, text: str, start: int, is_end: bool) -> int:
        end = text.find("\n", start) + 1 or len(text)
        self._say(text[start:end])
        if text[start:end].endswith("\n"):
            self._mode = self._code
        return end

    def _closes_fence(self, text: str, start: int, is_end: bool) -> int | None:
        """Where the line ends that closes the fence; the same place to wait; None if it does not."""
        indent = _INDENT.match(text, start)
        place = indent.end() if indent else start
        fence = _FENCE.match(text, place)
        if fence is not None and fence[1][0] == self._fence[0] and len(fence[1]) >= len(self._fence):
            if fence[2].strip():
                return None
            waits = fence.end() == len(text) and not text.endswith("\n") and not is_end
            return start if waits and len(text) - start < _LONGEST_EDIT_TAG else fence.end()
        rest = text[place:]
        is_begun = len(rest) < len(self._fence) and rest == self._fence[0] * len(rest) and place - start < 4
        return start if is_begun and not is_end else None


def _is_tag_begun(text: str, start: int, begins: str) -> bool:
    """Whether what stands here to the end may become the tag of an edit. `begins`: how a tag begins."""
    rest = text[start : start + _LONGEST_EDIT_TAG].lower()
    if len(rest) == _LONGEST_EDIT_TAG:
        return False
    for whole in (f"{begins}edit", f"{begins}/edit"):
        if whole.startswith(rest):
            return True
        if rest.startswith(whole):
            return not rest[len(whole)].isalnum() and ("&gt;" not in rest if begins == "&lt;" else "<" not in rest[1:])
    return False


class _Readable:
    """Takes edits where there is nothing to edit; gives what a person can read of them."""

    def __init__(self) -> None:
        self._reader = NodeReader(SentDocument(""))
        self._parts: list[str] = []

    @property
    def is_between_nodes(self) -> bool:
        return self._reader.is_between_nodes

    def feed(self, text: str) -> str:
        for _ in self._reader.feed(text):
            pass
        self._parts.append(text)
        return ""

    def pause(self) -> str:
        markup, self._parts = "".join(self._parts), []
        self._reader = NodeReader(SentDocument(""))
        text = readable(markup)
        if "<" not in markup and "data-id" in text:
            text = readable(text)  # it was escaped
        return f"{text}\n\n" if text else ""
