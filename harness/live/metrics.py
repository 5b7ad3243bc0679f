"""A run's metrics for Prometheus: one address for the whole run, on the machine of the driver.

prometheus-client's own server answers, in threads of its own, with what the run's instruments
read at that moment (`harness.live.readings`), on a registry of its own: Prometheus' text format,
or OpenMetrics for who accepts it. On loopback a page of another site is refused, as the live page
refuses it (`harness.live.access`); elsewhere a scraper may know this machine by any name. The
server ends with the run.
"""

from __future__ import annotations

import errno
import io
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from itertools import accumulate
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from harness.errors import UsageError
from harness.live.access import LOOPBACK_NAMES, Access
from harness.live.instruments import BUCKET_BOUNDS_S, prometheus_family, prometheus_unit
from harness.live.readings import Distribution, Gauges, Reading

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["MetricsServer", "last_scrape_wait_s", "metrics_server"]

# Prometheus asks every 15 s where it is set up as its guide does it.
LAST_SCRAPE_WAIT_MAX_S = 16.0
# For a client to send something, or to take it.
CLIENT_TIMEOUT_S = 15.0
_BOUNDS = (*map(repr, BUCKET_BOUNDS_S), "+Inf")


class MetricsServer(Gauges):
    """What is served, as a view of the run; a `prometheus_client.registry.Collector`.

    Attributes:
        url: where it is served.
    """

    url = ""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self._ended_s = 0.0
        self._scraped = Condition()
        self._scrapes_s: list[float] = []  # when the last two began

    def collect(self) -> Iterator[Metric]:
        """The metric families, for a scrape."""
        return map(_family, self.read())

    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `View`."""
        super().end(status, summary)
        self._ended_s = time.monotonic()

    def finish(self, status: str, summary: Mapping[str, Any], path: Path) -> None:  # noqa: ARG002
        """Wait for one more scrape if somebody keeps scraping, so that the end is seen, too."""
        with self._scraped, suppress(KeyboardInterrupt):  # it ends the wait, not the command
            wait_s = last_scrape_wait_s(self._scrapes_s, self._ended_s)
            if wait_s > 0:
                self._scraped.wait_for(lambda: self._scrapes_s[-1:] > [self._ended_s], wait_s)

    def noticing(self, app: WSGIApplication) -> WSGIApplication:
        """The same application; answers to scrapes are noticed once they were sent."""

        def noticed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            began_s = time.monotonic()
            answer = app(environ, start_response)
            if environ["PATH_INFO"] != "/metrics":  # a browser's icon, a health check
                return answer
            return _Sent(answer, lambda: self._was_scraped(began_s))

        return noticed

    def _was_scraped(self, began_s: float) -> None:
        with self._scraped:
            self._scrapes_s = [*self._scrapes_s[-1:], began_s]
            self._scraped.notify_all()


def last_scrape_wait_s(scrapes_s: Sequence[float], ended_s: float) -> float:
    """How long to wait for a scrape that sees the end; 0 for none.

    Args:
        scrapes_s: when the last two scrapes began, or fewer.
        ended_s: when the run, or the last step, was summed up, by the same clock.
    """
    if len(scrapes_s) < 2 or scrapes_s[-1] > ended_s:
        return 0.0
    interval_s = scrapes_s[-1] - scrapes_s[-2]
    patience_s = 2 * interval_s + 1
    gone = ended_s - scrapes_s[-1] > patience_s
    if gone or interval_s > LAST_SCRAPE_WAIT_MAX_S:
        return 0.0
    return min(patience_s, LAST_SCRAPE_WAIT_MAX_S)


class _Sent(list[bytes]):
    """An answer; who sends it says by `close` that it has been, as WSGI has it."""

    def __init__(self, answer: Iterable[bytes], then: Callable[[], None]) -> None:
        super().__init__(answer)
        self._then = then

    def close(self) -> None:
        self._then()


def _for_own_pages(app: WSGIApplication, access: Access) -> WSGIApplication:
    """The same application; requests of a page of another site are refused."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def sent(name: str) -> Sequence[str]:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            return [environ[key]] if key in environ else []

        refusal = access.refusal(sent)
        if refusal is None:
            return app(environ, start_response)
        status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{status}: {refusal.sentence}\n".encode()]

    return guarded


class _Handler(WSGIRequestHandler):
    """Says nothing on the run's terminal, and leaves a client that does nothing."""

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(CLIENT_TIMEOUT_S)

    def get_stderr(self) -> io.StringIO:
        return io.StringIO()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def metrics_server(command: str, host: str, port: int) -> Iterator[MetricsServer]:
    """Serve a run's metrics at ``http://HOST:PORT/metrics`` until this is left.

    Args:
        command: as in ``run.json``.
        host: a name or address of this machine.
        port: 0 for a free one.

    Raises:
        UsageError: the address cannot be had.
    """
    served = MetricsServer(command)
    registry = CollectorRegistry()
    registry.register(served)
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, UnicodeError) as error:
        raise _refused(error, host, port) from None
    try:
        shown = f"[{host}]" if ":" in host else host
        if (app := server.get_app()) is not None:
            app = served.noticing(app)
            if ipaddress.ip_address(server.socket.getsockname()[0]).is_loopback:
                names = {*LOOPBACK_NAMES, shown.lower()}
                access = Access(server.server_port, names, any_address=False, token=None)
                app = _for_own_pages(app, access)
            server.set_app(app)
        server.RequestHandlerClass = _Handler
        # A client that went in the middle of its request is no matter of the run.
        server.handle_error = _nothing_said  # type: ignore[method-assign]
        served.url = f"http://{shown}:{server.server_port}/metrics"
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _nothing_said(request: object, client_address: object) -> None:
    """In the place of a traceback on the run's terminal."""


def _refused(error: OSError | UnicodeError, host: str, port: int) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error)
    unknown = isinstance(error, socket.gaierror | UnicodeError)
    if unknown or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
        return UsageError("--metrics-host", f"{host} is no address of this machine ({reason})")
    return UsageError(
        "--metrics-port", f"{port} cannot be had on {host} ({reason}); 0 takes a free one"
    )


def _family(reading: Reading) -> Metric:
    """A reading as prometheus-client writes it."""
    instrument = reading.instrument
    name, unit = prometheus_family(instrument), prometheus_unit(instrument)
    words, labels = instrument.description, instrument.labels
    if instrument.kind == "histogram":
        histogram = HistogramMetricFamily(name, words, labels=labels, unit=unit)
        for values, value in reading.points.items():
            if isinstance(value, Distribution):
                counts = map(float, accumulate(value.counts))
                buckets = list(zip(_BOUNDS, counts, strict=True))
                histogram.add_metric(values, buckets, value.sum_s)
        return histogram
    if instrument.kind == "info":
        info = InfoMetricFamily(name, words, labels=labels)
        for values in reading.points:
            info.add_metric(values, {})
        return info
    kind = CounterMetricFamily if instrument.kind == "counter" else GaugeMetricFamily
    family = kind(name, words, labels=labels, unit=unit)
    for values, value in reading.points.items():
        if not isinstance(value, Distribution):
            family.add_metric(values, value)
    return family
