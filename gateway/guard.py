"""What every request passes first: key, rate, length of the body; and what every answer carries: security headers."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import KeyRing
from gateway.clock import Clock
from gateway.ingest import too_large
from gateway.metrics import GatewayMetrics
from gateway.policy import Access, Rule, rule_of
from gateway.problem import Problem

_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; img-src 'self' data: blob: https:; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]
_NO_STORE = (b"cache-control", b"no-store")


class Guard:
    """ASGI middleware; puts the `Principal` into `scope["state"]["principal"]`.

    Args:
        app: what it guards.
        keys: who may call.
        body_max_bytes: longest body by its own Content-Length; the routes count what really comes.
        metrics: the gateway's metrics.
        clock: for durations.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing, body_max_bytes: int, metrics: GatewayMetrics, clock: Clock) -> None:
        self._app = app
        self._keys = keys
        self._limit = body_max_bytes
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        rule = rule_of(scope["method"], scope["path"])

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._dress(message, rule)
                self._metrics.requests.labels(rule.template, rule.method, str(message["status"])).inc()
                self._metrics.duration.labels(rule.template).observe(self._clock.monotonic() - began)
            await send(message)

        problem = self._refusal(scope, rule)
        if problem is not None:
            await problem.response()(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _refusal(self, scope: Scope, rule: Rule) -> Problem | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if rule.access > Access.OPEN:
            problem = self._check_key(scope, headers, rule)
            if problem is not None:
                return problem
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limit:
            self._metrics.refused.labels("too_large").inc()
            return too_large(self._limit)
        return None

    def _check_key(self, scope: Scope, headers: dict[bytes, bytes], rule: Rule) -> Problem | None:
        principal = self._keys.identify(headers, scope["query_string"])
        if principal is None:
            self._metrics.refused.labels("unauthorized").inc()
            return Problem(401, "unauthorized", "A valid API key is needed", "send it as Authorization: Bearer <key>")
        if principal.access < rule.access:
            self._metrics.refused.labels("forbidden").inc()
            detail = (
                f"this is a {principal.access.name.lower()} key, {rule.method} {rule.template} needs {rule.access.name.lower()}"
            )
            return Problem(403, "forbidden", "The API key does not open this address", detail)
        wait = principal.bucket.wait_seconds()
        if wait > 0:
            self._metrics.refused.labels("rate").inc()
            detail = f"the key has used up its rate, try again in {wait:.1f} s"
            return Problem(429, "rate-limited", "Too many requests", detail, retry_after=wait)
        principal.bucket.pay(1)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["principal"] = principal
        return None

    def _dress(self, message: Message, rule: Rule) -> None:
        message["headers"] = [*message["headers"], *_RAW_HEADERS]
        if rule.access > Access.OPEN and "cache-control" not in MutableHeaders(raw=message["headers"]):
            message["headers"].append(_NO_STORE)
        if message["status"] == 401:
            message["headers"].append((b"www-authenticate", b'Bearer realm="vitrine"'))
