"""Style, scripts and pictures: served by ourselves, under an address that changes with their content."""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from penstock.errors import NotFound

PREFIX = "/panel/assets"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def contents() -> dict[str, bytes]:
    """Every asset by its name. Read once: it is what was installed."""
    folder = files("penstock.panel") / "assets"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in _TYPES}


@cache
def digest() -> str:
    """One for all of them: scripts import each other by name, and so stay at one version."""
    together = hashlib.sha256()
    for name, content in sorted(contents().items()):
        together.update(name.encode() + b"\0" + content)
    return together.hexdigest()[:16]


def address_of(name: str) -> str:
    return f"{PREFIX}/{digest()}/{name}"


def asset_routes() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get(PREFIX + "/{version}/{name}")
    async def asset(version: str, name: str) -> Response:
        """Another version is what a page of another replica asks for during an upgrade: it gets ours, for now."""
        content = contents().get(name)
        if content is None:
            raise NotFound("There is no such file.", action="Load the page again.")
        return Response(
            content,
            media_type=_TYPES[name.rpartition(".")[2]],
            headers={
                "Cache-Control": _FOR_EVER if version == digest() else "no-store",
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
            },
        )

    return router
