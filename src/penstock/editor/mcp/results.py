"""What a tool gave back, as one text of bounded size for the model and for editors (`spec/editor-api.md` 7.2)."""

from collections.abc import Iterator
from typing import Any, Final

import mcp_types as types
import msgspec

MAX_RESULT_BYTES: Final = 100 * 1024


def result_text(result: types.CallToolResult) -> str:
    """Texts first, then what is structured as JSON; what is neither is described."""
    parts = list(_parts(result))
    return cut("\n\n".join(parts) or "The tool returned nothing.")


def cut(text: str, most: int = MAX_RESULT_BYTES) -> str:
    """At most `most` bytes of UTF-8 and a note that there was more."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return encoded.decode()
    kept = encoded[:most].decode("utf-8", "ignore")
    return f"{kept}\n\n[Cut: the result has {len(encoded) // 1024} KiB, and only the first {most // 1024} are here.]"


def _parts(result: types.CallToolResult) -> Iterator[str]:
    structured = result.structured_content
    for one in result.content:
        # Servers repeat what is structured as text, for clients that do not know it.
        if isinstance(one, types.TextContent) and structured is not None and _is_same(one.text, structured):
            continue
        text = _described(one)
        if text:
            yield text
    if structured is not None:
        yield msgspec.json.encode(structured).decode()


def _is_same(text: str, structured: Any) -> bool:
    try:
        return bool(msgspec.json.decode(text) == structured)
    except (msgspec.DecodeError, RecursionError):
        return False


def _described(one: types.ContentBlock) -> str:
    match one:
        case types.TextContent():
            return one.text
        case types.ImageContent() | types.AudioContent():
            return f"[{one.type}, {one.mime_type}, about {len(one.data) * 3 // 4 // 1024} KiB; not shown here]"
        case types.ResourceLink():
            about = f": {one.description}" if one.description else ""
            return f"[resource {one.uri}, {one.name}{about}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return f"[resource {resource.uri}]\n{resource.text}"
        case _:
            return f"[resource {one.resource.uri}, {one.resource.mime_type or 'of an unknown type'}; not shown here]"
