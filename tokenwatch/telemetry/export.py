"""The way to the collector: OTLP over gRPC, by the SDK's exporters.

How it fails: a collector that is away costs what it would have been sent; that is said once a
minute, in one line, and the exporters' own words, one or more for each batch, are left out.
Sending happens in threads of its own, and `stop` waits no longer than it is told.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

SAY_EVERY = 60.0
TIMEOUT = 5
"""Seconds for one message, the exporter's own new tries included."""
SPANS_WAITING = 4096
BATCH = 64
"""Spans to a message: encoding one holds the interpreter, about 50 us a span."""
ROUND_MS = 500

logger = logging.getLogger("tokenwatch.telemetry")


def resource(service_name: str, instance: str) -> Resource:
    """What all spans and metrics of one worker have in common; ``OTEL_RESOURCE_ATTRIBUTES`` adds
    to it."""
    return Resource.create({"service.name": service_name, "service.instance.id": instance})


class Complaints:
    """Says once a minute that the collector is away, and once that it is back."""

    def __init__(self, endpoint: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._next = 0.0
        self._lost = 0
        self._lock = threading.Lock()

    def failed(self, number: int) -> None:
        """So many spans or metrics were not taken."""
        with self._lock:
            self._lost += number
            now = self._clock()
            if now < self._next:
                return
            self._next = now + SAY_EVERY
            lost, self._lost = self._lost, 0
        logger.warning(
            "The collector at %s does not take telemetry (%d lost)", self._endpoint, lost
        )

    def worked(self) -> None:
        with self._lock:
            away, self._next = self._next > 0, 0.0
            self._lost = 0
        if away:
            logger.warning("The collector at %s takes telemetry again", self._endpoint)


class PatientSpanExporter(SpanExporter):
    """The SDK's exporter, its failures told to `Complaints`."""

    def __init__(self, inner: SpanExporter, complaints: Complaints) -> None:
        self._inner = inner
        self._complaints = complaints

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._complaints.worked()
        else:
            self._complaints.failed(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class Collector:
    """Sends spans in batches, and metrics when it is given them."""

    def __init__(self, endpoint: str, resource: Resource) -> None:
        _silence()
        complaints = Complaints(endpoint)
        self._complaints = complaints
        self._span_exporter = PatientSpanExporter(
            OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT), complaints
        )
        self._spans = BatchSpanProcessor(
            self._span_exporter,
            max_queue_size=SPANS_WAITING,
            schedule_delay_millis=ROUND_MS,
            max_export_batch_size=BATCH,
        )
        self._metrics = OTLPMetricExporter(endpoint=endpoint, timeout=TIMEOUT)
        self.resource = resource

    @property
    def processor(self) -> BatchSpanProcessor:
        """For the tracer of Django's pages."""
        return self._spans

    def take(self, span: ReadableSpan) -> None:
        """Queue a span; one that finds no room takes that of the oldest."""
        self._spans.on_end(span)

    def send(self, data: MetricsData) -> None:
        """Send metrics; returns when they are sent, or not."""
        if self._metrics.export(data) is MetricExportResult.SUCCESS:
            self._complaints.worked()
        else:
            self._complaints.failed(1)

    def stop(self, seconds: float) -> None:
        """Send what waits, as far as that goes in so many seconds."""
        deadline = time.monotonic() + seconds
        ending = threading.Thread(target=self._spans.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)
        # Interrupts an exporter that waits before it tries again; its thread is a daemon's.
        with contextlib.suppress(Exception):
            self._span_exporter.shutdown()
        left = max(0.0, deadline - time.monotonic())
        with contextlib.suppress(Exception):
            self._metrics.shutdown(timeout_millis=left * 1000)


def _silence() -> None:
    for name in ("exporter.otlp.proto.grpc", "sdk._shared_internal", "sdk.trace.export"):
        logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)
