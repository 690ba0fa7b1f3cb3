"""Credentials that are more than a key in a header: signatures, and tokens that are fetched and expire."""

from collections.abc import Sequence
from typing import Protocol

from penstock.errors import UpstreamError
from penstock.kit.secret import Secret
from penstock.providers.transport.base import Request


class Authorizer(Protocol):
    """One identity at a provider. Safe to use from many calls at a time: a token is fetched once for all of them."""

    @property
    def hint(self) -> str | None:
        """What people may see of it: the end of a key id, the address of a service account."""

    @property
    def secrets(self) -> Sequence[Secret]:
        """What it sends or signs with and the entry does not have: a provider may repeat it, and nobody may read it."""

    async def authorize(self, request: Request) -> Request:
        """`request` with this identity on it. Raises Failure: NoUsableKey (S041) when there is nothing to sign with."""

    def refused(self, error: UpstreamError) -> bool:
        """The provider has answered `error`. True: something was forgotten or corrected, so another try makes sense."""
