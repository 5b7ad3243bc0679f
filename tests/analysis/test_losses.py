"""Lost agents: what is said of them, and which figures are withheld."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis import summarise, summary_value
from harness.analysis.losses import agents_lost, kept_agents, losses_of, losses_sentence
from harness.analysis.process_leaks import run_leaks
from harness.report.run_data import read_run
from harness.rundir_reader import open_run
from harness.schema import PROCESSES_SCHEMA
from harness.sinks import LocalSink, LostOpsWriter
from tests.made_runs import WALL_NS, made_run

LOSS: dict[str, Any] = {
    "cohort": 1,
    "first_agent": 2,
    "agents": 2,
    "node_id": "n",
    "host": "memory-3",
    "at_s": 7.25,
    "noticed_s": 8.0,
    "cause": "died: its node died",
    "expected": False,
    "in_flight_rows": 2,
    "unrecorded_operations": 31,
    "unrecorded_s": 0.9,
}


def lost_run(path: Path, *, status: str = "failed", **loss: Any) -> Path:
    """A made run of 4 agents, the last two of which were lost, with an operation each in flight."""
    run = made_run(path, status=status, summed_up=False, agents=4, losses=[LOSS | loss])
    names = ("shard", "started_ns", "scheduled_ns", "queue_ns", "transport_ns", "service_ns")
    columns: dict[str, Any] = {name: [0, 0] for name in (*names, "shard_wait_ns", "batch_ops")}
    columns |= {"phase": [1, 1], "agent": [2, 3], "op": [0, 1], "finished_ns": [10**15, 10**15]}
    columns |= {"attempts": [0, 0], "outcome": [4, 4]}
    arrays = {name: pa.array(values, pa.int64()).to_numpy() for name, values in columns.items()}
    LostOpsWriter(LocalSink(run), 1, "n", WALL_NS, 0).write(arrays)
    return run


def test_a_summary_counts_the_lost_and_withholds_what_they_spoil(tmp_path: Path):
    """Their operations in flight failed and have no time; steady state and limit are not judged."""
    summary = summarise(open_run(lost_run(tmp_path / "run")))
    whole = summarise(open_run(made_run(tmp_path / "whole")))
    assert summary["agents"]["lost"] == 2
    assert summary["agents"]["count"] == 4
    assert summary["losses"] == [LOSS]
    assert summary["operations"] == whole["operations"] + 2
    assert summary["failed"] == summary["outcomes"]["unavailable"] == 2
    for name in ("all", "service", "duration_s"):
        assert summary[name] == whole[name], name
    assert summary["steady"]["settled"] is None
    assert summary["limit"]["kind"] == "unknown"
    for name in ("steady", "limit"):
        assert "not judged: agents were lost" in summary[name]["sentence"]
    verdicts = {one["name"]: one for one in summary["verdicts"]}
    assert verdicts["losses"]["verdict"] == verdicts["completion"]["verdict"] == "failed"
    assert "went on without them" in verdicts["completion"]["sentence"]


def test_a_run_without_losses_has_the_same_paths(tmp_path: Path):
    """A threshold on lost agents can be checked of any run."""
    summary = summarise(open_run(made_run(tmp_path / "run")))
    assert summary_value(summary, "agents.lost") == 0
    assert summary["losses"] == []
    assert "losses" not in {one["name"] for one in summary["verdicts"]}


def test_a_loss_by_a_fault_of_the_plan_is_a_warning(tmp_path: Path):
    """It is what was asked for; figures are withheld all the same."""
    summary = summarise(open_run(lost_run(tmp_path / "run", status="complete", expected=True)))
    verdicts = {one["name"]: one for one in summary["verdicts"]}
    assert verdicts["losses"]["verdict"] == "warning"
    assert "by a fault of the plan" in verdicts["losses"]["sentence"]
    assert verdicts["completion"]["verdict"] == "ok"
    assert summary["steady"]["settled"] is None


def test_durations_are_of_agents_that_were_not_lost():
    """A life that was cut is no duration."""
    spans = pa.table({"agent": pa.array([0, 1, 2, 3, 4], pa.int32())})
    assert kept_agents(spans, [LOSS])["agent"].to_pylist() == [0, 1, 4]
    assert kept_agents(spans, []) is spans


def test_the_sentence_says_who_when_why_and_what_went_with_them():
    """In one piece, for people."""
    assert losses_sentence([LOSS], 8) == (
        "2 of 8 agents were lost: cohort 1 on memory-3 was last heard of 7.2 s after the start "
        "(died: its node died). 2 operations were in flight and count as unavailable; 31 more "
        "were done in the last 0.9 s, reported, and not recorded. What rests on the number of "
        "agents is withheld."
    )
    one = LOSS | {"agents": 1, "in_flight_rows": 1, "unrecorded_operations": 0, "host": ""}
    assert losses_sentence([one], None).startswith("1 agent was lost: cohort 1 was last heard of")
    assert "1 operation was in flight and counts as unavailable." in losses_sentence([one], None)
    assert "; 3 more." in losses_sentence([LOSS] * 8, 16)


@pytest.mark.parametrize(
    "odd",
    [None, "x", [None], [{}], [LOSS | {"agents": "2"}], [LOSS | {"agents": -1}], {"cohort": 1}],
)
def test_what_is_no_loss_is_left_out(odd: Any):
    """A run directory may say anything."""
    assert losses_of({"losses": odd}) == []
    assert agents_lost([]) == 0


def test_a_report_reads_the_rows_in_flight_as_a_summary_does(tmp_path: Path):
    """Made anew from the files, figures are the same, and no picture has a time of theirs."""
    run = lost_run(tmp_path / "run")
    data = read_run(run)
    assert data.summary["operations"] == data.rows.operations + 2
    assert data.finished_ns.size == data.rows.operations
    assert data.summary["agents"]["lost"] == 2


def test_whether_a_lost_process_leaks_is_not_judged(tmp_path: Path):
    """Of all others it is."""
    run = lost_run(tmp_path / "run", cohort=0)
    rows = {field.name: [] for field in PROCESSES_SCHEMA}  # type: ignore[var-annotated]
    for tick in range(40):
        for pid, role in ((1, "shard"), (2, "cohort")):
            row = {
                "node_id": "n",
                "pid": pid,
                "role": role,
                "wall_ns": WALL_NS + tick * 500_000_000,
            }
            for name, values in rows.items():
                values.append(row.get(name, 0))
    table = pa.table(rows, schema=PROCESSES_SCHEMA)
    path = run / "resources/processes-n.arrows"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    sentences = {one["process"]: one["sentence"] for one in run_leaks(open_run(run))}
    assert "it was lost before the end" in sentences["cohort 0"]
    assert "lost" not in sentences["shard 0"]
