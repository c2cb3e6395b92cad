"""The shop's and the operations pages, the snippet, and pictures: files, with the right caching and nothing else."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.problem import not_found

_HERE = Path(__file__).resolve().parent
STATIC = _HERE / "static"
SNIPPET = _HERE / "snippet" / "vitrine.js"
_DAY = 86_400


class Pictures(StaticFiles):
    """Pictures change with their name, so a browser may keep them for a day; the folder may come later than the gateway."""

    async def check_config(self) -> None:
        """Nothing: Starlette would answer 500 as long as there is no folder, where 404 is true."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One picture."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"public, max-age={_DAY}"
        return response


class Pages(StaticFiles):
    """Pages, styles and scripts of this version: asked again each time, answered 304 where nothing changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def get_shop(_: Request) -> Response:
    """`GET /`, and every address of the shop below `/shop/`: one page that finds its way by script."""
    return _page("index.html")


async def get_operations(_: Request) -> Response:
    """`GET /ops`."""
    return _page("ops.html")


@lru_cache(maxsize=1)
def _snippet() -> tuple[bytes, bytes]:
    plain = SNIPPET.read_bytes()
    return plain, gzip.compress(plain, mtime=0)


async def get_snippet(request: Request) -> Response:
    """`GET /vitrine.js`: the browser snippet, packed where the browser takes that."""
    plain, packed = _snippet()
    headers = {
        "Cache-Control": "public, max-age=300",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, headers=headers | {"Content-Encoding": "gzip"}, media_type="text/javascript")
    return Response(plain, headers=headers, media_type="text/javascript")


def _page(name: str) -> Response:
    file = STATIC / name
    if not file.is_file():
        message = "page"
        raise not_found(message, f"{name} is not part of this installation")
    return FileResponse(file, headers={"Cache-Control": "no-cache"})


def routes(pictures: Path, uploads: Path) -> list[BaseRoute]:
    """The routes of this module.

    Args:
        pictures: folder of the demo's pictures, served under `/images/`.
        uploads: folder of the uploaded ones, under `/uploads/`.
    """
    return [
        Route("/", get_shop, methods=["GET"]),
        Route("/shop/{rest:path}", get_shop, methods=["GET"]),
        Route("/ops", get_operations, methods=["GET"]),
        Route("/vitrine.js", get_snippet, methods=["GET"]),
        Mount("/images", Pictures(directory=pictures, check_dir=False)),
        Mount("/uploads", Pictures(directory=uploads, check_dir=False)),
        Mount("/static", Pages(directory=STATIC, check_dir=False)),
    ]
