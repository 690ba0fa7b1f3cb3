"""What makes a thousand small requests quick: one client, and tokens that are minted once."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.service import Service

Headers = dict[str, str]


@pytest.fixture(scope="session")
def client(running_service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running_service.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def token_of(running_service: Service) -> Callable[[str], Headers]:
    """The headers of a user. Minting one token starts one process."""
    known: dict[str, Headers] = {}

    def headers(user: str) -> Headers:
        if user not in known:
            known[user] = running_service.token_headers(user)
        return known[user]

    return headers


@pytest.fixture(scope="session")
def token(token_of: Callable[[str], Headers]) -> Headers:
    return token_of("hostile-user")
