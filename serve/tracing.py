"""`Tracing`: spans for OpenTelemetry, with names, numbers and models in them and nobody's text. Switched on it needs the
extra `traces`; where to send them OpenTelemetry's own variables say (OTEL_EXPORTER_OTLP_ENDPOINT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hangtag.errors import InvalidSettings

SERVICE = "hangtag"


class Tracing:
    """Spans by a tracer of OpenTelemetry; without one, none. `close` is called in the end, to send what is left."""

    def __init__(self, tracer: Any = None, close: Callable[[], object] = lambda: None) -> None:
        self._tracer = tracer
        self.close = close

    @contextmanager
    def span(self, name: str, **attributes: str | float) -> Iterator[None]:
        """Around a part of a request."""
        if self._tracer is None:
            yield
        else:
            with self._started(name, attributes={f"{SERVICE}.{key}": value for key, value in attributes.items()}):
                yield

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[Callable[[str, int], None]]:
        """Around a whole request, within the trace that its headers name (W3C `traceparent`). Gives what takes its name, the
        route's without what stands in its path, and its status, once they are known."""
        if self._tracer is None:
            yield lambda name, status: None
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._started("request", context=extract(headers), kind=SpanKind.SERVER) as span:

            def known(name: str, status: int) -> None:
                span.update_name(name)
                span.set_attribute("http.response.status_code", status)

            yield known

    @contextmanager
    def _started(self, name: str, **options: Any) -> Iterator[Any]:
        """A span that has the kind of an error, whose message may quote what a person wrote."""
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False, **options) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                raise


def open_tracing() -> Tracing:
    """Sends spans by OTLP over HTTP. Raises `InvalidSettings` without the extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSettings("traces need OpenTelemetry; install hangtag with the extra traces", field="traces") from error
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer(SERVICE), provider.shutdown)
