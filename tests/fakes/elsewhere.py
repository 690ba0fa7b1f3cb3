"""A Transport that leads every call to one place, for addresses that no fake can have: those of the vendors."""

import msgspec

from penstock.providers.transport.base import Limits, Origin, Request, Response
from penstock.providers.transport.drivers import open_transport


class Elsewhere:
    """`called` has the addresses as they were meant, without their queries."""

    def __init__(self, origin: Origin) -> None:
        self.called: list[str] = []
        self._origin = origin
        self._inner = open_transport()

    async def send(self, request: Request, limits: Limits) -> Response:
        path = request.target.partition(b"?")[0].decode()
        self.called.append(f"{request.origin.scheme}://{request.origin.host}{path}")
        return await self._inner.send(msgspec.structs.replace(request, origin=self._origin), limits)

    async def retire(self) -> None:
        await self._inner.retire()

    async def aclose(self) -> None:
        await self._inner.aclose()
