"""A store that stays from step to step while it is probed, and the prober that works on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.analysis.summary import summarise
from harness.benchmarks.bench import Bench, BenchInterrupted, Step
from harness.benchmarks.probed_step import ProbedStep
from harness.benchmarks.prober import Prober
from harness.benchmarks.prober_actor import ProberActor, disk_usage_bytes
from harness.databases import Databases
from harness.errors import HarnessError
from harness.plan import RunPlan
from harness.prepared import places_of
from harness.rundir import Status
from harness.rundir_reader import open_run
from harness.runner import Outcome, PreparedRun
from harness.targets.driven import Placement, Prepared
from harness.topology import hosts_of

__all__ = ["ProbedStore"]


class ProbedStore:
    """One store and its prober.

    Args:
        bench: under way.
        prepared: the plan, found good; its agents are those that memories are spread over.
        folder: for the vectors that the prober keeps; it exists.
        kept: where the store's databases are.
        resumed: whether there may be some from before.
        prober: the class of the prober.
    """

    def __init__(
        self,
        bench: Bench,
        prepared: PreparedRun,
        folder: Path,
        kept: Databases,
        *,
        resumed: bool = False,
        prober: type[Prober] = Prober,
    ) -> None:
        self._bench = bench
        self._plan: RunPlan = prepared.plan
        self._agents = prepared.agents
        self._target = prepared.target
        self._folder = folder
        self._kept = kept
        self._resumed = resumed
        self._prober_class = prober
        self._prober: ProberActor | None = None
        self._prober_pid = 0
        self._ready = Prepared(connection=b"")

    @property
    def role(self) -> str:
        """Of the processes in which the store works."""
        return "cohort" if self._target.in_process else "shard"

    @property
    def is_watched(self) -> bool:
        """Whether there are processes of it that samplers see; a server elsewhere has none."""
        return self._target.in_process or bool(self._target.processes())

    def start(self) -> None:
        """Start the store, and the prober on it."""
        session, plan = self._bench.session, self._plan
        node_ids = places_of(
            plan, self._agents, self._target, session.nodes, session.node_id
        ).shards
        if plan.shards is None and plan.shards_per_node is None:
            node_ids = node_ids[: self._agents]  # the others would hold nothing
        self._kept.hosts.update(hosts_of(session.nodes, node_ids or [session.node_id]))
        placement = Placement(
            run_id=self._kept.memory,
            data_dir=self._kept.path,
            shards=len(node_ids),
            node_ids=node_ids,
            resumed=self._resumed,
        )
        self._ready = self._target.prepare(plan, placement)
        self._prober = ProberActor(session, plan, self._folder, self._prober_class)
        self._prober_pid = self._prober.connect(self._ready.connection)

    def close(self) -> None:
        """End both. Safe when they were not started."""
        try:
            if self._prober is not None:
                self._prober.close()
        finally:
            self._target.destroy()

    def disk_usage_bytes(self) -> int:
        """What its files take up, on the disks of all nodes."""
        return disk_usage_bytes(self._bench.session, self._kept)

    @contextmanager
    def step(self, name: str, volume: int) -> Iterator[tuple[ProbedStep, dict[str, Any]]]:
        """A step under way, and what it finds, for ``volume`` of its ``run.json``.

        A step that breaks off is summed up as far as it came.

        Args:
            name: of its folder.
            volume: the memories that there are to be; 0 for the store without any.
        """
        if self._prober is None:
            raise RuntimeError("the store was not started")
        step = ProbedStep(self._bench, name, self._plan, self._prober)
        step.nodes.describe(target=self._ready.topology)
        status: Status = "failed"
        problems: list[str] = []
        found: dict[str, Any] = {"memories": volume, "store_role": self.role}
        try:
            step.watch(self._target.processes(), self._prober_pid)
            yield step, found
            status = "complete"
        except BenchInterrupted:
            status = "interrupted"
            raise
        except HarnessError as error:
            problems.append(str(error))
            self._bench.problems.append(f"{name}: {error}")
            raise
        finally:
            self._conclude(step, name, status, problems, found)

    def _conclude(
        self,
        step: ProbedStep,
        name: str,
        status: Status,
        problems: list[str],
        found: dict[str, Any],
    ) -> None:
        try:
            step.end()
        except HarnessError as error:
            problems.append(str(error))
            status = "failed" if status == "complete" else status
        directory = step.directory
        directory.update_status(status, volume=found, problems=problems)
        summary = summarise(open_run(directory.path))
        if not found["memories"]:  # nothing was to be measured but the samples
            summary["verdicts"] = [one for one in summary["verdicts"] if one["name"] != "failures"]
        directory.write_summary(summary)
        outcome = Outcome(status=status, summary=summary, problems=problems)
        self._bench.steps.append(Step(name=name, path=directory.path, outcome=outcome))
        self._bench.view.end(status, summary)
