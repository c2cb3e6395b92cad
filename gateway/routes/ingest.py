"""Events, foreign formats and catalogue items in. 202 means that the broker has acknowledged every accepted one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import BrokerUnavailable
from contracts.keys import message_key
from contracts.topics import CATALOG, EVENTS
from gateway.adapters.message import Adapter
from gateway.adapters.registry import ADAPTERS
from gateway.foreign import parse_foreign
from gateway.ingest import Outgoing, Parsed, parse_events, parse_items
from gateway.problem import Problem, broker_away
from gateway.services import Services, principal_of, read_body, services_of

_LOG = logging.getLogger(__name__)
_JSON = "application/json"


async def post_events(request: Request) -> Response:
    """`POST /v1/events`: one event, an array, or {"events": [...]}, plain or gzip."""
    services, principal = services_of(request), principal_of(request)
    limits = services.settings.gateway
    parsed = parse_events(
        await read_body(request, limits.body_max_bytes),
        batch_max=limits.batch_max,
        received_at=services.clock.wall_ms(),
        tenant_id=principal.tenant_id,
        is_tenant_fixed=principal.is_bound,
    )
    services.metrics.events.labels("vitrine", "rejected").inc(len(parsed.problems))
    await _publish(request, services, EVENTS, parsed)
    services.metrics.events.labels("vitrine", "accepted").inc(len(parsed.records))
    return answer(parsed)


async def post_catalog(request: Request) -> Response:
    """`POST /v1/catalog`: one item, an array, or {"items": [...]}."""
    services, principal = services_of(request), principal_of(request)
    limits = services.settings.gateway
    parsed = parse_items(
        await read_body(request, limits.body_max_bytes),
        batch_max=limits.batch_max,
        received_at=services.clock.wall_ms(),
        tenant_id=principal.tenant_id,
        is_tenant_fixed=principal.is_bound,
    )
    services.metrics.items.labels("rejected").inc(len(parsed.problems))
    await _publish(request, services, CATALOG, parsed)
    services.metrics.items.labels("accepted").inc(len(parsed.records))
    return answer(parsed)


async def delete_item(request: Request) -> Response:
    """`DELETE /v1/items/{item}`: the item leaves the catalogue, and with it every page made from then on."""
    services, principal = services_of(request), principal_of(request)
    item_id = request.path_params["item"]
    if not item_id:
        raise Problem(422, "invalid-field", "The item id breaks the contract", "item is empty", extra={"field": "item"})
    parsed = Parsed([Outgoing(message_key(principal.tenant_id, item_id), None)], ids=[item_id])
    await _publish(request, services, CATALOG, parsed)
    services.metrics.items.labels("deleted").inc()
    return answer(parsed)


def adapter_route(adapter: Adapter) -> Callable[[Request], Awaitable[Response]]:
    """The route of one foreign format."""

    async def post_foreign(request: Request) -> Response:
        services, principal = services_of(request), principal_of(request)
        limits = services.settings.gateway
        parsed, ignored = parse_foreign(
            await read_body(request, limits.body_max_bytes),
            adapter,
            query=dict(request.query_params),
            received_at=services.clock.wall_ms(),
            tenant_id=principal.tenant_id,
            batch_max=limits.batch_max,
        )
        services.metrics.events.labels(adapter.name, "rejected").inc(len(parsed.problems))
        services.metrics.events.labels(adapter.name, "ignored").inc(ignored)
        await _publish(request, services, EVENTS, parsed)
        services.metrics.events.labels(adapter.name, "accepted").inc(len(parsed.records))
        return answer(parsed, {"ignored": ignored})

    return post_foreign


async def _publish(request: Request, services: Services, topic: str, parsed: Parsed) -> None:
    if not parsed.records:
        return
    principal_of(request).bucket.pay(len(parsed.records) - 1)
    with services.tracing.request(f"{request.method} {topic}", request.headers) as headers:
        try:
            await services.publisher.publish(topic, parsed.records, headers)
        except BrokerUnavailable as error:
            digest = hashlib.blake2b(parsed.records[0].key, digest_size=4).hexdigest()
            _LOG.warning("nothing accepted", extra={"topic": topic, "error": str(error), "first_key_digest": digest})
            message = f"{error}; nothing is lost if you send the same again, with the same ids"
            raise broker_away(message) from error


def answer(parsed: Parsed, extra: dict[str, Any] | None = None) -> Response:
    """202 with what was accepted and the problems by index; 422 when nothing was."""
    if parsed.problems and not parsed.records:
        if not parsed.is_batch:
            problem = {name: value for name, value in parsed.problems[0].items() if name != "index"}
            return Response(msgspec.json.encode(problem), 422, media_type="application/problem+json")
        detail = f"none of the {len(parsed.problems)} messages can be accepted; see errors"
        shown = {"errors": parsed.problems}
        return Problem(422, "all-rejected", "Every message breaks the contract", detail, extra=shown).response()
    body = {"accepted": len(parsed.records), "ids": parsed.ids, "rejected": parsed.problems, **(extra or {})}
    return Response(msgspec.json.encode(body), 202, media_type=_JSON)


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/v1/events", post_events, methods=["POST"]),
        Route("/v1/catalog", post_catalog, methods=["POST"]),
        Route("/v1/items/{item:path}", delete_item, methods=["DELETE"]),
        *(Route(f"/v1/adapters/{adapter.path}", adapter_route(adapter), methods=["POST"]) for adapter in ADAPTERS),
    ]
