"""The example of a search service, run as its README says, and asked by the service's own client."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from penstock.editor.web.search import Found, SearchFailed, WebSearch
from tests.fakes.web_server import answering, as_json, serving
from tests.service import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "websearch"


@contextmanager
def adapter(**env: str) -> Iterator[str]:
    """Its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "adapter.py")],
        env={"PATH": os.environ["PATH"], "PORT": str(port), **env},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait(10)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=2)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the example does not listen")


async def test_it_searches_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "rivers of europe").mkdir()
    (tmp_path / "rivers of europe" / "rhine.md").write_text("The Rhine is deep, and long.")
    (tmp_path / "lake.txt").write_text("A lake is deep.")
    (tmp_path / "hill.txt").write_text("Hills rise.")
    (tmp_path / "picture.png").write_text("how deep is the Rhine")
    with adapter(FOLDER=str(tmp_path), BASE_URL="https://handbook.example.com/", TOKEN="let-me-in") as url:
        search = WebSearch(url, headers=[("Authorization", "Bearer let-me-in")], timeout_s=10)
        assert await search.search("How deep is the Rhine?") == (
            Found(
                "https://handbook.example.com/rivers%20of%20europe/rhine.md", "rhine", "The Rhine is deep, and long."
            ),
            Found("https://handbook.example.com/lake.txt", "lake", "A lake is deep."),
        )
        assert await search.search("volcano") == ()
        await search.aclose()
        stranger = WebSearch(url, timeout_s=10)
        with pytest.raises(SearchFailed, match="status 401"):
            await stranger.search("x")
        await stranger.aclose()


async def test_it_stands_in_front_of_a_search_api() -> None:
    found = {"web": {"results": [{"link": "https://a.example/", "name": "A", "snippet": "Deep.", "more": 1}]}}
    async with serving(answering(as_json(found), as_json({}, b"429 Slow"))) as server:
        env = {
            "SEARCH_URL": f"http://127.0.0.1:{server.port}/api?q={{query}}&count=10",
            "SEARCH_HEADERS": json.dumps({"X-Api-Key": "k"}),
            "RESULTS": "web.results",
            "FIELDS": json.dumps({"url": "link", "title": "name", "text": "snippet"}),
        }
        with adapter(**env) as url:
            search = WebSearch(url, timeout_s=10)
            assert await search.search("how deep? & why") == (Found("https://a.example/", "A", "Deep."),)
            with pytest.raises(SearchFailed, match="status 502"):
                await search.search("again")
            await search.aclose()
        assert server.requests[0].target == b"/api?q=how%20deep%3F%20%26%20why&count=10"
        assert server.requests[0].header(b"x-api-key") == b"k"


def test_it_is_short_needs_no_package_and_names_only_variables_that_its_readme_explains() -> None:
    source, readme = (EXAMPLE / "adapter.py").read_text(), (EXAMPLE / "README.md").read_text()
    assert len(source.splitlines()) < 60
    modules = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert modules <= sys.stdlib_module_names
    for variable in re.findall(r'environ(?:\.get\(|\[)"(\w+)"', source):
        assert variable in readme, variable
