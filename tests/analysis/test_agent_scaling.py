"""The summary of a benchmark of agents, from bench directories that are written here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.agent_scaling import agents_template, summarise_agents
from harness.analysis.agent_steps import ROUND_OPERATIONS, SCALARS
from harness.analysis.paths import summary_paths
from harness.analysis.summary import summarise
from harness.benchmarks.bench_directory import BenchDirectory
from harness.commands.judging import run_template
from harness.errors import RunDirectoryError
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.schema import NODES_SCHEMA, OUTCOMES, PROCESSES_SCHEMA
from harness.sinks import LocalSink, OpsWriter
from harness.streams import StreamWriter

MS = 1_000_000
WALL_NS = 1_700_000_000_000 * MS
CONTRACT = {
    *SCALARS,
    *("all", "store", "retrieve", "search", "queue", "transport", "service"),
    *("efficiency", "limit", "steady", "repeats"),
}


class Written:
    """A bench directory whose steps have agents that take so many ms for an operation."""

    def __init__(self, folder: Path, planned: int = 1) -> None:
        self.bench = BenchDirectory.create(folder / "b", "bench-agents")
        self.bench.describe(plan={"target": "memory_core"}, bench={"steps": planned})

    def step(
        self,
        name: str,
        operation_ms: float,
        rounds: int = 2,
        *,
        status: Any = "complete",
        outcome: str = "ok",
        spare: int = 0,
    ) -> RunDirectory:
        agents = int(name.split("-")[1])
        run = self.bench.step(name)
        run.write_run({"plan": {"target": "memory_core"}, "agents": agents})
        each = rounds * ROUND_OPERATIONS + spare
        if each:
            _write_rows(run, agents, each, round(operation_ms * MS), outcome)
        run.update_status(status)
        run.write_summary(summarise(open_run(run.path)))
        return run

    def summary(self, status: Any = "complete", **extra: Any) -> dict[str, Any]:
        self.bench.update_status(status, duration_s=12.5, **extra)
        found = summarise_agents(self.bench.path)
        self.bench.write_summary(found)
        return json.loads((self.bench.path / "summary.json").read_text())


def _write_rows(run: RunDirectory, agents: int, each: int, operation_ns: int, outcome: str) -> None:
    start_ns = np.tile(np.arange(each) * operation_ns, agents)
    spent_ns = np.full(start_ns.size, operation_ns)
    _write(run, np.repeat(np.arange(agents), each), start_ns, spent_ns, outcome)


def _write(run: RunDirectory, agent: Any, start_ns: Any, operation_ns: Any, outcome: str) -> None:
    count = start_ns.size
    parts = {name: np.zeros(count, np.int64) for name in ("queue_ns", "shard_wait_ns")}
    OpsWriter(LocalSink(run.path), 0, "n", WALL_NS, 0).write(
        {
            "phase": np.ones(count, np.int8),
            "agent": agent,
            "op": (np.arange(count) % 3).astype(np.int8),
            "shard": np.zeros(count, np.int16),
            "scheduled_ns": start_ns,
            "started_ns": start_ns,
            "finished_ns": start_ns + operation_ns,
            "transport_ns": operation_ns // 2,
            "service_ns": operation_ns - operation_ns // 2,
            "batch_ops": np.ones(count, np.int32),
            "attempts": np.ones(count, np.int16),
            "outcome": np.full(count, OUTCOMES.index(outcome), np.int8),
            **parts,
        }
    )


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def verdict(summary: dict[str, Any], name: str) -> dict[str, str]:
    return next(one for one in summary["verdicts"] if one["name"] == name)


def test_each_count_has_the_figures_that_were_agreed(written: Written):
    """Names are those of the contract; durations are those of a round, in seconds."""
    written.step("agents-4-1", 2.0)
    summary = written.summary()
    assert summary["bench"] == "agents"
    assert summary["duration_s"] == 12.5
    figures = summary["counts"]["4"]
    assert set(figures) == CONTRACT
    for name in ("total", "avg_agent", "min_agent", "max_agent"):
        assert figures[f"{name}_duration_seconds"] == pytest.approx(0.036)
    assert figures["95th_percentile_duration"] == pytest.approx(0.036)
    assert figures["std_deviation_duration"] == 0.0
    assert figures["throughput_agents_per_second"] == pytest.approx(4 / 0.036)
    assert figures["operations_per_second"] == pytest.approx(2000.0)
    assert figures["all"]["count"] == 4 * 36
    assert figures["store"]["p50_ms"] == pytest.approx(2.0)
    assert figures["service"]["all"]["mean_ms"] == pytest.approx(1.0)
    assert figures["repeats"][0]["step"] == "steps/agents-4-1"


def test_every_figure_of_a_count_can_be_asked_for_before(written: Written):
    """The template of a benchmark has the paths that its summary will have for a count."""
    for kind in ("agents", "threads"):
        written.step(f"{kind}-2-1", 2.0)
    summary = written.summary()
    template = agents_template(run_template(), [2], threads=True)
    for section in ("counts", "threads"):
        assert _paths(template[section]) == _paths(summary[section])
    assert "threads" not in agents_template(run_template(), [2], threads=False)


def _paths(section: dict[str, Any]) -> set[str]:
    # what a step says of its own steady state need not be a figure
    return {path for path in summary_paths(section) if ".steady." not in path}


def test_figures_are_medians_over_repeats(written: Written):
    """The slow repeat of three moves none of them, and its own are kept beside."""
    for repeat, operation_ms in enumerate((2.0, 50.0, 4.0), 1):
        written.step(f"agents-2-{repeat}", operation_ms)
    figures = written.summary()["counts"]["2"]
    assert figures["all"]["p50_ms"] == pytest.approx(4.0)
    assert figures["total_duration_seconds"] == pytest.approx(0.072)
    each = [one["operations_per_second"] for one in figures["repeats"]]
    assert each == pytest.approx([1000.0, 40.0, 500.0])
    assert figures["operations_per_second"] == pytest.approx(500.0)


def test_a_repeat_that_was_cut_short_counts_only_where_no_other_does(written: Written):
    """Its figures are listed; those of the count are of the repeats that came to their end."""
    written.step("agents-1-1", 2.0)
    written.step("agents-1-2", 9.0, status="interrupted")
    written.step("agents-2-1", 9.0, status="interrupted")
    counts = written.summary("interrupted")["counts"]
    assert counts["1"]["all"]["p50_ms"] == pytest.approx(2.0)
    assert [one["status"] for one in counts["1"]["repeats"]] == ["complete", "interrupted"]
    assert counts["2"]["all"]["p50_ms"] == pytest.approx(9.0)


def test_efficiency_is_of_what_the_smallest_count_promises(written: Written):
    """Ten agents that are each half as fast as two are at half of the ideal."""
    written.step("agents-10-1", 4.0)
    written.step("agents-2-1", 2.0)
    summary = written.summary()
    assert list(summary["counts"]) == ["2", "10"]
    assert summary["counts"]["2"]["efficiency"] == pytest.approx(1.0)
    assert summary["counts"]["10"]["efficiency"] == pytest.approx(0.5)
    small, large = summary["scaling"]["points"]
    assert (small["agents"], large["agents"]) == (2, 10)
    assert large["ideal_ops_s"] == pytest.approx(5000.0)
    assert large["ops_s"]["estimate"] == pytest.approx(2500.0)
    assert summary["scaling"]["usl"] is None
    assert "10 agents reached the most" in summary["scaling"]["sentence"]


def test_where_fewer_agents_do_more_that_is_said(tmp_path: Path):
    """The smallest count as the best is not told as a multiple of itself."""
    written = Written(tmp_path, planned=2)
    written.step("agents-1-1", 1.0)
    written.step("agents-5-1", 20.0)
    sentence = written.summary()["scaling"]["sentence"]
    assert sentence.startswith("1 agent reached the most, 1,000 operations/s: more agents did not")
    assert "; 5 agents reached 250." in sentence
    assert "1.0 times" not in sentence


def test_the_law_is_fitted_to_every_repeat(written: Written):
    """Agents that hold each other up linearly make the contention that they were given."""
    for agents in (1, 2, 4, 8, 16):
        for repeat in (1, 2):
            written.step(f"agents-{agents}-{repeat}", 2.0 * (1 + 0.25 * (agents - 1)))
    law = written.summary()["scaling"]["usl"]
    assert law["points"] == 10
    assert law["lambda"]["estimate"] == pytest.approx(500.0, rel=0.01)
    assert law["sigma"]["estimate"] == pytest.approx(0.25, rel=0.02)
    assert any(point["extrapolated"] for point in law["curve"])


def test_threads_beside_agents_are_counts_of_their_own(written: Written):
    """They have the same figures, an efficiency of their own, and a verdict that compares them."""
    for count in (1, 10):
        written.step(f"agents-{count}-1", 2.0)
        written.step(f"threads-{count}-1", 8.0)
    summary = written.summary()
    assert set(summary["threads"]["10"]) == CONTRACT
    assert summary["threads"]["10"]["efficiency"] == pytest.approx(1.0)
    assert [point["agents"] for point in summary["scaling"]["points"]] == [1, 10]
    assert "4.0 times" in verdict(summary, "threads")["sentence"]


def test_without_threads_there_is_no_such_section(written: Written):
    """A benchmark without the baseline says nothing of it."""
    written.step("agents-1-1", 2.0)
    assert "threads" not in written.summary()


def test_cpu_and_memory_are_of_all_processes_together(written: Written):
    """Sums at one moment over roles; own memory where it was read; disk within the phase."""
    run = written.step("agents-1-1", 10.0, rounds=10)
    _write_samples(run)
    run.write_summary(summarise(open_run(run.path)))
    figures = written.summary()["counts"]["1"]
    assert figures["avg_cpu_percent"] == pytest.approx(80.0)
    assert figures["max_cpu_percent"] == pytest.approx(80.0)  # the roles' maxima add up to 110
    assert (figures["avg_memory_bytes"], figures["max_memory_bytes"]) == (300, 300)
    assert figures["disk_write_bytes"] == pytest.approx(1800, rel=0.02)
    assert figures["loopback_bytes"] == 0


def _write_samples(run: RunDirectory, *, cpu_seconds_a_tick: float = 0.1) -> None:
    """Samples every 200 ms of 1.8 s: a shard and a cohort that take turns, 1,000 bytes a second."""
    sink = LocalSink(run.path)
    nodes = StreamWriter(sink, "resources/nodes-n.arrows", NODES_SCHEMA)
    processes = StreamWriter(sink, "resources/processes-n.arrows", PROCESSES_SCHEMA)
    for tick in range(12):
        at = (WALL_NS + tick * 200 * MS, tick * 200 * MS)
        nodes.add(("n", *at, 50.0, 1, 1, 0, tick * 200, 0, 0, 0, 0.5, 2))
        high, low = (55.0, 25.0) if tick % 2 else (25.0, 55.0)
        for pid, role, cpu, rss, uss in (
            (1, "shard", high, 500, 100),
            (2, "cohort", low, 600, 200),
        ):
            processes.add(("n", *at, pid, role, 0, cpu, tick * cpu_seconds_a_tick, rss, uss, 1, 1))
    for stream in (nodes, processes):
        stream.flush()
        stream.end()


@pytest.mark.parametrize(("slower", "warned"), [(1, False), (8, True)])
def test_a_count_that_never_settled_is_named(written: Written, slower: int, warned: bool):
    """A step whose operations become eight times as slow late is an average over a change."""
    run = written.bench.step("agents-1-1")
    run.write_run({"plan": {"target": "memory_core"}, "agents": 1})
    operation_ns = np.repeat([2 * MS, 2 * slower * MS], [1620, 108])
    start_ns = np.concatenate([[0], np.cumsum(operation_ns)[:-1]])
    _write(run, np.zeros(1728, np.int64), start_ns, operation_ns, "ok")
    run.update_status("complete")
    run.write_summary(summarise(open_run(run.path)))
    summary = written.summary()
    found = [one for one in summary["verdicts"] if one["name"] == "steady"]
    assert len(found) == warned
    assert summary["counts"]["1"]["steady"]["settled"] is not warned


def test_other_programs_on_the_machine_are_told(written: Written):
    """What is busy and not ours is a warning: of 2 cores at 50%, ours used half of one each."""
    run = written.step("agents-1-1", 10.0, rounds=10)
    _write_samples(run, cpu_seconds_a_tick=0.02)
    run.write_summary(summarise(open_run(run.path)))
    assert (
        "Other programs used 0.80 of the machine's 2 cores"
        in verdict(written.summary(), "other_programs")["sentence"]
    )


def test_a_quiet_machine_is_not_worth_a_word(written: Written):
    """Where all that is busy is ours, nothing is said."""
    run = written.step("agents-1-1", 10.0, rounds=10)
    _write_samples(run)
    run.write_summary(summarise(open_run(run.path)))
    assert not [one for one in written.summary()["verdicts"] if one["name"] == "other_programs"]


def test_a_count_whose_agents_finished_no_round_has_no_durations_and_says_so(written: Written):
    """Its rates and latencies stand; durations are unknown."""
    written.step("agents-2-1", 2.0, rounds=0, spare=5)
    summary = written.summary()
    assert summary["counts"]["2"]["total_duration_seconds"] is None
    assert summary["counts"]["2"]["throughput_agents_per_second"] is None
    assert summary["counts"]["2"]["operations_per_second"] > 0
    assert verdict(summary, "rounds")["verdict"] == "warning"


@pytest.mark.parametrize(
    ("status", "planned", "expected", "words"),
    [
        ("complete", 1, "ok", "The step was measured to the end"),
        ("interrupted", 4, "warning", "1 of 4 steps"),
        ("failed", 4, "failed", "1 of 4 steps were measured to their end (agents-9-1: no room)"),
    ],
)
def test_a_benchmark_says_how_far_it_came(
    tmp_path: Path, status: str, planned: int, expected: str, words: str
):
    """What is missing is the first thing to know."""
    written = Written(tmp_path, planned)
    written.step("agents-1-1", 2.0)
    summary = written.summary(status, problems=["agents-9-1: no room"])
    found = verdict(summary, "completion")
    assert found["verdict"] == expected
    assert words in found["sentence"]
    assert summary["verdicts"][0]["verdict"] == ("warning" if expected == "ok" else expected)


def test_operations_that_failed_are_told_with_their_count(written: Written):
    """Where some failed, the counts are named."""
    written.step("agents-1-1", 2.0)
    written.step("agents-3-1", 2.0, outcome="timeout", rounds=1)
    found = verdict(written.summary(), "failures")
    assert found["verdict"] == "warning"
    assert "54 of 90 operations failed: 54 with 3 agents" in found["sentence"]


def test_nothing_measured_is_a_summary_too(tmp_path: Path):
    """A benchmark that ended before its first step has no counts, no law and a verdict."""
    summary = Written(tmp_path).summary("failed")
    assert summary["counts"] == {}
    assert summary["scaling"]["points"] == []
    assert verdict(summary, "completion")["verdict"] == "failed"


@pytest.mark.parametrize("name", ["other-3-1", "agents-0-1", "agents-3", "agents-3-1-1"])
def test_steps_of_other_names_are_left_alone(written: Written, name: str):
    """What is not a step of this benchmark is in no figure."""
    written.bench.step(name)
    written.step("agents-1-1", 2.0)
    assert list(written.summary()["counts"]) == ["1"]


def test_the_directory_of_a_run_is_refused(tmp_path: Path):
    """It is named as what it is."""
    RunDirectory.create(tmp_path / "r", "run")
    with pytest.raises(RunDirectoryError, match="not of a benchmark"):
        summarise_agents(tmp_path / "r")


def sentences(summary: dict[str, Any]) -> Sequence[str]:
    return [one["sentence"] for one in summary["verdicts"]]


def test_counts_that_the_load_generator_limited_are_named(written: Written):
    """Their figures are of the harness, and the verdict says so."""
    run = written.step("agents-5-1", 2.0)
    found = open_run(run.path).summary
    assert found is not None
    limit = {"kind": "load_generator", "sentence": "The load generator limited the run."}
    run.write_summary(found | {"limit": limit})
    summary = written.summary()
    assert any("With 5 agents the load generator" in one for one in sentences(summary))
    assert summary["counts"]["5"]["limit"] == limit
