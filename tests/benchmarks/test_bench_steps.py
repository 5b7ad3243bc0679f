"""A benchmark's steps on one Ray: each a whole run, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.benchmarks.bench import Bench, carry_out
from harness.benchmarks.bench_directory import BenchDirectory, open_bench
from harness.errors import UsageError
from harness.live.terminal import live_view
from harness.plan import RunPlan
from harness.ray_session import LOCAL, RaySession
from harness.runner import StopRequest
from tests import shared_ray
from tests.watching import Watching, assert_counts_are_of

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.fixture(autouse=True)
def on_ray_here(ray_here: RaySession) -> Iterator[None]:
    """The steps are on the Ray that tests share."""
    with shared_ray.instead():
        yield


def test_steps_share_a_connection_and_are_runs_of_their_own(tmp_path: Path):
    """Each has rows, a summary and views; one that cannot be run fails the benchmark in the end."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    plan = RunPlan(agents=2, rounds=1, target="noop", shards=1)

    view = Watching()

    def steps(bench: Bench) -> None:
        bench.planned = 2
        bench.run_step("first", plan)
        bench.run_step("second", plan)
        bench.run_step("third", RunPlan(agents=1, target="no-such-target"))

    outcome = carry_out(directory, LOCAL, view, view.stop, steps, lambda _: {"bench": "agents"})
    told = [one for one in view.calls if one != "update"]
    assert told == ["step 1", "begin", "end complete", "step 2", "begin", "end complete"]
    assert view.planned == 2
    for _, seen, summary in view.ended:
        assert_counts_are_of(summary, seen[-1].counts)
    assert outcome.status == "failed"
    assert "no-such-target" in outcome.problems[0]
    found = open_bench(directory.path)
    assert found.step_names() == ["first", "second"]
    for name in found.step_names():
        summary = found.step(name).summary
        assert summary is not None
        assert summary["operations"] == 36
        assert not list((found.path / "steps" / name).glob("data/*"))


def test_a_step_that_is_refused_has_ended_for_whoever_watches(tmp_path: Path, ray_here: RaySession):
    """Wrong usage of a step that has begun is told as its failure, and is the caller's to tell."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    directory.step("first")
    view = Watching()
    bench = Bench(directory=directory, session=ray_here, view=view, stop=view.stop)
    with pytest.raises(UsageError):
        bench.run_step("first", RunPlan(agents=1, rounds=1, target="noop", shards=1))
    assert view.calls == ["step 1", "end failed"]
    assert bench.problems == []


def test_a_wish_to_end_is_granted_between_steps(tmp_path: Path):
    """The steps that were done are summed up, and no other begins."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    stop = StopRequest()

    def steps(bench: Bench) -> None:
        bench.run_step("first", RunPlan(agents=1, rounds=1, target="noop", shards=1))
        stop.set()
        bench.run_step("second", RunPlan(agents=1, rounds=1, target="noop", shards=1))

    with live_view() as view:
        outcome = carry_out(directory, LOCAL, view, stop, steps, lambda _: {"bench": "agents"})
    assert outcome.status == "interrupted"
    assert open_bench(directory.path).step_names() == ["first"]


def test_a_plan_that_is_wrong_from_the_start_is_refused(tmp_path: Path):
    """What the first step is told is the benchmark's own wrong usage."""
    directory = BenchDirectory.create(tmp_path / "b", "bench-agents")
    with live_view() as view, pytest.raises(UsageError, match="--target"):
        carry_out(
            directory,
            LOCAL,
            view,
            StopRequest(),
            lambda bench: bench.run_step("first", RunPlan(agents=1, target="none")) and None,
            lambda _: {},
        )
    assert open_bench(directory.path).run["status"] == "failed"
