"""What reading a model's edits costs: `python -m bench.edits`. CPU microseconds per chunk, and per kilobyte of text.

A chunk is what a model sends at a time: 4 to 20 characters. The model writes out the whole document and changes some of
its paragraphs. `most` holds the one pass over the document itself, at its first use.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from statistics import mean, median
from typing import Final

from penstock.editor.edits.answer import AnswerReader
from penstock.editor.edits.document import SentDocument
from penstock.editor.edits.stream import EditStream, Grammar

_SIZES_KB: Final = (1, 20, 200)
_TEXT: Final = "the river carries wood to mills below and nobody counts it while rain falls on the roofs"
_WORDS: Final = _TEXT.split()


def _id(number: int) -> str:
    return "".join(chr(97 + number // 26**place % 26) for place in range(4))


def document(size_kb: int) -> tuple[str, str]:
    """A document of paragraphs, lists and tables, and what a model makes of it."""
    random, parts, edited = Random(1), [], []
    number = 0
    while sum(map(len, parts)) < size_kb * 1000:
        number += 10
        words = " ".join(random.choices(_WORDS, k=60))
        cells = "".join(f'<td data-id="{_id(number + 2 + at)}">{_WORDS[at]}</td>' for at in range(3))
        parts += [
            f'<p data-id="{_id(number)}" class="lead">{words} <strong>bold</strong> &amp; &nbsp;more</p>',
            f'<ul data-id="{_id(number + 6)}"><li data-id="{_id(number + 7)}">{words[:80]}</li>'
            f'<li data-id="{_id(number + 8)}">{words[80:160]}</li></ul>',
            f'<table data-id="{_id(number + 9)}"><tbody><tr data-id="{_id(number + 1)}">{cells}</tr></tbody></table>',
        ]
        edited += [parts[-3].replace("river", "stream").replace(' class="lead"', ""), *parts[-2:]]
    return "".join(parts), "\n".join(edited)


def chunks(text: str) -> list[str]:
    random, pieces, at = Random(2), [], 0
    while at < len(text):
        length = random.randint(4, 20)
        pieces.append(text[at : at + length])
        at += length
    return pieces


def _measured(feed: Callable[[str], object], end: Callable[[], object], pieces: Sequence[str]) -> list[float]:
    spent = []
    for piece in pieces:
        begun = time.thread_time_ns()
        feed(piece)
        spent.append((time.thread_time_ns() - begun) / 1000)
    begun = time.thread_time_ns()
    end()
    return [*spent, (time.thread_time_ns() - begun) / 1000]


def _row(name: str, size_kb: int, spent: Sequence[float], written: int) -> str:
    ordered = sorted(spent)
    slowest = ordered[int(len(ordered) * 0.99)]
    each = f"{median(spent):7.1f} {mean(spent):7.1f} {slowest:8.1f} {ordered[-1]:9.1f}"
    return f"{name:<14}{size_kb:>6} {len(spent):>8} {each} {sum(spent) / written * 1000:9.1f}"


def main() -> None:
    print(f"{'µs of CPU':<14}{'KB':>6} {'chunks':>8} {'median':>7} {'mean':>7} {'99 %':>8} {'most':>9} {'per KB':>9}")
    for size_kb in _SIZES_KB:
        sent, text = document(size_kb)
        for grammar in Grammar:
            stream = EditStream(SentDocument(sent), grammar)
            spent = _measured(stream.feed, stream.end, chunks(text))
            print(_row(grammar.value, size_kb, spent, len(text)))
        reader = AnswerReader([SentDocument(sent)])
        whole = f"Here it is, **shorter**:\n\n<edit>\n{text}\n</edit>\n\nDone.\n"
        print(_row("answer", size_kb, _measured(reader.feed, reader.end, chunks(whole)), len(whole)))
        prose = AnswerReader([SentDocument(sent)])
        spent = _measured(
            prose.feed, prose.end, chunks("Plain words, `code` and **bold**.\n\n- item\n" * (size_kb * 25))
        )
        print(_row("prose", size_kb, spent, size_kb * 1000))


if __name__ == "__main__":
    main()
