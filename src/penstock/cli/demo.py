"""The demo tenant of `penstock serve --demo`: a token, an API key, and three commands that can be pasted."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.cli.boot import address
from penstock.gateway.identity.api_keys import key_from_seed
from penstock.gateway.identity.errors import ApiKeyExists, TenantExists
from penstock.kit.crypto import derive_key
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.app import House

TENANT = "demo"
USER = "demo-user"
_TOKEN_S = 24 * 3600
_PARAGRAPH = '<p data-id="p1">Me and him was thinking that it might could be a good idea to meet on monday.</p>'


async def prepare_demo(settings: Settings, house: "House") -> Callable[[], None]:
    """Make what is missing of the demo tenant; the result prints it.

    The API key is derived from the installation's secret, so that every start shows the same one and none is stored.
    """
    identity = house.identity
    with suppress(TenantExists):
        await identity.create_tenant("Demo", TENANT)
    if not any(key.revoked_at is None for key in await identity.access_keys(TENANT)):
        await identity.create_access_key(TENANT, "demo")
    seed = derive_key(settings.master_secrets()[0].encode(), "demo api key")
    key = key_from_seed(seed)
    with suppress(ApiKeyExists):
        await identity.create_api_key(TENANT, "demo", key=key)
    token = await identity.mint_token(TENANT, USER, ttl_s=_TOKEN_S)
    return lambda: print(_text(settings, token, key), flush=True)


def _text(settings: Settings, token: str, key: str) -> str:
    url = address(settings)
    variable = "ENVIRONMENTS_MANAGEMENT_SECRET_KEY"
    how = f"sign in with {variable}" if settings.management_secret else f"set {variable}, and sign in with it"
    say = json.dumps({"prompt": "Say hi in five words.", "model": "agent-1"})
    improve = json.dumps({"content": [{"type": "text", "content": _PARAGRAPH}]})
    chat = json.dumps({"model": "agent-1", "stream": True, "messages": [{"role": "user", "content": "Who are you?"}]})
    return rf"""
Penstock is ready at {url}

  Environment id   {TENANT}
  User             {USER}
  Token            {token}
                   (valid for 24 hours)
  API key          {key}

  Panel            {url}/panel/
                   ({how})
  API              {url}/docs/

The editor surface: start a conversation, then stream an answer. Paste this into another terminal:

  TOKEN={token}
  CHAT=smoke-$(date +%s)
  curl -sw '\n\n' {url}/v1/conversations -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' -d "{{\"id\":\"$CHAT\",\"title\":\"Smoke test\"}}" &&
  curl -sN {url}/v1/conversations/$CHAT/messages -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' -d '{say}'

An action rewrites content, and streams it as the editor takes it:

  curl -sN {url}/v1/actions/improve-writing -H 'Authorization: Bearer {token}' \
    -H 'Content-Type: application/json' -d '{improve}'

The OpenAI surface:

  curl -sN {url}/oai/v1/chat/completions -H 'Authorization: Bearer {key}' \
    -H 'Content-Type: application/json' -d '{chat}'

Stop with Ctrl+C.
"""
