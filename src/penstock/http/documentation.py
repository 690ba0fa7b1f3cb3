"""The OpenAPI document as a page (`spec/editor-api.md` 6.2). Everything it needs comes from this service."""

import asyncio
import gzip
import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from penstock.errors import NotFound

_SCRIPTS = ("swagger-ui-bundle.js", "documentation.js")
_STYLES = ("swagger-ui.css", "documentation.css")
_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_FOR_EVER = "public, max-age=31536000, immutable"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def docs_routes() -> APIRouter:
    """`/docs/`, `/docs` and `/v1/docs`, without a credential; links are relative, so a proxy may add a prefix."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def beside() -> Response:
        return _page("./")

    @router.get("/docs/")
    async def inside() -> Response:
        return _page("../")

    @router.get("/v1/docs")
    async def alias() -> Response:
        return _page("../")

    @router.get("/docs/assets/{version}/{name}")
    async def asset(version: str, name: str, request: Request) -> Response:
        if name not in _SCRIPTS + _STYLES:
            raise NotFound("There is no such file.", action="Load the page again.")
        takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
        content = await asyncio.to_thread(_compressed if takes_gzip else _content, name)
        return Response(
            content,
            media_type=_TYPES[name.rpartition(".")[2]],
            headers={
                **_SAFE,
                **({"Content-Encoding": "gzip"} if takes_gzip else {}),
                "Vary": "Accept-Encoding",
                "Cache-Control": _FOR_EVER if version == _version() else "no-store",
            },
        )

    return router


def _page(root: str) -> Response:
    """`root` leads from the page to where the service begins."""
    assets = f"{root}docs/assets/{_version()}"
    styles = "\n".join(f'<link rel="stylesheet" href="{assets}/{name}">' for name in _STYLES)
    bundle, start = _SCRIPTS
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock API</title>
<link rel="icon" href="data:,">
{styles}
</head>
<body>
<noscript>This page needs JavaScript; it shows <a href="{root}v1/api/doc.json">/v1/api/doc.json</a>.</noscript>
<main id="documentation"></main>
<script src="{assets}/{bundle}"></script>
<script src="{assets}/{start}" data-document="{root}v1/api/doc.json"></script>
</body>
</html>
"""
    return Response(page, media_type="text/html; charset=utf-8", headers={**_SAFE, "Cache-Control": "no-cache"})


@cache
def _version() -> str:
    together = hashlib.sha256()
    for name in _SCRIPTS + _STYLES:
        together.update(_content(name))
    return together.hexdigest()[:16]


@cache
def _content(name: str) -> bytes:
    return (files("penstock.http") / "assets" / name).read_bytes()


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)
