"""Composition root of the gateway: wires broker, views and routes into one ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.settings import Settings, resolve
from contracts.topics import CATALOG, DEAD_LETTERS, ITEM_EMBEDDINGS, PAGES
from gateway import files, openapi
from gateway.access import KeyRing
from gateway.catalogue import Catalogue
from gateway.clock import Clock, SystemClock
from gateway.deadletters import KEPT, DeadLetters
from gateway.follower import Followed, Follower, Route, Start
from gateway.guard import Guard
from gateway.metrics import GatewayMetrics
from gateway.observation import Observatory
from gateway.pages import PageStore
from gateway.problem import Problem, answer_http_error, answer_problem
from gateway.publisher import KafkaPublisher, Publish
from gateway.routes import ingest, items, operations, pages
from gateway.services import Services
from gateway.tracing import Tracing, create_tracing
from gateway.uploads import UploadStore


def create_app(
    settings: Settings,
    *,
    registry: CollectorRegistry | None = None,
    clock: Clock | None = None,
    publisher: Publish | None = None,
) -> FastAPI:
    """The gateway.

    Args:
        settings: all settings; the app connects to the broker in its lifespan, not here.
        registry: where metrics go; a new one where None.
        clock: the machine's where None.
        publisher: where records go instead of the broker; then nothing is followed either (tests without a broker).

    Raises:
        ConfigurationError: if keys, address or tracing are configured wrongly.
    """
    clock = clock or SystemClock()
    registry = registry or CollectorRegistry()
    metrics = GatewayMetrics.create(registry)
    limits = settings.gateway
    var = resolve(settings.stack.var)
    pictures, uploads = var / "shop" / "images", var / "shop" / "uploads"
    kafka = publisher is None
    sink: Publish = publisher or KafkaPublisher(settings.kafka, limits.publish_timeout_seconds, limits.pending_max, metrics)
    store = PageStore(limits.page_memory_bytes, limits.page_ring, clock, metrics)
    catalogue = Catalogue(metrics, {"shop/images": "/images", "shop/uploads": "/uploads"})
    dead_letters = DeadLetters(settings.kafka, sink)
    tracing = create_tracing(limits.otlp_endpoint)
    followers = _followers(settings, store, catalogue, dead_letters, tracing, clock) if kafka else {}

    def following() -> dict[str, Any]:
        return {f"{name}_behind": follower.lag() for name, follower in followers.items()} | {
            "ready": all(follower.ready.is_set() for follower in followers.values())
        }

    services = Services(
        settings, clock, metrics, registry, sink, store, catalogue, dead_letters, Observatory(settings), tracing, following
    )
    keys = KeyRing(limits, settings.tenant_id, clock)
    app = GatewayApp(
        title="Vitrine gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan(services, followers),
        exception_handlers={Problem: answer_problem, HTTPException: answer_http_error},
    )
    app.state.services = services
    app.state.uploads = UploadStore(uploads, "/uploads", limits.uploads_max)
    app.router.routes.extend([*ingest.routes(), *pages.routes(), *items.routes(), *operations.routes(), openapi.route()])
    app.router.routes.extend(files.routes(pictures, uploads))
    app.add_middleware(Guard, keys=keys, body_max_bytes=limits.body_max_bytes, metrics=metrics, clock=clock)
    hot: ASGIApp = Guard(_direct(ingest.post_events), keys, limits.body_max_bytes, metrics, clock)
    if limits.cors_origins:
        # Outside the guard: a preflight carries no key.
        cors = _cors(limits.cors_origins)
        app.add_middleware(CORSMiddleware, **cors)
        hot = CORSMiddleware(hot, **cors)
    app.hot = hot
    return app


class GatewayApp(FastAPI):
    """FastAPI, passed by for `POST /v1/events`: its layers would cost that address as much as the work itself."""

    hot: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] == "http" and scope["path"] == "/v1/events" and scope["method"] == "POST":
            scope["app"] = self
            await self.hot(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _direct(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """One endpoint as an app of its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await endpoint(Request(scope, receive, send))
        except Problem as problem:
            response = problem.response()
        await response(scope, receive, send)

    return app


def _cors(origins: Sequence[str]) -> dict[str, Any]:
    return {
        "allow_origins": list(origins),
        "allow_methods": ["GET", "POST", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "Content-Encoding", "Last-Event-ID", "X-API-Key", "traceparent"],
        "expose_headers": ["Retry-After"],
        "max_age": 600,
    }


def _followers(
    settings: Settings, store: PageStore, catalogue: Catalogue, dead_letters: DeadLetters, tracing: Tracing, clock: Clock
) -> dict[str, Follower]:
    def take_page(record: Followed) -> None:
        store.take(record)
        if record.value is None and record.key is not None:
            dead_letters.forget(record.key)
        if record.headers:
            tracing.page(
                next((value for name, value in record.headers if name == "traceparent"), None),
                {"messaging.kafka.partition": record.partition, "messaging.kafka.offset": record.offset},
            )

    limits = settings.gateway
    recent = Start(limits.page_history_seconds, limits.page_history_records)
    return {
        # Pages have a consumer of their own: a large catalogue at start must not delay them.
        "pages": Follower(settings.kafka, {PAGES: Route(recent, take_page)}, clock),
        "catalogue": Follower(
            settings.kafka,
            {
                CATALOG: Route(Start(), catalogue.take_item),
                ITEM_EMBEDDINGS: Route(Start(), catalogue.take_embedding),
                DEAD_LETTERS: Route(Start(records=KEPT), dead_letters.take),
            },
            clock,
        ),
    }


def _lifespan(services: Services, followers: dict[str, Follower]) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        publisher = services.publisher
        if isinstance(publisher, KafkaPublisher):
            await publisher.start()
        tasks = [asyncio.create_task(follower.run(), name=f"follow {name}") for name, follower in followers.items()]
        try:
            yield
        finally:
            services.pages.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(publisher, KafkaPublisher):
                await publisher.stop()
            await services.observatory.close()
            services.tracing.close()

    return lifespan
