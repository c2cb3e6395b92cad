"""Pages out: the newest one, a stream of them, and the erasure of a visitor."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from contracts.errors import BrokerUnavailable
from contracts.keys import message_key
from contracts.topics import ERASURES
from gateway.ingest import Outgoing
from gateway.pages import HeldPage, parse_event_id
from gateway.problem import Problem, broker_away, not_found
from gateway.services import Services, services_of, tenant_of

_MAX_VISITOR = 128
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY_MS = 1000


def visitor_key(request: Request) -> bytes:
    """Message key of the visitor in the address, in the caller's tenant; without keys `?tenant=` may name another.

    Raises:
        Problem: 422 if the id is empty or too long.
    """
    visitor = request.path_params["visitor"]
    if not 1 <= len(visitor) <= _MAX_VISITOR:
        detail = f"visitor has {len(visitor)} characters, 1 to {_MAX_VISITOR} expected"
        raise Problem(422, "invalid-field", "The visitor id breaks the contract", detail, extra={"field": "visitor"})
    return message_key(tenant_of(request), visitor)


async def get_page(request: Request) -> Response:
    """`GET /v1/pages/{visitor}`: the newest page as the worker wrote it; `If-None-Match` gives 304."""
    services = services_of(request)
    page = services.pages.latest(visitor_key(request))
    if page is None:
        message = "page"
        raise not_found(message, "no page of this visitor is known, or it has expired: send an event and one is made")
    tag = f'"{page.event_id}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(page.value, headers=headers, media_type="application/json")


async def stream_pages(request: Request) -> Response:
    """`GET /v1/pages/{visitor}/stream`: server-sent events `page`; resumes by `Last-Event-ID`."""
    services = services_of(request)
    key = visitor_key(request)
    if services.pages.open_streams >= services.settings.gateway.streams_max:
        detail = f"{services.pages.open_streams} streams are open, the limit is {services.settings.gateway.streams_max}"
        raise Problem(503, "too-many-streams", "No further stream can be opened", detail, retry_after=2)
    last_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    return StreamingResponse(
        _stream(services, key, parse_event_id(last_id)), media_type="text/event-stream", headers=_STREAM_HEADERS
    )


async def _stream(services: Services, key: bytes, place: tuple[int, int] | None) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % _RETRY_MS
    heartbeat = services.settings.gateway.heartbeat_seconds
    async with services.pages.subscribe(key, place) as subscriber:
        while True:
            try:
                await asyncio.wait_for(subscriber.woken.wait(), heartbeat)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            subscriber.woken.clear()
            while subscriber.waiting:
                yield as_event(subscriber.waiting.popleft())
            if services.pages.is_closing:
                return


def as_event(page: HeldPage) -> bytes:
    """The page as one server-sent event; the worker's JSON has no line breaks."""
    return b"id: %s\nevent: page\ndata: %s\n\n" % (page.event_id.encode(), page.value)


async def delete_visitor(request: Request) -> Response:
    """`DELETE /v1/visitors/{visitor}`: write the request to forget; the worker forgets state and page."""
    services = services_of(request)
    key = visitor_key(request)
    now = services.clock.wall_ms()
    receipt = {"request_id": str(uuid.uuid4()), "request_time": now, "time": now}
    try:
        await services.publisher.publish(ERASURES, [Outgoing(key, msgspec.json.encode(receipt))])
    except BrokerUnavailable as error:
        message = f"{error}; the request to forget is not taken, send it again"
        raise broker_away(message) from error
    services.pages.forget(key)
    services.dead_letters.forget(key)  # and again with the worker's tombstone
    return Response(msgspec.json.encode(receipt), 202, media_type="application/json")


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/v1/pages/{visitor:path}/stream", stream_pages, methods=["GET"]),
        Route("/v1/pages/{visitor:path}", get_page, methods=["GET"]),
        Route("/v1/visitors/{visitor:path}", delete_visitor, methods=["DELETE"]),
    ]
