"""The driver's watch: who is silent is named, who is lost is given up once, none by mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.compute as pc
import pytest

from harness import control as control_module
from harness import losses
from harness.control import CohortReady, CohortReport, Control, LastSeen, Snapshot
from harness.losses import LOST_S, SILENT_S, CohortWatch, hit_cohorts
from harness.plan import RunPlan
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.sinks import LocalSink, OpsWriter

S = 1_000_000_000
ROUNDS = RunPlan(agents=6, rounds=5)


class Tasks:
    """Three cohorts of two agents each."""

    def __init__(self) -> None:
        self.running = {0, 1, 2}
        self.died: dict[int, str] = {}
        self.abandoned: list[int] = []

    def abandon(self, cohort: int) -> None:
        self.abandoned.append(cohort)
        self.running.discard(cohort)

    def die(self, cohort: int, cause: str) -> None:
        self.running.discard(cohort)
        self.died[cohort] = cause


class Watched:
    """A watch over these cohorts, cohort 0 on the driver's node, and what it said and did."""

    def __init__(self, plan: RunPlan, *, seen: CohortReport | None = None) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.fenced: list[int] = []
        self.killed: list[int] = []
        self.tasks = Tasks()
        self._seen = seen
        self.watch = CohortWatch(
            plan,
            [(0, 2), (2, 4), (4, 6)],
            [CohortReady(number, 100 + number, f"node{number}") for number in range(3)],
            {"node0": "here", "node1": "there"},
            "node0",
            self._lose,
            lambda kind, **fields: self.said.append((kind, fields)),
        )

    def _lose(self, cohort: int) -> LastSeen:
        self.fenced.append(cohort)
        return LastSeen(report=self._seen, operations=40, silent_s=2.5)

    def look(self, elapsed_s: float, silent_s: dict[int, float] | None = None) -> None:
        self.watch.look(self.tasks, silent_s or {}, elapsed_s)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watched]:
    def make(plan: RunPlan = ROUNDS, **more: Any) -> Watched:
        made = Watched(plan, **more)
        monkeypatch.setattr(losses.os, "kill", lambda pid, _: made.killed.append(pid))
        return made

    return make


def test_a_cohort_whose_task_died_is_lost_at_once(watched: Callable[..., Watched]):
    """It is fenced, said with what is known of it, and said once."""
    run = watched()
    run.tasks.die(1, "its node died")
    run.look(12.0)
    run.look(12.5)
    assert run.fenced == [1]
    [(kind, event)] = run.said
    assert (kind, event["what"], event["host"], event["agents"]) == ("lost", "cohort 1", "there", 2)
    [loss] = run.watch.losses
    assert (loss.at_s, loss.noticed_s, loss.first_agent) == (9.5, 12.0, 2)
    assert loss.sentence == "cohort 1 died: its node died"
    assert run.watch.unexpected == [loss]
    assert run.killed == []


def test_a_cohort_that_never_came_to_the_start_is_given_up_too(watched: Callable[..., Watched]):
    """A stop while a store's opening hangs ends it, though its process is not known."""
    run = watched()
    del run.watch.places[1]
    run.watch.give_up_all(run.tasks, {}, 40.0)
    assert run.tasks.abandoned == [0, 1, 2]
    assert run.killed == [100]
    assert [(loss.cohort, loss.node_id) for loss in run.watch.losses][1] == (1, "")
    assert "cohort 1 did not end" in run.watch.losses[1].sentence


def test_a_loss_that_a_fault_of_the_plan_explains_is_no_failure(
    watched: Callable[..., Watched], tmp_path: Path
):
    """The fault is told when it is done, which may be after the death was seen."""
    run = watched()
    run.tasks.die(2, "killed")
    run.tasks.die(1, "killed too")
    run.look(3.0)
    run.watch.expected.add(2)
    run.watch.settle(RunDirectory.create(tmp_path / "run", "run").path, 6, None)
    assert [loss.expected for loss in run.watch.losses] == [False, True]
    assert [loss.cohort for loss in run.watch.unexpected] == [1]


def test_faults_explain_the_cohorts_that_they_hit():
    """A cohort of its own, or all of a node; not a shard's, nor one that was not done."""
    nodes = {0: "a", 1: "b", 2: "b"}
    fault = {"done": True, "what": "process", "of": "cohort", "number": 0, "node_id": "a"}
    assert hit_cohorts([fault], nodes) == {0}
    assert hit_cohorts([fault | {"done": False}], nodes) == set()
    assert hit_cohorts([fault | {"of": "shard"}], nodes) == set()
    assert hit_cohorts([fault | {"of": "shard", "what": "node", "node_id": "b"}], nodes) == {1, 2}
    assert hit_cohorts([fault | {"what": "sampler"}], nodes) == set()


def test_silence_is_said_and_so_is_its_end(watched: Callable[..., Watched]):
    """A cohort that was stalled and goes on is not lost, however long it was while others ran."""
    run = watched()
    run.look(20.0, {1: SILENT_S - 1})
    assert run.said == []
    run.look(22.0, {1: SILENT_S + 1})
    run.look(23.0, {1: SILENT_S + 2})
    run.look(600.0, {1: 580.0})
    run.look(601.0, {1: 1.2})
    assert [(kind, event["what"]) for kind, event in run.said] == [
        ("silent", "cohort 1"),
        ("heard again", "cohort 1"),
    ]
    assert run.watch.losses == []


def test_a_silent_cohort_does_not_hold_up_the_end_of_rounds(watched: Callable[..., Watched]):
    """When the others have ended it gets LOST_S more, and then the run goes on to its end."""
    run = watched()
    run.look(100.0, {0: 50.0})
    run.tasks.running = {0}
    run.look(101.0, {0: 51.0})
    run.look(101.0 + LOST_S - 1, {0: 50.0 + LOST_S})
    assert run.watch.losses == []
    run.look(101.0 + LOST_S, {0: 51.0 + LOST_S})
    [loss] = run.watch.losses
    assert "was not heard of for 81 s" in loss.sentence
    assert run.tasks.abandoned == run.fenced == [0]
    assert run.tasks.running == set()
    assert run.killed == [100], "it runs beside the driver"


def test_a_process_of_another_node_is_not_killed_by_its_id(watched: Callable[..., Watched]):
    """The id may be another's here."""
    run = watched()
    run.tasks.running = {1}
    run.look(100.0, {1: 50.0})
    run.look(100.0 + LOST_S, {1: 50.0 + LOST_S})
    assert run.fenced == [1]
    assert run.killed == []


def test_a_cohort_that_is_heard_of_again_starts_the_wait_anew(watched: Callable[..., Watched]):
    """Grace counts from the last time that any cohort was at work."""
    run = watched()
    run.tasks.running = {1}
    run.look(100.0, {1: 12.0})
    run.look(120.0)
    run.look(135.0, {1: 12.0})
    run.look(134.0 + LOST_S, {1: 11.0 + LOST_S})
    assert run.watch.losses == []
    run.look(135.0 + LOST_S, {1: 12.0 + LOST_S})
    assert len(run.watch.losses) == 1


def test_a_run_for_a_time_ends_after_it_and_a_deadline(watched: Callable[..., Watched]):
    """Silence within the time costs nothing; after time, deadline and LOST_S it is the end."""
    plan = RunPlan(agents=6, duration_s=20.0, warmup_s=5.0, deadline_s=10.0)
    run = watched(plan)
    run.tasks.running = {2}
    run.look(34.0 + LOST_S, {2: 60.0})
    assert run.watch.losses == []
    run.look(35.0 + LOST_S, {2: LOST_S - 1})
    assert run.watch.losses == [], "it was heard of since"
    run.look(35.0 + LOST_S, {2: LOST_S})
    assert [loss.cohort for loss in run.watch.losses] == [2]


def write_rows(path: Path, agents: list[int], finished_ns: list[int]) -> None:
    writer = OpsWriter(LocalSink(path), 1, "node1", 7, 9)
    nothing = np.zeros(len(agents), np.int64)
    columns = {name: nothing for name in writer._schema.names if name != "cohort"}
    columns |= {"phase": nothing + 1, "agent": np.array(agents), "finished_ns": finished_ns}
    writer.write({name: np.asarray(values, np.int64) for name, values in columns.items()})


def test_in_flight_operations_become_rows_beside_those_that_were_recorded(
    watched: Callable[..., Watched], tmp_path: Path
):
    """One for each lost agent, where and when its cohort's rows are; nobody's times count them."""
    path = RunDirectory.create(tmp_path / "run", "run").path
    seen = CohortReport(1, 2, 0, 5, 0, 0, {}, at_ns=3 * S, start_wall_ns=7, start_monotonic_ns=9)
    run = watched(seen=seen)
    write_rows(path, [2, 2, 3], [S, 2 * S, S])
    run.tasks.die(1, "killed")
    run.look(4.0)
    [loss] = run.watch.settle(path, 6, None)
    assert (loss.in_flight_rows, loss.unrecorded_operations, loss.unrecorded_s) == (2, 37, 1.0)
    reader = open_run(path)
    [(metadata, rows)] = reader.in_flight_batches()
    assert (metadata.cohort, metadata.node_id, metadata.start_wall_ns) == (1, "node1", 7)
    assert rows["agent"].to_pylist() == [2, 3]
    assert rows["started_ns"].to_pylist() == [2 * S, S]
    assert set(rows["finished_ns"].to_pylist()) == {3 * S}
    assert sum(batch.num_rows for _, batch in reader.operation_batches()) == 3
    assert reader.operations().num_rows == 5
    assert pc.sum(pc.equal(reader.operations()["outcome"], "unavailable")).as_py() == 2


def test_a_cohort_that_died_before_its_first_rows_lost_all_of_its_time(
    watched: Callable[..., Watched], tmp_path: Path
):
    """What it had reported is unrecorded from its start on."""
    path = RunDirectory.create(tmp_path / "run", "run").path
    run = watched(seen=CohortReport(1, 2, 0, 5, 0, 0, {}, at_ns=S))
    run.tasks.die(1, "killed")
    run.look(1.0)
    [loss] = run.watch.settle(path, 6, None)
    assert (loss.in_flight_rows, loss.unrecorded_operations, loss.unrecorded_s) == (2, 40, 1.0)


def test_a_cohort_that_never_reported_has_no_rows_made_for_it(
    watched: Callable[..., Watched], tmp_path: Path
):
    """Without a sign of life after the start nothing is known of what it did."""
    path = RunDirectory.create(tmp_path / "run", "run").path
    run = watched()
    run.tasks.die(1, "killed")
    run.look(1.0)
    [loss] = run.watch.settle(path, 6, None)
    assert (loss.in_flight_rows, loss.unrecorded_s) == (0, None)
    assert open_run(path).operations().num_rows == 0


def test_a_full_disk_costs_the_rows_in_flight_and_not_the_run(
    watched: Callable[..., Watched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The loss is known all the same."""
    path = RunDirectory.create(tmp_path / "run", "run").path
    run = watched(seen=CohortReport(1, 2, 0, 5, 0, 0, {}, at_ns=S))
    run.tasks.die(1, "killed")
    run.look(1.0)

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalSink, "write", refuse)
    [loss] = run.watch.settle(path, 6, None)
    assert loss.in_flight_rows == 0


def packed(cohort: int, operations: int) -> bytes:
    return msgspec.msgpack.encode(CohortReport(cohort, 2, 0, operations, 0, 0, {}, at_ns=5))


def test_a_lost_cohort_that_comes_back_is_told_to_stop_and_adds_nothing(tmp_path: Path):
    """The fence: its reports are not counted, its rows are refused, those of others are taken."""

    async def steps() -> None:
        (tmp_path / "ops").mkdir()
        control = Control(str(tmp_path))
        await control.report(packed(0, 3))
        await control.report(packed(1, 4))
        seen = msgspec.msgpack.decode(await control.lose(1), type=LastSeen)
        assert seen.report is not None
        assert (seen.report.at_ns, seen.operations) == (5, 4)
        assert await control.report(packed(1, 10)) is False
        with pytest.raises(PermissionError, match="given up"):
            await control.put("write", "ops/cohort-00001-000000.parquet", b"late", 1)
        await control.put("write", "ops/cohort-00000-000000.parquet", b"fine", 0)
        assert await control.report(packed(0, 1)) is True
        assert [path.name for path in (tmp_path / "ops").iterdir()] == [
            "cohort-00000-000000.parquet"
        ]

    asyncio.run(asyncio.wait_for(steps(), 60))


def test_silence_counts_from_the_last_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the opening of the barrier for one that never reported; closing is a sign of life."""
    now_s = [100.0]
    monkeypatch.setattr(control_module, "monotonic", lambda: now_s[0])

    async def silent(control: Control) -> dict[int, float]:
        return msgspec.msgpack.decode(await control.snapshot(), type=Snapshot).silent_s

    async def steps() -> None:
        control = Control(str(tmp_path))
        ready = [msgspec.msgpack.encode(CohortReady(number, 1, "node")) for number in range(3)]
        waiting = [asyncio.ensure_future(control.ready(one)) for one in ready]
        await asyncio.sleep(0)
        now_s[0] = 150.0
        await control.release()
        assert await silent(control) == {}
        now_s[0] = 160.0
        await control.report(packed(1, 3))
        assert await silent(control) == {0: 10.0, 2: 10.0}
        await control.alive(2)
        now_s[0] = 165.0
        assert await silent(control) == {0: 15.0, 1: 5.0, 2: 5.0}
        await asyncio.gather(*waiting)

    asyncio.run(steps())


def test_what_a_cohort_is_sending_when_it_is_given_up_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Rows are counted once they are written: none comes in between."""
    order: list[str] = []
    written = LocalSink.put

    def slowly(sink: LocalSink, mode: str, name: str, data: bytes) -> None:
        written(sink, mode, name, data)
        order.append("written")

    monkeypatch.setattr(LocalSink, "put", slowly)

    async def steps() -> None:
        (tmp_path / "ops").mkdir()
        control = Control(str(tmp_path))
        put = asyncio.create_task(control.put("write", "ops/x.parquet", b"rows", 1))
        await asyncio.sleep(0)
        await control.lose(1)
        order.append("given up")
        await put

    asyncio.run(asyncio.wait_for(steps(), 60))
    assert order == ["written", "given up"]
