"""The control actor: nobody starts before all are there, and a stop reaches everyone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.control import CohortReady, CohortReport, Control, Snapshot
from harness.launch import Controller
from harness.operation_tally import OperationTally, kind_of
from harness.ray_session import RaySession


def ready(cohort: int) -> bytes:
    return msgspec.msgpack.encode(CohortReady(cohort, 100 + cohort, "node"))


def tally_of(operations: int, reports: int = 1) -> OperationTally:
    """Of some reports, one operation of each of which was not found."""
    outcomes = [operations - reports, reports, 0, 0, 0, 0, 0]
    return OperationTally(outcomes, {3: operations}, *(time * reports for time in (5, 4, 3, 2, 1)))


def report(cohort: int, operations: int, **more: Any) -> bytes:
    given: dict[str, Any] = {
        "agents_started": 5,
        "agents_done": 2,
        "failures": 1,
        "retries": 4,
        "tally": {kind_of(1, 2): tally_of(operations)},
    }
    return msgspec.msgpack.encode(
        CohortReport(cohort=cohort, operations=operations, **given | more)
    )


async def seen(control: Control) -> Snapshot:
    return msgspec.msgpack.decode(await control.snapshot(), type=Snapshot)


def run(steps: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(steps, 10))


def test_cohorts_wait_until_the_barrier_opens(tmp_path: Path):
    """A cohort that is ready waits; released, all go at once."""

    async def steps() -> None:
        control = Control(str(tmp_path))
        waiting = [asyncio.create_task(control.ready(ready(number))) for number in range(3)]
        await asyncio.sleep(0)
        assert [one.cohort for one in (await seen(control)).ready] == [0, 1, 2]
        assert not any(task.done() for task in waiting)
        await control.release()
        assert await asyncio.gather(*waiting) == [True, True, True]

    run(steps())


def test_a_stop_before_the_start_sends_cohorts_home(tmp_path: Path):
    """Stopped before the release, a cohort that waits, or comes later, is not to start."""

    async def steps() -> None:
        control = Control(str(tmp_path))
        early = asyncio.create_task(control.ready(ready(0)))
        await asyncio.sleep(0)
        await control.stop()
        assert await early is False
        assert await control.ready(ready(1)) is False

    run(steps())


def test_a_stop_reaches_a_cohort_with_its_next_report(tmp_path: Path):
    """A report is answered with whether to go on."""

    async def steps() -> None:
        control = Control(str(tmp_path))
        assert await control.report(report(0, 10)) is True
        await control.stop()
        assert await control.report(report(0, 10)) is False

    run(steps())


def test_cohorts_wait_for_the_store(tmp_path: Path):
    """What is needed to reach the store is given once it serves, however early it is asked for."""

    async def steps() -> None:
        control = Control(str(tmp_path))
        early = asyncio.create_task(control.connection())
        await asyncio.sleep(0)
        assert not early.done()
        await control.connect(b"there")
        assert await early == b"there"
        assert await control.connection() == b"there"

    run(steps())


def test_reports_add_up(tmp_path: Path):
    """Sums are of all reports since the beginning, agents and retries of each one's last."""

    async def steps() -> None:
        control = Control(str(tmp_path))
        for cohort, operations in ((0, 10), (1, 20), (0, 5)):
            await control.report(report(cohort, operations))
        snapshot = await seen(control)
        assert (snapshot.operations, snapshot.failures) == (35, 3)
        assert (snapshot.agents_started, snapshot.agents_done, snapshot.retries) == (10, 4, 8)
        total = {kind_of(1, 2): tally_of(35, reports=3)}
        assert snapshot.tally == total
        assert (await seen(control)).tally == total
        await control.lose(0)
        await control.report(report(0, 7))
        await control.report(report(1, 1))
        assert (await seen(control)).tally == {kind_of(1, 2): tally_of(36, reports=4)}

    run(steps())


def test_files_of_far_nodes_are_written_below_the_run_directory(tmp_path: Path):
    """What another node sends lands in the run directory, and nowhere else."""

    async def steps() -> None:
        control = Control(str(tmp_path / "run"))
        (tmp_path / "run").mkdir()
        await control.put("write", "ops/x.parquet", b"whole")
        await control.put("append", "resources/x.arrows", b"one")
        await control.put("append", "resources/x.arrows", b"two")
        assert (tmp_path / "run" / "ops" / "x.parquet").read_bytes() == b"whole"
        assert (tmp_path / "run" / "resources" / "x.arrows").read_bytes() == b"onetwo"
        with pytest.raises(ValueError, match="no file name of a run directory"):
            await control.put("write", "ops/../../x", b"out")
        assert not (tmp_path / "x").exists()

    run(steps())


@pytest.mark.slow
@pytest.mark.cluster
def test_more_cohorts_than_any_bound_on_calls_are_let_go(ray_here: RaySession, tmp_path: Path):
    """Those that wait at the barrier leave room for the call that releases them."""
    ray = pytest.importorskip("ray")
    controller = Controller(ray_here, tmp_path)
    try:
        waiting = [controller.actor.ready.remote(ready(cohort)) for cohort in range(10_001)]
        ray.get(controller.actor.release.remote(), timeout=100)
        assert ray.get(waiting, timeout=100) == [True] * len(waiting)
    finally:
        ray.kill(controller.actor)
