"""W3C trace context from the request to the page, by Kafka headers.

Off (no OTLP endpoint): a `traceparent` that a client sends is passed on, nothing else is done. On: each request is a
span whose context travels with its records, the worker copies it to the page, and the page's arrival is a span again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from contracts.errors import ConfigurationError

_TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
Headers = Sequence[tuple[str, bytes]]


class Tracing(Protocol):
    """Spans of the gateway."""

    def request(self, name: str, headers: Mapping[str, str]) -> Any:
        """Context manager of one request; yields the headers for its records."""
        ...

    def page(self, traceparent: bytes | None, attributes: Mapping[str, int]) -> None:
        """A page of that trace has arrived."""
        ...

    def close(self) -> None:
        """Export what is left."""
        ...


class PassThrough:
    """Tracing that is off."""

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[Headers]:  # noqa: ARG002 - the port's
        """The client's own trace context, if it has one."""
        value = headers.get("traceparent")
        yield () if value is None or not _TRACEPARENT.match(value.encode("latin-1")) else (("traceparent", value.encode()),)

    def page(self, traceparent: bytes | None, attributes: Mapping[str, int]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class OtlpTracing:
    """Spans to an OTLP/HTTP collector, in batches from a thread.

    Args:
        endpoint: base address of the collector.
    """

    def __init__(self, endpoint: str) -> None:
        # Imported here: with tracing off the SDK is never loaded.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = TracerProvider(resource=Resource.create({"service.name": "vitrine-gateway"}))
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("vitrine.gateway")
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = SpanKind

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[Headers]:
        """A server span; its context for the records."""
        parent = self._propagator.extract(dict(headers))
        with self._tracer.start_as_current_span(name, context=parent, kind=self._kinds.PRODUCER):
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            yield tuple((key, value.encode()) for key, value in carrier.items())

    def page(self, traceparent: bytes | None, attributes: Mapping[str, int]) -> None:
        """A consumer span of the event's trace."""
        if traceparent is None or not _TRACEPARENT.match(traceparent):
            return
        parent = self._propagator.extract({"traceparent": traceparent.decode()})
        self._tracer.start_span("page received", parent, self._kinds.CONSUMER, attributes=dict(attributes)).end()

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


def create_tracing(endpoint: str | None) -> Tracing:
    """Tracing as the settings want it.

    Raises:
        ConfigurationError: if the endpoint is no http address.
    """
    if not endpoint:
        return PassThrough()
    if not endpoint.startswith(("http://", "https://")):
        message = f"gateway.otlp_endpoint is {endpoint!r}, expected http://host:4318"
        raise ConfigurationError(message)
    return OtlpTracing(endpoint)
