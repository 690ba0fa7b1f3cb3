from collections.abc import Callable

import pytest

from tests.editor.conftest import Editor
from tests.fakes.editor_client import EditorClient

WRITER = ["ai:actions:*", "ai:models:*"]

Writer = Callable[..., EditorClient]


@pytest.fixture
def writer(editors: Editor) -> EditorClient:
    return editors("writer", permissions=WRITER)
