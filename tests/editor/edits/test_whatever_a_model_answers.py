"""Whatever a chat model answers, prose stays prose, edits become edits, and without a document there are none."""

from random import Random

import pytest

from penstock.editor.edits.answer import AnswerReader, Edited, Said
from penstock.editor.edits.document import SentDocument
from tests.fakes import documents, edit_scripts
from tests.fakes.edit_grammar import ids_met_twice, named_by, named_in, offences_in_chat, rest_of
from tests.fakes.edit_scripts import Script
from tests.fakes.editor_merge import merge_chat, merge_chat_ckeditor
from tests.fakes.hostile_markup import active
from tests.fakes.markup import Element, parse
from tests.fakes.models_that_err import garbled, pieces_of

FRAMES = {
    "as told": "I shortened it.\n\n<edit>\n{}\n</edit>\n\nDone.",
    "by number": 'I shortened it.\n<edit document="1">\n{}\n</edit>\nDone.',
    "in capitals": "I shortened it.\n<EDIT>{}</EDIT>\nDone.",
    "without an end": "I shortened it.\n<edit>\n{}",
    "fenced inside": "I shortened it.\n<edit>\n```html\n{}\n```\n</edit>\nDone.",
    "fenced outside": "I shortened it.\n\n```html\n<edit>\n{}\n</edit>\n```\n\nDone.",
    "alone": "<edit>{}</edit>",
}
CLOSE = {"fenced only": "I shortened it.\n\n```html\n{}\n```\n\nDone.", "bare": "I shortened it.\n\n{}\n\nDone."}
"""Without the tags models are told to write. They count when an element of the document is in them."""
EVERY = FRAMES | CLOSE


def answered(sent: list[str], text: str, seed: int = 0, cut_off: bool = False) -> tuple[str, list[str]]:
    """What is said, and the edit of each document."""
    found = pieces_given(sent, text, seed, cut_off)
    edits = [one for one in found if isinstance(one, Edited)]
    streams = ["".join(one.html for one in edits if one.document == at) for at in range(len(sent))]
    return "".join(one.text for one in found if isinstance(one, Said)), streams


def pieces_given(sent: list[str], text: str, seed: int, cut_off: bool = False) -> list[Said | Edited]:
    reader = AnswerReader([SentDocument(one) for one in sent])
    given = [one for piece in pieces_of(text, seed) for one in reader.feed(piece)]
    return [*given, *reader.end(cut_off=cut_off)]


def names_an_element(script: Script) -> bool:
    first = script.items[0]
    return isinstance(first, Element) and first.data_id in script.document.by_id()


@pytest.mark.parametrize("name", EVERY)
def test_an_edit_is_found_in_whatever_a_model_puts_around_it(name: str) -> None:
    for seed in range(20):
        script = edit_scripts.chat(seed)
        if name in CLOSE and not names_an_element(script):
            continue
        sent, text = documents.written(script.document, seed), EVERY[name].format(script.written())
        said, (stream,) = answered([sent], text, seed)
        assert offences_in_chat(sent, stream) == [], (text, stream)
        for merge in (merge_chat, merge_chat_ckeditor):
            assert parse(merge(sent, stream)).canonical() == script.expected.canonical(), (text, stream)
        assert "data-id" not in said.replace("data-id=abcd", ""), said
        assert ("I shortened it." in said, "Done." in said) == ("I shortened" in text, "Done." in text), (text, said)


@pytest.mark.parametrize("seed", range(20))
def test_edits_of_two_documents_reach_each_its_own(seed: int) -> None:
    scripts = [edit_scripts.chat(seed), edit_scripts.chat(seed + 500)]
    sent = [documents.written(script.document, seed) for script in scripts]
    order = [1, 0] if seed % 2 else [0, 1]
    text = "\n".join(f'So.\n<edit document="{at + 1}">\n{scripts[at].written()}\n</edit>' for at in order)
    _, streams = answered(sent, text, seed)
    for script, one, stream in zip(scripts, sent, streams, strict=True):
        assert parse(merge_chat(one, stream)).canonical() == script.expected.canonical(), (text, streams)


@pytest.mark.parametrize("seed", range(1000, 1080))
def test_whatever_is_answered_changes_nothing_but_what_it_names(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent = documents.written(script.document, seed)
    names, garble = garbled(script, seed)
    text = Random(seed).choice([*EVERY.values(), "{}"]).replace("{}", garble)
    _, (stream,) = answered([sent], text, seed, cut_off=seed % 3 == 0)
    assert offences_in_chat(sent, stream) == [], (names, text, stream)
    merged = merge_chat(sent, stream)
    named, meant = named_by(stream), named_in(text + script.written(), sent)
    assert rest_of(merged, named) == rest_of(sent, named), (names, text, stream)
    assert rest_of(merged, meant, comments=False) == rest_of(sent, meant, comments=False), (names, text, stream)
    assert ids_met_twice(merged) == []
    assert active(merged) - active(sent) == {}
    assert active(stream) - active(sent) == {}


@pytest.mark.parametrize("seed", range(2000, 2040))
def test_without_a_document_nothing_is_an_edit(seed: int) -> None:
    script = edit_scripts.chat(seed)
    text = Random(seed).choice([*EVERY.values(), "{}"]).replace("{}", garbled(script, seed)[1])
    assert {type(one) for one in pieces_given([], text, seed)} <= {Said}


@pytest.mark.parametrize("seed", range(3000, 3040))
def test_where_an_answer_is_cut_into_pieces_makes_no_difference(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent = documents.written(script.document, seed)
    text = Random(seed).choice([*EVERY.values()]).replace("{}", garbled(script, seed)[1])
    found = {(said, stream) for other in range(seed, seed + 4) for said, (stream,) in [answered([sent], text, other)]}
    assert len(found) == 1, (text, found)


@pytest.mark.parametrize("seed", range(4000, 4020))
def test_an_answer_that_is_cut_off_applies_whole_elements_or_nothing(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent, pieces = documents.written(script.document, seed), script.pieces()
    whole = {parse(merge_chat(sent, "\n".join(pieces[:count]))).canonical() for count in range(len(pieces) + 1)}
    text = FRAMES["as told"].format(script.written())
    for one in range(8):
        cut = text[: Random(seed + one).randrange(len(text) + 1)]
        _, (stream,) = answered([sent], cut, seed, cut_off=True)
        assert parse(merge_chat(sent, stream)).canonical() in whole, (cut, stream)


@pytest.mark.parametrize(
    "text",
    [
        'Write `<p data-id="aaaa">x</p>` to change it.',
        "Use `<edit>` tags? No, HTML needs none.",
        "a < b and b > c",
        '```python\nprint("<p>x</p>")\n```\nThat prints a paragraph.',
        "The element `aaaa` is fine as it is.",
        "# Title\n\n* one\n* two\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "See <https://example.org/> for more.",
    ],
)
def test_what_is_only_talked_about_stays_prose(text: str) -> None:
    assert answered(['<p data-id="aaaa">one</p><p data-id="bbbb">two</p>'], text) == (text, [""])
