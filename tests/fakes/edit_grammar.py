"""Whether a stream of edits keeps to `spec/editor-api.md` 8.2 and 8.4, and what a merge has to leave alone."""

from collections import Counter
from collections.abc import Collection, Iterator

from tests.fakes.editor_merge import GAP
from tests.fakes.markup import NEW, Comment, Element, parse


def offences_in_chat(document: str, stream: str) -> list[str]:
    """Against 8.2 with the exact spellings that both clients read."""
    known = parse(document).by_id()
    exact = {f" {GAP} ", *(f' removed data-id="{data_id}" ' for data_id in known)}
    return [*_offences(stream, {*known, NEW}), *(text for text in _comments(stream) if text not in exact)]


def offences_in_replacement(content: str, stream: str) -> list[str]:
    """Against 8.4: elements of the content in their order, each once, and new ones; nothing else."""
    order = [one.data_id for one in parse(content).tops()]
    found = [one.data_id for one in parse(stream).tops() if one.data_id != NEW]
    places = [order.index(data_id) for data_id in found if data_id in order]
    out_of_order = [] if places == sorted(set(places)) else [f"order: {found}"]
    return [*_offences(stream, {*order, NEW}), *_comments(stream), *out_of_order]


def offences_in_continuation(content: str, stream: str) -> list[str]:
    """Against 8.4: new elements, after the last element of the content at most."""
    tops = parse(content).tops()
    found = parse(stream).tops()
    echoed = {str(one.data_id) for one in tops[-1:]} & {one.data_id for one in found[:1]}
    twice = [f"twice: {one.data_id}" for one in found[1:] if one.data_id != NEW]
    return [*_offences(stream, {*echoed, NEW}), *_comments(stream), *twice]


def _offences(stream: str, allowed: Collection[str | None]) -> Iterator[str]:
    """Only white space and elements that are allowed, and nothing that JSON or a browser cannot carry."""
    for node in parse(stream).children:
        if isinstance(node, str) and node.strip(" \t\n\r\f"):
            yield f"text: {node[:80]!r}"
        elif isinstance(node, Element) and node.data_id not in allowed:
            yield f"id: {node.data_id!r} of <{node.tag}>"
    if any(one == "\0" or "\ud800" <= one <= "\udfff" for one in stream):
        yield "a character that is none"


def _comments(stream: str) -> list[str]:
    return [node.text for node in parse(stream).children if isinstance(node, Comment)]


def named_in(text: str, document: str) -> set[str]:
    """The ids of the document that a model wrote down anywhere, in whatever way."""
    return {data_id for data_id in parse(document).by_id() if data_id in text}


def named_by(stream: str) -> set[str]:
    """The ids that a stream names: of its elements, of those in them, and of what it removes."""
    removed = {text.split('"')[1] for text in _comments(stream) if '"' in text}
    return {*parse(stream).by_id(), *removed}


def rest_of(html: str, named: Collection[str], comments: bool = True) -> str:
    """The document without the elements that are named or new, which must be the same before a merge and after it.

    `comments`: with those of users. Editors strip them from the table whose cell has been edited (8.2).
    """
    root = parse(html) if comments else parse(html).without_comments()
    for one in list(root.elements()):
        if one.parent is not None and (one.data_id in named or one.data_id == NEW):
            one.replace()
    return root.canonical()


def ids_met_twice(html: str) -> list[str]:
    every = Counter(one.data_id for one in parse(html).elements() if one.data_id not in (None, NEW))
    return [str(data_id) for data_id, times in every.items() if times > 1]
