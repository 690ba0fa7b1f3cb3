"""How models garble the edits that they meant: first what leaves the meaning clear, then what does not."""

import re
from collections.abc import Callable, Sequence
from random import Random

from tests.fakes import hostile_markup
from tests.fakes.documents import written
from tests.fakes.edit_scripts import Script
from tests.fakes.markup import Comment, Element, Writer

Harmless = Callable[[Script, Random], str]
Harmful = Callable[[str, Script, Random], str]

_PROSE = (
    "Here is the updated document:",
    "Sure! I've made the text shorter & clearer.",
    "**Note:** a < b, so I kept 3 > 2.",
    "Let me know if you need anything else 🎉",
    "1. First change\n2. Second change",
    "---",
)
_GAPS = (
    "<!-- existing document !-->",
    "<!--existing document-->",
    "<!-- Existing Document -->",
    "<!--  EXISTING DOCUMENT  -->",
    "<!-- existing document... -->",
    "<!-- ... existing document ... -->",
    "<!-- existing-document -->",
)
_REMOVALS = (
    "<!--removed data-id='{}'-->",
    "<!-- removed: {} -->",
    '<!-- removed data-id="{}" !-->',
    "<!-- Removed data-id={} -->",
    '<!-- removed data-id = "{}" -->',
    '<!-- REMOVED DATA-ID="{}" -->',
    "<!-- removed {} -->",
    '<!-- removed id="{}" -->',
)
_FRAMES = (
    "</edit>",
    "<edit>",
    '<edit document="1">',
    '<edit document="2">',
    "</document>",
    '<document id="1">',
    "<edits>",
    "</modification>",
    "<answer></answer>",
    "<unchanged/>",
    "<think>hm</think>",
    "</think>",
    "<|im_end|>",
)
_ODDITIES = (
    "<td>loose</td>",
    "<tr><td>loose",
    "<table><p>fostered</p><tr><td>x",
    "<select><option>x",
    "<form><form>",
    "<button><p>x<button>",
    "<a href=/x>x<a href=/y>y",
    "<b><i></b></i>",
    "<p><b><p><i><p></b>",
    "</br>",
    "</p>",
    "</li></ul>",
    "</div></div></div>",
    "<textarea>",
    "<title>",
    "<plaintext>",
    "<!--",
    "<!-- a -- b --!>",
    "<!doctype html>",
    "<?php echo 1 ?>",
    "<![CDATA[x]]>",
    "<p data-id=>x</p>",
    "<p data-id>x</p>",
    '<p data-id="new-element" data-id="abcd">x</p>',
    "<",
    "<p",
    '<p title="',
    "<P DATA-ID='new-element'>new</P>",
    "&lt;p&gt;",
    "&#0;&#xD800;&#x110000;&bogus;&amp",
    "\x00",
    "\ud83d",
    "\udc00 \ufffe",
    "\r\r\n",
    "```\n",
    "<frameset>",
    "<image>",
    "<svg><p>out</svg>",
    "<math><mi></p>",
)


def _fenced(script: Script, random: Random) -> str:
    return f"```{random.choice(('html', '', 'HTML', 'xml'))}\n{script.written()}\n```" + random.choice(("", "\n"))


def _with_prose(script: Script, random: Random) -> str:
    return f"{random.choice(_PROSE)}\n\n{script.written()}\n\n{random.choice(_PROSE)}"


def _with_prose_between(script: Script, random: Random) -> str:
    return script.written(between=f"\n{random.choice(_PROSE)}\n")


def _fenced_in_prose(script: Script, random: Random) -> str:
    return f"{random.choice(_PROSE)}\n\n```html\n{script.written()}\n```\n\n{random.choice(_PROSE)}\n"


def _spelt(script: Script, random: Random) -> str:
    def spelling(one: Element | Comment) -> str:
        if isinstance(one, Element):
            return one.outer()
        removed = re.search(r'removed data-id="(.*)"', one.text)
        return random.choice(_REMOVALS).format(removed[1]) if removed else random.choice(_GAPS)

    return "\n".join(spelling(one) for one in script.items)


def _single_quoted(script: Script, random: Random) -> str:
    return script.written(Writer(quote="'"))


def _in_capitals(script: Script, random: Random) -> str:
    return script.written(Writer(tag=str.upper))


def _without_last_end_tags(script: Script, random: Random) -> str:
    text = script.written()
    if not isinstance(script.items[-1], Element):
        return text
    for _ in range(random.randint(1, 3)):
        text = re.sub(r"</\w+>$", "", text)
    return text


def _with_other_line_ends(script: Script, random: Random) -> str:
    return script.written(between=random.choice(("\r\n", "\n\n\n", "", "\t", " \n ")))


def _as_a_page(script: Script, random: Random) -> str:
    head = random.choice(("<!DOCTYPE html>\n<html>\n<body>\n", "<html><head></head><body>", "\ufeff", "<body>"))
    return head + script.written() + ("\n</body>\n</html>" if "<html>" in head else "")


def _self_closed(script: Script, random: Random) -> str:
    return re.sub(r"<(br|hr|img)((?: [\w-]+=\"[^\"]*\")*)>", r"<\1\2 />", script.written())


def _unquoted(script: Script, random: Random) -> str:
    return re.sub(r'data-id="([\w-]+)"(?=[^<>]*>)(?! -->)', r"data-id=\1", script.written())


def _in_numbers(script: Script, random: Random) -> str:
    """Text as character references. Only text without references of its own, outside tags and comments."""
    return re.sub(r"(?<=>)[a-z ]+(?=<)", lambda found: "".join(f"&#{ord(one)};" for one in found[0]), script.written())


HARMLESS: dict[str, Harmless] = {
    name.__name__.lstrip("_"): name
    for name in (
        _fenced,
        _with_prose,
        _with_prose_between,
        _fenced_in_prose,
        _spelt,
        _single_quoted,
        _in_capitals,
        _without_last_end_tags,
        _with_other_line_ends,
        _as_a_page,
        _self_closed,
        _unquoted,
        _in_numbers,
    )
}


def _unknown_ids(text: str, script: Script, random: Random) -> str:
    return _somewhere(
        r'(?<=data-id=")[^"]*', text, random, lambda _: random.choice(("zzzz", "", "x y", "a<b", "é", "0"))
    )


def _missing_ids(text: str, script: Script, random: Random) -> str:
    return _somewhere(r' data-id="[^"]*"', text, random, lambda _: "")


def _swapped_ids(text: str, script: Script, random: Random) -> str:
    ids = list(script.document.by_id())
    return _somewhere(r'(?<=data-id=")[^"]*', text, random, lambda _: random.choice(ids or ["a"]))


def _renamed_tags(text: str, script: Script, random: Random) -> str:
    return _somewhere(r"(?<=<)/?\w+", text, random, lambda _: random.choice(("p", "td", "/div", "li", "svg", "title")))


def _missing_end_tags(text: str, script: Script, random: Random) -> str:
    return _somewhere(r"</\w+>", text, random, lambda _: "")


def _doubled_end_tags(text: str, script: Script, random: Random) -> str:
    return _somewhere(r"</\w+>", text, random, lambda tag: tag * 2)


def _dropped_attributes(text: str, script: Script, random: Random) -> str:
    return re.sub(r' (?!data-id)[\w-]+="[^"]*"', lambda found: found[0] if random.random() < 0.5 else "", text)


def _escaped(text: str, script: Script, random: Random) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _truncated(text: str, script: Script, random: Random) -> str:
    return text[: random.randrange(len(text) + 1)]


def _beheaded(text: str, script: Script, random: Random) -> str:
    return text[random.randrange(len(text) + 1) :]


def _repeated(text: str, script: Script, random: Random) -> str:
    return text * random.randint(2, 3)


def _with_the_document(text: str, script: Script, random: Random) -> str:
    sent = written(script.document, 0)
    return random.choice((text + sent, sent + text, f"Before:\n{sent}\nAfter:\n{text}"))


def _shuffled(text: str, script: Script, random: Random) -> str:
    pieces = script.pieces()
    return "\n".join(random.sample(pieces, k=len(pieces)))


def _with_ancestors(text: str, script: Script, random: Random) -> str:
    """Something around what was edited is written out too, as it was."""
    every = [one for one in script.document.elements() if one.data_id]
    others = [random.choice(every).outer() for _ in range(3)] if every else []
    return "\n".join(random.sample([text, *others], k=len(others) + 1))


def _garbled(text: str, script: Script, random: Random) -> str:
    for _ in range(random.randint(1, 6)):
        at, length = random.randrange(len(text) + 1), random.choice((0, 1, 1, 3, 20))
        text = (
            text[:at]
            + random.choice(("", "<", ">", '"', "'", "&", "/", "-", "=", "\n", text[:9]))
            + text[at + length :]
        )
    return text


def _with(choices: Sequence[str]) -> Harmful:
    def mutate(text: str, script: Script, random: Random) -> str:
        for _ in range(random.randint(1, 3)):
            at = random.choice([found.start() for found in re.finditer(r"<|(?<=>)|\w\b|$", text)])
            text = text[:at] + random.choice(choices) + text[at:]
        return text

    return mutate


def _attacked_in_a_tag(text: str, script: Script, random: Random) -> str:
    attack = random.choice(hostile_markup.IN_A_TAG)
    return _somewhere(r"<\w+", text, random, lambda tag: tag + attack)


HARMFUL: dict[str, Harmful] = {
    **{
        name.__name__.lstrip("_"): name
        for name in (
            _unknown_ids,
            _missing_ids,
            _swapped_ids,
            _renamed_tags,
            _missing_end_tags,
            _doubled_end_tags,
            _dropped_attributes,
            _escaped,
            _truncated,
            _beheaded,
            _repeated,
            _with_the_document,
            _shuffled,
            _with_ancestors,
            _garbled,
            _attacked_in_a_tag,
        )
    },
    "attacked": _with(hostile_markup.IN_TEXT),
    "framed": _with(_FRAMES),
    "odd": _with(_ODDITIES),
}


def garbled(script: Script, seed: int) -> tuple[list[str], str]:
    """One to three of the harmful ways, on top of each other; and their names."""
    random = Random(seed)
    text = script.written()
    names = random.sample(sorted(HARMFUL), k=random.choice((1, 1, 2, 3)))
    for name in names:
        text = HARMFUL[name](text, script, random)
    return names, text


def pieces_of(text: str, seed: int) -> list[str]:
    """The text as it arrives: cut anywhere, even within a tag."""
    random = Random(seed)
    longest = random.choice((1, 3, 11, 60, 4000))
    pieces: list[str] = []
    at = 0
    while at < len(text):
        length = random.randint(1, longest)
        pieces.append(text[at : at + length])
        at += length
    return pieces


def _somewhere(pattern: str, text: str, random: Random, replacement: Callable[[str], str]) -> str:
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    one = random.choice(found)
    return text[: one.start()] + replacement(one[0]) + text[one.end() :]
