"""What `docs/configuration.md` says of the JSON in MCP_SERVERS."""

MCP_SECTION = """
## The JSON of MCP_SERVERS

An object. Its keys are names of your choice: models see a tool as `<name>-<tool>`. Servers are spoken to over
Streamable HTTP.

```jsonc
{
  "crm": {
    "url": "https://crm.example.com/mcp",
    "headers": {"Authorization": "Bearer YOUR-KEY"},
    "tools": {"disabled": ["delete_customer"]},
    "options": {"callToolTimeout": 30}
  },
  "tickets": {
    "url": "https://tickets.example.com/mcp",
    "oauth": {"scopes": ["tickets.read"], "callbackUrl": "https://app.example.com/connected"}
  }
}
```

| field | meaning |
| --- | --- |
| `url` | required: the address of the endpoint; its host is trusted, also when it is private |
| `headers` | an object of headers for every request: one access for everybody |
| `oauth` | an object; each user connects an account of their own, and sees the tools only then |
| `clientId`, `clientSecret` | in `oauth`: our registration with the authorization server; else we register ourselves |
| `scopes` | in `oauth`: an array of what to ask for; without it, what the server says it needs |
| `callbackUrl` | in `oauth`: the page of your application that users come back to; else `MCP_OAUTH_CALLBACK_URL` |
| `disabled` | in `tools`: an array of tools that are not offered, by the server's own names |
| `callToolTimeout` | in `options`: how long one call may take, 1 to 3600 seconds; else 60 |

A server that fails or hangs is left out of chats for a while; nothing waits for it. What a server with `oauth` says of
its authorization server is believed only for addresses that are public, listed in `OUTBOUND_ALLOW`, or on its own host.

The context that editors attach for a server's tools (`mcp-tool-context`) is not shown to the model. It goes to the
server as `penstock/context` in `_meta` of each call: an array of objects with `id` and `data`.
"""
