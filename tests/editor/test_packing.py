"""What models are sent, and what is made of a title."""

import pytest

from penstock.editor.conversations.packing import Said, packed, user_text
from penstock.editor.conversations.titles import tidied

TURNS = [
    Said("user", "first", []),
    Said("assistant", "", [{"type": "text", "content": "answer one"}, {"type": "url", "id": "u", "url": "https://x"}]),
    Said("user", "second", [{"type": "text", "content": "attached"}]),
    Said("assistant", "", [{"type": "text", "content": "answer two"}]),
]


def sent(limit: int, history: list[Said] | None = None) -> list[tuple[str, object]]:
    return [(one.role, one.content) for one in packed("rules", TURNS if history is None else history, "now", limit)]


def test_the_whole_history_is_sent_when_it_fits() -> None:
    assert sent(10_000) == [
        ("system", "rules"),
        ("user", "first"),
        ("assistant", "answer one"),
        ("user", "<context>\nattached\n</context>\n\nsecond"),
        ("assistant", "answer two"),
        ("user", "now"),
    ]


def test_the_oldest_turns_go_first_and_whole() -> None:
    kept = len("rules") + len("now") + len(user_text("second", TURNS[2].content)) + len("answer two")
    assert [content for _, content in sent(kept)][1:-1] == [user_text("second", TURNS[2].content), "answer two"]
    assert sent(kept + len("answer one")) == sent(kept)
    assert sent(kept - 1) == [("system", "rules"), ("user", "now")]


def test_history_never_makes_a_message_fail() -> None:
    assert sent(0) == [("system", "rules"), ("user", "now")]
    huge = [Said("user", "x" * 1_000_000, [])]
    assert sent(100, huge) == [("system", "rules"), ("user", "now")]


def test_neighbours_of_one_role_become_one() -> None:
    history = [Said("user", "lost", []), Said("assistant", "", []), Said("user", "again", [])]
    assert sent(1_000, history) == [("system", "rules"), ("user", "lost\n\nagain\n\nnow")]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('"Shorter introduction."', "Shorter introduction"),
        ("\n\n  Title: «Ein Plan»\nand more", "Ein Plan"),
        ("**Bold plan**", "Bold plan"),
        ("<think>hm\n hm</think>\nPlan", "Plan"),
        ("<think>never ending", None),
        ("a\tb\0c", "a b c"),
        ("  ", None),
        ("", None),
        ('"""', None),
    ],
)
def test_a_title_is_one_plain_line(text: str, title: str | None) -> None:
    assert tidied(text) == title


def test_a_long_title_is_cut_at_a_word() -> None:
    title = tidied("word " * 40)
    assert title is not None
    assert len(title) <= 80
    assert title.endswith("word…")
    assert len(tidied("x" * 200) or "") == 80
