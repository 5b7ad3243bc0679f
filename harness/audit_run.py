"""Audits all of a run: the tasks that read back what was acknowledged, and what came of it.

The driver reads the rows (`StoreOutcomes`) and shares the agents out to Ray tasks, each with a
session of its own that no cohort has used. Where the store works in the cohorts' own processes, a
task opens the database that a cohort has left, on that cohort's node.

Bounds: `_allowed_s` for all of it; what was not read back by then counts as unreachable.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import ray
from ray.exceptions import RayError

from harness.answer_checks import AnswerCounts
from harness.audit import AuditCounts, Auditor, AuditSession, StoreOutcomes, writes_of
from harness.cohort import workload_agent
from harness.launch import pinned_to
from harness.plan import RunPlan
from harness.rundir_reader import RunReader
from harness.targets import load_target
from harness.targets.driven import DrivenTarget
from harness.trace import ReplaySlice, Trace
from harness.workload import preload_share
from memory_core.operations import Agents
from memory_core.results import Listed

__all__ = ["AuditPart", "RunAudit"]

_AGENTS_AT_ONCE = 16
_AGENTS_A_PAGE = 1_000
_LEAST_S = 120.0
_POLL_INTERVAL_S = 0.25
_GRACE_S = 60.0
_AGENT_ID = re.compile(r"agent_(0|[1-9][0-9]{0,8})", re.ASCII)


class AuditPart(msgspec.Struct, frozen=True):
    """Agents ``first`` to ``last - 1``, all of one cohort.

    ``codes`` are their stores' outcomes one after the other, ``counts`` how many of each agent;
    ``whole``: every store has a row. ``lists``: also look for agents that are not of the run.
    """

    cohort: int
    first: int
    last: int
    whole: bool
    counts: bytes
    codes: bytes
    replay: bytes | None
    lists: bool


class _Task(msgspec.Struct, frozen=True):
    plan: dict[str, Any]
    agents: int
    shards: int
    connection: bytes
    parts: list[AuditPart]
    allowed_s: float


def run_audit(data: bytes) -> bytes:
    """Audit some agents; packed `AuditCounts`. A Ray task."""
    task = msgspec.msgpack.decode(data, type=_Task)
    return msgspec.msgpack.encode(asyncio.run(_audited(task)))


async def _audited(task: _Task) -> AuditCounts:
    plan = replace(RunPlan(**task.plan), pipelining=True)
    target = load_target(plan.target)
    counts = AuditCounts()
    deadline_s = time.monotonic() + task.allowed_s
    unreachable: set[int] = set()
    for part in task.parts:
        # A session that is of no cohort, but where only a cohort's own folder has its memories.
        cohort = part.cohort if target.in_process else -1
        session: Any = await target.connect(plan, task.connection, cohort)
        auditor = Auditor(
            session=session,
            shards=task.shards,
            unique_ids=plan.trace is None,
            deadline_s=deadline_s,
            counts=counts,
            unreachable=set() if target.in_process else unreachable,
        )
        try:
            await _audit_part(auditor, task, plan, part)
            if part.lists and plan.trace is None:
                await _look_for_strangers(session, counts, _its_agents(target, task, part))
        finally:
            await session.close()
    return counts


async def _audit_part(auditor: Auditor, task: _Task, plan: RunPlan, part: AuditPart) -> None:
    replay = None if part.replay is None else ReplaySlice.from_bytes(part.replay)
    codes = np.frombuffer(part.codes, np.int8)
    ends = np.cumsum(np.frombuffer(part.counts, np.int64))

    async def audit_some(agents: Iterator[int]) -> None:
        for agent in agents:  # shared by all that audit: each takes the next
            place = agent - part.first
            own = codes[ends[place - 1] if place else 0 : ends[place]]
            workload = workload_agent(plan, agent, replay)
            writes, ahead = writes_of(
                workload, preload_share(plan.preload, task.agents, agent), own
            )
            await auditor.audit(workload.agent_id, writes, ahead, whole=part.whole)

    agents = iter(range(part.first, part.last))
    await asyncio.gather(*(audit_some(agents) for _ in range(_AGENTS_AT_ONCE)))


def _its_agents(target: DrivenTarget, task: _Task, part: AuditPart) -> range:
    """The agents that may have memories in the store that a part is audited in."""
    return range(part.first, part.last) if target.in_process else range(task.agents)


async def _look_for_strangers(session: AuditSession, counts: AuditCounts, agents: range) -> None:
    """Agents that have memories and are none of the run's, or that have them in two shards."""
    after, before = None, None
    while True:
        listed = await session.call(Agents(after, _AGENTS_A_PAGE))
        if not isinstance(listed, Listed) or not listed.agents:
            return
        for one in listed.agents:
            found = _AGENT_ID.fullmatch(one.agent_id)
            if found is None or int(found[1]) not in agents:
                counts.violation("foreign", f"agent {one.agent_id!r} is none of this run's")
            elif one.agent_id == before:
                counts.violation("foreign", f"agent {one.agent_id!r} is in two shards")
            before = one.agent_id
        after = before


class RunAudit:
    """The audit of one run.

    Args:
        plan: of the run.
        agents: how many it has.
        target: that was driven.
        trace: that was replayed.
        ranges: the agents of each cohort.
        nodes: of each cohort.
        cores: of all nodes.
    """

    def __init__(
        self,
        plan: RunPlan,
        agents: int,
        target: DrivenTarget,
        trace: Trace | None,
        *,
        ranges: Sequence[tuple[int, int]],
        nodes: Sequence[str],
        cores: int,
    ) -> None:
        self._plan = plan
        self._agents = agents
        self._target = target
        self._trace = trace
        self._ranges = ranges
        self._nodes = nodes
        self._cores = cores

    def carry_out(
        self,
        reader: RunReader,
        connection: bytes,
        shards: int,
        *,
        lost: set[int],
        lived_s: float,
        answers: AnswerCounts,
        stopped: Callable[[], bool],
    ) -> dict[str, Any]:
        """Read everything back; what ``run.json`` says of it.

        Args:
            reader: of the run's directory.
            connection: to the store.
            shards: how many it has.
            lost: cohorts that did not end well.
            lived_s: how long the run was; the audit may take three times that, or 120 s.
            answers: what the cohorts found wrong with answers while the run went on.
            stopped: whether the audit is to be given up.
        """
        began_s = time.monotonic()
        outcomes = StoreOutcomes.read(reader)
        allowed_s = max(_LEAST_S, 3 * lived_s)
        groups = self._groups(outcomes, lost | outcomes.gaps)
        counts, problems = AuditCounts(), []
        running = {}
        for node_id, parts in groups:
            task = _Task(
                plan=self._plan.as_dict(),
                agents=self._agents,
                shards=max(shards, 1),
                connection=connection,
                parts=parts,
                allowed_s=allowed_s,
            )
            running[self._start(task, node_id)] = parts
        deadline_s = began_s + allowed_s + _GRACE_S
        while running:
            done, _ = ray.wait(list(running), timeout=_POLL_INTERVAL_S)
            for ref in done:
                parts = running.pop(ref)
                try:
                    counts.add(msgspec.msgpack.decode(ray.get(ref), type=AuditCounts))
                except RayError as error:
                    problems.append(" ".join(str(error).split())[:200])
                    _count_unreachable(counts, parts, self._preloaded)
            if stopped() or time.monotonic() > deadline_s:
                problems.append("it was stopped" if stopped() else "its time was over")
                for ref, parts in running.items():
                    ray.cancel(ref, force=True)
                    _count_unreachable(counts, parts, self._preloaded)
                break
        return {
            **msgspec.to_builtins(counts),
            "answers": msgspec.to_builtins(answers),
            "problems": problems,
            "took_s": time.monotonic() - began_s,
        }

    def _start(self, task: _Task, node_id: str | None) -> Any:
        settings: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "max_calls": 1}
        strategy = "SPREAD" if node_id is None else pinned_to(node_id)
        function = ray.remote(**settings)(run_audit)
        return function.options(scheduling_strategy=strategy, enable_task_events=False).remote(
            msgspec.msgpack.encode(task)
        )

    def _groups(
        self, outcomes: StoreOutcomes, lost: set[int]
    ) -> Iterator[tuple[str | None, list[AuditPart]]]:
        """What each task audits, and on which node; on any, where shards serve."""
        in_process = self._target.in_process
        tasks = self._cores if in_process else max(1, self._cores // 2)
        pieces = self._pieces(1 if in_process else tasks)
        parts: dict[str | None, list[AuditPart]] = {}
        for place, (cohort, first, last) in enumerate(pieces):
            trace, agents = self._trace, range(first, last)
            codes = [outcomes.of(agent) for agent in agents]
            part = AuditPart(
                cohort=cohort,
                first=first,
                last=last,
                whole=cohort not in lost,
                counts=np.array([len(one) for one in codes], np.int64).tobytes(),
                codes=b"".join(one.tobytes() for one in codes),
                replay=None if trace is None else trace.slice_for(agents),
                lists=in_process or not place,
            )
            parts.setdefault(self._nodes[cohort] if in_process else None, []).append(part)
        for node_id, its in parts.items():
            for task in range(min(tasks, len(its))):
                yield node_id, its[task::tasks]

    def _pieces(self, tasks: int) -> Iterator[tuple[int, int, int]]:
        """Cohort and agents, cut so that each of so many tasks has about as many."""
        most = max(1, -(-self._agents // tasks))
        for cohort, (first, last) in enumerate(self._ranges):
            whole = last - first if self._target.in_process else most
            for begin in range(first, last, whole):
                yield cohort, begin, min(begin + whole, last)

    def _preloaded(self, agent: int) -> int:
        return preload_share(self._plan.preload, self._agents, agent)


def _count_unreachable(
    counts: AuditCounts, parts: list[AuditPart], preloaded: Callable[[int], int]
) -> None:
    for part in parts:
        codes = np.frombuffer(part.codes, np.int8)
        acknowledged = int((codes % 16 == 0).sum())
        acknowledged += sum(preloaded(agent) for agent in range(part.first, part.last))
        counts.acknowledged += acknowledged
        counts.unreachable += acknowledged
        counts.unknown += len(codes) - int((codes % 16 == 0).sum())
