"""``harness bench resources``, end to end and small: as a user calls it.

Whether a step is INVALID depends on how busy this machine is, so that both ends are taken; what
is measured, and how it is told, is the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.resource_utilization import summarise_resources
from harness.benchmarks.bench_directory import open_bench
from harness.ray_session import RaySession
from tests.benchmarks.odd_targets import leak_bytes
from tests.conftest import Outcome
from tests.harness.driving import COMMAND, command, environment, poll, short_folder
from tests.shared_ray import command_here

# Whole benchmarks, for which a busy machine takes minutes.
PATIENCE_S = 400.0
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(PATIENCE_S + 50)]

ROOT = Path(__file__).resolve().parents[2]
ODD = "tests.benchmarks.odd_targets"
Command = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Ran:
    """A benchmark that has ended."""

    done: subprocess.CompletedProcess[str]
    out: Path

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "run.json").read_text())
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found

    def verdict(self, name: str) -> dict[str, str]:
        (found,) = (one for one in self.summary["verdicts"] if one["name"] == name)
        return dict(found)


def ran(folder: Path, *arguments: object, name: str, run: Command = command_here) -> Ran:
    out = folder / name
    found = Ran(run("bench", "resources", "--out", out, *arguments, temp=folder), out)
    done = found.done
    assert "Traceback" not in done.stderr
    assert (done.returncode, found.run["status"]) in {(0, "complete"), (4, "invalid")}, done.stderr
    return found


@pytest.fixture(scope="module")
def folder(ray_here: RaySession) -> Iterator[Path]:
    """Where the benchmarks go, which are on the Ray that tests share but for the long one."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def swept(folder: Path) -> Ran:
    """Two rates against our own store, and the costs."""
    arguments = ("--duration", 3, "--rates", "50,200", "--cost-duration", 3, "--shards", 1)
    return ran(folder, *arguments, name="swept")


@pytest.fixture(scope="module")
def stalling(folder: Path) -> Ran:
    """A store that stands still for half a second in every two, at one rate, without costs."""
    return ran(
        folder,
        *("--duration", 9, "--rate", 100, "--cost-duration", 0, "--shards", 1),
        *("--target", f"{ODD}:StallingTarget"),
        name="stalling",
    )


@pytest.fixture(scope="module", autouse=True)
def leaking_meanwhile(folder: Path, request: pytest.FixtureRequest) -> Iterator[Future[Ran] | None]:
    """Four shards of which three leak, each at twice the rate of the one before.

    Below 180 s warm-up and a leak look the same, so that is what this takes, and it goes on beside
    the other benchmarks. No other process is to leak, so all are its own.
    """

    def alone(*arguments: object, temp: Path) -> subprocess.CompletedProcess[str]:
        return command(*arguments, temp=temp, patience_s=PATIENCE_S, PYTHONPATH=str(ROOT))

    def benchmark() -> Ran:
        return ran(
            folder,
            *("--duration", 200, "--rate", 40, "--cost-duration", 0, "--shards", 4),
            *("--mix", "retrieve=1,search=1", "--target", f"{ODD}:LeakingTarget"),
            name="leaking",
            run=alone,
        )

    if not any("leaking" in getattr(one, "fixturenames", ()) for one in request.session.items):
        yield None
        return
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(benchmark)


@pytest.fixture(scope="module")
def leaking(leaking_meanwhile: Future[Ran] | None) -> Ran:
    """The benchmark of shards that leak, when it is done."""
    assert leaking_meanwhile is not None
    return leaking_meanwhile.result()


@pytest.fixture(scope="module")
def overloaded(folder: Path) -> Ran:
    """Ten times what two agents can have of a slow store, with a deadline of a second."""
    return ran(
        folder,
        *("--duration", 4, "--rate", 200, "--agents", 2, "--deadline", 1, "--shards", 1),
        *("--cost-duration", 0, "--target", f"{ODD}:SlowTarget"),
        name="overloaded",
    )


def test_each_step_is_a_run_of_its_own(swept: Ran, stalling: Ran):
    """With the plan that its name says."""
    assert open_bench(stalling.out).step_names() == ["rate-100"]
    bench = open_bench(swept.out)
    costs = ["cost-idle", "cost-store", "cost-retrieve", "cost-search"]
    assert bench.step_names() == ["rate-50", "rate-200", *costs]
    assert bench.run["command"] == "bench-resources"
    for name in bench.step_names():
        step = bench.step(name)
        assert step.run["plan"]["preload"] == 1_000
        assert step.summary is not None
        kinds = {one for one in ("store", "retrieve", "search") if step.summary[one]["count"]}
        if name.startswith("rate-"):
            assert kinds == {"store", "retrieve", "search"}
        elif name != "cost-idle":
            assert kinds == {name.removeprefix("cost-")}


def test_the_figures_have_their_names(swept: Ran):
    """Each is there and is known; those of the highest rate stand alone too."""
    summary = swept.summary
    assert list(summary["rates"]) == ["50", "200"]
    for rate, figures in summary["rates"].items():
        assert figures["offered_rate_ops_per_second"] == float(rate)
        assert 0 < figures["actual_rate_ops_per_second"] <= 1.01 * float(rate)
        assert figures["operations"] == 3 * float(rate)
        for name in (
            *("avg_operation_time_ms", "p95_operation_time_ms", "operations_per_cpu_percent"),
            *("operations_per_mb", "operations_per_cpu_second", "lag_p50_ms"),
        ):
            assert figures[name] > 0
        assert figures["late_operations"] >= 0
        assert figures["dropped_operations"] == 0
        assert "time_series" not in figures
    assert summary["resources"]["offered_rate_ops_per_second"] == 200
    assert summary["schema_version"] == 1
    assert summary["bench"] == "resources"


def test_time_series_add_up_to_the_run(swept: Ran):
    """An entry a second, with CPU and memory by role; all operations are in one of them."""
    found = swept.summary["resources"]
    series = found["time_series"]
    assert [one["t_s"] for one in series] == list(range(len(series)))
    # the last answer may be seconds late; the last entry goes until then
    succeeded = found["operations"] - found["failed"]
    end_s = succeeded / found["actual_rate_ops_per_second"]
    assert round(end_s) == len(series) >= 3
    spans_s = [1.0] * (len(series) - 1) + [end_s - len(series) + 1]
    counted = sum(one["ops_s"] * span_s for one, span_s in zip(series, spans_s, strict=True))
    assert counted == pytest.approx(succeeded, abs=1.0)
    for entry in series:
        assert {"shard", "cohort", "driver"} <= set(entry["cpu_percent"])
        assert entry["memory_bytes"]["shard"] > 2**20
    (node,) = found["nodes"].values()
    assert len(node["cpu_percent"]) == len(series)
    assert set(node["roles"]) == set(series[0]["cpu_percent"])


def test_an_operation_of_each_type_has_a_cost(swept: Ran):
    """CPU by an interval that is above nothing; memory and disk by an interval at least."""
    costs = swept.summary["resources"]["costs"]
    assert set(costs) == {"store", "retrieve", "search"}
    for cost in costs.values():
        interval = cost["intervals"]["cpu_us"]
        assert interval["low"] <= interval["estimate"] <= interval["high"]
        assert 0 < interval["estimate"] < 1e5
        assert cost["intervals"]["memory_bytes"]["low"] <= cost["intervals"]["memory_bytes"]["high"]


def test_what_is_said_is_said_everywhere(swept: Ran):
    """Rate, stalls, limit: a verdict each, and the terminal has the figures and the place."""
    assert "operations/s" in swept.verdict("schedule")["sentence"]
    assert "Nearest to its limit at 200 operations/s" in swept.verdict("limit")["sentence"]
    assert swept.verdict("stalls")["sentence"]
    lines = swept.done.stdout.splitlines()
    assert lines[-1] == str(swept.out)
    assert any("one operation costs" in line for line in lines)


def test_the_summary_follows_from_the_files(swept: Ran):
    """Made again from the directory alone, it is the same."""
    made = json.loads(json.dumps(summarise_resources(swept.out)))
    assert made == swept.summary


def test_a_store_that_stalls_is_called_by_its_name(stalling: Ran):
    """With how long and how often, though its median is that of a store that does not."""
    found = stalling.summary["resources"]["stalls"]
    assert stalling.verdict("stalls")["verdict"] == "warning"
    assert stalling.verdict("stalls")["sentence"].startswith("The store stalls: shard 0")
    assert found["count"] >= 3
    assert found["median_s"] == pytest.approx(0.5, abs=0.1)
    assert found["every_s"] == pytest.approx(2.0, abs=0.3)
    assert stalling.summary["resources"]["all"]["p50_ms"] < 100
    assert "rates" not in stalling.summary
    assert stalling.summary["resources"]["costs"] is None


def test_a_load_that_is_not_carried_is_told_by_what_was_late_and_dropped(overloaded: Ran):
    """Every operation that was offered is counted: in time, late, or dropped unsent."""
    found = overloaded.summary["resources"]
    assert found["operations"] == 800
    assert found["actual_rate_ops_per_second"] < 40
    assert found["dropped_operations"] > 400
    assert found["late_operations"] > 20
    assert found["late_operations"] + found["dropped_operations"] <= 800
    assert found["failed"] == found["dropped_operations"]
    assert found["limit"]["kind"] != "schedule"
    schedule = overloaded.verdict("schedule")
    assert schedule["verdict"] == "warning"
    assert schedule["sentence"].startswith("Of 200 operations/s ")
    assert f"{found['dropped_operations']:,} were dropped unsent" in schedule["sentence"]


def test_an_interrupted_benchmark_sums_up_what_is_there():
    """The step that was under way counts as far as it came; no other begins."""
    with short_folder() as folder:
        out = folder / "out"
        process = subprocess.Popen(
            [
                *(COMMAND, "bench", "resources", "--out", out, "--target", "noop"),
                *("--duration", "60", "--rate", "100", "--shards", "1"),
            ],
            cwd=folder,
            env=environment(folder, PYTHONPATH=str(ROOT)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        rows = out / "steps" / "rate-100" / "ops"
        try:
            poll(lambda: len(list(rows.glob("[!.]*.parquet"))) > 1, "rows of the first step")
            os.kill(process.pid, signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 130, stderr
        assert stdout.splitlines()[-1] == str(out)
        found = Ran(subprocess.CompletedProcess([], 130, stdout, stderr), out)
        assert found.run["status"] == "interrupted"
        assert open_bench(out).step_names() == ["rate-100"]
        assert found.summary["resources"]["operations"] > 0
        assert found.verdict("completion")["verdict"] == "warning"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--rates", "10,x"), "--rates"),
        (("--rates", "10,10"), "--rates"),
        (("--rates", "10", "--rate", "5"), "--rates"),
        (("--rate", "0"), "--rate"),
        (("--rates", "10,0"), "--rates"),
        (("--duration", "0"), "--duration"),
        (("--cost-duration", "-1"), "--cost-duration"),
        (("--cost-duration", "2.5"), "--cost-duration"),
        (("--cost-rate", "0"), "--cost-rate"),
        (("--mix", "store=0"), "--mix"),
        (("--threshold", "resources.nothing<1"), "--threshold"),
        (("--target", "tests.no_such_module:Target"), "--target"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(
    harness_here: Callable[..., Outcome], tmp_path: Path, arguments: tuple[str, ...], named: str
):
    """One sentence that names the option, exit code 2, and no directory."""
    out = tmp_path / "out"
    code, _, err = harness_here("bench", "resources", "--out", out, *arguments)
    assert code == 2
    assert err.startswith(f"harness: {named}: ")
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_leaks_are_found_at_their_rates_and_nowhere_else(leaking: Ran):
    """The shards that leak are named, by how much; no other process of ours is."""
    found = leaking.summary["resources"]["leaks"]
    shards = {one["number"]: one for one in found if one["role"] == "shard"}
    assert sorted(shards) == [0, 1, 2, 3]
    assert shards[0]["verdict"] != "leak"
    rows = open_bench(leaking.out).step("rate-40").operations(["shard", "batch_ops"])
    shard, batch = rows["shard"].to_numpy(), rows["batch_ops"].to_numpy()
    for number in (1, 2, 3):
        assert shards[number]["verdict"] == "leak"
        batches_s = float((1 / batch[shard == number]).sum()) / 200
        slope = shards[number]["slope_bytes_s"]
        assert slope["estimate"] == pytest.approx(batches_s * leak_bytes(number), rel=0.3)
    leaks = {one["process"] for one in found if one["verdict"] == "leak"}
    assert leaks == {"shard 1", "shard 2", "shard 3"}
    assert leaking.verdict("leaks")["verdict"] == "warning"
    assert leaking.verdict("leaks")["sentence"].startswith("shard ")
