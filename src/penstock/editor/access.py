"""Who is asking, for the routes of the editor."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from penstock.gateway.identity.caller import Caller
from penstock.gateway.identity.service import Identity
from penstock.http.incoming import incoming_of


def authentication(identity: Identity) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that gives the caller and puts it on the metric log line. It raises what `authenticate` raises."""

    async def authenticate(request: Request) -> Caller:
        incoming = incoming_of(request.scope)
        caller = await identity.authenticate(incoming.authorization, incoming.x_api_key)
        incoming.note(environmentId=caller.tenant_id, sub=caller.subject)
        return caller

    return authenticate
