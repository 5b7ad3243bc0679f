"""The benchmark as a whole, small: on our store, and on targets with a flaw that it must name."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.memory_scaling import summarise_memory_scaling
from harness.benchmarks.bench import Bench, BenchInterrupted
from harness.benchmarks.bench_directory import BenchDirectory
from harness.benchmarks.memory_scaling import measure
from harness.benchmarks.memory_settings import MemorySettings
from harness.errors import RunFailedError
from harness.live.progress import Progress
from harness.live.terminal import live_view
from harness.live.view import View
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.runner import StopRequest, prepare
from tests.harness.driving import COMMAND, environment, poll, short_folder
from tests.watching import (
    Watching,
    assert_counters_only_grow,
    assert_counts_are_of,
    assert_times_are_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SMALL = MemorySettings(volumes=(200, 2_000), probes=40, searches=32)


def carried_out(
    session: RaySession,
    path: Path,
    settings: MemorySettings = SMALL,
    stop: StopRequest | None = None,
    view: View | None = None,
    **plan: Any,
) -> dict[str, Any]:
    """The summary of a benchmark in this process."""
    prepared = prepare(RunPlan(**{"agents": 1, **plan}))
    directory = BenchDirectory.create(path, "bench-memory")
    directory.describe(plan=prepared.plan.as_dict(), bench=settings.as_dict())
    with live_view() as live:
        wish = stop or StopRequest()
        bench = Bench(directory=directory, session=session, view=view or live, stop=wish)
        try:
            measure(bench, prepared, settings, path / "data")
            directory.update_status(bench.status)
        except BenchInterrupted:
            directory.update_status("interrupted")
    return summarise_memory_scaling(path)


def verdict(summary: dict[str, Any], name: str) -> dict[str, str]:
    [one] = [one for one in summary["verdicts"] if one["name"] == name]
    return one


def test_our_store_is_measured_at_each_volume(ray_here: RaySession, tmp_path: Path):
    """Every figure is there, nothing is forgotten, and the databases are removed.

    Views see each step from its beginning to its end, and its counts become those of its summary.
    """
    view = Watching()
    summary = carried_out(ray_here, tmp_path / "b", view=view, agents=2, shards=2)
    _assert_steps_were_seen(view)
    assert list(summary["volumes"]) == ["200", "2000"]
    for volume, one in summary["volumes"].items():
        for name in ("store", "retrieve"):
            assert one[f"{name}_latency_ms"]["count"] == 40
        for name in ("search", "cross_tier"):
            assert one[f"{name}_latency_ms"]["count"] == 32
        assert one["service"]["search"]["p50"] < one["search_latency_ms"]["p50"]
        assert sum(one["tiers"].values()) == one["counted"] == int(volume)
        assert one["recall"]["all"] > 0.9
        assert one["recall"]["stm"] > 0.9
        assert one["memory_usage_bytes"] > 10 * 2**20
        assert one["disk_usage_bytes"] > 50_000
        assert one["load_rate_ops_s"] > 0
        assert (tmp_path / "b" / one["steps"][0] / "summary.json").is_file()
    assert summary["baseline"]["memory_usage_bytes"] > 10 * 2**20
    assert verdict(summary, "forgets")["verdict"] == "ok"
    assert verdict(summary, "completion")["verdict"] == "ok"
    assert not (tmp_path / "b" / "data").exists()


def _assert_steps_were_seen(view: Watching) -> None:
    told = [one for one in view.calls if one != "update"]
    assert told == [
        one for number in (1, 2, 3) for one in (f"step {number}", "begin", "end complete")
    ]
    assert view.planned == 3
    assert [name for name, _, _ in view.ended] == ["baseline", "volume-200", "volume-2000"]
    for name, seen, step in view.ended:
        assert_counters_only_grow(seen)
        assert_counts_are_of(step, seen[-1].counts)
        assert_times_are_of(step, seen[-1].counts)
        assert (step["operations"] == 0) == (name == "baseline")


def test_a_target_that_slows_down_is_called_by_its_name(ray_here: RaySession, tmp_path: Path):
    """Its searches take a time as the square of its memories, and the verdict says so."""
    target = "tests.benchmarks.odd_stores:SlowingTarget"
    summary = carried_out(ray_here, tmp_path / "b", target=target, shards=1)
    one = verdict(summary, "degradation")
    assert one["verdict"] == "warning"
    assert "earches took " in one["sentence"]
    assert " times as long at 2,000 memories as at 200 " in one["sentence"]
    assert summary["degradation"]["search"]["exponent"]["estimate"] == pytest.approx(2, abs=0.4)


def test_a_target_that_drops_writes_is_called_out(ray_here: RaySession, tmp_path: Path):
    """It acknowledged them all; retrieves, the count and the list each say otherwise."""
    target = "tests.benchmarks.odd_stores:DroppingTarget"
    summary = carried_out(ray_here, tmp_path / "b", target=target, shards=1)
    one = summary["verdicts"][0]
    assert (one["name"], one["verdict"]) == ("forgets", "failed")
    for words in ("retrieves came back missing", "it counts 1,", "are not in its list"):
        assert words in one["sentence"]


def test_a_target_without_tiers_is_measured_all_the_same(ray_here: RaySession, tmp_path: Path):
    """What it does not answer is skipped and said."""
    settings = MemorySettings(volumes=(200, 10_000), probes=20, searches=10)
    summary = carried_out(ray_here, tmp_path / "b", settings, target="noop", shards=1)
    assert "moves nothing between tiers" in verdict(summary, "tiers")["sentence"]
    assert verdict(summary, "forgets")["verdict"] == "warning"
    assert summary["volumes"]["10000"]["load_rate_ops_s"] > 0
    assert summary["volumes"]["10000"]["recall"]["all"] is None


def test_a_volume_that_cannot_be_loaded_fails_and_says_why(ray_here: RaySession, tmp_path: Path):
    """A store that refuses is not measured as if it had what it refused."""
    settings = MemorySettings(volumes=(500,), probes=5, searches=5)
    target = "tests.benchmarks.odd_stores:RefusingTarget"
    with pytest.raises(
        RunFailedError, match=r"200 of 500 memories could not be stored.*overloaded"
    ):
        carried_out(ray_here, tmp_path / "b", settings, target=target, shards=1)
    run = json.loads((tmp_path / "b/steps/volume-500/run.json").read_text())
    assert run["status"] == "failed"
    assert (tmp_path / "b" / "data").is_dir()


class _Stopping(View):
    """A view that asks for the end once a step is in a phase."""

    def __init__(self, stop: StopRequest, step: str, phase: str) -> None:
        self._stop, self._step, self._phase = stop, step, phase
        self._begun = ""

    def step(self, name: str, number: int, planned: int) -> None:
        self._begun = name

    def update(self, progress: Progress) -> None:
        if (self._begun, progress.phase) == (self._step, self._phase):
            self._stop.set()


@pytest.mark.parametrize("phase", ["loading", "settling"])
def test_a_stop_sums_up_what_there_is(ray_here: RaySession, tmp_path: Path, phase: str):
    """The volumes that were measured are shown, the databases stay, and how to go on is said."""
    stop = StopRequest()
    view = _Stopping(stop, "volume-2000", phase)
    summary = carried_out(ray_here, tmp_path / "b", stop=stop, view=view, target="embedded")
    assert list(summary["volumes"]) == ["200"]
    assert "goes on" in verdict(summary, "completion")["sentence"]
    run = json.loads((tmp_path / "b/steps/volume-2000/run.json").read_text())
    assert run["status"] == "interrupted"
    assert (tmp_path / "b" / "data").is_dir()


def test_a_benchmark_that_was_killed_goes_on_where_it_was():
    """The first volume is not measured again, the databases are used, and then they go."""
    with short_folder() as folder:
        out = folder / "out"
        asked = ["--volumes", "200,3000", "--probes", "200", "--searches", "20", "--out", out]
        first = _start(folder, *asked)
        try:
            begun = {"measuring", "settling", "counting"}
            poll(lambda: _phase(out, 3_000) in begun or first.poll(), "the second volume")
            assert first.poll() is None
            first.send_signal(signal.SIGKILL)
            first.wait(30)
            done_before = (out / "steps/volume-200/summary.json").stat().st_mtime_ns
            assert (out / "data").is_dir()
            second = _start(folder, "--out", out)
            code = second.wait(100)
        finally:
            for one in (first, locals().get("second")):
                if one is not None and one.poll() is None:
                    one.kill()
                    one.wait()
        assert code == 0, (folder / "stderr").read_text()
        summary = json.loads((out / "summary.json").read_text())
        assert list(summary["volumes"]) == ["200", "3000"]
        assert (out / "steps/volume-200/summary.json").stat().st_mtime_ns == done_before
        assert summary["volumes"]["3000"]["load"]["already_there"] == 3_000
        assert summary["volumes"]["3000"]["store_latency_ms"]["count"] == 200
        assert verdict(summary, "forgets")["verdict"] == "ok"
        assert not (out / "data").exists()
        lines = (folder / "stdout").read_text().splitlines()
        assert lines[-1] == str(out)
        assert (out / "report.html").is_file()


def _start(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    temp = folder / "temp"
    temp.mkdir(exist_ok=True)
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [COMMAND, "bench", "memory", *map(str, arguments)],
            cwd=folder,
            env=environment(temp),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


def _phase(out: Path, volume: int) -> str | None:
    """The phase that a volume's step is in."""
    try:
        lines = (out / f"steps/volume-{volume}/events.jsonl").read_text().splitlines()
        return str(json.loads(lines[-1]).get("phase"))
    except (OSError, ValueError, IndexError):
        return None
