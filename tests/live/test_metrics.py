"""A run's metrics for Prometheus: as they are served, read by its own parsers."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.errors import UsageError
from harness.live import metrics
from harness.live.instruments import BUCKET_BOUNDS_S, INSTRUMENTS, prometheus_family
from harness.live.metrics import MetricsServer, last_scrape_wait_s, metrics_server
from tests.harness.driving import poll
from tests.live.scrapes import (
    OPENMETRICS,
    check_by_promtool,
    get,
    needs_promtool,
    samples,
    scraped,
    value,
)
from tests.live.snapshots import HOSTILE, counted, node, snapshot

SUMMARY = {
    "operations": 4,
    "failed": 1,
    "duration_s": 2.5,
    "throughput_ops_s": 1.2,
    "all": {"count": 4, "mean_ms": 2.0, "p50_ms": 1.0, "p99_ms": None, "max_ms": 5.0},
    "search": {"count": 4, "mean_ms": 2.0, "p50_ms": 1.0, "p999_ms": 4.0, "max_ms": 5.0},
    "store": {"count": 0, "mean_ms": None},
}
HERE = Path("runs/one")


@pytest.fixture(scope="module")
def leaving():
    """Leaves servers while the next tests go on: their threads look twice a second."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def served(leaving):
    """The metrics of a run that has not begun."""
    with ExitStack() as stack:
        yield stack.enter_context(metrics_server("run", "127.0.0.1", 0))
        leaving.submit(stack.pop_all().close)


def connected(server: MetricsServer) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=60)


def whole(server: MetricsServer) -> None:
    """Tell it all that there is to tell."""
    server.step("agents-10-1", 2, 12)
    server.begin({"target": "memory_core", "workload": "standard", "durability": "fsync"}, 10)
    server.event({"wall_ns": 1, "kind": "phase", "phase": "measuring"})
    server.update(snapshot(counted([100.0, 2_000.0], failed=1)))


def test_a_snapshot_is_served_with_its_labels_in_base_units(served):
    """Every figure of a snapshot is there: seconds, bytes, ratios and counts, by their labels."""
    whole(served)
    found = samples(scraped(served.url))
    of = {"phase": "measure", "operation": "search"}
    place = {"node": "n1", "host": "alpha"}
    assert value(found, "operations_total", **of, outcome="ok") == 1
    assert value(found, "operations_total", **of, outcome="timeout") == 1
    assert value(found, "operations_total", **of, outcome="error") == 0
    assert value(found, "operation_duration_seconds_count", **of) == 2
    assert value(found, "operation_duration_seconds_sum", **of) == pytest.approx(2.1e-3)
    parts = {"queue": 2.1e-4, "transport": 4.2e-4, "shard_wait": 2.1e-4, "service": 1.05e-3}
    for part, time_s in parts.items():
        found_s = value(found, "operation_part_seconds_total", **of, part=part)
        assert found_s == pytest.approx(time_s)
    assert value(found, "retries_total") == 2
    assert value(found, "events_total", kind="phase") == 1
    states = {"waiting": 3, "running": 4, "done": 3}
    assert {state: value(found, "agents", state=state) for state in states} == states
    assert value(found, "recent_throughput_per_second") == 250
    assert value(found, "recent_response_time_seconds", percentile="99") == pytest.approx(0.03)
    assert value(found, "remaining_seconds") == 8
    assert value(found, "step_number") == 2
    assert value(found, "steps_planned") == 12
    assert value(found, "step_info", step="agents-10-1") == 1
    assert value(found, "phase_info", phase="measuring") == 1
    assert value(found, "node_cpu_utilization_ratio", **place) == 0.75
    assert value(found, "node_disk_written_bytes_total", **place) == 2_000
    assert value(found, "role_cpu_cores", role="shard", **place) == 1.5
    assert value(found, "role_memory_resident_bytes", role="cohort", **place) == 2**27


def test_every_instrument_is_served_with_its_kind_and_its_help(served):
    """Each instrument is a family of its type and with its sentence once there is all to tell."""
    whole(served)
    served.end("complete", SUMMARY)
    served.begin({}, 10)
    served.update(snapshot({}))
    families = {family.name: family for family in scraped(served.url, OPENMETRICS)}
    assert set(families) == {prometheus_family(one) for one in INSTRUMENTS.values()}
    for instrument in INSTRUMENTS.values():
        family = families[prometheus_family(instrument)]
        assert (family.type, family.documentation) == (instrument.kind, instrument.description)


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_either_format_says_the_same(served, accept):
    """OpenMetrics is served to who accepts it, Prometheus' text format to all others."""
    whole(served)
    text, content_type = get(served.url, accept)
    assert content_type.startswith(accept.partition(";")[0])
    assert text.endswith("# EOF\n") == ("openmetrics" in accept)
    assert samples(scraped(served.url, accept)) == samples(scraped(served.url))


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_hostile_text_is_a_label_and_nothing_else(served, accept):
    """Quotes, line ends, braces and scripts in names come back as they were, in both formats."""
    served.step(HOSTILE, 1, 1)
    served.begin({"target": HOSTILE, "workload": HOSTILE, "durability": "fsync"}, 1)
    served.event({"kind": HOSTILE})
    served.update(snapshot(counted([1.0]), phase=HOSTILE, nodes=[node(HOSTILE, HOSTILE)]))
    families = scraped(served.url, accept)
    found = samples(families)
    assert value(found, "step_info", step=HOSTILE) == 1
    assert value(found, "phase_info", phase=HOSTILE) == 1
    assert value(found, "events_total", kind=HOSTILE) == 1
    assert value(found, "node_memory_used_bytes", node=HOSTILE, host=HOSTILE) == 2**30
    assert {family.name.startswith("agent_harness_") for family in families} == {True}


def test_text_that_no_reader_takes_is_replaced(served):
    """Half a surrogate pair and NUL are written as escapes, and a label has a bounded length."""
    served.step("half \ud800, nul \0", 1, 1)
    served.begin({"target": "x" * 1_000}, 1)
    found = samples(scraped(served.url))
    assert value(found, "step_info", step="half \\ud800, nul \\0") == 1
    (targets,) = [dict(labels)["target"] for name, labels in found if name.endswith("run_info")]
    assert targets == "x" * 197 + "..."


def test_buckets_hold_what_is_below_their_bounds_to_within_a_fine_bucket(served):
    """From 10 us to 10 s, counts up to a bound are those of times below it, 2.3% aside."""
    assert BUCKET_BOUNDS_S[0] == 1e-5
    assert BUCKET_BOUNDS_S[-1] == 10.0
    assert len(BUCKET_BOUNDS_S) == 19
    inside = [bound * 1e6 * factor for bound in BUCKET_BOUNDS_S for factor in (0.97, 1.03)]
    times_us = [0.2, *inside, 90e6]
    served.update(snapshot(counted(times_us)))
    found = samples(scraped(served.url))
    labels = {"phase": "measure", "operation": "search"}
    for bound in BUCKET_BOUNDS_S:
        below = sum(time_us <= bound * 1e6 for time_us in times_us)
        got = {
            dict(key)["le"]: count
            for (name, key), count in found.items()
            if name.endswith("_bucket") and labels.items() <= dict(key).items()
        }
        (here,) = [count for le, count in got.items() if float(le) == bound]
        assert here == below, bound
    assert got["+Inf"] == len(times_us)
    total_s = value(found, "operation_duration_seconds_sum", **labels)
    assert total_s == pytest.approx(sum(times_us) / 1e6)


def test_counters_go_on_over_the_steps_of_a_benchmark(served):
    """A step counts from zero; what is served is the sum of all steps, at every moment."""
    before: dict[object, float] = {}
    of = {"phase": "measure", "operation": "search"}
    for number in range(1, 4):
        served.step(f"step-{number}", number, 3)
        served.begin({}, 10)
        for many in (1, 5, 9):
            counts = counted([100.0 * number] * many)
            counts |= counted([50.0] * many, operation="store") if number == 2 else {}
            served.update(snapshot(counts))
            now = {
                (family.name, sample.name, *sorted(sample.labels.items())): sample.value
                for family in scraped(served.url)
                if family.type in {"counter", "histogram"}
                for sample in family.samples
            }
            assert all(now[key] >= before[key] for key in before)
            before = now
    found = samples(scraped(served.url))
    assert value(found, "operations_total", **of, outcome="ok") == 27
    assert value(found, "operation_duration_seconds_count", **of) == 27
    assert value(found, "operation_duration_seconds_sum", **of) == pytest.approx(9 * 600e-6)
    of["operation"] = "store"
    assert value(found, "operations_total", **of, outcome="ok") == 9
    assert value(found, "retries_total") == 6


def test_counters_of_a_node_go_on_where_the_system_has_lost_some(served):
    """A step that begins with less than the last one had stands still there, and then grows."""
    name, place = "node_network_received_bytes_total", {"node": "n1", "host": "alpha"}
    found = []
    for reads in ((3_000, 3_500), (1_000, 1_200), (9_000,)):
        served.begin({}, 10)
        for read in reads:
            served.update(snapshot({}, nodes=[replace(node(), net_received_bytes=read)]))
            found.append(value(samples(scraped(served.url)), name, **place))
    assert found == [3_000, 3_500, 3_500, 3_700, 11_500]


def test_the_end_shows_the_summary_until_the_next(served):
    """A summary's figures stay while the next step runs; what was recent goes with the run."""
    whole(served)
    served.end("complete", SUMMARY)
    found = samples(scraped(served.url))
    assert value(found, "result_info", status="complete", step="agents-10-1") == 1
    assert value(found, "result_operations") == 4
    assert value(found, "result_failed") == 1
    assert value(found, "result_throughput_per_second") == 1.2
    assert value(found, "result_responses", operation="store") == 0
    response = "result_response_time_seconds"
    assert value(found, response, operation="search", percentile="99.9") == 0.004
    assert value(found, f"{response[:-8]}_mean_seconds", operation="all") == 0.002
    known = {dict(labels).get("percentile") for name, labels in found if name.endswith(response)}
    assert known == {"50", "99.9"}  # what the summary does not know is not there
    assert not any("recent" in name or "phase_info" in name for name, _ in found)
    served.step("agents-10-2", 3, 12)
    served.begin({}, 10)
    served.update(snapshot({}))
    found = samples(scraped(served.url))
    assert value(found, "result_info", status="complete", step="agents-10-1") == 1
    assert value(found, "recent_throughput_per_second") == 250


def test_times_of_an_invalid_run_are_withheld(served):
    """It is told how it ended and what it counted; its times are no figures of the store."""
    whole(served)
    served.end("invalid", SUMMARY)
    found = samples(scraped(served.url))
    assert value(found, "result_info", status="invalid", step="agents-10-1") == 1
    assert value(found, "result_operations") == 4
    assert not any("result_response_time" in name for name, _ in found)


def test_a_summary_of_another_shape_is_left_out(served):
    """Steps whose documents have no such figures, or broken ones, fail nothing."""
    served.end("failed", {"operations": "many", "all": [1], "search": {"p50_ms": float("nan")}})
    found = samples(scraped(served.url))
    results = {name for name, _ in found if name.startswith("agent_harness_result")}
    assert results == {"agent_harness_result_info"}


def test_kinds_of_events_are_bounded(served):
    """Of hundreds of kinds of events, what is beyond the bound is counted together."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: served.event({"kind": f"kind-{number}"}), range(500)))
    found = samples(scraped(served.url))
    counts = [count for (name, _), count in found.items() if name == "agent_harness_events_total"]
    assert sum(counts) == 500
    assert len(counts) <= 65


@needs_promtool
def test_promtool_finds_nothing_to_say(served):
    """Names, types, units and help keep to Prometheus' conventions, by its own tool."""
    check_by_promtool(get(served.url)[0])
    whole(served)
    served.end("complete", SUMMARY)
    served.begin({}, 10)
    served.event({"kind": HOSTILE})
    served.update(snapshot(counted([1.0]), phase=HOSTILE, nodes=[node(HOSTILE, HOSTILE)]))
    check_by_promtool(get(served.url)[0])


def test_the_address_is_free_again_once_it_is_left():
    """Server, thread and socket end with the block, also when a client never asked anything."""
    before = set(threading.enumerate())
    with metrics_server("run", "127.0.0.1", 0) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):
            get(server.url)
            its_own = set(threading.enumerate()) - before
    assert its_own
    poll(lambda: not any(thread.is_alive() for thread in its_own), "the end of its threads")
    with metrics_server("run", "127.0.0.1", port) as server:
        assert server.url == f"http://127.0.0.1:{port}/metrics"
        get(server.url)


def test_a_client_that_goes_is_not_spoken_of(capfd):
    """Connections reset before, in and after a request leave the run's terminal alone."""
    with metrics_server("run", "127.0.0.1", 0) as server:
        before = set(threading.enumerate())
        for request in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") * 4:
            with connected(server) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(request)
        get(server.url)  # accepted after all of those
        poll(lambda: not set(threading.enumerate()) - before, "the end of their threads")
    assert capfd.readouterr().err == ""


def test_a_client_that_does_nothing_is_left(monkeypatch, capfd):
    """One that sends nothing, or half a request, loses its connection, and its thread ends."""
    monkeypatch.setattr(metrics, "CLIENT_TIMEOUT_S", 0.1)
    with metrics_server("run", "127.0.0.1", 0) as server:
        for request in (b"", b"GET /met"):
            with connected(server) as client:
                client.sendall(request)
                assert client.recv(1) == b""
    assert capfd.readouterr().err == ""


def test_a_taken_port_and_a_foreign_address_name_their_options():
    """What cannot be had is a usage error of the option that asked for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=rf"--metrics-port: {port} cannot be had"),
            metrics_server("run", "127.0.0.1", port),
        ):
            pass
    for host in ("192.0.2.1", "no such host", "a" * 70):
        with (
            pytest.raises(UsageError, match=r"--metrics-host: .* is no address of this machine"),
            metrics_server("run", host, 0),
        ):
            pass


def test_it_waits_at_the_end_for_who_keeps_scraping(served, monkeypatch):
    """The command's last word waits for the next scrape, which sees the end."""
    monkeypatch.setattr(metrics, "last_scrape_wait_s", lambda *_: 1_000.0)
    whole(served)
    for _ in range(2):
        get(served.url)
    served.end("complete", SUMMARY)
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(served.finish, "complete", SUMMARY, HERE)
        assert not finishing.done()
        assert value(samples(scraped(served.url)), "result_operations") == 4
        finishing.result(timeout=60)


def test_only_scrapes_are_waited_for(served, monkeypatch):
    """What asks for other paths is no scraper."""
    numbers: list[int] = []

    def wait_s(scrapes_s: Sequence[float], _: float) -> float:
        numbers.append(len(scrapes_s))
        return 0.0

    monkeypatch.setattr(metrics, "last_scrape_wait_s", wait_s)
    for path in ("/favicon.ico", "/metrics", "/"):
        get(served.url.replace("/metrics", path))

    def scrapes() -> int:
        served.finish("complete", SUMMARY, HERE)
        return numbers[-1]

    poll(lambda: scrapes() == 1, "the scrape, noticed after its answer")
    assert max(numbers) == 1


@pytest.mark.parametrize(
    ("scrapes_s", "ended_s", "wait_s"),
    [
        ([], 100.0, 0.0),
        ([99.0], 100.0, 0.0),  # somebody looked once
        ([80.0, 101.0], 100.0, 0.0),  # the end was seen
        ([98.0, 99.0], 100.0, 3.0),
        ([98.0, 99.0], 102.0, 3.0),
        ([98.0, 99.0], 102.5, 0.0),  # who scraped has gone
        ([80.0, 95.0], 100.0, 16.0),
        ([39.0, 99.0], 100.0, 0.0),  # once a minute is too long to wait
    ],
)
def test_the_wait_follows_from_how_often_there_was_a_scrape(scrapes_s, ended_s, wait_s):
    """It is a little over an interval, and none where nobody will come soon."""
    assert last_scrape_wait_s(scrapes_s, ended_s) == wait_s


def test_a_taken_port_ends_the_command_before_it_begins(harness_here, tmp_path):
    """The command exits with 2 and one sentence, and leaves no run directory."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, error = harness_here("run", "--metrics-port", port, "--out", tmp_path / "out")
    assert code == 2
    assert f"--metrics-port: {port} cannot be had on 127.0.0.1" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_only_a_path_that_is_got_is_answered(served):
    """The server takes GET and nothing that would change anything."""
    request = urllib.request.Request(served.url, data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=60)


def asked(server: MetricsServer, **headers: str) -> int:
    """The status of the answer to a request with these headers."""
    netloc = urlsplit(server.url).netloc
    sent = {"Host": netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection = HTTPConnection(netloc, timeout=60)
    with closing(connection):
        connection.request("GET", "/metrics", headers=sent)
        return connection.getresponse().status


def test_pages_from_elsewhere_are_refused(served):
    """On loopback a name or an origin that is not its own is refused; nobody is waited for then."""
    port = urlsplit(served.url).port
    assert asked(served, Host=f"localhost:{port}", Origin=f"http://localhost:{port}") == 200
    for host in (f"example.org:{port}", f"127.0.0.1.example.org:{port}", "127.0.0.1", ""):
        assert asked(served, Host=host) == 421
    for origin in ("http://example.org", f"https://127.0.0.1:{port}", "null"):
        assert asked(served, Origin=origin) == 403
    assert asked(served, Sec_Fetch_Site="cross-site") == 403
    assert served._scrapes_s == [pytest.approx(time.monotonic(), abs=600)]


def test_beyond_loopback_it_is_asked_for_by_any_name():
    """A scraper may know this machine by a name that it does not know itself."""
    with metrics_server("run", "0.0.0.0", 0) as server:
        assert asked(server, Host="metrics.example.org") == 200


def test_the_command_line_starts_without_the_library():
    """Neither prometheus-client nor OpenTelemetry is loaded until their options are given."""
    names = {"prometheus_client", "opentelemetry", "requests"}
    code = f"import sys, harness.cli, harness.commands.run; print([*({names} & {{*sys.modules}})])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=100
    )
    assert done.stdout.strip() == "[]"
