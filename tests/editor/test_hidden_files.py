"""Files in the HTML itself, kept from the model and put back: at a cost that follows their size."""

from penstock.editor.calls.stash import Restoring, Stash


def picture(number: int) -> str:
    return f"data:image/png;base64,{number:0250d}"


def test_what_only_begins_like_a_file_costs_one_look() -> None:
    for text in ("data:a/" + "a" * 1_000_000, "data:" * 200_000, "data:a/b;" + "=" * 1_000_000, "data:a/b," * 100_000):
        assert len(Stash().hidden(text)) <= len(text)


def test_many_files_are_told_apart_at_once_and_equal_ones_are_one() -> None:
    stash, files = Stash(), [picture(number) for number in range(40_000)]
    shown = stash.hidden(" ".join(files + files))
    assert shown.startswith("data:,file-0; data:,file-1; ")
    assert shown.endswith(" data:,file-39999;")
    assert stash.restored(shown) == " ".join(files + files)


def test_a_model_that_repeats_a_name_without_end_gets_no_answer_of_any_length() -> None:
    stash = Stash()
    name = stash.hidden(picture(1))
    restoring = Restoring(stash)
    said = "".join(restoring.feed(name) for _ in range(10_000)) + restoring.end()
    assert said.startswith(picture(1) * 4)
    assert said.count(picture(1)) == 4
    assert said.endswith(name)
