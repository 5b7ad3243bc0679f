"""Our store beside every other that is installed, in one run of ``harness bench targets``.

What must be reached: ``memory_core``, through Ray and with fsync, ahead of every peer in throughput
of 500 agents; ``embedded``, with the same durability, ahead of each in the time of a single
operation. A peer that acknowledges what is not on disk has less to do: those that sync, as ours
does, are compared with by themselves, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, number, ratio
from bench.harness_runs import HarnessRun, run_bench
from bench.sizes import size, words
from harness.targets import BUILT_IN
from harness.targets.listing import listed_targets

__all__ = ["FOOT", "MEASUREMENTS", "OURS", "ROWS", "PeerSizes", "figure_specs", "peers_here"]

OURS = ("memory_core", "embedded")
_NO_PEERS = (*OURS, "threads", "noop")
# Peers that are two things are compared as both.
_VARIANTS = {
    "chroma": ("chroma", "chroma:server=true"),
    "langgraph": ("langgraph", "langgraph:store=sqlite"),
}
# These have no setting that has a store on disk when it is acknowledged; their adapters say why.
_UNSYNCED = ("langgraph", "lancedb", "usearch", "zvec")
_OPERATIONS = ("store", "retrieve", "search")
_TIME_MAX_S = 4 * 3600.0

FOOT = (
    "A ratio above 1 is a lead of ours over the best of the peers. Those that sync have what they "
    f"acknowledged on disk, as ours has; the others are {', '.join(_UNSYNCED)}.",
)
ROWS = {"throughput": ("peers",), "latency": ("peers",)}


@dataclass(frozen=True, kw_only=True)
class PeerSizes:
    """Counts, all positive, and the targets; each is an option of the command."""

    agents: int = size(500, "agents of the throughput")
    step_s: int = size(3, "seconds of each run with agents")
    volume: int = size(10_000, "memories, at which single operations are timed")
    probes: int = size(300, "of these of each kind")
    turns: int = size(3, "steps of everything, interleaved")
    targets: str = words("", "targets beside ours, as --target takes them; all that are installed")


def peers_here() -> tuple[str, ...]:
    """The targets of others that can be driven here."""
    names = [one.name for one in listed_targets(BUILT_IN) if one.installed]
    return tuple(
        variant
        for name in names
        if name not in _NO_PEERS
        for variant in _VARIANTS.get(name, (name,))
    )


def peers(sizes: PeerSizes, folder: Path) -> HarnessRun:
    """The comparison: each target's figures, and the best of the peers'."""
    others = sizes.targets or ",".join(peers_here())
    if not others:
        raise MeasurementError("no other store is installed; pip install '.[targets]'")
    arguments = ["targets", "--targets", ",".join((*OURS, others))]
    arguments += ["--counts", f"1,{sizes.agents}" if sizes.agents > 1 else "1"]
    arguments += ["--volumes", f"{sizes.volume}", "--probes", f"{sizes.probes}"]
    arguments += ["--repeats", f"{sizes.turns}", "--step-duration", f"{sizes.step_s}"]
    problem: MeasurementError | None = None
    try:
        run_bench(arguments, folder, time_max_s=_TIME_MAX_S)
    except MeasurementError as error:  # one that failed leaves the others
        problem = error
    try:
        summary = json.loads((folder / "bench" / "summary.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise problem or MeasurementError(f"it left no summary ({error})") from error
    return HarnessRun(["bench", *arguments], dict(_measured(summary, sizes)), summary)


def _measured(summary: Mapping[str, Any], sizes: PeerSizes) -> Iterator[tuple[str, float]]:
    """The figures of ours, and the best of all peers and of those that sync."""
    best: dict[str, float] = {}
    for target, one in summary["targets"].items():
        for name, value in _figures(one, sizes):
            if target in OURS:
                yield f"{target}.{name}", value
                continue
            kinds = ["peer"] if target in _UNSYNCED else ["peer", "synced"]
            for kind in kinds:
                choose = max if name.endswith("_ops_s") else min
                key = f"{kind}.{name}"
                best[key] = choose(best.get(key, value), value)
    yield from best.items()


def _figures(one: Mapping[str, Any], sizes: PeerSizes) -> Iterator[tuple[str, float]]:
    rate = one["counts"].get(f"{sizes.agents}", {}).get("operations_per_second")
    if rate:
        yield "throughput_ops_s", float(rate)
    volume = one["volumes"].get(f"{sizes.volume}", {})
    for name in _OPERATIONS:
        time_ms = volume.get(f"{name}_latency_ms", {}).get("p50")
        if time_ms:
            yield f"{name}_ms", float(time_ms)


MEASUREMENTS = {"peers": peers}


def figure_specs(sizes: PeerSizes) -> list[FigureSpec]:
    """The lines of the table."""
    specs = [
        FigureSpec(
            row="throughput",
            title=f"{ours}, {sizes.agents:,} agents, over the best peer {words_}",
            unit="times",
            value=ratio(
                number("peers", f"{ours}.throughput_ops_s"),
                number("peers", f"{kind}.throughput_ops_s"),
            ),
            goal=Goal(least=1) if ours == "memory_core" else None,
        )
        for ours in OURS
        for kind, words_ in (("peer", "of all"), ("synced", "that syncs"))
    ]
    specs += [
        FigureSpec(
            row="latency",
            title=f"a {name} of the fastest peer {words_}, over embedded's",
            unit="times",
            value=ratio(
                number("peers", f"{kind}.{name}_ms"), number("peers", f"embedded.{name}_ms")
            ),
            goal=Goal(least=1),
        )
        for name in _OPERATIONS
        for kind, words_ in (("peer", "of all"), ("synced", "that syncs"))
    ]
    return specs
