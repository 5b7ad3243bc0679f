"""Metrics of real runs and benchmarks: scraped and sent while they go, the summary's at the end."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow.parquet as pq
import pytest
from prometheus_client import Metric

from harness.live import metrics, otlp
from tests.harness.driving import short_folder
from tests.live.collector import collector, numbers
from tests.live.scrapes import (
    OPENMETRICS,
    check_by_promtool,
    get,
    promtool,
    samples,
    scraped,
    value,
)
from tests.shared_ray import command_here

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PARTS = ("queue", "transport", "shard_wait", "service")


@dataclass
class Scraper:
    """Scrapes in a thread of its own, in turns of both formats, whenever somebody serves."""

    url: str
    scrapes: list[list[Metric]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)

    def look(self) -> None:
        """Scrape once, if somebody serves."""
        try:
            accept = OPENMETRICS if len(self.scrapes) % 2 else "text/plain"
            self.scrapes.append(scraped(self.url, accept))
            if len(self.scrapes) % 2:
                self.texts.append(get(self.url)[0])
        except (ConnectionError, urllib.error.URLError):
            pass
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.problems.append(error)


@contextmanager
def scraping(url: str) -> Iterator[Scraper]:
    scraper, stop = Scraper(url), threading.Event()

    def again() -> None:
        while not stop.wait(0.1):
            scraper.look()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield scraper
    finally:
        stop.set()
        thread.join()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The command waits for the last scrape and export as long as a busy machine takes."""
    monkeypatch.setattr(metrics, "last_scrape_wait_s", lambda *_: 100.0)
    monkeypatch.setattr(otlp, "EXPORT_TIMEOUT_S", 100.0)
    monkeypatch.setattr(otlp, "LAST_EXPORT_MAX_S", 100.0)


@pytest.fixture
def address():
    """A loopback address and a port that no other process of the tests asks for."""
    pid = os.getpid()
    return f"127.{77 + (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}", 9464


def counters(families: list[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples([one for one in families if one.type in {"counter", "histogram"}])


def check_never_falls(scrapes: list[list[Metric]]) -> None:
    """No counter is ever less than it was, or gone."""
    before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for families in scrapes:
        now = counters(families)
        ours = {key for key in before if "node" not in dict(key[1])}
        assert not ours - set(now)
        assert not {key for key in set(now) & set(before) if now[key] < before[key]}
        before |= now


def check_counts(found, summaries) -> None:
    """Counters are the sums of these summaries, exactly; times to within their floats."""
    outcomes = [
        count
        for (name, labels), count in found.items()
        if name == "agent_harness_operations_total" and ("phase", "measure") in labels
    ]
    assert sum(outcomes) == sum(one["operations"] for one in summaries)
    for operation in ("store", "retrieve", "search"):
        of = {"phase": "measure", "operation": operation}
        count = sum(one[operation]["count"] for one in summaries)
        total_s = sum(
            one[operation]["count"] * one[operation]["mean_ms"] / 1e3 for one in summaries
        )
        assert value(found, "operation_duration_seconds_count", **of) == count
        sum_s = value(found, "operation_duration_seconds_sum", **of)
        assert sum_s == pytest.approx(total_s, rel=1e-9)
        parts_s = {
            part: value(found, "operation_part_seconds_total", **of, part=part) for part in PARTS
        }
        # the summary's transport has the wait in the shard within it
        parts_s["transport"] += parts_s["shard_wait"]
        for part, part_s in parts_s.items():
            expected_s = sum(
                one[part][operation]["count"] * one[part][operation]["mean_ms"] / 1e3
                for one in summaries
            )
            assert part_s == pytest.approx(expected_s, rel=1e-9)


def test_a_run_is_told_while_it_goes_and_ends_as_its_summary(ray_here, address):
    """Counters grow from scrape to scrape; the last, as the last export, is the summary."""
    host, port = address
    with (
        short_folder() as folder,
        collector() as listening,
        scraping(f"http://{host}:{port}/metrics") as scraper,
    ):
        size = ("--agents", 5, "--rounds", 20, "--warmup", 0.3)
        watching = ("--metrics-host", host, "--metrics-port", port, "--otlp", listening.url)
        done = command_here("run", *size, *watching, "--out", folder / "run", temp=folder)
        summary = json.loads((folder / "run" / "summary.json").read_text())
        rows = pq.read_table(folder / "run" / "ops", columns=["phase", "op"]).to_pylist()
    assert done.returncode == 0, done.stderr
    assert f"harness: metrics at http://{host}:{port}/metrics\n" in done.stderr
    assert "--otlp" not in done.stderr
    assert not scraper.problems
    check_never_falls(scraper.scrapes)
    found = samples(scraper.scrapes[-1])
    check_counts(found, [summary])
    for operation in ("store", "retrieve", "search"):
        of = {"phase": "warmup", "operation": operation}
        count = sum(row["phase"] == "warmup" and row["op"] == operation for row in rows)
        assert value(found, "operation_duration_seconds_count", **of) == count
    assert value(found, "agents", state="done") == 5
    assert value(found, "result_info", status="complete", step="") == 1
    assert value(found, "result_throughput_per_second") == summary["throughput_ops_s"]
    p50_s = value(found, "result_response_time_seconds", operation="search", percentile="50")
    assert p50_s == summary["search"]["p50_ms"] / 1e3
    (place,) = [dict(labels) for name, labels in found if name == "agent_harness_node_cpus"]
    assert value(found, "role_processes", role="shard", **place) >= 1
    if promtool() is not None:
        for number in (0, len(scraper.texts) // 2, -1):
            check_by_promtool(scraper.texts[number])
    sent = numbers(listening.metrics()["operations"])
    assert sum(n for key, n in sent.items() if key[0] == "measure") == summary["operations"]


def test_a_benchmark_is_one_series_over_its_steps(ray_here, address):
    """Counters of a benchmark are the sums of its steps', and the step under way is named."""
    host, port = address
    with short_folder() as folder, scraping(f"http://{host}:{port}/metrics") as scraper:
        size = ("--counts", "1,2", "--repeats", 1, "--step-duration", 0.5)
        watching = ("--metrics-host", host, "--metrics-port", port)
        out = folder / "bench"
        done = command_here("bench", "agents", *size, *watching, "--out", out, temp=folder)
        steps = [step["name"] for step in json.loads((out / "run.json").read_text())["steps"]]
        documents = [out / "steps" / step / "summary.json" for step in steps]
        summaries = [json.loads(document.read_text()) for document in documents]
    assert done.returncode == 0, done.stderr
    assert not scraper.problems
    check_never_falls(scraper.scrapes)
    found = samples(scraper.scrapes[-1])
    check_counts(found, summaries)
    named = {
        dict(labels)["step"]
        for families in scraper.scrapes
        for name, labels in samples(families)
        if name == "agent_harness_step_info"
    }
    assert {steps[-1]} <= named <= set(steps)
    assert value(found, "step_number") == value(found, "steps_planned") == len(steps)
