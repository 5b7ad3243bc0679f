"""A run's metrics by OTLP: what a collector gets, and what one that takes nothing costs."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from harness.errors import UsageError
from harness.live import otlp
from harness.live.instruments import BUCKET_BOUNDS_S, INSTRUMENTS
from harness.live.otlp import otlp_endpoint, otlp_export
from tests.harness.driving import poll
from tests.live.collector import Collector, collector, numbers
from tests.live.snapshots import HOSTILE, counted, node, snapshot

SUMMARY = {
    "operations": 2,
    "failed": 0,
    "duration_s": 2.5,
    "throughput_ops_s": 1.2,
    "all": {"count": 2, "mean_ms": 2.0, "p50_ms": 1.0, "max_ms": 5.0},
    "search": {"count": 2, "mean_ms": 2.0, "p50_ms": 1.0, "max_ms": 5.0},
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Exports may take as long as a busy machine needs, where a test says nothing else."""
    monkeypatch.setattr(otlp, "EXPORT_TIMEOUT_S", 100.0)
    monkeypatch.setattr(otlp, "LAST_EXPORT_MAX_S", 100.0)


@pytest.fixture
def listening():
    with collector() as kept:
        yield kept


@pytest.fixture
def said():
    return []


def export(listening: Collector, said: list[str], **more) -> None:
    """Send a run that is over but for its last step."""
    with otlp_export("run", listening.url, said.append) as view:
        view.step("one", 1, 2)
        view.begin({"target": "memory_core"}, 10)
        view.event({"kind": "phase"})
        view.update(snapshot(counted([100.0, 2_000.0]), **more))
        view.end("complete", SUMMARY)
        view.begin({"target": "memory_core"}, 10)
        view.update(snapshot(counted([100.0]), **more))


def test_what_ends_at_once_is_sent_whole(listening, said):
    """The end of a run sends what there is, as protobuf, to the path for metrics."""
    export(listening, said)
    assert listening.heads[-1]["path"] == "/v1/metrics"
    assert listening.heads[-1]["content-type"] == "application/x-protobuf"
    metrics = listening.metrics()
    assert set(metrics) == set(INSTRUMENTS)
    for name, instrument in INSTRUMENTS.items():
        assert (metrics[name].unit, metrics[name].description) == (
            instrument.unit,
            instrument.description,
        )
    assert said == []


def test_the_resource_says_whose_metrics_they_are(listening, said, monkeypatch):
    """Service, version and instance are attributes of the resource, and what the user adds."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=memory")
    export(listening, said)
    (resource,) = listening.exports[-1].resource_metrics
    found = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert found["service.name"] == "agent-memory-harness"
    assert found["service.version"]
    assert found["service.instance.id"]
    assert found["team"] == "memory"


def test_counters_are_cumulative_sums_over_all_steps(listening, said):
    """Counters are monotonic, from the command's start, and add up over a benchmark's steps."""
    export(listening, said)
    operations = listening.metrics()["operations"]
    assert operations.sum.is_monotonic
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert operations.sum.aggregation_temporality == cumulative
    assert numbers(operations)["measure", "search", "ok"] == 3
    assert numbers(listening.metrics()["retries"]) == {(): 4}
    starts = {point.start_time_unix_nano for point in operations.sum.data_points}
    assert len(starts) == 1
    assert 0 < starts.pop() < operations.sum.data_points[0].time_unix_nano


def test_a_histogram_is_sent_as_it_is(listening, said):
    """Bounds, counts, sum and count come through; the extremes, which nobody knows, are unset."""
    export(listening, said)
    histogram = listening.metrics()["operation.duration"].histogram
    (point,) = [point for point in histogram.data_points if point.count]
    labels = {one.key: one.value.string_value for one in point.attributes}
    assert labels == {"phase": "measure", "operation": "search"}
    assert tuple(point.explicit_bounds) == BUCKET_BOUNDS_S
    assert len(point.bucket_counts) == len(BUCKET_BOUNDS_S) + 1
    assert sum(point.bucket_counts) == point.count == 3
    assert point.sum == pytest.approx(2.2e-3)
    assert not point.HasField("min")
    assert not point.HasField("max")


def test_gauges_and_infos_have_their_kinds(listening, said):
    """A gauge is a gauge; an info is a sum that does not only grow; nodes' starts are unknown."""
    export(listening, said)
    metrics = listening.metrics()
    assert numbers(metrics["node.cpu.utilization"]) == {("n1", "alpha"): 0.75}
    assert numbers(metrics["phase"]) == {("measuring",): 1}
    assert not metrics["phase"].sum.is_monotonic
    (read,) = metrics["node.disk.read"].sum.data_points
    assert read.start_time_unix_nano == 0
    assert numbers(metrics["result.response.time"])["all", "50"] == 0.001


def test_hostile_text_is_an_attribute(listening, said):
    """Whatever a phase or a node is called arrives as it was, and half a character as escape."""
    export(listening, said, phase=f"{HOSTILE}\ud800", nodes=[node(HOSTILE)])
    assert list(numbers(listening.metrics()["phase"])) == [(f"{HOSTILE}\\ud800",)]
    assert (HOSTILE, "alpha") in numbers(listening.metrics()["node.cpus"])


def test_it_sends_again_and_again(listening, said, monkeypatch):
    """Every few seconds there is an export, and one more at the end."""
    monkeypatch.setattr(otlp, "EXPORT_INTERVAL_S", 0.02)
    with otlp_export("run", listening.url, said.append) as view:
        view.update(snapshot(counted([100.0])))
        poll(lambda: len(listening.exports) > 3, "four exports")
        view.update(snapshot(counted([100.0] * 5)))
    assert numbers(listening.metrics()["operations"])["measure", "search", "ok"] == 5
    assert said == []


def test_its_headers_come_from_the_environment(listening, said, monkeypatch):
    """What a collector asks for besides is set as OpenTelemetry's exporters have it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=token")
    export(listening, said)
    assert listening.heads[-1]["authorization"] == "token"


@pytest.mark.parametrize("moment", ["while it goes", "at the end"])
def test_a_collector_that_refuses_is_said_once(listening, said, monkeypatch, caplog, moment):
    """One sentence, with its answer and without the password, however often it refuses."""
    listening.status = 401
    interval_s = 0.02 if moment == "while it goes" else 1_000.0
    monkeypatch.setattr(otlp, "EXPORT_INTERVAL_S", interval_s)
    place = listening.url.removeprefix("http://")
    with otlp_export("run", f"http://user:secret@{place}", said.append) as view:
        if moment == "while it goes":
            poll(lambda: len(listening.exports) > 2, "three exports")
            poll(lambda: view.update(snapshot({})) or said, "what is said")
    assert said == [
        f"--otlp: {listening.url}/v1/metrics refuses metrics (401 Unauthorized); "
        "metrics are missing there, the run is not affected"
    ]


@pytest.mark.slow
def test_nobody_there_is_said_once_and_logged_nowhere():
    """A port where nobody listens: a sentence, and not a line from the library."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    code = (
        "from harness.live.otlp import otlp_export\n"
        f"with otlp_export('run', 'http://127.0.0.1:{port}', print): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.stderr) == (
        f"--otlp: http://127.0.0.1:{port}/v1/metrics does not answer; "
        "metrics are missing there, the run is not affected\n",
        "",
    )


@pytest.mark.parametrize("before", [200, 503])
def test_a_collector_that_went_is_not_said_to_refuse(said, monkeypatch, before):
    """What it answered to the exports before, which came through in the end, is not told."""
    monkeypatch.setattr(otlp, "EXPORT_INTERVAL_S", 0.02)
    with ExitStack() as stack:
        kept = stack.enter_context(collector())
        kept.status = before
        with otlp_export("run", kept.url, said.append):
            poll(lambda: kept.exports, "the first export")
            kept.status = 200
            taken = len(kept.exports)
            poll(lambda: len(kept.exports) > taken + 2, "exports that are taken")
            stack.close()
            monkeypatch.setattr(otlp, "LAST_EXPORT_MAX_S", 0.5)
    assert len(said) == 1
    assert "does not answer" in said[0]


def test_one_that_takes_the_connection_and_says_nothing_is_left(said, monkeypatch):
    """A collector that hangs holds the end up for the bound, and no call of the run at all."""
    monkeypatch.setattr(otlp, "EXPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr(otlp, "EXPORT_TIMEOUT_S", 1_000.0)
    monkeypatch.setattr(otlp, "LAST_EXPORT_MAX_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with otlp_export("run", url, said.append) as view:
            connection, _ = silent.accept()
            view.update(snapshot({}))
        connection.close()
    assert len(said) == 1
    assert "does not answer" in said[0]


def test_a_broken_standard_error_fails_nothing(listening):
    """Where the sentence cannot be said the run goes on all the same."""
    listening.status = 404

    def broken(_: str) -> None:
        raise BrokenPipeError

    with otlp_export("run", listening.url, broken) as view:
        view.update(snapshot({}))
    assert listening.exports


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://collector:4318", "http://collector:4318/v1/metrics"),
        ("https://collector/", "https://collector/v1/metrics"),
        ("http://[::1]:4318?x=1", "http://[::1]:4318/v1/metrics?x=1"),
        ("http://collector/otlp/v1/metrics", "http://collector/otlp/v1/metrics"),
    ],
)
def test_an_address_alone_has_the_path_added(url, endpoint):
    """A collector's address is enough; a URL with a path is taken as it is."""
    assert otlp_endpoint(url) == endpoint


@pytest.mark.parametrize(
    "url",
    ["", "collector:4318", "ftp://collector", "http://", "http://a:b", "http://[x", "http://a:0"],
)
def test_what_is_no_url_is_a_usage_error(url):
    """Anything but an http or https address with a host is refused, with an example."""
    with pytest.raises(UsageError, match=r"--otlp: .* is no URL of a collector, such as http://"):
        otlp_endpoint(url)


def test_without_the_extra_it_says_how_to_install_it(harness_here, monkeypatch, tmp_path):
    """A missing library is wrong usage: exit 2, the extra's name, and no run directory."""
    monkeypatch.delitem(sys.modules, "harness.live.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    out = tmp_path / "out"
    code, _, error = harness_here("run", "--otlp", "http://127.0.0.1:4318", "--out", out)
    assert code == 2
    assert "pip install 'agent-memory-harness[otlp]'" in error
    assert "Traceback" not in error
    assert not out.exists()
