"""What a start imports: only what every service needs. The rest comes when it is used for the first time."""

import subprocess
import sys
from importlib.util import find_spec

_LATER = (
    # servers that are configured, or not
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.mysql",
    "asyncpg",
    "asyncmy",
    "redis",
    # providers that are called, or not
    "aiohttp",
    "botocore",
    "google",
    "genai_prices",
    "penstock.providers.credentials.opening",
    "penstock.providers.demo",
    "penstock.providers.transport.relay",
    "penstock.providers.wires.anthropic",
    "penstock.providers.wires.bedrock",
    "penstock.providers.wires.gemini",
    "penstock.providers.wires.openai.responses",
    # stores that are configured, or not
    "obstore",
    # metrics that are wanted, or not
    "prometheus_client",
    # files that are sent along, or not
    "docx",
    "lxml",
    "openpyxl",
    "pptx",
    "pypdfium2",
    "trafilatura",
)


def test_every_name_of_the_list_is_still_that_of_a_module() -> None:
    assert [name for name in _LATER if find_spec(name) is None] == []


def test_a_start_imports_nothing_that_may_never_be_used() -> None:
    program = "import sys, penstock.app, penstock.http.server; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(found.stdout.split())
    assert "penstock.app" in imported
    assert imported & set(_LATER) == set()
