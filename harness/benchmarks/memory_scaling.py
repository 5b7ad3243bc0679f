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

from harness.benchmarks.auditing import Retrieved, Tiers
from harness.benchmarks.bench import Bench
from harness.benchmarks.loading import Load
from harness.benchmarks.memory_settings import MemorySettings
from harness.benchmarks.probed_step import ProbedStep
from harness.benchmarks.probed_store import ProbedStore
from harness.benchmarks.prober import Audit, Counted, Forced, Searched, cohort_of
from harness.databases import Databases, memory_name, remove
from harness.errors import RunFailedError
from harness.plan import RunPlan
from harness.runner import PreparedRun
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
    bench.planned = len(missing) + (BASELINE not in names)
    if bench.planned:
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
    """The benchmark's one store."""

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
        self._agents = prepared.agents
        self._settings = settings
        self._resumed = resumed or any(databases.iterdir())
        self._store = ProbedStore(bench, prepared, databases, kept, resumed=self._resumed)

    def start(self) -> None:
        """Start the store, and the prober on it."""
        self._store.start()

    def close(self) -> None:
        """End both."""
        self._store.close()

    def run(self, name: str, volume: int) -> None:
        """Run one step; one that breaks off is summed up as far as it came."""
        with self._store.step(name, volume) as (step, found):
            if volume:
                self._volume(step, volume, found)
            else:
                self._baseline(step, found)

    def _baseline(self, step: ProbedStep, found: dict[str, Any]) -> None:
        step.phase("settling")
        found["settle"] = step.settle(self._store.role, SETTLE_S)
        step.phase("measuring")
        step.rest(BASELINE_S)
        found["disk_usage_bytes"] = self._store.disk_usage_bytes()

    def _volume(self, step: ProbedStep, volume: int, found: dict[str, Any]) -> None:
        settings = self._settings
        self._load(step, volume, found)
        step.phase("keeping vectors")
        step.call("keep", volume)
        step.phase("measuring")
        step.call("store", volume, settings.probes)
        found["forced"] = self._force(step, volume)
        step.phase("settling")
        found["settle"] = step.settle(self._store.role, SETTLE_S)
        tiers = self._tiers(step)
        found["tiers"] = None if tiers is None else msgspec.to_builtins(tiers)
        step.phase("measuring")
        retrieved = step.call("retrieve", volume, settings.probes, answer=Retrieved)
        found["retrieved"] = msgspec.to_builtins(retrieved)
        self._search(step, volume, tiers, found)
        step.phase("counting")
        found["disk_usage_bytes"] = self._store.disk_usage_bytes()
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


def _total(tiers: Tiers) -> int:
    return tiers.stm + tiers.im + tiers.ltm
