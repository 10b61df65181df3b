"""An OpenTelemetry collector that takes everything and keeps nothing.

python -m bench.collector --port 4317
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

import grpc

METHODS = {
    "opentelemetry.proto.collector.trace.v1.TraceService": ("Export",),
    "opentelemetry.proto.collector.metrics.v1.MetricsService": ("Export",),
}


def take(request: bytes, context: grpc.ServicerContext) -> bytes:
    """An empty message is the answer that all was taken."""
    return b""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.collector")
    parser.add_argument("--port", type=int, required=True)
    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(take)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(service, dict.fromkeys(methods, handler))
            for service, methods in METHODS.items()
        ]
    )
    server.add_insecure_port(f"127.0.0.1:{parser.parse_args().port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
