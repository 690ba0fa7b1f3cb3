"""What can go wrong with an MCP server, or with connecting one."""

from penstock.errors import InvalidRequest, NotFound, PenstockError


class SessionFailed(Exception):
    """The text completes the sentence "the server …": it speaks of the server as "it"."""


class McpServerNotFound(NotFound):
    code = "mcp_server_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no MCP server `{name[:80]}` that users connect.",
            explanation="MCP_SERVERS has no entry of that name with `oauth`.",
            action="Ask for `GET /v1/mcp/oauth/status`, which lists those that there are.",
        )


class InvalidState(InvalidRequest):
    """Unknown, used, too old, or somebody else's: the four are not told apart."""

    code = "mcp_oauth_invalid_state"

    def __init__(self) -> None:
        super().__init__(
            "The state of this authorization is not valid.",
            explanation="It is unknown, was used already, is older than ten minutes, or belongs to another user.",
            action="Start again with `initialize`, and let the same user complete it within ten minutes.",
        )


class AuthorizationFailed(PenstockError):
    """The MCP server or its authorization server did not do what connecting needs."""

    status, code, retryable = 502, "mcp_authorization_failed", True
