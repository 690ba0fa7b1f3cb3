"""MCP_SERVERS: which servers there are and how each is spoken to (`spec/editor-api.md` 10.3)."""

import re
from urllib.parse import urlsplit

import msgspec

from penstock.editor.mcp.tables import SERVER_LENGTH
from penstock.gateway.catalog.documents import Document, Refused
from penstock.gateway.catalog.fields import Fields, Notes
from penstock.kit.secret import Secret

VARIABLE = "MCP_SERVERS"
CALL_TIMEOUT_S = 60
_LONGEST_CALL_S = 3600
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_OUR_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "transfer-encoding", "accept", "accept-encoding"),
        *("mcp-session-id", "mcp-protocol-version", "last-event-id"),
    }
)


class OAuthOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`client_id` None: we register ourselves with the authorization server. `scopes` empty: what the server asks for.

    `callback_url` is a page of the integrating application.
    """

    callback_url: str
    client_id: str | None = None
    client_secret: Secret | None = None
    scopes: tuple[str, ...] = ()


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """`oauth` None: one access for everybody, by `headers` or none. `disabled` are tools by the server's own names."""

    name: str
    url: str
    headers: tuple[tuple[str, Secret], ...] = ()
    oauth: OAuthOptions | None = None
    disabled: frozenset[str] = frozenset()
    call_timeout_s: float = CALL_TIMEOUT_S

    def __repr__(self) -> str:
        """Without the query of the address, which may hold a key."""
        return f"McpServer({self.name!r}, {self.url.partition('?')[0]!r})"


def parse_servers(text: str, callback_url: str | None = None) -> tuple[McpServer, ...]:
    """The servers of a JSON text, in its order. Raises Refused, with the place of every problem in the text."""
    notes = Notes(Document(VARIABLE, text, ""))
    servers = read_servers(notes, callback_url)
    if notes.refusals:
        raise Refused(notes.problems)
    return servers


def read_servers(notes: Notes, callback_url: str | None) -> tuple[McpServer, ...]:
    """What is wrong goes to `notes`. `callback_url` is for servers that name none. Raises Refused: not JSON."""
    value = notes.document.value()
    for path in notes.document.repeated_keys():
        notes.warn(path, "is given more than once; the last one counts.", "Remove the others.")
    if not isinstance(value, dict):
        notes.refuse((), "is not a JSON object.", 'Expected an object of servers: {"crm": {"url": "https://…"}}.')
        return ()
    found = (_server(name, entry, notes, callback_url) for name, entry in value.items())
    return tuple(server for server in found if server is not None)


def is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return is_web and url.isprintable() and " " not in url
    except ValueError:
        return False


def _server(name: str, entry: object, notes: Notes, callback_url: str | None) -> McpServer | None:
    before = notes.refusals
    if not name or len(name) > SERVER_LENGTH or "/" in name or not name.isprintable() or name in (".", ".."):
        fix = f"Use 1 to {SERVER_LENGTH} characters without a slash: tools are called `<name>-<tool>`."
        notes.refuse((name,), "is not a name that a server can have.", fix)
    if not isinstance(entry, dict):
        notes.refuse((name,), "is not an object.", 'Expected an object: {"url": "https://…"}.')
        return None
    fields = Fields(entry, (name,), notes)
    server = McpServer(
        name=name,
        url=_url(fields),
        headers=_headers(fields),
        oauth=_oauth(fields, callback_url),
        disabled=_disabled(fields),
        call_timeout_s=_call_timeout(fields),
    )
    if server.oauth and any(header == "authorization" for header, _ in server.headers):
        fields.refuse("headers", "has `authorization`, and the entry has `oauth`.", "Keep one of the two.")
    fields.close()
    return server if notes.refusals == before else None


def _url(fields: Fields) -> str:
    url = fields.required("url", "the address of the server's Streamable HTTP endpoint") or ""
    if url and not is_address(url):
        fields.refuse("url", "is not an address of a server.", "Expected http:// or https:// and a host.")
    elif "@" in url.partition("//")[2].partition("/")[0]:
        fields.refuse("url", "has a user or a password in it.", "Use `headers` for credentials.")
    return url.partition("#")[0]


def _headers(fields: Fields) -> tuple[tuple[str, Secret], ...]:
    given = fields.object("headers")
    found: dict[str, Secret] = {}
    for name in given.names() if given else ():
        value = given.text(name) if given else None
        if given is None or value is None:
            continue
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            given.refuse(name, "cannot be sent as a header.", "Expected a plain name, and a value of one line.")
        elif name.lower() in _OUR_HEADERS:
            given.warn(name, "is a header that we set ourselves; it is ignored.", "Remove it.")
        else:
            found[name.lower()] = Secret(value)
    return tuple(found.items())


def _oauth(fields: Fields, callback_url: str | None) -> OAuthOptions | None:
    given = fields.object("oauth")
    if given is None:
        return None
    client_id, client_secret = given.text("clientId"), given.text("clientSecret")
    own, scopes = given.text("callbackUrl"), given.texts("scopes")
    if client_secret and not client_id:
        given.missing("clientId", "whose secret `clientSecret` is")
    if own and not is_address(own):
        given.refuse("callbackUrl", "is not an address of a page.", "Expected http:// or https:// and a host.")
    if not own and not callback_url and not given.has("callbackUrl"):
        fix = "Set MCP_OAUTH_CALLBACK_URL, or `callbackUrl` here, to the page that users come back to."
        fields.refuse("oauth", "has no address that users can come back to.", fix)
    given.close()
    return OAuthOptions(
        callback_url=own or callback_url or "",
        client_id=client_id,
        client_secret=Secret(client_secret) if client_secret else None,
        scopes=tuple(scope for one in scopes for scope in one.split()),
    )


def _disabled(fields: Fields) -> frozenset[str]:
    tools = fields.object("tools")
    if tools is None:
        return frozenset()
    disabled = tools.texts("disabled")
    tools.close()
    prefix = f"{fields.path[-1]}-"
    for name in disabled:
        if name.startswith(prefix):
            tools.warn("disabled", "has a name that begins with the server's own.", "Write the bare name of the tool.")
    return frozenset(disabled)


def _call_timeout(fields: Fields) -> float:
    options = fields.object("options")
    if options is None:
        return CALL_TIMEOUT_S
    seconds = options.whole("callToolTimeout", 1, _LONGEST_CALL_S)
    options.close()
    return CALL_TIMEOUT_S if seconds is None else seconds
