"""What the verdicts of a sweep say: the worst of each thing, and where it was."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.headroom import nearest_sentence, resource_uses
from harness.analysis.operation_times import read_operation_times
from harness.analysis.resource_verdicts import resource_verdicts
from harness.analysis.resources import resource_figures
from harness.analysis.rows import Window

S = 1_000_000_000
RUN = {"status": "complete"}


def figures(rate: float, **more: Any) -> dict[str, Any]:
    """A rate that was carried by a store without fault."""
    return {
        "offered_rate_ops_per_second": rate,
        "actual_rate_ops_per_second": rate,
        "operations": 1_000,
        "late_operations": 0,
        "dropped_operations": 0,
        "limit": {"kind": "schedule", "sentence": "The schedule limited the run."},
        "nearest": {"sentence": "Nearest is the disk.", "uses": []},
        "stalls": {"stalls": False, "sentence": "The store does not stall."},
        "leaks": [leak("shard 0", "no leak")],
        **more,
    }


def leak(process: str, verdict: str) -> dict[str, Any]:
    return {"process": process, "verdict": verdict, "sentence": f"{verdict}: 3 MiB/min."}


def summaries(**steps: str) -> dict[str, Any]:
    """Summaries of steps with a validity of that verdict."""
    return {
        name.replace("_", "-"): {
            "verdicts": [
                {"name": "validity", "verdict": verdict, "sentence": f"It is {verdict}."},
                {"name": "limit", "verdict": "ok", "sentence": "of one step"},
            ]
        }
        for name, verdict in steps.items()
    }


def judged(rates: dict[str, Any], steps: dict[str, Any] | None = None, **run: Any):
    steps = steps or summaries(rate_10="ok")
    found = resource_verdicts(rates, steps, {**RUN, **run})
    return {one["name"]: one for one in found}


def test_a_load_that_was_carried_is_well():
    """Each verdict is ok, with its sentence."""
    found = judged({"10": figures(10)})
    assert {one["verdict"] for one in found.values()} == {"ok"}
    assert "The offered 10 operations/s were carried" in found["schedule"]["sentence"]
    assert found["limit"]["sentence"].endswith("Nearest is the disk.")


def test_the_rate_that_was_missed_is_named():
    """With what succeeded, what was late and what was dropped."""
    missed = figures(
        1_000,
        actual_rate_ops_per_second=612.0,
        late_operations=250,
        dropped_operations=17,
        limit={"kind": "disk", "sentence": "The disk limited the run."},
    )
    found = judged({"10": figures(10), "1000": missed})
    assert found["schedule"]["verdict"] == "warning"
    assert "Of 1,000 operations/s 612 succeeded" in found["schedule"]["sentence"]
    assert "25.0%" in found["schedule"]["sentence"]
    assert "17 were dropped unsent" in found["schedule"]["sentence"]
    assert "The disk limited the run." in found["limit"]["sentence"]


@pytest.mark.parametrize(
    ("rate", "said"),
    [(30_000.0, "30,000"), (15_212.4, "15,212"), (999.96, "1,000"), (0.25, "0.25")],
)
def test_rates_are_written_out(rate, said):
    """With separators of thousands, and never as a power of ten."""
    sentence = judged({"n": figures(rate)})["schedule"]["sentence"]
    assert sentence.startswith(f"The offered {said} operations/s were carried ({said});")


def test_a_schedule_that_was_carried_late_is_a_warning():
    """Though every operation was sent in the end; a few late ones are not worth one."""
    found = judged({"10": figures(10, late_operations=51)})
    assert found["schedule"]["verdict"] == "warning"
    assert "5.1% of the operations were issued late" in found["schedule"]["sentence"]
    assert judged({"10": figures(10, late_operations=49)})["schedule"]["verdict"] == "ok"


def test_a_stall_at_any_rate_is_said():
    """With the rate at which it was seen."""
    stalls = {"stalls": True, "sentence": "The store stalls: shard 0."}
    found = judged({"10": figures(10, stalls=stalls), "100": figures(100)})
    assert found["stalls"]["verdict"] == "warning"
    assert found["stalls"]["sentence"] == "At 10 operations/s: The store stalls: shard 0."
    found = judged({"10": figures(10), "100": figures(100)})
    assert found["stalls"]["sentence"] == "At 100 operations/s: The store does not stall."


def test_a_stall_on_a_busy_machine_may_not_be_the_stores():
    """The verdict says so; on a machine with a core to spare it does not."""
    stalls = {"stalls": True, "sentence": "The store stalls."}
    for ratio, said in ((0.97, True), (0.5, False)):
        uses = [{"resource": "the machine's CPU", "used_ratio": ratio}]
        nearest = {"sentence": "Nearest.", "uses": uses}
        found = judged({"10": figures(10, stalls=stalls, nearest=nearest)})
        assert ("The machine was 97% busy meanwhile" in found["stalls"]["sentence"]) is said


def test_a_leak_at_any_rate_is_said_with_its_process():
    """However many processes do not leak."""
    leaks = [leak("shard 0", "no leak"), leak("shard 1", "leak")]
    found = judged({"10": figures(10), "100": figures(100, leaks=leaks)})
    assert found["leaks"]["verdict"] == "warning"
    assert found["leaks"]["sentence"].startswith("At 100 operations/s: shard 1 leaks: ")


def test_the_rate_that_tells_most_speaks_of_leaks():
    """Where no process leaks at any rate, the surest word on it counts."""
    unclear = [leak("shard 0", "too little data"), leak("driver", "no leak")]
    rates = {"10": figures(10, leaks=unclear), "100": figures(100, leaks=[leak("x", "no leak")])}
    assert judged(rates)["leaks"]["sentence"] == "No leak in the memory of any of 1 processes."
    rates["100"] = figures(100, leaks=[leak("x", "too little data")] * 2)
    found = judged(rates)["leaks"]["sentence"]
    assert "for 1 of 2 processes there is too little data; shard 0: " in found


@pytest.mark.parametrize("leaks", [[], [leak("shard 0", "too little data")] * 3])
def test_nothing_is_said_of_leaks_where_no_process_tells(leaks):
    """Too little data of every process is no word that nothing leaks, at whatever rates."""
    found = judged({"10": figures(10, leaks=leaks), "100": figures(100, leaks=leaks)})["leaks"]
    assert found["verdict"] == "warning"
    assert found["sentence"].startswith("Whether anything leaks cannot be told: ")


def test_an_invalid_step_is_named_and_comes_first():
    """Whichever step it is, of the rates or of the costs."""
    steps = summaries(rate_10="ok", cost_idle="invalid", cost_store="warning")
    found = resource_verdicts({"10": figures(10)}, steps, RUN)
    assert found[0]["verdict"] == "invalid"
    assert found[0]["sentence"] == "Step cost-idle: It is invalid."


def whole_summary(operations: int, lag_ms: float | None, warmup_s: float | None) -> dict[str, Any]:
    """A summary of a step that went well; one without a warm-up was too short to tell."""
    settled = None if warmup_s is None else True
    sentences = {
        "failures": f"None of {operations:,} operations failed.",
        "validity": f"The run is valid: {lag_ms} ms.",
        "steady": f"Warm-up: {warmup_s} s.",
    }
    return {
        "operations": operations,
        "schedule": {"timer_lag_p99_ms": lag_ms},
        "steady": {"settled": settled, "warmup_s": warmup_s, "sentence": sentences["steady"]},
        "verdicts": [
            {"name": name, "verdict": "ok", "sentence": sentence}
            for name, sentence in sentences.items()
        ],
    }


def test_what_is_well_is_said_of_all_steps():
    """Failures are counted over all; lag and settling are the worst, with their step."""
    steps = {
        "rate-20": whole_summary(60, 1.0, 0.0),
        "rate-200": whole_summary(600, 7.25, 12.0),
        "cost-idle": whole_summary(1_000, None, None),
    }
    found = judged({"20": figures(20), "200": figures(200)}, steps)
    assert found["failures"]["sentence"] == "None of 1,660 operations of 3 steps failed."
    assert "at most 7.2 ms (step rate-200)" in found["validity"]["sentence"]
    assert found["steady"]["sentence"] == "Step rate-200: Warm-up: 12.0 s."
    steps["rate-20"] = whole_summary(60, 1.0, None)
    found = judged({"20": figures(20), "200": figures(200)}, steps)
    assert found["steady"]["sentence"].startswith("Step rate-20: ")
    assert {one["verdict"] for one in found.values()} == {"ok"}


def test_a_benchmark_of_one_step_speaks_as_a_run_does():
    """Its one step needs no name, nor does the one rate beside steps of the costs."""
    steps = {"rate-20": whole_summary(60, 1.0, 0.0)}
    found = judged({"20": figures(20)}, steps)
    assert found["failures"]["sentence"] == "None of 60 operations failed."
    steps["cost-idle"] = whole_summary(10, 2.0, 3.0)
    assert judged({"20": figures(20)}, steps)["steady"]["sentence"] == "Warm-up: 0.0 s."


def test_steps_whose_operations_failed_are_summed_up():
    """The worst step is named, and how many failed in all of them."""
    steps = {"rate-20": whole_summary(60, 1.0, 0.0), "rate-200": whole_summary(600, 1.0, 0.0)}
    for (name, one), verdict, failed in zip(
        steps.items(), ("warning", "failed"), (6, 600), strict=True
    ):
        one["failed"] = failed
        one["verdicts"][0] = {"name": "failures", "verdict": verdict, "sentence": f"In {name}."}
    found = judged({"20": figures(20), "200": figures(200)}, steps)["failures"]
    assert found["verdict"] == "failed"
    assert found["sentence"] == (
        "Step rate-200: In rate-200. In all 2 steps 606 of 660 operations failed (91.82%)."
    )


def test_an_interruption_is_said():
    """Though every step that was measured is whole."""
    found = judged({"10": figures(10)}, status="interrupted")
    assert found["completion"]["verdict"] == "warning"


def test_a_benchmark_without_a_step_failed():
    """Nothing is well when nothing was measured."""
    (found,) = resource_verdicts({}, {}, RUN)
    assert (found["name"], found["verdict"]) == ("completion", "failed")


def test_the_most_used_resource_is_nearest(tables, run_in_memory):
    """A shard at 60% of its core comes before a machine at 40%, and agents before both."""
    rows = [{"scheduled_ns": n * S, "service_ns": 9 * S // 10} for n in range(10)]
    run = {"plan": {"duration_s": 10.0}, "status": "complete"}
    times = read_operation_times(run_in_memory(run=run, files=[tables.file(rows, start_wall_ns=0)]))
    processes = [
        {"wall_ns": tick * S, "cpu_seconds": 0.6 * tick, "rss_bytes": 1} for tick in range(12)
    ]
    nodes = [
        {
            "wall_ns": tick * S,
            "cpu_percent": 40.0,
            "memory_used_bytes": 30,
            "memory_available_bytes": 70,
        }
        for tick in range(12)
    ]
    sampled = tables.nodes(nodes), tables.processes(processes)
    resources = resource_figures(*sampled, Window(0, 10 * S))
    uses = resource_uses({"resources": resources, "agents": {"count": 1}}, times)
    assert [round(one["used_ratio"], 2) for one in uses] == [0.9, 0.6, 0.4, 0.3]
    sentence = nearest_sentence(uses, 10.0)
    assert "at 10 operations/s is the agents' own time, 90% used" in sentence
    assert "next the core of the busiest shard, 60%" in sentence
    assert "Nothing was sampled" in nearest_sentence([], 10.0)
