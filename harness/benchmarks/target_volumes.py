"""A target at volumes of memories: loaded, probed one operation at a time, and weighed.

One fresh store goes through the volumes from the smallest to the largest. At each

1. load, with many stores in flight, but for the last memories of the volume;
2. flush, and wait until the store is idle: loading may leave indexes and compaction to be done;
3. probe stores, one at a time, of those last memories;
4. wait again, then probe retrieves and searches;
5. judge the searches against exact search, and look at memory and disk.

Loading and the probes of a kind may each take so long. A volume that is not reached by then is
cut: it says how far it came, and larger ones are not tried.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from harness.benchmarks.auditing import Retrieved
from harness.benchmarks.bench import Bench
from harness.benchmarks.loading import Load
from harness.benchmarks.probed_step import ProbedStep
from harness.benchmarks.probed_store import ProbedStore
from harness.benchmarks.target_prober import Found, TargetProber
from harness.benchmarks.target_settings import TargetSettings
from harness.benchmarks.target_steps import TargetStep
from harness.databases import Databases, memory_name, remove
from harness.errors import RunFailedError
from harness.plan import RunPlan
from harness.runner import prepare

__all__ = ["measure_volumes"]

EMPTY_S = 2.5
SETTLE_S = 30.0


def measure_volumes(
    bench: Bench,
    plan: RunPlan,
    settings: TargetSettings,
    step: TargetStep,
    slug: str,
    volumes: tuple[int, ...],
) -> int | None:
    """Measure the volumes of one repeat of a target, on a store of its own that goes afterwards.

    Args:
        bench: under way.
        plan: of every step; says where databases are.
        settings: of the comparison.
        step: whose target and repeat it is.
        slug: of the target.
        volumes: ascending, that are to be tried.

    Returns:
        The volume that was cut, None when none was.

    Raises:
        BenchInterrupted: the end was asked for.
        UsageError: the plan does not fit the target.
        RunFailedError: it could not be measured.
    """
    own = replace(
        plan,
        target=step.target,
        agents=settings.volume_agents,
        rounds=1,
        duration_s=None,
        whole_rounds=False,
    )
    root = Path(plan.data_dir) if plan.data_dir is not None else bench.directory.path / "data"
    folder = root.resolve() / memory_name(f"{slug}-{step.repeat}")
    folder.mkdir(parents=True)
    local = bench.session.owned or plan.data_dir is not None
    kept = Databases(memory=folder.name, path=folder if local else None)
    store = ProbedStore(bench, prepare(own), folder, kept, prober=TargetProber)
    try:
        store.start()
        if step.repeat == 1:
            _empty(store, step.volume_name(slug, 0))
        for before, volume in zip((0, *volumes), volumes, strict=False):
            with store.step(step.volume_name(slug, volume), volume) as (under_way, found):
                if not _Volume(under_way, store, settings, found).measure(volume, before):
                    return volume
        return None
    finally:
        try:
            store.close()
        finally:
            remove(kept, on_nodes=not bench.session.owned)
            shutil.rmtree(folder, ignore_errors=True)
            bench.problems += kept.problems
            with suppress(OSError):  # others have theirs in it, or it is not ours
                if plan.data_dir is None:
                    root.rmdir()


def _empty(store: ProbedStore, name: str) -> None:
    """Look at the store without a memory."""
    with store.step(name, 0) as (step, found):
        if store.is_watched:
            step.phase("settling")
            found["settle"] = step.settle(store.role, SETTLE_S)
            step.phase("measuring")
            step.rest(EMPTY_S)
        found["disk_usage_bytes"] = store.disk_usage_bytes()


class _Volume:
    """One volume under way."""

    def __init__(
        self, step: ProbedStep, store: ProbedStore, settings: TargetSettings, found: dict[str, Any]
    ) -> None:
        self._step, self._store, self._settings, self._found = step, store, settings, found

    def measure(self, volume: int, before: int) -> bool:
        """Load, probe and weigh; whether the volume was reached. ``before`` were there already."""
        found, step, settings = self._found, self._step, self._settings
        singly = min(settings.probes, volume - before)
        if not self._load(volume, volume - singly):
            return False
        step.phase("flushing")
        found["flush_s"] = self._bounded("flush")
        if found["flush_s"] is None:
            return self._cut(volume, volume - singly)
        self._settle("load")
        step.phase("measuring")
        stored: int = self._bounded("store_next", singly)
        if stored < singly:
            return self._cut(volume, volume - singly + stored)
        step.phase("keeping vectors")
        step.call("keep", volume)
        self._settle("store")
        step.phase("measuring")
        retrieved = self._bounded("retrieve", volume, settings.probes, answer=Retrieved)
        found["retrieved"] = msgspec.to_builtins(retrieved)
        # an agent has this many memories at least, so that a search must find as many
        least = min(settings.k, volume // settings.volume_agents)
        searched = self._bounded("find", settings.probes, settings.k, least, answer=Found)
        found["searched"] = msgspec.to_builtins(searched)
        found["k"] = settings.k
        step.phase("weighing")
        found["disk_usage_bytes"] = self._store.disk_usage_bytes()
        return True

    def _load(self, volume: int, loaded: int) -> bool:
        self._step.phase("loading")
        load = self._bounded("load", loaded, False, answer=Load)
        self._found["load"] = msgspec.to_builtins(load)
        if load.stopped and load.stored + load.already_there < loaded:
            return self._cut(volume, load.stored + load.already_there)
        if load.unstored:
            raise RunFailedError(
                f"{load.unstored:,} of {loaded:,} memories could not be stored: "
                + ", ".join(f"{count:,} {name}" for name, count in sorted(load.outcomes.items()))
            )
        return True

    def _cut(self, volume: int, reached: int) -> bool:
        self._found["cut"] = {
            "memories": volume,
            "reached": reached,
            "time_cap_s": self._settings.time_cap_s,
        }
        return False

    def _settle(self, after: str) -> None:
        if not self._store.is_watched:
            return
        self._step.phase("settling")
        bound_s = min(SETTLE_S, self._settings.time_cap_s)
        self._found.setdefault("settle", {})[after] = self._step.settle(self._store.role, bound_s)

    def _bounded(self, method: str, *arguments: Any, answer: type[Any] | None = None) -> Any:
        self._step.call("bound", self._settings.time_cap_s)
        return self._step.call(method, *arguments, answer=answer)
