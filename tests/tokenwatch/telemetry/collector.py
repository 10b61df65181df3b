"""An OTLP receiver on a free port: the services of opentelemetry-proto on grpcio's own server."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes of the wire as Python's values."""
    found = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        if kind == "array_value":
            value = [one.string_value for one in value.values]
        found[pair.key] = value
    return found


@dataclass
class Received:
    """What came, in order."""

    endpoint: str = ""
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    """The newest of each name."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def until(self, reached: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(reached, seconds), (self.spans, self.metrics.keys())

    def named(self, name: str) -> Any:
        """The only span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """A metric's points: attributes and value, or the point itself for a histogram."""
        metric = self.metrics[name]
        kind = metric.WhichOneof("data")
        points = getattr(metric, kind).data_points
        return [
            (
                plain(point.attributes),
                point if kind == "histogram" else point.as_int or point.as_double,
            )
            for point in points
        ]


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self.received = received

    def Export(self, request: Any, context: Any) -> Any:
        with self.received.changed:
            for resource in request.resource_spans:
                self.received.resources.append(plain(resource.resource.attributes))
                for scope in resource.scope_spans:
                    self.received.spans.extend(scope.spans)
            self.received.changed.notify_all()
        return trace_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, received: Received) -> None:
        self.received = received

    def Export(self, request: Any, context: Any) -> Any:
        with self.received.changed:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    self.received.metrics.update((one.name, one) for one in scope.metrics)
            self.received.changed.notify_all()
        return metrics_pb2.ExportMetricsServiceResponse()


@contextmanager
def collector() -> Iterator[Received]:
    received = Received()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_grpc.add_TraceServiceServicer_to_server(_Traces(received), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(received), server)
    port = server.add_insecure_port("127.0.0.1:0")
    received.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()
