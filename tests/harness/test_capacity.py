"""Agents are shared out whole and evenly; tasks that cannot all run at once are refused."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import runner
from harness.capacity import (
    TASK_BYTES,
    TASKS_A_CORE,
    agents_per_task,
    check_fits,
    cohort_ranges,
)
from harness.errors import UsageError
from harness.plan import RunPlan
from harness.plan_checks import MAX_AGENTS

PLENTY = 1e15


@given(st.integers(1, 100_000), st.integers(1, 5_000))
def test_every_agent_is_in_one_cohort(agents: int, per_task: int):
    """Ranges follow each other without a gap, and their sizes differ by one at most."""
    per_task = max(per_task, agents // 2_000 + 1)
    ranges = cohort_ranges(agents, per_task)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == agents
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ranges))
    sizes = [last - first for first, last in ranges]
    assert min(sizes) >= 1
    assert max(sizes) <= per_task
    assert max(sizes) - min(sizes) <= 1


def test_more_agents_a_task_than_there_are_make_one_task():
    """A cohort is never empty: 3 agents, 100 a task, are one cohort of 3."""
    assert cohort_ranges(3, 100) == [(0, 3)]


@given(st.integers(1, MAX_AGENTS), st.integers(1, 512), st.booleans())
def test_the_choice_suits_the_cores(agents: int, cpus: int, alone: bool):
    """A task a core where agents are alone, else one for two; no more tasks than agents."""
    per_task = agents_per_task(agents, cpus, alone=alone)
    tasks = -(-agents // per_task)
    assert 1 <= per_task <= 25_000
    wanted = cpus if alone else max(1, cpus // 2)
    assert tasks <= max(wanted, -(-agents // 25_000))


def test_the_most_tasks_that_fit_do():
    """As many as the memory, or the cores, carry are accepted."""
    check_fits(7, 2, 7.5 * TASK_BYTES)
    check_fits(2 * TASKS_A_CORE, 2, PLENTY)
    check_fits(1, 1, 0.0)


@pytest.mark.parametrize(
    ("tasks", "cpus", "free_bytes", "most"),
    [(8, 2, 7.5 * TASK_BYTES, 7), (257, 2, PLENTY, 256), (2, 64, 0.0, 1)],
)
def test_more_tasks_than_fit_are_refused_naming_the_most(
    tasks: int, cpus: int, free_bytes: float, most: int
):
    """The sentence says how many there would be and how many can be."""
    with pytest.raises(UsageError) as caught:
        check_fits(tasks, cpus, free_bytes)
    assert caught.value.field == "--agents-per-task"
    assert re.search(rf"\b{tasks:,} tasks\b.*\bat most {most:,}\b", str(caught.value))


def test_a_plan_whose_tasks_do_not_fit_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
):
    """Given or chosen, tasks and shards that this machine does not carry at once are refused."""
    monkeypatch.setattr(runner, "available_memory_bytes", lambda: 3 * TASK_BYTES)
    with pytest.raises(UsageError, match=r"^--agents-per-task: .*at most 3 "):
        runner.prepare(RunPlan(agents=4, agents_per_task=1))
    with pytest.raises(UsageError, match=r"^--agents: .*at most 3 "):
        runner.prepare(RunPlan(agents=100_001))
    with pytest.raises(UsageError, match=r"^--shards: makes 4 shards, .*at most 3 "):
        runner.prepare(RunPlan(agents=1, shards=4))
    assert runner.prepare(RunPlan(agents=3, agents_per_task=1, shards=3)).agents == 3
    assert runner.prepare(RunPlan(agents=1, shards=4, target="embedded")).agents == 1
