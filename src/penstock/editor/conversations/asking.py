"""What a message asks for, checked against its model before anything is kept."""

from typing import Any, Final

import msgspec

from penstock.editor.conversations.errors import ContentNotFound, ContextTooLarge
from penstock.editor.conversations.packing import user_text
from penstock.editor.conversations.schemas import ContentItem, McpToolContextItem, NewMessage, SelectionItem, TextItem
from penstock.gateway.catalog.snapshot import Snapshot
from penstock.gateway.identity.caller import Caller
from penstock.gateway.routing.agent import Needs
from penstock.gateway.routing.candidates import AGENT, AGENT_NAMES, candidates
from penstock.telemetry.logs import log

FEATURE: Final = "conversations"
REASONING: Final = "ai:conversations:reasoning"
WEB_SEARCH: Final = "ai:conversations:webSearch"

_KINDS = {"document": "document", "file": "file", "web-resource": "web resource"}


class Asked(msgspec.Struct, frozen=True):
    """A message that may be sent: it was checked against its model."""

    model: str
    text: str
    content: list[dict[str, Any]]
    limit: int
    reasoning: bool


def checked(snapshot: Snapshot, caller: Caller, message: NewMessage) -> Asked:
    """Raises MissingPermission, ContentNotFound, ModelNotFound, ModelLacksFeature, ContextTooLarge."""
    content = [_stored(item, place) for place, item in enumerate(message.content)]
    if message.capabilities.web_search is not None:
        caller.require(WEB_SEARCH)
        log.warning("web search was asked for and is not enabled", model=message.model)
    wants_reasoning = message.capabilities.reasoning is not None
    if wants_reasoning:
        caller.require(REASONING)
    able = candidates(snapshot, caller, message.model, FEATURE, needs=Needs(reasoning=wants_reasoning))
    can_reason = all(one.model.reasons for one in able)
    if wants_reasoning and not can_reason:
        log.warning("reasoning was asked for and is not enabled", model=message.model)
    text = user_text(message.prompt, content)
    limit = min(one.model.limits.max_context_length for one in able)
    if len(text) > limit:
        raise ContextTooLarge(len(text), limit, message.model)
    model = AGENT if message.model in AGENT_NAMES else message.model
    return Asked(model, text, content, limit, wants_reasoning and can_reason)


def _stored(item: ContentItem, place: int) -> dict[str, Any]:
    """A content item as it is kept and shown. Raises ContentNotFound for what this conversation cannot have."""
    if isinstance(item, TextItem | SelectionItem):
        return {"type": item.type, "content": item.content}
    if isinstance(item, McpToolContextItem):
        raise ContentNotFound("MCP server", item.mcp_server_name, f"content.{place}.mcpServerName")
    raise ContentNotFound(_KINDS[item.type], item.id, f"content.{place}.id")
