"""The OpenAPI description, made from the message types themselves."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.catalog import CatalogItem
from contracts.events import Event
from contracts.recommendations import PageRecommendation
from gateway.examples import EXAMPLES, SUMMARIES
from gateway.policy import RULES, Access

_NAMES = {"visitor": "Visitor id, without personal data", "item": "Item id", "partition": "Partition", "offset": "Offset"}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What came and what was expected"},
        "field": {"type": "string", "description": "JSON path of the field at fault"},
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["accepted", "ids", "rejected"],
    "properties": {
        "accepted": {"type": "integer", "description": "Messages that the broker has acknowledged"},
        "ids": {"type": "array", "items": {"type": "string"}},
        "rejected": {"type": "array", "items": {"$ref": "#/components/schemas/Problem"}},
        "ignored": {"type": "integer", "description": "Foreign messages that Vitrine has no use for"},
    },
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole description."""
    (event, item, page), schemas = msgspec.json.schema_components(
        [Event, CatalogItem, PageRecommendation], ref_template="#/components/schemas/{name}"
    )
    bodies = {"/v1/events": event, "/v1/catalog": item}
    paths: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        operation: dict[str, Any] = {
            "summary": SUMMARIES[rule.method, rule.template],
            "operationId": _operation_id(rule.method, rule.template),
            "tags": [_tag(rule.template)],
            "parameters": _parameters(rule.template),
            "responses": _responses(rule.method, rule.template, page),
        }
        if rule.access > Access.OPEN:
            operation["security"] = [{"bearer": []}, {"header": []}, {"query": []}, {}]
            operation["description"] = f"Needs a {rule.access.name.lower()} key where keys are configured."
        body = _body(rule.method, rule.template, bodies)
        if body is not None:
            operation["requestBody"] = body
        paths.setdefault(rule.template, {})[rule.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vitrine gateway", "version": "1", "description": "Events and catalogue in, pages out."},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM, "Accepted": _ACCEPTED},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "query": {"type": "apiKey", "in": "query", "name": "key", "description": "Browser keys only"},
            },
        },
    }


def _operation_id(method: str, template: str) -> str:
    words = [word.strip("{}").replace("-", "_").replace(".", "_") for word in template.split("/") if word not in ("", "v1")]
    return "_".join([method.lower(), *words])


def _tag(template: str) -> str:
    parts = template.split("/")
    return parts[2] if template.startswith("/v1/") else "process"


def _parameters(template: str) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in _NAMES.items()
        if f"{{{name}}}" in template
    ]
    queries = {
        "/v1/items": ("query", "category", "ids", "limit"),
        "/v1/ops/series": ("minutes",),
        "/v1/adapters/ga4/datalayer": ("visitor_id", "session_id", "user_id"),
    }
    return in_path + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in queries.get(template, ())]


def _body(method: str, template: str, bodies: dict[str, Any]) -> dict[str, Any] | None:
    if method != "POST" or template.endswith("/replay"):
        return None
    if template == "/v1/images":
        kinds = ("image/png", "image/jpeg", "image/webp")
        return {"required": True, "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}
    one = bodies.get(template, {"type": "object"})
    content: dict[str, Any] = {"schema": {"oneOf": [one, {"type": "array", "items": one}]}}
    if template in EXAMPLES:
        content["examples"] = {name: {"value": value} for name, value in EXAMPLES[template].items()}
    return {"required": True, "content": {"application/json": content}}


def _responses(method: str, template: str, page: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if template == "/v1/pages/{visitor}":
        responses["200"] = {"description": "The newest page", "content": {"application/json": {"schema": page}}}
    elif template.endswith("/stream"):
        responses["200"] = {"description": "Server-sent events `page`", "content": {"text/event-stream": {}}}
    elif method == "POST" and template.startswith(("/v1/events", "/v1/catalog", "/v1/adapters")):
        accepted = {"schema": {"$ref": "#/components/schemas/Accepted"}}
        responses["202"] = {"description": "Acknowledged by the broker", "content": {"application/json": accepted}}
    else:
        responses["201" if template == "/v1/images" else "202" if method != "GET" else "200"] = {"description": "Done"}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses["default"] = {"description": "A problem: 4xx, or 503 with Retry-After", "content": problem}
    return responses


async def get_document(_: Request) -> Response:
    """`GET /openapi.json`."""
    return Response(msgspec.json.encode(document()), media_type="application/json")


def route() -> Route:
    """The route of this module."""
    return Route("/openapi.json", get_document, methods=["GET"])
