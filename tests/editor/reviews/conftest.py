import pytest

from tests.editor.conftest import Editor
from tests.fakes.editor_client import EditorClient

REVIEWER = ["ai:reviews:*", "ai:models:*"]


@pytest.fixture
def reviewer(editors: Editor) -> EditorClient:
    return editors("reviewer", permissions=REVIEWER)
