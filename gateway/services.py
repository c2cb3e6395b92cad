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
from gateway.problem import Problem
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


def tenant_of(request: Request) -> str:
    """The caller's tenant; without keys `?tenant=` may name another."""
    principal = principal_of(request)
    return principal.tenant_id if principal.is_bound else request.query_params.get("tenant", principal.tenant_id)


def number_of(request: Request, name: str, default: int, highest: int) -> int:
    """A whole number of the query.

    Raises:
        Problem: 422 if it is none, or not from 1 to `highest`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    # int() refuses thousands of digits, and decimals of other scripts are digits too
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or not 1 <= int(text) <= highest:
        detail = f"{name} is {text[:20]!r}, expected a whole number from 1 to {highest}"
        raise Problem(422, "invalid-field", "The query breaks the contract", detail, extra={"field": name})
    return int(text)


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
