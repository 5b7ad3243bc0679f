"""Memory-size scaling: one store, filled volume by volume, probed at each.

The baseline is the empty store, sampled. Then for each volume, in a step of its own:

1. Load: stores with many in flight, up to the volume.
2. Probe stores, one at a time, of memories drawn over the whole volume: the same states under
   the same ids, so that the volume stays and no vector changes. Each takes its memory out of
   whatever tier it was in and puts it into the short-term tier as the newest, and others move
   down for it, which is what a store costs in a store that is full.
3. Force memories down: 30% of the short-term tier from 10,000 on, 20% of the intermediate tier
   from 100,000 on. It comes after the stores, which fill the short-term tier again.
4. Wait until the store is idle, for loading leaves flushes, compaction and indexes to be done.
5. Probe retrieves; searches that name no tier; and cross-tier searches, which put each query to
   all tiers and then to each that holds something, by turns.
6. Look: what the store says it has, disk, and each memory by itself; recall of the cross-tier
   searches against exact search.

A volume that is done is not measured again when the benchmark goes on in its directory, and what
a stop left half done is completed: the databases stay until the benchmark is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.analysis.summary import summarise
from harness.benchmarks.auditing import Retrieved, Tiers
from harness.benchmarks.bench import Bench, BenchInterrupted, Step
from harness.benchmarks.loading import Load
from harness.benchmarks.memory_settings import MemorySettings
from harness.benchmarks.probed_step import ProbedStep
from harness.benchmarks.prober import Audit, Counted, Forced, Searched, cohort_of
from harness.benchmarks.prober_actor import ProberActor, disk_usage_bytes
from harness.databases import Databases, memory_name, remove
from harness.errors import HarnessError, RunFailedError
from harness.plan import RunPlan
from harness.prepared import places_of
from harness.rundir import Status
from harness.rundir_reader import open_run
from harness.runner import Outcome, PreparedRun
from harness.targets.base import Placement, Prepared
from harness.topology import hosts_of
from memory_core.operations import TIERS

__all__ = ["BASELINE", "measure", "step_of"]

BASELINE = "baseline"
BASELINE_S = 3.0
SETTLE_S = 60.0
# (the tier that memories are forced to, the percentage of the tier above, from which volume on)
FORCED = (("im", 30.0, 10_000), ("ltm", 20.0, 100_000))


def step_of(volume: int) -> str:
    """The name of a volume's step."""
    return f"volume-{volume}"


def measure(
    bench: Bench,
    prepared: PreparedRun,
    settings: MemorySettings,
    databases: Path,
    done: Iterable[str] = (),
) -> None:
    """Run the steps that are not done.

    Args:
        bench: under way.
        prepared: the plan, found good.
        settings: what the benchmark was told.
        databases: the folder of the store, which may hold what an earlier part left.
        done: names of steps that need not be run again.

    Raises:
        BenchInterrupted: the end was asked for.
        UsageError: the plan does not fit the target.
        RunFailedError: a step could not be measured.
    """
    names = frozenset(done)
    kept = None
    missing = [one for one in settings.volumes if step_of(one) not in names]
    if missing or BASELINE not in names:
        databases.mkdir(parents=True, exist_ok=True)
        kept = _kept(bench, prepared.plan, databases)
        resumed = bool(names) or "memory" in bench.directory.run
        scaling = _Scaling(bench, prepared, settings, databases, kept, resumed=resumed)
        try:
            scaling.start()
            if BASELINE not in names:
                scaling.run(BASELINE, 0)
            for volume in missing:
                scaling.run(step_of(volume), volume)
        finally:
            scaling.close()
    if bench.status == "complete" and not prepared.plan.keep_data:
        if kept is not None:
            remove(kept, on_nodes=not bench.session.owned)
            bench.problems += kept.problems
        shutil.rmtree(databases, ignore_errors=True)


def _kept(bench: Bench, plan: RunPlan, databases: Path) -> Databases:
    """The store's databases: in the benchmark's folder, or on a cluster in each data root.

    Their name is in ``run.json``, so that a benchmark that goes on finds its own again.
    """
    known = bench.directory.run.get("memory")
    memory = known if isinstance(known, str) else memory_name(bench.directory.path.name)
    bench.directory.describe(memory=memory)
    own = bench.session.owned or plan.data_dir is not None
    return Databases(memory=memory, path=databases if own else None)


class _Scaling:
    """The benchmark's one store, and the prober that works on it."""

    def __init__(
        self,
        bench: Bench,
        prepared: PreparedRun,
        settings: MemorySettings,
        databases: Path,
        kept: Databases,
        *,
        resumed: bool,
    ) -> None:
        self._bench = bench
        self._plan: RunPlan = prepared.plan
        self._agents = prepared.agents
        self._target = prepared.target
        self._settings = settings
        self._databases = databases
        self._kept = kept
        self._resumed = resumed or any(databases.iterdir())
        self._prober: ProberActor | None = None
        self._prober_pid = 0
        self._ready = Prepared(connection=b"")

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
        self._prober = ProberActor(session, plan, self._databases)
        self._prober_pid = self._prober.connect(self._ready.connection)

    def close(self) -> None:
        """End both."""
        try:
            if self._prober is not None:
                self._prober.close()
        finally:
            self._target.destroy()

    def run(self, name: str, volume: int) -> None:
        """Run one step; one that breaks off is summed up as far as it came."""
        if self._prober is None:
            raise RuntimeError("the store was not started")
        step = ProbedStep(self._bench, name, self._plan, self._prober)
        step.nodes.describe(target=self._ready.topology)
        status: Status = "failed"
        problems: list[str] = []
        found: dict[str, Any] = {"memories": volume, "store_role": self._role}
        try:
            step.watch(self._target.processes(), self._prober_pid)
            if volume:
                self._volume(step, volume, found)
            else:
                self._baseline(step, found)
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

    def _baseline(self, step: ProbedStep, found: dict[str, Any]) -> None:
        step.phase("settling")
        found["settle"] = step.settle(self._role, SETTLE_S)
        step.phase("measuring")
        step.rest(BASELINE_S)
        found["disk_usage_bytes"] = self._disk_bytes()

    def _volume(self, step: ProbedStep, volume: int, found: dict[str, Any]) -> None:
        settings = self._settings
        self._load(step, volume, found)
        step.phase("keeping vectors")
        step.call("keep", volume)
        step.phase("measuring")
        step.call("store", volume, settings.probes)
        found["forced"] = self._force(step, volume)
        step.phase("settling")
        found["settle"] = step.settle(self._role, SETTLE_S)
        tiers = self._tiers(step)
        found["tiers"] = None if tiers is None else msgspec.to_builtins(tiers)
        step.phase("measuring")
        retrieved = step.call("retrieve", volume, settings.probes, answer=Retrieved)
        found["retrieved"] = msgspec.to_builtins(retrieved)
        self._search(step, volume, tiers, found)
        step.phase("counting")
        found["disk_usage_bytes"] = self._disk_bytes()
        counted = self._tiers(step)
        found["counted"] = None if counted is None else _total(counted)
        audit = step.call("audit", volume, settings.k, answer=Audit)
        found["audit"] = msgspec.to_builtins(audit)

    def _load(self, step: ProbedStep, volume: int, found: dict[str, Any]) -> None:
        step.phase("loading")
        there = self._tiers(step) if self._resumed else None
        if there is not None and _total(there) > volume:
            raise RunFailedError(
                f"the databases hold {_total(there):,} memories, more than the {volume:,} that are "
                "to be measured; measure in a new folder"
            )
        done = step.call("load", volume, False, answer=Load)
        if self._resumed and not done.unstored:
            # What a stop left should be a beginning of the volume. If it has gaps, a count tells.
            counted = self._tiers(step)
            if counted is not None and _total(counted) < volume:
                done = step.call("load", volume, True, answer=Load)
                found["loaded_again"] = True
            self._resumed = False
        found["load"] = msgspec.to_builtins(done)
        if done.unstored:
            raise RunFailedError(
                f"{done.unstored:,} of {volume:,} memories could not be stored: "
                + ", ".join(f"{count:,} {name}" for name, count in sorted(done.outcomes.items()))
            )

    def _force(self, step: ProbedStep, volume: int) -> list[dict[str, Any]]:
        forced = []
        for tier, percentage, least in FORCED:
            if volume >= least:
                step.phase(f"moving to {tier}")
                answer = step.call("force", tier, percentage, answer=Forced)
                forced.append({"to": tier, "percentage": percentage, "moved": answer.moved})
        return forced

    def _search(
        self, step: ProbedStep, volume: int, tiers: Tiers | None, found: dict[str, Any]
    ) -> None:
        settings = self._settings
        # an agent has this many memories at least, so that a search must find as many
        least = min(settings.k, volume // self._agents)
        searched = step.call("search", settings.searches, settings.k, least, answer=Searched)
        found["k"] = settings.k
        found["searched"] = msgspec.to_builtins(searched)
        held = [] if tiers is None else [one for one in TIERS if getattr(tiers, one)]
        chosen = ["all", *held]
        found["cross_tier"] = {tier: cohort_of(tier) for tier in chosen}
        step.call("search_tiers", settings.searches, settings.k, chosen)

    def _tiers(self, step: ProbedStep) -> Tiers | None:
        counted: Counted = step.call("count", answer=Counted)
        return counted.tiers

    def _disk_bytes(self) -> int:
        return disk_usage_bytes(self._bench.session, self._kept)

    @property
    def _role(self) -> str:
        """Of the processes in which the store works."""
        return "cohort" if self._target.in_process else "shard"


def _total(tiers: Tiers) -> int:
    return tiers.stm + tiers.im + tiers.ltm
