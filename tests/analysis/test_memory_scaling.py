"""The summary of memory-size scaling, from a bench directory that is made of known rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.analysis.memory_scaling import BLOCKS, memory_template, summarise_memory_scaling
from harness.benchmarks.bench_directory import BenchDirectory
from harness.benchmarks.prober import cohort_of
from harness.rundir import RunDirectory
from harness.schema import OPERATIONS, OUTCOMES, PHASES, PROCESSES_SCHEMA
from harness.sinks import LocalSink, OpsWriter

WALL_NS = 1_700_000_000_000_000_000
MS = 1_000_000
PLURAL = {"store": "stores", "retrieve": "retrieves", "search": "searches"}


def write_rows(
    directory: RunDirectory, tier: str | None, op: str, service_ns: list[int], outcome: str = "ok"
) -> None:
    """Operations one after the other, each with a millisecond of transport."""
    count = len(service_ns)
    service = np.array(service_ns, np.int64)
    started = np.arange(count, dtype=np.int64) * 1_000 * MS
    zeros = np.zeros(count, np.int64)
    cohort = cohort_of(tier)
    writer = OpsWriter(LocalSink(directory.path), cohort, "n", WALL_NS, 0)
    writer._number = len(list((directory.path / "ops").glob(f"cohort-{cohort:05d}-*")))
    writer.write(
        {
            "phase": np.full(count, PHASES.index("measure"), np.int8),
            "agent": zeros,
            "op": np.full(count, OPERATIONS.index(op), np.int8),
            "shard": zeros,
            "scheduled_ns": started,
            "started_ns": started,
            "finished_ns": started + service + MS,
            "queue_ns": zeros,
            "transport_ns": zeros + MS,
            "service_ns": service,
            "shard_wait_ns": zeros,
            "batch_ops": zeros + 1,
            "attempts": zeros + 1,
            "outcome": np.full(count, OUTCOMES.index(outcome), np.int8),
        }
    )


def write_processes(directory: RunDirectory, rows: list[tuple[int, str, int, int | None]]) -> None:
    """Samples as (second, role, pid, USS or None)."""
    columns: dict[str, list[Any]] = {name: [] for name in PROCESSES_SCHEMA.names}
    for second, role, pid, uss_bytes in rows:
        values = {
            "node_id": "n",
            "wall_ns": WALL_NS + second * 1_000 * MS,
            "monotonic_ns": second * 1_000 * MS,
            "pid": pid,
            "role": role,
            "number": 0,
            "cpu_percent": 0.0,
            "cpu_seconds": 0.0,
            "rss_bytes": 900,
            "uss_bytes": uss_bytes,
            "threads": 1,
            "open_files": 1,
        }
        for name, value in values.items():
            columns[name].append(value)
    path = directory.path / "resources" / "processes-n.arrows"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, PROCESSES_SCHEMA) as stream:
        stream.write_table(pa.table(columns, schema=PROCESSES_SCHEMA))


def write_phases(directory: RunDirectory, phases: list[tuple[int, str]]) -> None:
    lines = [
        json.dumps(
            {
                "schema_version": 1,
                "wall_ns": WALL_NS + second * 1_000 * MS,
                "kind": "phase",
                "phase": phase,
            }
        )
        for second, phase in phases
    ]
    (directory.path / "events.jsonl").write_text("\n".join(lines) + "\n")


def found(volume: int, **changed: Any) -> dict[str, Any]:
    return {
        "memories": volume,
        "store_role": "shard",
        "load": {"memories": volume, "stored": volume, "failed": 0, "duration_s": 2.0},
        "tiers": {"stm": volume, "im": 0, "ltm": 0},
        "forced": [],
        "settle": {"settled": True},
        "counted": volume,
        "retrieved": {"count": 40, "missing": 0, "altered": 0},
        "searched": {"count": 40, "short": 0},
        "cross_tier": {"all": 1, "stm": 2},
        "k": 10,
        "disk_usage_bytes": 50 * volume,
        "audit": {
            "missing": 0,
            "strangers": 0,
            "recall": {"all": 1.0, "stm": 1.0, "im": None, "ltm": None},
            "queries": 20,
        },
        **changed,
    }


def made(path: Path, *, slow: str = "", status: str = "complete", **changed: Any) -> Path:
    """Three volumes; the service time of ``slow`` is proportional to the volume."""
    bench = BenchDirectory.create(path, "bench-memory")
    bench.describe(plan={"target": "mine"})
    baseline = bench.step("baseline")
    write_phases(baseline, [(0, "measuring"), (9, "ending")])
    write_processes(baseline, [(1, "shard", 1, 100), (2, "shard", 1, None), (1, "cohort", 9, 70)])
    baseline.update_status("complete", volume={"memories": 0, "disk_usage_bytes": 7})
    for volume in (100, 1_000, 10_000):
        step = bench.step(f"volume-{volume}")
        for op in OPERATIONS:
            base = volume * 1_000 if op == slow else 100_000
            write_rows(step, None, op, [base + 50 * (at % 7) for at in range(40)])
        write_rows(step, "all", "search", [300_000] * 20)
        write_rows(step, "stm", "search", [100_000] * 20)
        write_phases(
            step,
            [(0, "loading"), (2, "measuring"), (4, "settling"), (5, "measuring"), (9, "counting")],
        )
        write_processes(
            step,
            [
                (3, "shard", 1, 10**9),
                (6, "shard", 1, 100 + 2 * volume),
                (7, "shard", 2, 50),
                (7, "cohort", 9, 10**9),
                (9, "shard", 2, 10**9),
            ][:-1],
        )
        step.update_status("complete", volume=found(volume, **changed))
        step.write_summary({})
    bench.update_status(status)  # type: ignore[arg-type]
    return path


def verdict(summary: dict[str, Any], name: str) -> dict[str, str]:
    [one] = [one for one in summary["verdicts"] if one["name"] == name]
    return one


def test_figures_are_of_the_rows_of_each_volume(tmp_path: Path):
    """Response time is with transport, service time without; cross-tier is by tier too."""
    summary = summarise_memory_scaling(made(tmp_path / "b"))
    one = summary["volumes"]["1000"]
    assert one["search_latency_ms"]["count"] == 40
    assert one["search_latency_ms"]["min"] == pytest.approx(1.1)
    assert one["service"]["search"]["p50"] == pytest.approx(0.10015)
    assert one["cross_tier_latency_ms"]["count"] == 40
    assert one["service"]["cross_tier"]["avg"] == pytest.approx(0.2)
    assert one["cross_tier_by_tier"]["all"]["service"]["p50"] == pytest.approx(0.3)
    assert one["cross_tier_by_tier"]["im"]["service"]["count"] == 0
    assert one["load_rate_ops_s"] == 500
    by_tier = {"all": 1.0, "stm": 1.0, "im": None, "ltm": None}
    assert one["recall"] == {**by_tier, "k": 10, "queries": 20}
    assert one["steps"] == ["steps/volume-1000"]
    assert set(one["store_latency_ms"]) == {
        *("avg", "min", "max", "p50", "p90", "p95", "p99", "p999", "count")
    }


def test_a_volume_that_was_there_already_has_no_load_rate(tmp_path: Path):
    """A benchmark that goes on may find all loaded: nothing was timed."""
    there = {"memories": 100, "stored": 0, "already_there": 100, "duration_s": 0.4}
    summary = summarise_memory_scaling(made(tmp_path / "b", load=there))
    assert summary["volumes"]["100"]["load_rate_ops_s"] is None


def test_memory_is_of_the_stores_processes_while_it_is_probed(tmp_path: Path):
    """Summed over processes, without the load, the prober, and what the empty store has."""
    summary = summarise_memory_scaling(made(tmp_path / "b"))
    assert summary["baseline"] == {"memory_usage_bytes": 100, "disk_usage_bytes": 7}
    one = summary["volumes"]["1000"]
    assert one["memory_usage_bytes"] == 100 + 2_000 + 50
    assert one["memory_bytes_per_memory"] == pytest.approx(2.05)
    assert one["disk_usage_bytes"] == 50_000


@pytest.mark.parametrize("slow", ["store", "retrieve", "search"])
def test_what_slows_down_with_volume_is_called_by_its_name(tmp_path: Path, slow: str):
    """The exponent of that operation is 1, of the others 0, and the verdict names it."""
    summary = summarise_memory_scaling(made(tmp_path / "b", slow=slow))
    curves = summary["degradation"]
    for name in ("store", "retrieve", "search", "cross_tier"):
        wanted = 1.0 if name == slow else 0.0
        assert curves[name]["exponent"]["estimate"] == pytest.approx(wanted, abs=0.02)
        assert [point["memories"] for point in curves[name]["points"]] == [100, 1_000, 10_000]
    one = verdict(summary, "degradation")
    assert one["verdict"] == "warning"
    assert one["sentence"].startswith(f"mine slows down with volume, {PLURAL[slow]} most: ")
    assert "times as long at 10,000 memories as at 100 (median service time). " in one["sentence"]


def test_a_flat_store_does_not_slow_down(tmp_path: Path):
    """Response time with a millisecond of transport hides nothing here: nothing grows."""
    one = verdict(summarise_memory_scaling(made(tmp_path / "b")), "degradation")
    assert one["verdict"] == "ok"
    assert one["sentence"] == (
        "mine did not slow down: no operation took over 5% longer at 10,000 memories than at 100 "
        "(median service time)."
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"retrieved": {"count": 40, "missing": 3, "altered": 0}}, "3 of 40 retrieves came back"),
        ({"retrieved": {"count": 40, "missing": 0, "altered": 2}}, "2 gave another state"),
        ({"counted": 90}, "it counts 90 memories"),
        ({"audit": {"missing": 4}}, "4 are not in its list"),
        ({"audit": {"strangers": 5}}, "5 in its list were never stored"),
    ],
)
def test_a_store_that_forgets_is_said_to(tmp_path: Path, changed: dict[str, Any], said: str):
    """Whichever check finds it, the verdict is failed and comes first, with the figures."""
    summary = summarise_memory_scaling(made(tmp_path / "b", **changed))
    one = summary["verdicts"][0]
    assert (one["name"], one["verdict"]) == ("forgets", "failed")
    assert said in one["sentence"]
    assert one["sentence"].startswith("mine forgets what it acknowledged: at 100 memories ")


def test_a_store_that_keeps_all_is_said_to(tmp_path: Path):
    """Nothing was missing, altered or miscounted."""
    summary = summarise_memory_scaling(made(tmp_path / "b", counted=None))
    assert verdict(summary, "forgets")["verdict"] == "ok"


def test_recall_that_is_the_same_everywhere_has_no_lowest(tmp_path: Path):
    """With 1 in each tier at each volume, that is said, and no place is named."""
    one = verdict(summarise_memory_scaling(made(tmp_path / "b")), "recall")
    assert (one["verdict"], one["sentence"]) == ("ok", "Recall@10 was 1.000 everywhere.")


@pytest.mark.parametrize(
    ("lowest", "judged", "said"),
    [(0.97, "ok", "0.970"), (0.99996, "ok", "0.999"), (0.8, "warning", "0.800")],
)
def test_the_lowest_recall_is_named_with_its_place(
    tmp_path: Path, lowest: float, judged: str, said: str
):
    """The tier and the volume are named, and what is less than 1 is not rounded to it."""
    recall = {"all": 1.0, "stm": lowest, "im": None, "ltm": None}
    audit = {"missing": 0, "strangers": 0, "recall": recall, "queries": 20}
    one = verdict(summarise_memory_scaling(made(tmp_path / "b", audit=audit)), "recall")
    assert one["verdict"] == judged
    assert one["sentence"] == f"Recall@10 was lowest in stm at 100 memories: {said}."


def test_what_a_target_does_not_say_is_not_known(tmp_path: Path):
    """Without states, counts and tiers there is a warning, not a verdict of forgetting."""
    silent = {
        "retrieved": {"count": 40, "missing": 0, "altered": None},
        "counted": None,
        "tiers": None,
        "forced": [{"to": "im", "percentage": 30.0, "moved": None}],
        "cross_tier": {"all": 1},
        "audit": {"missing": None, "strangers": None, "recall": {}, "queries": 0},
    }
    summary = summarise_memory_scaling(made(tmp_path / "b", **silent))
    assert verdict(summary, "forgets")["verdict"] == "warning"
    assert "moves nothing between tiers" in verdict(summary, "tiers")["sentence"]
    assert summary["volumes"]["100"]["recall"]["all"] is None


def test_a_benchmark_that_was_stopped_is_summed_up_as_far_as_it_came(tmp_path: Path):
    """A volume that is not complete is left out, and the verdict says how to go on."""
    path = made(tmp_path / "b", status="interrupted")
    document = path / "steps" / "volume-10000" / "run.json"
    run = json.loads(document.read_text())
    document.write_text(json.dumps({**run, "status": "interrupted"}))
    summary = summarise_memory_scaling(path)
    assert list(summary["volumes"]) == ["100", "1000"]
    one = verdict(summary, "completion")
    assert one["verdict"] == "warning"
    assert "up to 1,000 memories" in one["sentence"]
    assert "--out goes on" in one["sentence"]


def test_a_benchmark_without_a_volume_has_a_summary(tmp_path: Path):
    """Stopped at once, it has verdicts, and nothing that it did not measure."""
    bench = BenchDirectory.create(tmp_path / "b", "bench-memory")
    bench.update_status("interrupted")
    summary = summarise_memory_scaling(tmp_path / "b")
    assert summary["volumes"] == {}
    assert [one["name"] for one in summary["verdicts"]] == ["completion"]
    assert summary["degradation"]["search"]["exponent"]["estimate"] is None


def test_every_path_can_be_named_before_it_is_measured(tmp_path: Path):
    """The template has each path of a summary, so that a threshold is checked at the start."""
    summary = summarise_memory_scaling(made(tmp_path / "b"))
    template = memory_template([100, 1_000, 10_000])

    def paths(document: Any, at: str = "") -> set[str]:
        if not isinstance(document, dict):
            return {at}
        return {path for key, one in document.items() for path in paths(one, f"{at}.{key}")}

    told = {"verdicts", "bench", "schema_version", "target"}
    measured = {path for path in paths(summary) if path.split(".")[1] not in told}
    loose = (".load.", ".retrieved.", ".searched.")
    assert {path for path in measured if not any(one in path for one in loose)} <= paths(template)


def test_the_fit_goes_through_the_medians_that_are_shown(tmp_path: Path):
    """However unlike its parts a volume is, the line meets the median of all its operations."""
    path = made(tmp_path / "b")
    for volume, low_us in ((100, 100), (1_000, 200), (10_000, 400)):
        step = RunDirectory(path / "steps" / f"volume-{volume}", {})
        for file in (step.path / "ops").glob("*"):
            file.unlink()
        service_us = [low_us] * 24 + [9 * low_us] * 16  # the last two of five parts
        write_rows(step, None, "search", [1_000 * one for one in service_us])
    found = summarise_memory_scaling(path)["degradation"]["search"]
    shown = [point["service_p50_ms"] for point in found["points"]]
    assert shown == pytest.approx([0.1, 0.2, 0.4])
    assert found["exponent"]["estimate"] == pytest.approx(np.log10(2))
    drawn = [one["ms"] for one in found["fit"]]
    assert [drawn[0], drawn[-1]] == pytest.approx([0.1, 0.4])


def test_each_volume_gives_the_fit_several_points(tmp_path: Path):
    """One point a volume would tell no bend from noise."""
    points = json.dumps(summarise_memory_scaling(made(tmp_path / "b", slow="search")))
    assert "NaN" not in points
    assert BLOCKS > 1
