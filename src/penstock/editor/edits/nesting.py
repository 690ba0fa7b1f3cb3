"""Elements put where they may stand, so that the editor's parser keeps the tree as we wrote it."""

from collections.abc import Callable

from penstock.editor.edits.elements import (
    BLOCKS,
    CELLS,
    HEADINGS,
    HOLDS_ITEMS,
    LISTS,
    NOT_IN_THEMSELVES,
    SECTIONS,
    TABLE_PARTS,
    is_allowed,
)
from penstock.editor.edits.tree import Element


def well_nested(element: Element, around: tuple[str, ...] = ()) -> Element:
    """Mend what is below the element, in place."""
    if element.source is not None:
        return element
    inside = (*around, element.tag)
    children: list[Element | str] = []
    for child in element.children:
        if isinstance(child, str):
            children.append(child)
        elif (child.tag in NOT_IN_THEMSELVES and child.tag in inside) or (
            child.tag in HEADINGS and element.tag in HEADINGS
        ):
            children += well_nested(child, around).children
        else:
            children.append(well_nested(child, inside))
    element.children = _fitting(element.tag, children)
    if element.tag == "p" and _holds_blocks(element):
        element.tag = "div"  # a parser would end the paragraph before the block
    return element


def _holds_blocks(element: Element) -> bool:
    return any(one.tag in BLOCKS for one in element.walk() if one is not element)


def _fitting(parent: str, children: list[Element | str]) -> list[Element | str]:
    if parent in HOLDS_ITEMS:
        return _wrapped(children, lambda child: _is_at_home(parent, child), _home(parent))
    if any(isinstance(child, Element) and child.tag in ("li", *TABLE_PARTS) for child in children):
        return _strays_housed(children)
    return children


def _is_at_home(parent: str, child: Element | str) -> bool:
    if isinstance(child, str):
        return not child.strip()
    if child.source is not None or (parent in LISTS and child.tag in LISTS):
        return True
    return is_allowed(parent, child.tag)


def _home(parent: str) -> tuple[str, ...]:
    """The elements, from the outside, that let anything be in this one."""
    if parent in LISTS:
        return ("li",)
    return {"dl": ("dd",), "tr": ("td",), "colgroup": (), "table": ("tr", "td")}.get(parent, ("tr", "td"))


def _strays_housed(children: list[Element | str]) -> list[Element | str]:
    children = _wrapped(children, lambda child: isinstance(child, str) or child.tag != "li", ("ul",))
    children = _wrapped(
        children, lambda child: isinstance(child, str) or child.tag not in CELLS, ("table", "tbody", "tr")
    )
    return _wrapped(children, lambda child: isinstance(child, str) or child.tag not in TABLE_PARTS, ("table",))


def _wrapped(
    children: list[Element | str], is_fine: Callable[[Element | str], bool], around: tuple[str, ...]
) -> list[Element | str]:
    """Runs of children that may not stand here, each put into one element that may."""
    fitting: list[Element | str] = []
    run: list[Element | str] = []
    for child in children:
        if is_fine(child) and not (run and isinstance(child, str) and not child.strip()):
            fitting += _housed(run, around)
            run = []
            fitting.append(child)
        else:
            run.append(child)
    return fitting + _housed(run, around)


def _housed(run: list[Element | str], around: tuple[str, ...]) -> list[Element | str]:
    if not run or not around:
        return []
    if around[0] == "tr" and any(isinstance(child, Element) and child.tag in CELLS for child in run):
        return [Element("tr", {}, _wrapped(run, lambda child: _is_at_home("tr", child), ("td",)))]
    for tag in reversed(around):
        run = [Element(tag, {}, run)]
    return run


def fitted(element: Element, parent: str | None) -> Element | None:
    """The element as it may stand in the parent (None: the document), with its id; None if it may not at all."""
    if is_allowed(parent, element.tag):
        return element
    data_id = element.attributes.pop("data-id", None)
    home = _fit(element, parent)
    if home is not None and data_id is not None:
        home.attributes = {"data-id": data_id, **home.attributes}
    elif data_id is not None:
        element.attributes["data-id"] = data_id
    return home


def _fit(element: Element, parent: str | None) -> Element | None:
    if parent in LISTS:
        return Element("li", {}, element.children if element.tag in ("p", "div", "dd", "dt", *CELLS) else [element])
    if parent == "tr":
        return Element("td", {}, element.children if element.tag in ("p", "div", "li") else [element])
    if parent == "dl":
        return Element("dd", {}, element.children if element.tag in ("p", "div", "li") else [element])
    if parent in SECTIONS or parent == "table":
        return _row(element)
    return _at_home(element, parent)


def _row(element: Element) -> Element:
    cell = element if element.tag in CELLS else Element("td", {}, [element])
    return Element("tr", {}, [cell])


def _at_home(element: Element, parent: str | None) -> Element | None:
    housed = _strays_housed([element])[0]
    if housed is element and element.tag in ("dt", "dd"):
        housed = Element("dl", {}, [element])
    if isinstance(housed, Element) and housed is not element and is_allowed(parent, housed.tag):
        return housed
    return None
