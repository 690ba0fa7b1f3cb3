"""The reference merge does what `spec/editor-api.md` 8.2-8.5 says both editors do."""

import pytest

from tests.fakes.editor_merge import (
    CKEDITOR,
    TINYMCE,
    Rules,
    merge_chat,
    merge_chat_ckeditor,
    merge_continuation,
    merge_replacement,
    merge_review,
    preview_chat,
)
from tests.fakes.markup import parse

A, B, C = ('<p data-id="aaaa">A</p>', '<p data-id="bbbb">B</p>', '<p data-id="cccc">C</p>')
N, M = '<p data-id="new-element">N</p>', '<p data-id="new-element">M</p>'
GAP = "<!-- existing document -->"
DOCUMENT = A + B + C
LIST = '<ul data-id="list"><li data-id="ione">1</li><li data-id="itwo">2<!-- mine --></li></ul>'


def removed(data_id: str) -> str:
    return f'<!-- removed data-id="{data_id}" -->'


NORMATIVE = [
    ("change an element", '<h2 data-id="bbbb" class="x">b</h2>', A + '<h2 data-id="bbbb" class="x">b</h2>' + C),
    ("insert after A", A + N, A + N + B + C),
    ("insert two after A", A + N + M, A + N + M + B + C),
    ("insert before B", GAP + N + B, A + N + B + C),
    ("insert two before B", GAP + N + M + B, A + N + M + B + C),
    ("insert at the start", N + GAP, N + A + B + C),
    ("insert two at the start", N + M + GAP, N + M + A + B + C),
    ("insert at the end after the last", C + N, A + B + C + N),
    ("insert at the end after a gap", GAP + N, A + B + C + N),
    ("insert two at the end", GAP + N + M, A + B + C + N + M),
    ("delete B", removed("bbbb"), A + C),
    ("replace B by several", '<p data-id="bbbb">b</p>' + N + M, A + '<p data-id="bbbb">b</p>' + N + M + C),
    ("replace B by something after A", A + N + removed("bbbb"), A + N + C),
    ("both ends", N + GAP + M, N + A + B + C + M),
    ("several edits", removed("aaaa") + GAP + N + B + '<p data-id="cccc">c</p>', N + B + '<p data-id="cccc">c</p>'),
    ("only anchors", A + GAP + C, A + B + C),
    ("white space is nothing", f"\n {A}\n\n{N}\t", A + N + B + C),
    ("wrap", A + f'<div data-id="new-element">{B}</div>', A + f'<div data-id="new-element">{B}</div>' + C),
    ("nothing", "", DOCUMENT),
]


@pytest.mark.parametrize("rules", [TINYMCE, CKEDITOR], ids=["tinymce", "ckeditor"])
@pytest.mark.parametrize(("stream", "expected"), [row[1:] for row in NORMATIVE], ids=[row[0] for row in NORMATIVE])
def test_what_the_table_tells_to_emit_ends_the_same_in_both_editors(stream: str, expected: str, rules: Rules) -> None:
    merge = {TINYMCE: merge_chat, CKEDITOR: merge_chat_ckeditor}[rules]
    assert parse(merge(DOCUMENT, stream)).canonical() == parse(expected).canonical()


@pytest.mark.parametrize("rules", [TINYMCE, CKEDITOR], ids=["tinymce", "ckeditor"])
def test_a_preview_shows_nothing_in_another_order_than_the_end_does(rules: Rules) -> None:
    for goal, stream, expected in NORMATIVE:
        final = parse(expected).text().casefold()
        for cut in range(len(stream) if "removed" not in stream else 0):
            left = iter(final)
            shown = parse(preview_chat(DOCUMENT, stream[:cut], rules)).text().casefold()
            assert all(letter in left for letter in shown if letter.isalpha()), (goal, cut, shown)


def test_a_new_element_waits_for_its_anchor_and_is_appended_when_none_comes() -> None:
    assert preview_chat(DOCUMENT, GAP + N) == DOCUMENT
    assert preview_chat(DOCUMENT, GAP + N + B) == A + N + B + C
    assert preview_chat(DOCUMENT, GAP + N + GAP + B) == DOCUMENT
    assert merge_chat(DOCUMENT, GAP + N + GAP + B) == A + B + C + N


def test_a_removal_in_front_of_a_new_element_is_an_anchor_in_ckeditor_only() -> None:
    assert merge_chat(DOCUMENT, removed("bbbb") + N) == A + C + N
    assert merge_chat_ckeditor(DOCUMENT, removed("bbbb") + N) == A + N + C
    assert merge_chat(DOCUMENT, GAP + N + removed("bbbb")) == A + N + C


def test_unknown_and_missing_ids_are_new_in_tinymce_and_nothing_in_ckeditor() -> None:
    for stray in ('<p data-id="zzzz">x</p>', "<p>x</p>"):
        assert merge_chat(DOCUMENT, A + stray) == A + stray + B + C
        assert merge_chat_ckeditor(DOCUMENT, A + stray) == DOCUMENT


def test_nested_elements_are_addressed_directly_and_anchor_their_neighbours() -> None:
    item = '<li data-id="new-element">N</li>'
    edit = '<li data-id="ione">1</li>' + item
    assert merge_chat(A + LIST, edit) == A + LIST.replace("</li><li", f"</li>{item}<li")
    assert merge_chat(A + LIST, '<li data-id="ione">one</li>') == A + LIST.replace(">1<", ">one<")


def test_an_echo_keeps_the_comments_of_the_document_and_a_change_strips_them() -> None:
    assert merge_chat(LIST, LIST) == LIST
    assert merge_chat(LIST, '<li data-id="itwo">2</li>') == LIST
    assert merge_chat(LIST, '<li data-id="itwo">two<!-- yours --></li>') == LIST.replace("2<!-- mine -->", "two")


@pytest.mark.parametrize(
    "comment", ["<!-- existing document !-->", "<!-- Existing document -->", "<!-- the existing document -->"]
)
def test_other_spellings_of_the_gap_are_not_recognised(comment: str) -> None:
    assert merge_chat(DOCUMENT, comment + N) == N + A + B + C


@pytest.mark.parametrize("comment", ["<!-- removed data-id='bbbb' -->", "<!-- removed: bbbb -->"])
def test_other_spellings_of_a_removal_are_not_recognised(comment: str) -> None:
    assert merge_chat(DOCUMENT, comment) == DOCUMENT


def test_parts_of_tables_lose_their_tags_where_they_are_addressed_directly() -> None:
    table = '<table data-id="tabl"><tbody><tr><td data-id="cell">1</td></tr></tbody></table>'
    assert merge_chat(table, '<td data-id="cell">2</td>') == table


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (DOCUMENT, DOCUMENT),
        ('<p data-id="aaaa">a</p>' + B + C, '<p data-id="aaaa">a</p>' + B + C),
        (A + C, A + C),
        (A + N + B + C, A + N + B + C),
        (N + A + B + C, N + A + B + C),
        (A + B + C + N, A + B + C + N),
        (A, A),
        ("", DOCUMENT),
    ],
)
def test_a_replacement_is_complete(stream: str, expected: str) -> None:
    assert merge_replacement(DOCUMENT, stream) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (N, DOCUMENT + N),
        (N + M, DOCUMENT + N + M),
        ('<p data-id="cccc">C and more</p>', A + B + '<p data-id="cccc">C and more</p>'),
        ('<p data-id="cccc">C and more</p>' + N, A + B + '<p data-id="cccc">C and more</p>' + N),
        ("", DOCUMENT),
    ],
)
def test_a_continuation_removes_nothing(stream: str, expected: str) -> None:
    assert merge_continuation(DOCUMENT, stream) == expected


def test_each_review_edit_replaces_one_element() -> None:
    b, c = '<p data-id="bbbb">b</p>', '<p data-id="cccc">c</p>'
    assert merge_review(DOCUMENT, [("aaaa", None), ("bbbb", b), ("cccc", f"<div>{c}</div>")]) == A + b + c
    assert merge_review(DOCUMENT, [("bbbb", "<p>b</p>"), ("zzzz", "<p>z</p>")]) == A + "<p>b</p>" + C
    table = "<table><tbody><tr><td data-id='cell'>1</td></tr></tbody></table>"
    edited = parse(merge_review(table, [("cell", '<td data-id="cell">2</td>')]))
    assert edited.canonical() == parse(table.replace("1", "2")).canonical()
