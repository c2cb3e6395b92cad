"""The catalogue for the shop's pages: look-up, search over titles, eligibility, pictures in."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.problem import not_found
from gateway.services import number_of, read_body, services_of, tenant_of
from gateway.uploads import UploadStore

_JSON = "application/json"
_DEFAULT_LIMIT = 24
_MAX_LIMIT = 200


async def list_items(request: Request) -> Response:
    """`GET /v1/items?query=&category=&ids=&limit=`: items whose titles hold the words, or those of the given ids."""
    services, tenant = services_of(request), tenant_of(request)
    limit = number_of(request, "limit", _DEFAULT_LIMIT, _MAX_LIMIT)
    catalogue = services.catalogue
    ids = request.query_params.get("ids")
    if ids is not None:
        entries = [catalogue.entry(tenant, item_id) for item_id in ids.split(",")[:_MAX_LIMIT]]
        items = [entry.item for entry in entries if entry is not None and entry.item is not None]
        total = len(items)
    else:
        query, category = request.query_params.get("query", ""), request.query_params.get("category", "")
        total, items = catalogue.search(tenant, query[:200], category, limit)
    body = {"total": total, "items": [catalogue.shown(item) for item in items]}
    return Response(msgspec.json.encode(body), media_type=_JSON)


async def get_item(request: Request) -> Response:
    """`GET /v1/items/{item}`."""
    services, tenant = services_of(request), tenant_of(request)
    item_id = request.path_params["item"]
    entry = services.catalogue.entry(tenant, item_id)
    if entry is None or entry.item is None:
        message = "item"
        raise not_found(message, f"item {item_id[:100]!r} is not in the catalogue of this tenant")
    body = services.catalogue.shown(entry.item) | {"status": entry.status(services.clock.wall_ms())}
    return Response(msgspec.json.encode(body), media_type=_JSON)


async def get_status(request: Request) -> Response:
    """`GET /v1/items/{item}/status`: published, eligible, and the seconds between the two."""
    services, tenant = services_of(request), tenant_of(request)
    item_id = request.path_params["item"]
    entry = services.catalogue.entry(tenant, item_id)
    if entry is None:
        message = "item"
        raise not_found(message, f"item {item_id[:100]!r} is not in the catalogue of this tenant")
    return Response(msgspec.json.encode({"item_id": item_id, **entry.status(services.clock.wall_ms())}), media_type=_JSON)


async def list_categories(request: Request) -> Response:
    """`GET /v1/categories`: category paths with the number of their items."""
    services, tenant = services_of(request), tenant_of(request)
    counts = services.catalogue.categories(tenant)
    body = {"categories": [{"path": path, "items": count} for path, count in counts.items()]}
    return Response(msgspec.json.encode(body), media_type=_JSON)


async def post_image(request: Request) -> Response:
    """`POST /v1/images`: the bytes of one picture; answers the `uri` for the catalogue and the `url` for a browser."""
    services = services_of(request)
    limit = services.settings.gateway.upload_max_bytes
    uploads: UploadStore = request.app.state.uploads
    uri, url, width, height = await uploads.store(await read_body(request, limit))
    body = {"uri": uri, "url": url, "width": width, "height": height}
    return Response(msgspec.json.encode(body), 201, media_type=_JSON)


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/v1/items", list_items, methods=["GET"]),
        Route("/v1/items/{item:path}/status", get_status, methods=["GET"]),
        Route("/v1/items/{item:path}", get_item, methods=["GET"]),
        Route("/v1/categories", list_categories, methods=["GET"]),
        Route("/v1/images", post_image, methods=["POST"]),
    ]
