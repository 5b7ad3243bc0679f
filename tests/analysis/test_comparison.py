"""Comparisons: ratios and how sure they are, verdicts, what else differs, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.comparison import Versus, compare, regressions
from harness.analysis.figure_comparison import Compared
from harness.errors import HarnessError, RunDirectoryError, UsageError
from tests.made_runs import (
    HOST,
    PLAN,
    made_agents_bench,
    made_bench,
    made_run,
    rewrite,
)


def against(base: object, new: object) -> Versus:
    return compare([str(base), str(new)]).against[0]


def figure(versus: Versus, path: str) -> Compared:
    [found] = [one for one in versus.figures if one.path == path]
    return found


def notes(versus: Versus) -> dict[str, str]:
    return {one["name"]: one["sentence"] for one in versus.notes}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made runs: three of a base, three of the same again, three 1.5 times as slow."""
    folder = tmp_path_factory.mktemp("runs")
    for side, (name, slower) in enumerate((("base", 1.0), ("same", 1.0), ("slow", 1.5))):
        for repeat in range(3):
            seed = 10 * side + repeat
            made_run(folder / name / str(repeat), seed=seed, slower=slower)
    return folder


def test_repeats_give_the_ratio_of_their_medians(runs: Path):
    """The ratio is of the medians, its interval of the variation between the repeats."""
    versus = against(runs / "base", runs / "slow")
    p50 = figure(versus, "all.p50_ms")
    medians = [
        np.median(
            [
                json.loads((runs / side / str(n) / "summary.json").read_text())["all"]["p50_ms"]
                for n in range(3)
            ]
        )
        for side in ("base", "slow")
    ]
    assert (p50.base, p50.new) == tuple(medians)
    assert p50.ratio["estimate"] == pytest.approx(medians[1] / medians[0])
    assert (p50.base_repeats, p50.new_repeats, p50.basis) == (3, 3, "repeats")
    assert p50.ratio["low"] is not None
    assert p50.ratio["high"] is not None
    assert 1 < p50.ratio["low"] < 1.5 < p50.ratio["high"]
    assert p50.verdict == "worse"
    assert "within_run" not in notes(versus)


def test_what_did_not_change_is_no_difference(runs: Path):
    """Of two sides of one plan and speed hardly a figure is called better or worse."""
    versus = against(runs / "base", runs / "same")
    assert len(versus.figures) > 20
    assert versus.count("better") + versus.count("worse") <= 2
    assert versus.count("no difference") > 20


def test_a_folder_of_runs_is_the_runs_joined_by_commas(runs: Path):
    """Repeats are named by their folder or one by one, with the same outcome."""
    joined = ",".join(str(runs / "base" / str(n)) for n in range(3))
    assert against(runs / "base", runs / "slow").figures == against(joined, runs / "slow").figures


def test_single_runs_are_compared_by_their_variation_within(runs: Path):
    """With one run of each the interval is of time blocks, and a note says what it leaves out."""
    versus = against(runs / "base" / "0", runs / "slow" / "0")
    for path in ("all.p50_ms", "search.p99_ms", "service.store.mean_ms"):
        one = figure(versus, path)
        assert (one.basis, one.verdict) == ("within", "worse"), path
    assert "variation within runs only" in notes(versus)["within_run"]
    assert figure(versus, "cpu_us_per_operation.shard").verdict == "no difference"
    memory = figure(versus, "resources.shard.rss_bytes_max")
    assert (memory.basis, memory.verdict, memory.ratio["estimate"]) == ("none", "unknown", 1.0)


def test_more_is_better_for_some_figures(tmp_path: Path):
    """A higher throughput is better, more CPU for an operation is worse."""
    base = made_run(tmp_path / "base", operations=2000)
    new = made_run(tmp_path / "new", operations=4000, shard_cpu_ratio=2.0)
    versus = against(base, new)
    assert figure(versus, "throughput_ops_s").verdict == "better"
    assert figure(versus, "cpu_us_per_operation.shard").verdict == "worse"
    assert figure(versus, "efficiency.operations_per_cpu_second").verdict == "worse"


def test_a_sure_but_small_change_is_no_difference(tmp_path: Path):
    """A change below what matters is none, however sure it is."""
    for name, ops in (("base", 1000.0), ("new", 1020.0)):
        for n in range(3):
            summary = {"counts": {"10": {"operations_per_second": ops + n / 100}}}
            made_bench(tmp_path / name / str(n), "bench-agents", summary)
    one = figure(against(tmp_path / "base", tmp_path / "new"), "counts.10.operations_per_second")
    assert one.ratio["low"] is not None
    assert one.ratio["low"] > 1
    assert (one.verdict, one.reason) == ("no difference", "less than 3%")


def test_failures_where_there_were_none_are_a_regression(tmp_path: Path):
    """From no failed operation to some there is no ratio, but a verdict, beyond any limit."""
    base = made_run(tmp_path / "base")
    new = made_run(tmp_path / "new", failed=5)
    comparison = compare([str(base), str(new)])
    failed = figure(comparison.against[0], "failed_ratio")
    assert (failed.verdict, failed.ratio["estimate"], failed.reason) == ("worse", None, "was 0")
    assert failed in [one for _, one in regressions(comparison, 0.5)]
    back = compare([str(new), str(base)]).against[0]
    assert figure(back, "failed_ratio").ratio["estimate"] == 0


def test_nothing_measured_is_no_improvement(tmp_path: Path):
    """CPU time that was too little for the clock's ticks tells nothing of a ratio."""
    base = made_run(tmp_path / "base", shard_cpu_ratio=0.0)
    versus = against(base, made_run(tmp_path / "new"))
    assert figure(versus, "cpu_us_per_operation.shard").verdict == "unknown"
    assert figure(against(base, base), "failed_ratio").reason == "0 in both"


def test_a_regression_lies_beyond_its_limit_with_its_whole_interval(runs: Path):
    """Times half as long again regress by more than 10%, and not by more than 60%."""
    comparison = compare([str(runs / "base" / "0"), str(runs / "slow" / "0")])
    beyond = {one.path for _, one in regressions(comparison, 0.10)}
    assert {"all.p50_ms", "all.mean_ms", "service.all.mean_ms"} <= beyond
    assert not regressions(comparison, 0.60)
    assert not regressions(compare([str(runs / "slow" / "0"), str(runs / "base" / "0")]), 0.0)


def test_every_difference_is_named(tmp_path: Path):
    """Options, machine, versions and commit that differ are listed with both values."""
    base = made_run(tmp_path / "base")
    new = made_run(
        tmp_path / "new",
        plan=PLAN | {"agents": 8, "rate": 100.0},
        hosts=[HOST | {"cpu_model": "B"}],
        versions={"harness": "0.2.0"},
        commit={"commit": "b" * 40, "modified": True},
    )
    versus = against(base, new)
    assert {(one.kind, one.name, one.base, one.new) for one in versus.differences} == {
        ("plan", "--agents", "4", "8"),
        ("plan", "--rate", "not given", "100.0"),
        ("machine", "cpu_model", "A", "B"),
        ("versions", "harness", "0.1.0", "0.2.0"),
        ("commit", "commit", "a" * 12, "b" * 12 + " with changes"),
    }
    assert notes(versus)["plan"].endswith("--agents (4 to 8), --rate (not given to 100.0).")
    assert notes(versus)["machine"].endswith("cpu_model (A to B).")
    assert not against(base, base).differences


def test_an_option_that_an_older_release_did_not_have_is_no_difference(tmp_path: Path):
    """A plan without a field is like one that has it switched off."""
    base = made_run(tmp_path / "base")
    new = made_run(tmp_path / "new", plan=PLAN | {"novel": None, "other": False, "few": 0})
    assert not against(base, new).differences


def test_repeats_of_several_plans_are_pointed_out(tmp_path: Path):
    """Repeats are of one plan; those that are not are compared with a warning."""
    base = made_run(tmp_path / "base")
    made_run(tmp_path / "new" / "1")
    made_run(tmp_path / "new" / "2", plan=PLAN | {"seed": 2})
    assert "--seed" in notes(against(base, tmp_path / "new"))["repeats"]


def test_a_killed_run_is_compared_as_far_as_it_got(tmp_path: Path):
    """Without a summary the figures are made from the rows, and a note says that it is a part."""
    base = made_run(tmp_path / "base")
    new = made_run(tmp_path / "new", status="running", summed_up=False)
    (new / "ops" / "cohort-00000-000001.parquet").write_bytes(b"PAR1 torn")
    versus = against(base, new)
    assert figure(versus, "all.p50_ms").verdict == "no difference"
    assert "killed or still goes on" in notes(versus)["status"]
    assert "read whole" in notes(versus)["damaged_files"]


def test_invalid_repeats_are_left_out(tmp_path: Path):
    """An INVALID repeat has no figures; without another there is nothing to compare."""
    base = made_run(tmp_path / "base")
    made_run(tmp_path / "new" / "1")
    invalid = made_run(tmp_path / "new" / "2", slower=9, status="invalid")
    versus = against(base, tmp_path / "new")
    assert "INVALID and left out" in notes(versus)["invalid"]
    assert figure(versus, "all.p50_ms").new_repeats == 1
    with pytest.raises(RunDirectoryError, match="is INVALID"):
        against(base, invalid)


def test_a_benchmark_of_agents_is_compared_by_its_own_repeats(tmp_path: Path):
    """Each count's steps are its repeats: what the summary lacks comes from theirs."""
    base = made_agents_bench(tmp_path / "base")
    new = made_agents_bench(tmp_path / "new", slower=1.5, seed=2)
    versus = against(base, new)
    for count in ("1", "10"):
        p50 = figure(versus, f"counts.{count}.all.p50_ms")
        assert (p50.base_repeats, p50.basis, p50.verdict) == (3, "repeats", "worse")
        throughput = figure(versus, f"counts.{count}.operations_per_second")
        assert (throughput.base, throughput.verdict) == (502, "worse")
    assert [*dict.fromkeys(one.section for one in versus.figures)] == ["1 agent", "10 agents"]
    several = f"{base},{made_agents_bench(tmp_path / 'more', seed=3)}"
    assert figure(against(several, new), "counts.1.all.p50_ms").base_repeats == 6


def test_a_single_repeat_of_a_benchmark_is_compared_within_its_steps(tmp_path: Path):
    """With one step for each count intervals are of the variation within it."""
    base = made_agents_bench(tmp_path / "base", repeats=1, counts=(1,))
    new = made_agents_bench(tmp_path / "new", repeats=1, counts=(1, 10), slower=1.5, seed=2)
    versus = against(base, new)
    assert figure(versus, "counts.1.all.p50_ms").basis == "within"
    assert {one.path.split(".")[1] for one in versus.figures} == {"1"}
    assert "--counts" in notes(versus)["plan"]


def test_a_benchmark_without_its_steps_has_its_summary(tmp_path: Path):
    """Steps that were removed cost the intervals, not the figures."""
    base = made_agents_bench(tmp_path / "base", repeats=1)
    shutil.rmtree(base / "steps")
    throughput = figure(against(base, base), "counts.10.operations_per_second")
    assert (throughput.base, throughput.ratio["estimate"]) == (502, 1)
    assert throughput.verdict == "unknown"


MEMORY: dict[str, Any] = {
    "baseline": {"memory_usage_bytes": 1e6, "disk_usage_bytes": 0},
    "volumes": {
        "1000": {
            "search_latency_ms": {"avg": 2.0, "p50": 1.9, "p99": 4.0},
            "service": {"search": {"p50": 0.1}},
            "memory_usage_bytes": 5e6,
            "recall": {"all": 1.0, "im": None},
            "load_rate_ops_s": 40_000,
        }
    },
}
RESOURCES: dict[str, Any] = {
    "resources": {"operations_per_cpu_second": 9000, "costs": {"store": {"cpu_us": 20}}},
    "rates": {"10": {"p95_operation_time_ms": 3.0}, "9.5": {"p95_operation_time_ms": 2.0}},
}


def test_volumes_rates_and_costs_have_their_figures(tmp_path: Path):
    """Every section of the benchmarks is compared, in the order of its numbers."""
    memory = made_bench(tmp_path / "memory", "bench-memory", MEMORY)
    found = [one.path for one in against(memory, memory).figures]
    assert "volumes.1000.recall.all" in found
    assert "volumes.1000.recall.im" not in found
    assert {"baseline.memory_usage_bytes", "volumes.1000.search_latency_ms.p99"} <= set(found)
    resources = made_bench(tmp_path / "resources", "bench-resources", RESOURCES)
    found = [one.path for one in against(resources, resources).figures]
    assert found == [
        "resources.operations_per_cpu_second",
        "resources.costs.store.cpu_us",
        "rates.9.5.p95_operation_time_ms",
        "rates.10.p95_operation_time_ms",
    ]
    every = made_bench(tmp_path / "all", "bench-all", MEMORY | RESOURCES)
    assert len(against(every, every).figures) > len(found) + 5


def costs(cpu_us: float, half_width: float) -> dict[str, Any]:
    interval = {"estimate": cpu_us, "low": cpu_us - half_width, "high": cpu_us + half_width}
    return {
        "resources": {"costs": {"store": {"cpu_us": cpu_us, "intervals": {"cpu_us": interval}}}}
    }


def test_intervals_that_summaries_state_make_that_of_the_ratio(tmp_path: Path):
    """Where each of two figures has its own interval, distances add up in squares."""
    for name, cpu_us, half_width in (("a", 20, 1), ("b", 20, 0.001), ("c", 30, 0.001)):
        made_bench(tmp_path / name, "bench-resources", costs(cpu_us, half_width))
    alone = figure(against(tmp_path / "a", tmp_path / "b"), "resources.costs.store.cpu_us")
    assert (alone.basis, alone.verdict) == ("stated", "no difference")
    assert alone.ratio["low"] == pytest.approx(20 / 21, abs=1e-3)
    assert alone.ratio["high"] == pytest.approx(20 / 19, abs=1e-3)
    dearer = figure(against(tmp_path / "a", tmp_path / "c"), "resources.costs.store.cpu_us")
    assert dearer.verdict == "worse"


def test_capacities_are_compared_with_what_is_known_of_each(tmp_path: Path):
    """A capacity lies between the load that kept the objective and the one that broke it."""
    for name, low, high in (("base", 400, 450), ("near", 430, 500), ("far", 800, 900)):
        summary = {"capacity": {"ended": "edge", "low": low, "high": high}}
        made_bench(tmp_path / name, "capacity", summary)
    assert figure(against(tmp_path / "base", tmp_path / "near"), "capacity.low").basis == "stated"
    assert figure(against(tmp_path / "base", tmp_path / "far"), "capacity.low").verdict == "better"
    back = figure(against(tmp_path / "far", tmp_path / "base"), "capacity.low")
    assert back.verdict == "worse"


def test_a_verdict_that_is_new_is_told(tmp_path: Path):
    """A leak that the base did not have stands before the figures; one of both does not."""
    for name, leaks, bends in (("base", "ok", "warning"), ("new", "failed", "warning")):
        verdicts = [
            {"name": "leak", "verdict": leaks, "sentence": f"Shard 0 leaks: {leaks}."},
            {"name": "bend", "verdict": bends, "sentence": "Search bends."},
        ]
        made_bench(tmp_path / name, "bench-resources", costs(20, 1) | {"verdicts": verdicts})
    told = notes(against(tmp_path / "base", tmp_path / "new"))
    assert told["verdict_leak"] == "NEW, and not BASE: Shard 0 leaks: failed."
    assert "verdict_bend" not in told
    assert "verdict_leak" not in notes(against(tmp_path / "new", tmp_path / "base"))


def test_lower_recall_is_worse(tmp_path: Path):
    """Recall that falls by more than 1% over repeats is worse."""
    for name, recall in (("base", 0.99), ("new", 0.95)):
        for n in range(3):
            volume = {"recall": {"all": recall + n / 10_000}}
            made_bench(tmp_path / name / str(n), "bench-memory", {"volumes": {"1000": volume}})
    versus = against(tmp_path / "base", tmp_path / "new")
    assert figure(versus, "volumes.1000.recall.all").verdict == "worse"


def test_unlike_directories_are_refused(tmp_path: Path):
    """Kinds that differ, nothing in common, and repeats of two kinds are wrong usage."""
    run = made_run(tmp_path / "runs" / "run")
    agents = made_bench(
        tmp_path / "agents", "bench-agents", {"counts": {"1": {"operations_per_second": 1.0}}}
    )
    other = made_bench(
        tmp_path / "other", "bench-agents", {"counts": {"2": {"operations_per_second": 1.0}}}
    )
    with pytest.raises(UsageError, match="a benchmark of agents and BASE is a run; compare like"):
        against(run, agents)
    with pytest.raises(UsageError, match="no figure in common"):
        against(agents, other)
    with pytest.raises(UsageError, match="of bench-agents and of run; give one kind"):
        against(run, f"{run},{agents}")
    with pytest.raises(UsageError, match="named twice"):
        against(run, f"{run},{tmp_path}/runs/../runs/run")
    with pytest.raises(UsageError, match="NEW: is missing"):
        compare([str(run)])


@pytest.mark.parametrize("text", ["", "nowhere", "a,b", "a,", "nul\0", "x" * 5000, "/dev/null"])
def test_what_is_no_directory_is_refused(tmp_path: Path, text: str):
    """A name that is none, or of something else, is refused in one sentence."""
    with pytest.raises(RunDirectoryError) as refused:
        against(made_run(tmp_path / "base"), text)
    assert "\n" not in str(refused.value)


def test_runs_without_figures_are_refused(tmp_path: Path):
    """A run that measured nothing, and a benchmark without a summary, have nothing to compare."""
    run = made_run(tmp_path / "run", status="running", summed_up=False)
    shutil.rmtree(run / "ops")
    with pytest.raises(RunDirectoryError, match="no operation was measured"):
        against(run, run)
    bench = made_bench(tmp_path / "bench", "bench-agents", {})
    (bench / "summary.json").unlink()
    with pytest.raises(RunDirectoryError, match="ended before its summary"):
        against(bench, bench)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match=r"no run\.json"):
        against(tmp_path / "empty", bench)


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1.0, 1e308, "", "NaN", "agents-1-1", "../../run", "steps/agents-1-1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "1",
                    "1e9",
                    "nan",
                    "-0",
                    "all",
                    "p50_ms",
                    "repeats",
                    "step",
                    "operations_per_second",
                    "recall",
                    "costs",
                    "usl",
                    "lambda",
                    "estimate",
                    "failed",
                    "operations",
                    "plan",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "counts",
        "threads",
        "volumes",
        "rates",
        "resources",
        "scaling",
        "baseline",
        "operations",
        "failed",
        "all",
        "efficiency",
        "cpu_us_per_operation",
        "bench",
        "throughput_ops_s",
    ]
)
DESCRIBED = st.sampled_from(["plan", "bench", "hosts", "versions", "commit", "status", "trace"])


@settings(max_examples=150)
@given(
    command=st.sampled_from(["run", "bench-agents", "bench-memory", "bench-all", "capacity", "?"]),
    summary=st.dictionaries(NAMES, HOSTILE, max_size=4),
    run=st.dictionaries(DESCRIBED, HOSTILE, max_size=4),
)
def test_no_document_fails_a_comparison_but_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory,
    command: str,
    summary: dict[str, Any],
    run: dict[str, Any],
):
    """Documents of any shape are compared as far as they make sense, or refused."""
    path = tmp_path_factory.mktemp("hostile")
    version = {"schema_version": 1}
    (path / "run.json").write_text(json.dumps(version | {"command": command} | run))
    (path / "summary.json").write_text(json.dumps(summary | version))
    try:
        said = compare([str(path), str(path)]).against[0].sentence
    except HarnessError as error:
        said = str(error)
    assert said
    assert "\n" not in said


def test_a_document_that_is_nested_without_end_is_refused(tmp_path: Path):
    """Brackets upon brackets are damage, in one sentence."""
    for name in ("run.json", "summary.json"):
        run = made_run(tmp_path / name)
        (run / name).write_text('{"schema_version":1,"plan":' + "[" * 99_999 + "]" * 99_999 + "}")
        with pytest.raises(RunDirectoryError, match="is damaged: it is not a JSON document"):
            against(run, run)


def test_a_figure_that_is_no_number_is_left_out(tmp_path: Path):
    """Text, infinities and numbers beyond a float in a summary are no figures."""
    base, new = made_run(tmp_path / "base"), made_run(tmp_path / "new")
    summary = json.loads((new / "summary.json").read_text())
    summary["all"] |= {"p50_ms": "fast", "p95_ms": True, "mean_ms": None}
    rewrite(new / "summary.json", all=summary["all"])
    versus = against(base, new)
    for name in ("p50_ms", "p95_ms", "mean_ms"):
        assert figure(versus, f"all.{name}").verdict == "unknown"
