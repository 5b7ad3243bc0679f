"""The summary of a comparison of targets, from the files of its bench directory alone.

``targets`` has for each its ``counts`` (as ``bench agents`` has them), its ``volumes``, what it is
(version, durability, settings) and what its conformance came to; ``comparison`` who is ahead in
each figure, and whether beyond the spread of the repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.analysis.agent_steps import SCALARS, Repeat, count_figures, read_repeat, usable
from harness.analysis.target_ranking import Better, Ranking, rank
from harness.analysis.target_verdicts import target_verdicts
from harness.analysis.target_volume import (
    empty_figures,
    nothing_measured,
    volume_figures,
    volume_repeat,
)
from harness.benchmarks.bench_directory import STEPS_FOLDER, BenchReader, open_bench
from harness.benchmarks.target_steps import STEP_NAME
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS, SCHEMA_VERSION

__all__ = ["summarise_targets", "targets_template"]

_FACTS = ("name", "version", "durability", "settings", "capabilities", "in_process", "stores")

Figures = dict[str, Any]


class _Steps:
    """The steps of one target, by what they measure."""

    def __init__(self) -> None:
        self.facts: Mapping[str, Any] = {}
        self.agents: dict[int, list[Repeat]] = {}
        self.volumes: dict[int, list[Figures]] = {}
        self.empty: Figures | None = None

    def add(self, kind: str, size: int, place: str, step: RunReader) -> None:
        """Take a step in."""
        topology = step.run.get("topology")
        target = topology.get("target") if isinstance(topology, Mapping) else None
        if not self.facts and isinstance(target, Mapping):
            self.facts = {name: target.get(name) for name in _FACTS}
        if kind == "agents":
            self.agents.setdefault(size, []).append(read_repeat(place, step))
        elif kind == "empty":
            self.empty = empty_figures(step)
        elif step.run.get("status") == "complete":
            self.volumes.setdefault(size, []).append(volume_repeat(step, place))


def summarise_targets(path: Path) -> Figures:
    """Sum up a bench directory of targets; steps that never began to measure are left out.

    Raises:
        RunDirectoryError: it is no bench directory, or cannot be read.
    """
    bench = open_bench(path)
    conformance = bench.run.get("conformance")
    targets: dict[str, Figures] = {}
    for target, steps in _steps_of(bench).items():
        checked = conformance.get(target) if isinstance(conformance, Mapping) else None
        targets[target] = _target(steps, checked)
    summary: Figures = {
        "schema_version": SCHEMA_VERSION,
        "bench": "targets",
        "duration_s": bench.run.get("duration_s"),
        "targets": targets,
        "left_out": bench.run.get("left_out") or [],
        "cuts": bench.run.get("cuts") or [],
    }
    summary["comparison"] = _comparison(targets)
    summary["verdicts"] = target_verdicts(bench.run, summary)
    return summary


def targets_template(
    run: Mapping[str, Any], targets: Sequence[str], counts: Sequence[int], volumes: Sequence[int]
) -> Figures:
    """Give a summary with every path to a figure of these, and no figure.

    Args:
        run: the summary of a run without a row.
        targets: as they are named.
        counts: of agents.
        volumes: in memories.
    """
    nothing = Repeat(
        step="",
        status="",
        rounds=0,
        scalars=dict.fromkeys(SCALARS),
        summary=run,
        steady={"settled": None, "warmup_s": None},
    )
    at_count, at_volume = count_figures([nothing]), volume_figures([nothing_measured()], 1, None)
    return {
        "duration_s": None,
        "targets": {
            target: {
                "counts": {str(count): at_count for count in counts},
                "volumes": {str(volume): at_volume for volume in volumes},
            }
            for target in targets
        },
    }


def _steps_of(bench: BenchReader) -> dict[str, _Steps]:
    """The steps by target, in the order in which targets were named."""
    settings = bench.run.get("bench")
    named = settings.get("targets", []) if isinstance(settings, Mapping) else []
    targets = {one["slug"]: one["target"] for one in named}
    found = {target: _Steps() for target in targets.values()}
    for name in bench.step_names():
        known = STEP_NAME.fullmatch(name)
        if known is not None and known[1] in targets:
            place = f"{STEPS_FOLDER}/{name}"
            found[targets[known[1]]].add(known[2], int(known[3]), place, bench.step(name))
    return found


def _target(steps: _Steps, conformance: Any) -> Figures:
    measured = {count: steps.agents[count] for count in sorted(steps.agents)}
    return {
        **{name: steps.facts.get(name) for name in _FACTS},
        "conformance": conformance,
        "empty": steps.empty,
        "counts": {
            str(count): count_figures(repeats)
            for count, repeats in measured.items()
            if usable(repeats)
        },
        "volumes": {
            str(volume): volume_figures(steps.volumes[volume], volume, steps.empty)
            for volume in sorted(steps.volumes)
        },
    }


def _comparison(targets: Mapping[str, Figures]) -> Figures:
    """Who is ahead: in throughput at each count, in what each volume tells."""
    counts = sorted({int(count) for one in targets.values() for count in one["counts"]})
    volumes = sorted({int(volume) for one in targets.values() for volume in one["volumes"]})
    return {
        "throughput": {
            str(count): _ranked(targets, ("counts", str(count)), "more", "operations_per_second")
            for count in counts
        },
        "volumes": {
            str(volume): {
                **{
                    name: _ranked(
                        targets, ("volumes", str(volume)), "less", f"{name}_latency_ms", "p50"
                    )
                    for name in OPERATIONS
                },
                "load": _ranked(targets, ("volumes", str(volume)), "more", "load_rate_ops_s"),
            }
            for volume in volumes
        },
    }


def _ranked(
    targets: Mapping[str, Figures], place: tuple[str, str], better: Better, *figure: str
) -> Ranking | None:
    """The targets by a figure of their repeats; those that were cut have none of a volume."""
    samples: dict[str, list[float]] = {}
    for target, figures in targets.items():
        found = figures[place[0]].get(place[1])
        if found is None or found.get("cut"):
            continue
        values = [_at(one, figure) for one in _counting(found["repeats"])]
        samples[target] = [value for value in values if value]
    return rank(samples, better)


def _counting(repeats: Sequence[Figures]) -> Sequence[Figures]:
    """The repeats that figures are made of: complete ones, where there are any."""
    return [one for one in repeats if one["status"] == "complete"] or repeats


def _at(document: Any, path: Sequence[str]) -> float | None:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, int | float) else None
