"""What the demo provider makes of editor content: a small change that can be seen, in the form that is asked for.

It knows the frame in which content is given and a few words of the rules. Anything else is a conversation.
"""

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_CONTENT = re.compile(r"<content-(\w+)>\n(.*)\n</content-\1>", re.DOTALL)
_NEIGHBOUR = re.compile(r"^<before-\w{8}>$", re.MULTILINE)
_TEXT = re.compile(r"(?:^|>)\s*(?=[^<>\s])")
_TAG = re.compile(r"<[^>]*>")

_MARK = "[Demo] "
_SUGGESTION = " (A suggestion of the demo model.)"
_CONTINUATION = (
    "This is where a real model would go on writing. The demo model does not think: it only shows you that the way "
    "from your editor to a model and back works."
)
_UNMODIFIED = "<!-- unmodified -->"
_EDIT_TAG = "<edit"
_ANNOUNCEMENT = (
    "I am the demo model: I do not understand what you wish, but I can show you what becomes of an edit. In a moment "
    "one paragraph of your document is changed. Its new text is shown beside the old one, and nothing is final until "
    "you accept it."
)
_BEGINNING = "This is where a real model would write what you asked for."
_SHORTEST_WORD = 4


def edit_of(rules: str, question: str) -> str | None:
    """The edit of the content, or of the document, in `question`; None when there is none in it."""
    found = _CONTENT.search(question)
    if found is None:
        return _proposal(question) if _EDIT_TAG in rules else None
    content = found[2]
    if _UNMODIFIED in rules:
        return _UNMODIFIED if _NEIGHBOUR.search(question) else _suggestions(content)
    if "write the continuation alone" in rules:
        return f'<p data-id="new-element">{_CONTINUATION}</p>'
    if "as plain text" in rules:
        return _MARK + " ".join(html.unescape(_TAG.sub(" ", content)).split())
    return _marked(content)


def _proposal(question: str) -> str | None:
    """What a chat answers: a few sentences, and an edit of the element that the wish seems to be about."""
    from lxml import html as markup

    elements = markup.fromstring(f"<div>{question}</div>").xpath(".//*[@data-id and not(.//*[@data-id])]")
    if not elements:
        return None
    wish = _words(question.rpartition(">")[2])
    # `max` takes the first of equals: a paragraph rather than a heading or an item.
    elements.sort(key=lambda one: one.tag != "p")
    # Long words say more about the matter than short ones.
    element = max(elements, key=lambda one: sum(map(len, wish & _words(one.text_content()))))
    if element.text_content().strip():
        _add_words(element)
    else:
        element.text = _BEGINNING
    edited = markup.tostring(element, encoding="unicode", with_tail=False)
    return f'{_ANNOUNCEMENT}\n\n<edit document="1">\n{edited}\n</edit>'


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) >= _SHORTEST_WORD}


def _marked(content: str) -> str:
    """The whole content, with a mark before its first words."""
    return _TEXT.sub(lambda place: place.group() + _MARK, content, count=1)


def _suggestions(content: str) -> str:
    """The first and the last element with text, each with a few words more."""
    from lxml import html as markup

    elements = [one for one in markup.fragments_fromstring(content) if not isinstance(one, str)]
    written = [one for one in elements if one.get("data-id") and one.text_content().strip()]
    changed = written[:1] + written[1:][-1:]
    for element in changed:
        _add_words(element)
    return "\n".join(markup.tostring(one, encoding="unicode", with_tail=False) for one in changed) or _UNMODIFIED


def _add_words(element: "HtmlElement") -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + _SUGGESTION
    else:
        element.text = (element.text or "") + _SUGGESTION
