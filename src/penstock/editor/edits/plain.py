"""Text without markup, or with the marks of Markdown, as elements; and elements as text."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from penstock.editor.edits.elements import BLOCKS
from penstock.editor.edits.tree import Element, parsed

_FENCE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[\w-]*[ \t]*$\n?", re.MULTILINE)
_HEADING: Final = re.compile(r"(#{1,6})\s+(.*?)\s*#*\Z")
_ITEM: Final = re.compile(r"\s*(?:([-*+•])|\d{1,3}[.)])\s+(.*)")
_SPAN: Final = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|`([^`\n]+)`|(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_REST: Final = re.compile(
    r"\W*(?:\.\.\.|…)\W*(?:\w[^.]{0,60}?)?\W*"
    r"|\W*(?:the )?(?:rest|remainder) (?:of the (?:document|content|text)|is|remains|stays)\b.{0,40}"
    r"|\W*(?:everything else|the other \w+|existing (?:content|document)) .{0,20}\b(?:unchanged|same|here)\W*",
    re.IGNORECASE,
)


def without_fences(text: str) -> str:
    return _FENCE.sub("", text)


def means_the_rest(text: str) -> bool:
    """Whether a remark stands for content that was not repeated, such as `[... rest unchanged]`."""
    text = text.strip()
    return bool(text) and len(text) < 100 and _REST.fullmatch(text) is not None


def elements(text: str) -> list[Element]:
    """Paragraphs, headings and lists. Nothing else of Markdown is read."""
    return [element for block in re.split(r"\n\s*\n", text) if block.strip() for element in _block(block.strip("\n"))]


def units(text: str) -> list[Element]:
    """The same, with every item of a list on its own."""
    return [unit for one in elements(text) for unit in (one.elements() if one.tag in ("ul", "ol") else (one,))]


def _block(block: str) -> Iterator[Element]:
    lines: list[str] = []
    for line in block.split("\n"):
        heading = _HEADING.match(line.strip())
        if heading:
            yield from _lines(lines)
            lines = []
            yield Element(f"h{len(heading[1])}", {}, spans(heading[2]))
        else:
            lines.append(line)
    yield from _lines(lines)


def _lines(lines: Sequence[str]) -> Iterator[Element]:
    items = [_ITEM.match(line) for line in lines]
    if lines and all(items):
        tag = "ul" if all(item and item[1] for item in items) else "ol"
        yield Element(tag, {}, [Element("li", {}, spans(item[2])) for item in items if item])
    elif text := " ".join(line.strip() for line in lines).strip():
        yield Element("p", {}, spans(text))


def spans(text: str) -> list[Element | str]:
    children: list[Element | str] = []
    position = 0
    for match in _SPAN.finditer(text):
        tag = {1: "strong", 2: "code", 3: "em"}[match.lastindex or 1]
        children += [text[position : match.start()], Element(tag, {}, [match[match.lastindex or 1]])]
        position = match.end()
    return [child for child in (*children, text[position:]) if child]


def readable(markup: str) -> str:
    """What a person reads in a piece of HTML, block by block."""
    return readable_nodes(parsed(markup)) if markup.strip() else ""


def readable_nodes(nodes: Sequence[Element | str]) -> str:
    lines: list[str] = [""]
    for node in nodes:
        _read(node, lines)
    return "\n\n".join(line for one in lines if (line := " ".join(one.split())))


def _read(node: Element | str, lines: list[str]) -> None:
    if isinstance(node, str):
        lines[-1] += node
        return
    if node.source is not None:
        return
    if node.tag in BLOCKS:
        lines.append("- " if node.tag == "li" else "")
    for child in node.children:
        _read(child, lines)
    if node.tag in BLOCKS:
        lines.append("")
    elif node.tag == "br":
        lines[-1] += " "
