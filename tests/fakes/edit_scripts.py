"""Edits as a careful model writes them, with the documents they lead to.

What is expected is made by changing the tree, never by merging, so that the two can be compared.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.fakes import documents
from tests.fakes.documents import Author, addressable, document
from tests.fakes.editor_merge import GAP
from tests.fakes.markup import NEW, Comment, Element, Writer

_GAP = f" {GAP} "
_ONLY_CHANGED = frozenset(("img", "figcaption", "summary", "dt", "dd"))
"""Nothing is inserted beside them: it would not be valid there, or not be read as it was written."""
_OTHER_TAG = {"p": "h2", "h1": "h2", "h2": "p", "h3": "h4", "ul": "ol", "ol": "ul", "div": "section"}

Item = Element | Comment


@dataclass
class Script:
    document: Element
    items: list[Item]
    """The top-level nodes that the model writes, in order."""
    expected: Element
    goals: list[str] = field(default_factory=list)

    def written(self, write: Writer | None = None, between: str = "\n") -> str:
        return between.join(self.pieces(write))

    def pieces(self, write: Writer | None = None) -> list[str]:
        return [one.outer(write) if isinstance(one, Element) else f"<!--{one.text}-->" for one in self.items]


def chat(seed: int, sent: Element | None = None) -> Script:
    """Up to four edits of different places (8.2, 8.3)."""
    return _ChatScript(seed, sent or document(seed)).script()


def replacement(seed: int, sent: Element | None = None, omitting: bool = True) -> Script:
    """Every top-level element in order: echoed, changed, followed by new ones, or left out, but not all (8.4)."""
    random, root = Random(seed), sent or document(seed)
    expected, writer = root.copy(), _Writing(seed)
    items: list[Item] = []
    if random.random() < 0.2:
        items.append(writer.new_block())
        expected.insert(0, _merged(items[0]))
    for old in [one for one in expected.tops() if one.data_id != NEW]:
        chance = random.random()
        if chance < 0.15 and omitting and items:
            old.replace()
            continue
        one = writer.changed(old) if chance < 0.7 else old.copy()
        items.append(one)
        old = _put(old, one) if chance < 0.7 else old
        if chance > 0.85:
            items.append(writer.new_block())
            old.after(_merged(items[-1]))
    return Script(root, items, expected)


def continuation(seed: int, sent: Element | None = None) -> Script:
    """New elements, after the last element made longer (8.4)."""
    random, root = Random(seed), sent or document(seed)
    expected, writer = root.copy(), _Writing(seed)
    items: list[Item] = []
    last = expected.tops()[-1]
    if random.random() < 0.5 and last.tag in ("p", "h1", "h2", "h3", "h4", "blockquote", "div", "section"):
        longer = last.copy()
        longer.append(*([" and so on"] if last.tag[0] in "ph" else [writer.new_block()]))
        items.append(longer)
        _put(last, longer)
    for _ in range(random.randint(0 if items else 1, 3)):
        items.append(writer.new_block())
        expected.append(_merged(items[-1]))
    return Script(root, items, expected)


def review(seed: int) -> Script:
    """Some elements reworded, the others echoed or left out (8.5)."""
    random, root = Random(seed), documents.review(seed)
    expected, writer = root.copy(), _Writing(seed)
    places = expected.by_id()
    items: list[Item] = []
    for data_id, sent in root.by_id().items():
        reworded = writer.reworded(sent) if random.random() < 0.4 else sent
        if reworded is not sent:
            items.append(reworded)
            _put(places[data_id], reworded)
            places.update(expected.by_id())
        elif random.random() < 0.5:
            items.append(sent.copy())
    return Script(root, items, expected)


class _ChatScript:
    def __init__(self, seed: int, root: Element) -> None:
        self._random = Random(seed)
        self._root, self._expected = root, root.copy()
        self._places = self._expected.by_id()
        self._writer = _Writing(seed)

    def script(self) -> Script:
        groups = [self._group(target) for target in self._targets()]
        if self._random.random() < 0.2:
            groups.insert(0, self._at_start())
        if self._random.random() < 0.2:
            groups.append(self._at_end())
        items: list[Item] = []
        for _, written in groups:
            if self._random.random() < 0.4 and items:
                items.append(Comment(_GAP))
            items += written
        return Script(self._root, items, self._expected, [goal for goal, _ in groups])

    def _targets(self) -> list[tuple[Element, Element | None]]:
        """Some elements with the sibling that follows, if it may be edited too; none is within another."""
        order = {id(one): at for at, one in enumerate(self._expected.elements())}
        candidates = addressable(self._expected)
        taken: list[Element] = []
        found: list[tuple[Element, Element | None]] = []
        for one in self._random.sample(candidates, k=min(len(candidates), self._random.randint(1, 4))):
            neighbour = _next(one)
            if neighbour is not None and not _addressed_beside(neighbour):
                neighbour = None
            if not _meets(one, taken):
                taken.append(one)
                if neighbour is not None and _meets(neighbour, taken):
                    neighbour = None
                taken += [neighbour] if neighbour is not None else []
                found.append((one, neighbour))
        return sorted(found, key=lambda pair: order[id(pair[0])])

    def _group(self, target: tuple[Element, Element | None]) -> tuple[str, list[Item]]:
        one, neighbour = target
        goals: list[Callable[[Element], list[Item]]] = [self._change]
        if one.tag not in _ONLY_CHANGED:
            goals += [self._change, self._insert_after, self._insert_before, self._several, self._delete]
            if neighbour is not None:
                goals += [lambda one: self._instead_of(one, neighbour)]
                goals += [lambda one: self._wrap(one, neighbour)] if one.tag != "li" else []
        goal = self._random.choice(goals)
        return getattr(goal, "__name__", ""), goal(one)

    def _change(self, one: Element) -> list[Item]:
        changed = self._writer.changed(one)
        _put(one, changed)
        return [changed]

    def _insert_after(self, one: Element) -> list[Item]:
        return [one.copy(), *self._new_after(one)]

    def _insert_before(self, one: Element) -> list[Item]:
        written: list[Item] = [Comment(_GAP)]
        for _ in range(self._random.randint(1, 2)):
            written.append(self._writer.new_beside(one))
            one.before(_merged(written[-1]))
        return [*written, one.copy()]

    def _several(self, one: Element) -> list[Item]:
        changed = self._writer.changed(one)
        return [changed, *self._new_after(_put(one, changed))]

    def _delete(self, one: Element) -> list[Item]:
        one.replace()
        return [_removed(one)]

    def _instead_of(self, one: Element, neighbour: Element) -> list[Item]:
        written = [one.copy(), *self._new_after(one), _removed(neighbour)]
        neighbour.replace()
        return written

    def _wrap(self, one: Element, neighbour: Element) -> list[Item]:
        wrapper = Element("div", {"data-id": NEW, "class": "wrapped"}, neighbour.copy())
        written: list[Item] = [one.copy(), wrapper]
        neighbour.replace()
        one.after(_merged(wrapper))
        return written

    def _at_start(self) -> tuple[str, list[Item]]:
        new = self._writer.new_block()
        self._expected.insert(0, _merged(new))
        return "start", [new, Comment(_GAP)]

    def _at_end(self) -> tuple[str, list[Item]]:
        new = self._writer.new_block()
        self._expected.append(_merged(new))
        return "end", [Comment(_GAP), new]

    def _new_after(self, one: Element) -> list[Item]:
        written: list[Item] = []
        for _ in range(self._random.randint(1, 2)):
            written.append(self._writer.new_beside(one))
            merged = _merged(written[-1])
            one.after(merged)
            one = merged
        return written


class _Writing:
    """What a model makes up."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed + 1_000_003)
        self._author = Author(self._random)

    def new_block(self) -> Element:
        """Without a frame: models do not bring what the document does not have (8.6)."""
        block = self._author.any_block(self._random.choice((0, 0, 1)))
        while any(one.tag == "iframe" for one in block.elements()):
            block = self._author.any_block(0)
        return self._new(block)

    def new_beside(self, one: Element) -> Element:
        return self._new(self._author.block("li", *self._author.inline(1))) if one.tag == "li" else self.new_block()

    def changed(self, one: Element) -> Element:
        """The element with the same id, other content, and perhaps another tag or other attributes."""
        twin = one.copy()
        before = twin.without_comments().canonical()
        while twin.without_comments().canonical() == before:
            self._random.choice((self._reword, self._reword, self._restyle, self._retag, self._shorten, self._extend))(
                twin
            )
        return twin

    def reworded(self, one: Element) -> Element:
        """Other words, or another description of an image; the same elements."""
        twin = one.copy()
        self._reword(twin)
        return twin if twin.canonical() != one.canonical() else one

    def _reword(self, twin: Element) -> None:
        texts = [
            (one, at) for one in twin.elements() for at, child in enumerate(one.children) if isinstance(child, str)
        ]
        if texts:
            one, at = self._random.choice(texts)
            one.children[at] = self._author.words() + " (reworded)"
        elif twin.tag == "img":
            twin.attributes["alt"] = self._author.words() + " (reworded)"

    def _restyle(self, twin: Element) -> None:
        twin.attributes["class"] = f"{twin.attributes.get('class', '')} changed".strip()

    def _retag(self, twin: Element) -> None:
        twin.tag = _OTHER_TAG.get(twin.tag, twin.tag)

    def _shorten(self, twin: Element) -> None:
        items = [one for one in twin.elements() if one is not twin and one.tag in ("li", "p", "strong", "em", "br")]
        if items:
            self._random.choice(items).replace()

    def _extend(self, twin: Element) -> None:
        items = [one for one in twin.elements() if one is not twin and one.tag == "li"]
        if items:
            self._random.choice(items).after(self._new(self._author.block("li", self._author.words())))

    def _new(self, one: Element) -> Element:
        for part in one.elements():
            if part is one or (part.data_id is not None and self._random.random() < 0.5):
                part.attributes["data-id"] = NEW
            else:
                part.attributes.pop("data-id", None)
        return one


def _put(old: Element, new: Item) -> Element:
    twin = _merged(new)
    old.replace(twin)
    return twin


def _merged(new: Item) -> Element:
    """Comments are stripped from what is replaced or new (8.2)."""
    assert isinstance(new, Element)
    return new.without_comments()


def _removed(one: Element) -> Comment:
    return Comment(f' removed data-id="{one.data_id}" ')


def _next(one: Element) -> Element | None:
    siblings = one.parent.tops() if one.parent else []
    at = next((at for at, sibling in enumerate(siblings) if sibling is one), len(siblings))
    return siblings[at + 1] if at + 1 < len(siblings) else None


def _addressed_beside(one: Element) -> bool:
    return bool(one.data_id) and one.tag not in _ONLY_CHANGED and any(one is found for found in addressable(one))


def _meets(one: Element, taken: Sequence[Element]) -> bool:
    return any(one in _line(other) or other in _line(one) for other in taken)


def _line(one: Element) -> Iterator[Element]:
    yield one
    yield from one.ancestors()
