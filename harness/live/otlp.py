"""A run's metrics by OTLP: sent to an OpenTelemetry collector every few seconds, and at the end.

The run's instruments (`harness.live.readings`) are histograms and sums already, so no meter counts
them a second time: what they read is laid out as OpenTelemetry's metrics data, cumulative, and
given to its own exporter (HTTP, protobuf), in a thread of this module's. The exporter's
``OTEL_EXPORTER_OTLP_*`` variables (headers, certificates, compression) are heeded.

A collector that does not take them costs the run nothing: it is said once.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import harness
from harness.errors import UsageError, quoted
from harness.live.instruments import BUCKET_BOUNDS_S
from harness.live.progress import Progress
from harness.live.readings import Distribution, Gauges, Reading

__all__ = ["OtlpExport", "otlp_endpoint", "otlp_export"]

EXPORT_INTERVAL_S = 5.0
EXPORT_TIMEOUT_S = 3.0
LAST_EXPORT_MAX_S = 5.0
_NONE = "does not answer"
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class OtlpExport(Gauges):
    """What is sent, as a view of the run.

    Args:
        command: as in ``run.json``.
        endpoint: where it is sent, as `otlp_endpoint` gives it.
        say: tells the user a sentence; called by who calls this view.
    """

    def __init__(self, command: str, endpoint: str, say: Callable[[str], None]) -> None:
        super().__init__(command)
        self._endpoint = endpoint
        self._say = say
        self._answer = _NONE
        self._failed = self._told = self._sent_all = False
        self._stop = threading.Event()
        self._resource = Resource.create(
            {
                "service.name": "agent-memory-harness",
                "service.version": harness.__version__,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        session = requests.Session()
        session.hooks["response"].append(self._keep_answer)
        self._exporter = OTLPMetricExporter(endpoint, timeout=EXPORT_TIMEOUT_S, session=session)
        self._thread = threading.Thread(target=self._send, name="otlp", daemon=True)

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def update(self, progress: Progress) -> None:
        """See `View`."""
        super().update(progress)
        self._tell()

    def stop(self) -> None:
        """Send what there is a last time, for which `LAST_EXPORT_MAX_S` are given."""
        self._stop.set()
        self._thread.join(LAST_EXPORT_MAX_S)
        self._failed = self._failed or not self._sent_all
        self._exporter.shutdown()
        self._tell()

    def _tell(self) -> None:
        if self._failed and not self._told:
            self._told = True
            # without what an address may have in it besides: a name and a password
            place = urlsplit(self._endpoint)
            shown = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
            lack = "metrics are missing there, the run is not affected"
            with suppress(OSError, ValueError):  # of a standard error that is closed or gone
                self._say(f"--otlp: {shown} {self._answer}; {lack}")

    def _keep_answer(self, answer: requests.Response, **_: object) -> None:
        if not answer.ok:
            self._answer = f"refuses metrics ({answer.status_code} {answer.reason})"

    def _send(self) -> None:
        ending = False
        while not ending:
            ending = self._stop.wait(EXPORT_INTERVAL_S)
            data = self._data()
            if not self._failed:  # the first failure is the one that is told
                self._answer = _NONE
            if self._exporter.export(data) is not MetricExportResult.SUCCESS:
                self._failed = True
        self._sent_all = True

    def _data(self) -> MetricsData:
        began_ns, now_ns = int(self.began_s * 1e9), time.time_ns()
        metrics = [_metric(reading, began_ns, now_ns) for reading in self.read()]
        scope = ScopeMetrics(
            scope=InstrumentationScope("harness.live", harness.__version__),
            metrics=metrics,
            schema_url="",
        )
        of = ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")
        return MetricsData(resource_metrics=[of])


def otlp_endpoint(url: str) -> str:
    """Where metrics go: an address of a collector alone has its path for metrics added.

    Raises:
        UsageError: it is no URL.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # its port is no number, or its address no address
        parts, known = urlsplit(""), False
    if not known:
        raise UsageError(
            "--otlp", f"{quoted(url)} is no URL of a collector, such as http://127.0.0.1:4318"
        )
    return parts._replace(path="/v1/metrics").geturl() if parts.path in {"", "/"} else url


@contextmanager
def otlp_export(command: str, url: str, say: Callable[[str], None]) -> Iterator[OtlpExport]:
    """Send a run's metrics to a collector until this is left.

    Args:
        command: as in ``run.json``.
        url: of the collector.
        say: tells the user a sentence.

    Raises:
        UsageError: it is no URL.
    """
    # The exporter tells its log of each failure; the user is told once, by this.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    export = OtlpExport(command, otlp_endpoint(url), say)
    export.start()
    try:
        yield export
    finally:
        export.stop()


def _metric(reading: Reading, began_ns: int, now_ns: int) -> Metric:
    """A reading as OpenTelemetry has it."""
    instrument = reading.instrument
    # A node's counters began when it booted, and nobody knows when that was: 0 says so.
    start_ns = 0 if "node" in instrument.labels else began_ns
    numbers: list[NumberDataPoint] = []
    histograms: list[HistogramDataPoint] = []
    for values, value in reading.points.items():
        labels = dict(zip(instrument.labels, values, strict=True))
        if isinstance(value, Distribution):
            histograms.append(
                HistogramDataPoint(
                    attributes=labels,
                    start_time_unix_nano=start_ns,
                    time_unix_nano=now_ns,
                    count=sum(value.counts),
                    sum=value.sum_s,
                    bucket_counts=value.counts,
                    explicit_bounds=BUCKET_BOUNDS_S,
                    min=None,  # type: ignore[arg-type] # not known; unset, where it is optional
                    max=None,  # type: ignore[arg-type]
                )
            )
        else:
            numbers.append(
                NumberDataPoint(
                    attributes=labels,
                    start_time_unix_nano=start_ns,
                    time_unix_nano=now_ns,
                    value=value,
                )
            )
    data: Histogram | Sum | Gauge
    if instrument.kind == "histogram":
        data = Histogram(data_points=histograms, aggregation_temporality=_CUMULATIVE)
    elif instrument.kind == "gauge":
        data = Gauge(data_points=numbers)
    else:
        # An info is a sum that does not only grow: OpenTelemetry's reading of Prometheus' kind.
        data = Sum(
            data_points=numbers,
            aggregation_temporality=_CUMULATIVE,
            is_monotonic=instrument.kind == "counter",
        )
    return Metric(
        name=instrument.full_name,
        description=instrument.description,
        unit=instrument.unit,
        data=data,
    )
