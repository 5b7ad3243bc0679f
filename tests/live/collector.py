"""An OpenTelemetry collector of the tests' own: takes metrics by OTLP over HTTP, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

__all__ = ["Collector", "collector", "numbers"]


class Collector:
    """What came.

    Attributes:
        url: of the collector.
        exports: what was sent, decoded, in the order in which it came.
        heads: path and headers of each.
        status: that it answers with.
    """

    def __init__(self) -> None:
        self.url = ""
        self.exports: list[ExportMetricsServiceRequest] = []
        self.heads: list[dict[str, str]] = []
        self.status = 200

    def metrics(self, number: int = -1) -> dict[str, Metric]:
        """The metrics of an export, the last one by default, by name."""
        (resource,) = self.exports[number].resource_metrics
        (scope,) = resource.scope_metrics
        names = [metric.name for metric in scope.metrics]
        assert len(set(names)) == len(names)
        return {metric.name.removeprefix("agent_harness."): metric for metric in scope.metrics}


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens on a free port of this machine."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.heads.append(
                {"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
            )
            kept.exports.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(kept.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        kept.url = f"http://127.0.0.1:{server.server_port}"
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def numbers(metric: Metric) -> dict[tuple[str, ...], float]:
    """A metric's values by those of its attributes, in the order in which they were sent."""
    points = metric.sum.data_points or metric.gauge.data_points
    return {
        tuple(one.value.string_value for one in point.attributes): (
            point.as_double if point.HasField("as_double") else point.as_int
        )
        for point in points
    }
