"""What operators see and do: figures, health, dead letters, replay; and /healthz and /metrics of the gateway itself."""

from __future__ import annotations

import msgspec
from aiokafka.errors import KafkaError
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import BrokerUnavailable
from gateway.deadletters import KEPT
from gateway.problem import broker_away
from gateway.services import number_of, principal_of, services_of

_JSON = "application/json"
_MAX_MINUTES = 24 * 60
_MAX_LETTERS = 200


async def get_summary(request: Request) -> Response:
    """`GET /v1/ops/summary`: figures of the last minute, from Prometheus where it answers, else the gateway's own."""
    services = services_of(request)
    figures = await services.observatory.summary()
    body = {
        "source": "gateway" if figures is None else "prometheus",
        "time": services.clock.wall_ms(),
        "figures": figures or {},
        "gateway": own_figures(request),
    }
    return Response(msgspec.json.encode(body), media_type=_JSON)


def own_figures(request: Request) -> dict[str, float]:
    """Counters of this gateway since its start."""
    services = services_of(request)
    services.pages.observe()
    totals: dict[str, float] = {}
    for family in services.registry.collect():
        for sample in family.samples:
            if sample.name.startswith("vitrine_gateway_") and not sample.name.endswith(("_bucket", "_created")):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


async def get_series(request: Request) -> Response:
    """`GET /v1/ops/series?minutes=`: the same over time, for charts; empty without Prometheus."""
    services = services_of(request)
    minutes = number_of(request, "minutes", 15, _MAX_MINUTES)
    series = await services.observatory.series(minutes, services.clock.wall_ms())
    body = {"source": "none" if series is None else "prometheus", **(series or {"step_seconds": 0, "series": {}})}
    return Response(msgspec.json.encode(body), media_type=_JSON)


async def get_health(request: Request) -> Response:
    """`GET /v1/ops/health`: every part as the supervisor's canary found it, and the gateway's own state."""
    services = services_of(request)
    body = {
        **services.observatory.parts(),
        "gateway": {"broker_reachable": await services.publisher.is_reachable(), **services.following()},
    }
    return Response(msgspec.json.encode(body), media_type=_JSON)


async def get_dead_letters(request: Request) -> Response:
    """`GET /v1/ops/dead-letters`: the newest of the caller's tenant with their reasons."""
    letters, tenant = services_of(request).dead_letters, _bound_tenant(request)
    body = {"seen": letters.seen(tenant), "kept": KEPT, "dead_letters": letters.newest(_MAX_LETTERS, tenant)}
    return Response(msgspec.json.encode(body), media_type=_JSON)


def _bound_tenant(request: Request) -> str | None:
    """The tenant whose letters the caller may see; None for a caller who is bound to none."""
    principal = principal_of(request)
    return principal.tenant_id if principal.is_bound else None


async def replay_dead_letter(request: Request) -> Response:
    """`POST /v1/ops/dead-letters/{partition}/{offset}/replay`: its original bytes, once more to where they came from."""
    place = request.path_params
    try:
        topic = await services_of(request).dead_letters.replay(place["partition"], place["offset"], _bound_tenant(request))
    except (BrokerUnavailable, TimeoutError, KafkaError) as error:
        message = f"the dead letter is not sent again: {error}"
        raise broker_away(message) from error
    body = {"partition": place["partition"], "offset": place["offset"], "topic": topic}
    return Response(msgspec.json.encode(body), 202, media_type=_JSON)


async def get_healthz(request: Request) -> Response:
    """`GET /healthz`: 200 only if the broker answers, so that traffic goes where events can be taken."""
    services = services_of(request)
    is_reachable = await services.publisher.is_reachable()
    body = {"healthy": is_reachable, "detail": "ok" if is_reachable else "the broker does not answer", **services.following()}
    return Response(msgspec.json.encode(body), 200 if is_reachable else 503, media_type=_JSON)


async def get_metrics(request: Request) -> Response:
    """`GET /metrics` for Prometheus."""
    services = services_of(request)
    services.pages.observe()
    return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/v1/ops/summary", get_summary, methods=["GET"]),
        Route("/v1/ops/series", get_series, methods=["GET"]),
        Route("/v1/ops/health", get_health, methods=["GET"]),
        Route("/v1/ops/dead-letters", get_dead_letters, methods=["GET"]),
        Route("/v1/ops/dead-letters/{partition:int}/{offset:int}/replay", replay_dead_letter, methods=["POST"]),
        Route("/healthz", get_healthz, methods=["GET"]),
        Route("/metrics", get_metrics, methods=["GET"]),
    ]
