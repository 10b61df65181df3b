"""Spans of Django's pages, by opentelemetry-instrumentation-django; the proxy's half has its own.

Its middleware must be in the settings before Django builds its handler, so `instrument` comes
first, with a provider that has nowhere to send yet; `connect` gives it the worker's collector.
How it fails: before `connect`, and in a process that never calls it, spans go nowhere.
"""

import os
import socket

from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider

from tokenwatch.telemetry.export import Collector, resource

NOT_TRACED = "static/,metrics$"

_providers: list[TracerProvider] = []
"""The one of this process, once its pages are instrumented."""


def instrument(service_name: str) -> None:
    """Put the middleware in front of all others. Once in a process, before its ASGI handler."""
    # The stable names of HTTP's conventions: without it, those that they replaced.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    instance = f"{socket.gethostname()}:{os.getpid()}"
    provider = TracerProvider(resource=resource(service_name, instance), shutdown_on_exit=False)
    DjangoInstrumentor().instrument(
        tracer_provider=provider, meter_provider=NoOpMeterProvider(), excluded_urls=NOT_TRACED
    )
    _providers[:] = [provider]


def connect(collector: Collector) -> None:
    """Send what the spans of this process's pages say from now on."""
    for provider in _providers:
        provider.add_span_processor(collector.processor)
