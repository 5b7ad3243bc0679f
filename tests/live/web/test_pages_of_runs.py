"""The live page of real runs: pages that come and go see what the run directory has at the end."""

from __future__ import annotations

import json
import signal
import threading
from itertools import pairwise
from typing import Any

import pytest

from harness.commands import watching
from tests.harness.driving import Driven, poll, short_folder
from tests.live.live_client import BOUND_S, Client, Stream
from tests.live.live_pages import SeenPage
from tests.shared_ray import command_here

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Watchers:
    """Pages that open as soon as the address is said; each reads in a thread of its own."""

    def __init__(self) -> None:
        self.pages: dict[str, SeenPage] = {}
        self.reports: list[bytes] = []
        self._threads: list[threading.Thread] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """What the command says of its page."""
        self.said.append(text)
        client = Client(text.removeprefix("watch it at "))
        for watch in (self._all_along, self._coming_back):
            thread = threading.Thread(target=watch, args=(client,))
            thread.start()
            self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(BOUND_S)

    def _all_along(self, client: Client) -> None:
        with client.stream() as stream:
            self._to_the_end("all along", client, stream)

    def _coming_back(self, client: Client) -> None:
        """Loses its connection in the middle of the run, and comes back to it."""
        with client.stream() as stream:
            stream.until("point")
            stream.until("point")
        with client.stream() as stream:
            self._to_the_end("coming back", client, stream)

    def _to_the_end(self, name: str, client: Client, stream: Stream) -> None:
        self.pages[name] = stream.until("end")
        self.reports.append(client.ask("report")[2])


def operations_of(points: dict[str, list[Any]]) -> float:
    """How many operations a history's rates amount to."""
    times = [0.0, *points["t"]]
    spans = [after - before for before, after in pairwise(times)]
    return sum(rate * span for rate, span in zip(points["ops_per_s"], spans, strict=True))


def test_pages_see_a_run_and_its_figures_and_its_report(ray_here, monkeypatch):
    """One page from the start and one that comes back agree with each other and the summary."""
    watchers = Watchers()
    monkeypatch.setattr(watching, "say", watchers.say)
    with short_folder() as folder:
        size = ("--agents", 5, "--duration", 3, "--warmup", 0.5, "--think-time", 0.002)
        done = command_here("run", *size, "--web", "--out", folder / "run", temp=folder)
        watchers.join()
        assert done.returncode == 0, done.stderr
        summary = json.loads((folder / "run" / "summary.json").read_text())
        report = (folder / "run" / "report.html").read_bytes()
        run = json.loads((folder / "run" / "run.json").read_text())
    assert len(watchers.said) == 1
    assert watchers.reports == [report, report]
    assert set(watchers.pages) == {"all along", "coming back"}
    first, second = (page.state for page in watchers.pages.values())
    assert first is not None
    assert second is not None
    assert {**first, "now_s": 0} == {**second, "now_s": 0}
    for page in watchers.pages.values():
        assert page.end == {
            "status": "complete",
            "summary": first["summary"],
            "report": True,
            "problem": None,
        }
    figures = first["summary"]
    for path in ("operations", "failed", "throughput_ops_s"):
        assert figures[path] == summary[path]
    for group in ("all", "store", "retrieve", "search"):
        for name in ("count", "mean_ms", "p50_ms", "p99_ms"):
            assert figures[f"{group}.{name}"] == summary[group][name]
    assert first["plan"] == run["plan"]
    assert first["agents"] == 5
    phases = [mark["text"] for mark in first["marks"] if mark["kind"] == "phase"]
    assert phases == ["starting", "warm-up", "measuring", "ending"]
    now = first["now"]
    assert (now["operations_done"], now["failures"]) == (summary["operations"], summary["failed"])
    points = first["points"]
    # those of the warm-up are in the points too, and in no summary
    assert operations_of(points) >= summary["operations"] * 0.999
    for series in ("p99_ms.all", "service_ms.store", "cpu_percent.role.shard"):
        assert any(value for value in points[series] if value is not None), series
    (node,) = first["nodes"]
    assert any(points[f"memory_used_bytes.node.{node}"])


def test_a_run_that_is_interrupted_ends_its_page_with_a_report():
    """Ctrl-C ends the run as ever and its page with a report; one more ends the wait for pages."""
    with short_folder() as folder:
        driven = Driven(folder, "--agents", 5, "--duration", 600, "--think-time", 0.005, "--web")
        try:
            said = "harness: watch it at "
            poll(lambda: said in driven.stderr, "the page's address")
            client = Client(driven.stderr.split(said)[1].split("\n")[0])
            with client.stream() as stream:
                stream.until("state")
                driven.until("measuring")
                driven.signal_group(signal.SIGINT)
                end = stream.until("end").end
                status, _, report = client.ask("report")
                driven.signal_group(signal.SIGINT)
                assert driven.wait() == 130, driven.stderr
            assert end is not None
            assert (end["status"], end["report"], status) == ("interrupted", True, 200)
            assert report == (driven.out / "report.html").read_bytes()
            assert "Traceback" not in driven.stderr
            with pytest.raises(ConnectionRefusedError):
                client.connect()
        finally:
            driven.end()


def test_a_run_that_cannot_start_says_so_on_its_page(ray_here, monkeypatch):
    """The page of a run that fails before anything is measured shows why."""
    streams: list[Stream] = []

    def open_page(text: str) -> None:
        streams.append(Client(text.removeprefix("watch it at ")).stream())
        streams[0].until("state")

    monkeypatch.setattr(watching, "say", open_page)
    target = ("--target", "tests.benchmarks.odd_targets:CrashingTarget")
    with short_folder() as folder:
        out = folder / "run"
        done = command_here("run", "--agents", 1, *target, "--web", "--out", out, temp=folder)
        with streams[0] as stream:
            end = stream.rest().end
    assert done.returncode == 1
    assert end is not None
    assert (end["status"], end["report"]) == ("failed", False)
    assert f"harness: {end['problem']}\n" in done.stderr
