"""What the routes share, made once by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from contracts.settings import Settings
from gateway.access import Principal
from gateway.catalogue import Catalogue
from gateway.clock import Clock
from gateway.deadletters import DeadLetters
from gateway.ingest import inflate, too_large
from gateway.metrics import GatewayMetrics
from gateway.observation import Observatory
from gateway.pages import PageStore
from gateway.publisher import Publish
from gateway.tracing import Tracing


@dataclass(frozen=True)
class Services:
    """Everything behind the routes."""

    settings: Settings
    clock: Clock
    metrics: GatewayMetrics
    registry: CollectorRegistry
    publisher: Publish
    pages: PageStore
    catalogue: Catalogue
    dead_letters: DeadLetters
    observatory: Observatory
    tracing: Tracing
    following: Callable[[], dict[str, Any]]


def services_of(request: Request) -> Services:
    """The services of the app that got the request."""
    return cast("Services", request.app.state.services)


def principal_of(request: Request) -> Principal:
    """Who calls, as the guard found it."""
    return cast("Principal", request.scope["state"]["principal"])


async def read_body(request: Request, limit: int) -> bytes:
    """The body, unpacked where it came as gzip.

    Raises:
        Problem: 413 beyond `limit` bytes, 400 for bad gzip, 415 for another encoding.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    body = b"".join(chunks)
    encoding = request.headers.get("content-encoding", "identity").lower()
    return body if encoding == "identity" else inflate(body, encoding, limit)
