"""The elements of a document that have an id, as a tree of their own: which is in which, and whose text is whose."""

from collections.abc import Iterator, Sequence

import msgspec

_NO_TEXT = frozenset(("script", "style", "template", "noscript", "textarea", "title"))


class Element(msgspec.Struct):
    """`own` are the pieces of text that stand in no other element with an id; `children` are those with an id."""

    data_id: str
    tag: str
    alt: str
    own: list[str]
    children: list["Element"]

    @property
    def has_own_text(self) -> bool:
        return bool("".join(self.own).strip())

    def inside(self) -> Iterator["Element"]:
        """Every element within this one, in document order."""
        waiting = self.children[::-1]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += element.children[::-1]

    def text(self) -> str:
        """For a reader who only wants to know what stands there."""
        pieces = [*self.own, *(piece for element in self.inside() for piece in element.own)]
        return " ".join("".join(pieces).split())


def outline(content: str) -> Sequence[Element]:
    """The outermost elements with an id. One whose id was there before counts as having none."""
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(huge_tree=True, encoding="utf-8")
    root = document_fromstring(f"<body>{content}</body>".encode(), parser=parser)
    top = Element("", "", "", [], [])
    stack = [top]
    seen: set[str] = set()
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        data_id = node.get("data-id", "") if event in ("start", "end") else ""
        if event == "start":
            if data_id and data_id not in seen:
                seen.add(data_id)
                element = Element(data_id, str(node.tag), node.get("alt", ""), [], [])
                stack[-1].children.append(element)
                stack.append(element)
                node.set("data-id-of", "outline")
            if node.text and node.tag not in _NO_TEXT:
                stack[-1].own.append(node.text)
            continue
        if event == "end" and node.get("data-id-of") == "outline":
            stack.pop()
        if node.tail:
            stack[-1].own.append(node.tail)
    return top.children
