"""MCP_SERVERS and MCP_OAUTH_CALLBACK_URL: the servers whose tools models may use."""

from penstock.editor.mcp.servers import McpServer, read_servers
from penstock.gateway.catalog.documents import Refused, Source
from penstock.gateway.catalog.fields import Notes
from penstock.settings import variables as v
from penstock.settings.values import Values


def read_mcp(source: Source | None, values: Values) -> tuple[tuple[McpServer, ...], str | None]:
    """The servers, and where users come back to after they have connected one. Problems go to `values`."""
    variable = v.MCP_OAUTH_CALLBACK_URL
    # One that was refused is reported already, and not again as missing at every server that needs it.
    callback_url = values.text(variable) if values.is_refused(variable) else values[variable]
    if source is None:
        return (), callback_url
    try:
        notes = Notes(source.read())
        servers = read_servers(notes, callback_url)
    except Refused as refused:
        values.problems += refused.problems
        return (), callback_url
    values.problems += notes.problems
    return servers, callback_url
