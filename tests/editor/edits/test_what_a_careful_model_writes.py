"""The generated documents and edits themselves: they are what editors send, and both editors agree on them."""

import pytest

from tests.fakes import documents, edit_scripts
from tests.fakes.editor_merge import (
    CKEDITOR,
    READINGS,
    TINYMCE,
    merge_chat,
    merge_continuation,
    merge_replacement,
)
from tests.fakes.markup import parse

SEEDS = range(150)


def test_every_document_is_read_as_it_was_written_and_has_no_id_twice() -> None:
    for seed in SEEDS:
        for root in (documents.document(seed), documents.review(seed)):
            html = documents.written(root, seed)
            ids = [one.data_id for one in root.elements() if one.data_id]
            assert parse(html).canonical() == root.canonical(), html
            assert len(ids) == len(set(ids)), html


def test_the_same_seed_gives_the_same_document_and_another_one_another() -> None:
    written = [documents.document(seed).inner() for seed in SEEDS]
    assert written == [documents.document(seed).inner() for seed in SEEDS]
    assert len(set(written)) == len(written)


def test_some_documents_are_large_and_some_are_deep() -> None:
    assert sum(one.data_id is not None for one in documents.large(1, 1500).elements()) > 3000
    assert parse(documents.deep(1, 60).inner()).canonical() == documents.deep(1, 60).canonical()


@pytest.mark.parametrize("seed", SEEDS)
def test_edits_of_a_chat_lead_to_the_expected_document_in_every_reading(seed: int) -> None:
    script = edit_scripts.chat(seed)
    sent = documents.written(script.document, seed)
    for rules in READINGS:
        merged = parse(merge_chat(sent, script.written(), rules))
        assert merged.canonical() == script.expected.canonical(), (script.goals, script.written())


def test_both_editors_are_among_the_readings() -> None:
    assert {TINYMCE, CKEDITOR} <= set(READINGS)


@pytest.mark.parametrize("seed", SEEDS)
def test_replacements_and_continuations_lead_to_the_expected_content(seed: int) -> None:
    for make, merge in (
        (edit_scripts.replacement, merge_replacement),
        (edit_scripts.continuation, merge_continuation),
    ):
        script = make(seed)
        merged = parse(merge(documents.written(script.document, seed), script.written()))
        assert merged.canonical() == script.expected.canonical(), script.written()
