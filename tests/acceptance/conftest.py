"""One deployment at a time: tests are grouped by it, and it ends before the next one starts.

The fixtures have the names of those of `tests/editor`: checks that are written there run here over every deployment.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.acceptance.deployments import DEPLOYMENTS, Deployment
from tests.editor.conftest import Tenant
from tests.fakes.editor_client import EditorClient
from tests.fakes.openai_upstream import Upstream
from tests.panel.conftest import BEARER
from tests.panel.conftest import panel as panel
from tests.panel.conftest import stranger as stranger

EVERYTHING = ["ai:conversations:*", "ai:models:*", "ai:actions:*", "ai:reviews:*"]

Editor = Callable[..., EditorClient]


@pytest.fixture(scope="package", params=tuple(DEPLOYMENTS))
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    with DEPLOYMENTS[request.param]() as running:
        yield running


@pytest.fixture
def service(deployment: Deployment) -> Deployment:
    deployment.reset()
    return deployment


@pytest.fixture(scope="package")
def running_service(deployment: Deployment) -> Deployment:
    return deployment


@pytest.fixture
def upstream(service: Deployment) -> Upstream:
    return service.upstream


@pytest.fixture(scope="package")
def tenant(deployment: Deployment) -> Tenant:
    return Tenant(deployment.first)


@pytest.fixture(scope="package")
def other_tenant(deployment: Deployment) -> Tenant:
    return Tenant(deployment.first, deployment.tenant_id)


@pytest.fixture
def editors(service: Deployment, tenant: Tenant) -> Iterator[Editor]:
    """Opens editors: `editors("user-2", permissions=[...])`."""
    with ExitStack() as stack:

        def opened(user: str = "user-1", *, of: Tenant = tenant, at: str = "", **more: Any) -> EditorClient:
            return stack.enter_context(EditorClient(at or service.url, of.headers(user, **more)))

        yield opened


@pytest.fixture
def editor(editors: Editor, request: pytest.FixtureRequest) -> EditorClient:
    """An editor of a user who has no conversations yet."""
    return editors(f"user of {request.node.name}"[:200], permissions=EVERYTHING)


@pytest.fixture
def writer(editors: Editor) -> EditorClient:
    return editors("writer", permissions=EVERYTHING)


@pytest.fixture
def reviewer(editors: Editor) -> EditorClient:
    return editors("reviewer", permissions=EVERYTHING)


@pytest.fixture
def conversation(editor: EditorClient) -> str:
    return editor.create()


@pytest.fixture
def panel_service(service: Deployment) -> Deployment:
    return service


@pytest.fixture
def api(service: Deployment) -> Iterator[httpx.Client]:
    """A script with the management secret."""
    with httpx.Client(base_url=service.url, headers=BEARER, timeout=20) as client:
        yield client
