"""What is measured and what it must reach: the measurements, and the figures that follow.

A figure names the measurements it is made of, so that ``--only`` makes those and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import FigureSpec, Goal, Measured, number, ratio, total
from bench.harness_runs import HarnessRun, run_harness, run_script
from bench.library import batches, calls, single_stores
from bench.page import page, page_specs
from bench.peer_check import peer_check, peer_check_specs
from bench.sizes import BATCH_OPERATIONS, THREADS, Sizes
from bench.target_cost import COUNTS, target_cost
from bench.watching import watching, watching_specs

__all__ = ["MEASUREMENTS", "ROWS", "Measure", "figure_specs"]

Measure = Callable[[Sizes, Path], HarnessRun | Measured]


@dataclass(frozen=True)
class _Run:
    """``harness run`` with arguments that follow from the sizes."""

    arguments: Callable[[Sizes], list[str]]
    watch_memory: bool = False

    def __call__(self, sizes: Sizes, folder: Path) -> HarnessRun:
        return run_harness(self.arguments(sizes), folder, watch_memory=self.watch_memory)


def _standard(sizes: Sizes, *more: str, rounds: int | None = None) -> list[str]:
    return ["--agents", f"{sizes.agents}", "--rounds", f"{rounds or sizes.rounds}", *more]


def _unpipelined(sizes: Sizes) -> list[str]:
    return _standard(sizes, "--pipelining", "off", rounds=sizes.unpipelined_rounds)


def _many(sizes: Sizes) -> list[str]:
    return ["--agents", f"{sizes.many_agents}", "--rounds", "1"]


def _paced(sizes: Sizes) -> list[str]:
    """A light load, long enough that the ticks of CPU time do not matter."""
    rate, duration_s = f"{sizes.paced_rate}", f"{sizes.paced_s}"
    return ["--agents", "10", "--rate", rate, "--duration", duration_s, "--preload", "1000"]


# In the order in which a repeat makes them; every second repeat goes backwards. What is compared
# stands side by side.
MEASUREMENTS: dict[str, Measure] = {
    "script": lambda sizes, folder: run_script(["--agents", f"{sizes.agents}"], folder),
    "noop": _Run(lambda sizes: _standard(sizes, "--target", "noop")),
    "unpipelined": _Run(_unpipelined),
    "standard": _Run(_standard),
    "unrecorded": _Run(lambda sizes: _standard(sizes, "--record", "off")),
    "many": _Run(_many, watch_memory=True),
    "paced": _Run(_paced),
    "calls": calls,
    "single-stores": single_stores,
    "batches": batches,
    "target-cost": target_cost,
    "watching": watching,
    "page": page,
    "peer-check": peer_check,
}

# --only NAME: the measurements that its figures need.
ROWS: dict[str, tuple[str, ...]] = {
    "ray": ("standard",),
    "pipelining": ("standard", "unpipelined"),
    "noop": ("standard", "noop"),
    "calls": ("calls",),
    "single-stores": ("single-stores",),
    "batches": ("batches",),
    "recording": ("standard", "unrecorded"),
    "many-agents": ("standard", "many"),
    "script-run": ("script",),
    "sampling": ("paced",),
    "target-cost": ("target-cost",),
    "watching": ("watching",),
    "page": ("page",),
    "peer-check": ("peer-check",),
}


def figure_specs(sizes: Sizes) -> list[FigureSpec]:
    """The lines of the table."""
    return [
        *_through_ray(sizes),
        *_in_process(),
        *_whole_runs(sizes),
        *_target_cost(),
        *watching_specs(sizes),
        *page_specs(sizes),
        *peer_check_specs(sizes),
    ]


def _through_ray(sizes: Sizes) -> list[FigureSpec]:
    throughput = "throughput_ops_s"
    standard = number("standard", throughput)
    specs = [
        FigureSpec(
            row="ray",
            title=f"{sizes.agents:,} agents through Ray, rounds: {sizes.rounds}",
            unit="operations/s",
            value=standard,
            goal=Goal(least=60_000, aim=100_000),
        ),
        FigureSpec(
            row="pipelining",
            title=f"the same against --pipelining off (rounds: {sizes.unpipelined_rounds})",
            unit="times",
            value=ratio(standard, number("unpipelined", throughput)),
            goal=Goal(least=15, aim=25),
        ),
        FigureSpec(
            row="pipelining",
            title=f"--pipelining off, rounds: {sizes.unpipelined_rounds}",
            unit="operations/s",
            value=number("unpipelined", throughput),
        ),
        FigureSpec(
            row="noop",
            title="--target noop against memory_core",
            unit="times",
            value=ratio(number("noop", throughput), standard),
            goal=Goal(least=1.2),
        ),
        FigureSpec(
            row="noop",
            title="--target noop",
            unit="operations/s",
            value=number("noop", throughput),
        ),
    ]
    for measurement, target in (("standard", "memory_core"), ("noop", "noop")):
        for name, roles in (
            ("agents", ("cohort",)),
            ("Ray", ("raylet", "gcs")),
            ("shards", ("shard",)),
        ):
            specs.append(
                FigureSpec(
                    row="noop",
                    title=f"CPU an operation, {target}: {name}",
                    unit="µs",
                    value=total(measurement, *(f"cpu_us_{role}" for role in roles)),
                )
            )
    return specs


def _in_process() -> list[FigureSpec]:
    bare = number("single-stores", "bare_ops_s")
    return [
        FigureSpec(
            row="calls",
            title="embedded, one call at a time, one thread, durability os",
            unit="operations/s",
            value=number("calls", "throughput_ops_s"),
            goal=Goal(least=40_000),
        ),
        FigureSpec(
            row="single-stores",
            title="embedded, stores with fsync, 1 thread, against bare puts",
            unit="times",
            value=ratio(number("single-stores", "one_ops_s"), bare),
            goal=Goal(least=0.8),
        ),
        FigureSpec(
            row="single-stores",
            title=f"embedded, stores with fsync, {THREADS} threads, against bare puts",
            unit="times",
            value=ratio(number("single-stores", "many_ops_s"), bare),
            goal=Goal(least=4),
        ),
        FigureSpec(
            row="single-stores",
            title="RocksDB by itself, puts with sync, 1 thread",
            unit="operations/s",
            value=bare,
        ),
        FigureSpec(
            row="batches",
            title=f"embedded, batches of {BATCH_OPERATIONS}, fsync",
            unit="operations/s",
            value=number("batches", "throughput_ops_s"),
            goal=Goal(least=150_000),
        ),
        FigureSpec(
            row="batches",
            title="the same with making operations from states",
            unit="operations/s",
            value=number("batches", "with_making_ops_s"),
        ),
    ]


def _whole_runs(sizes: Sizes) -> list[FigureSpec]:
    many = f"{sizes.many_agents:,} agents at once, 1 round"
    standard = number("standard", "throughput_ops_s")
    return [
        FigureSpec(
            row="recording",
            title="recorded against --record off",
            unit="times",
            value=ratio(number("standard", "cohort_ops_s"), number("unrecorded", "cohort_ops_s")),
            goal=Goal(least=0.9),
        ),
        FigureSpec(
            row="many-agents",
            title=f"{many}, against {sizes.agents:,}",
            unit="times",
            value=ratio(number("many", "throughput_ops_s"), standard),
            goal=Goal(least=0.7),
        ),
        FigureSpec(
            row="many-agents",
            title=f"{many}: most in flight",
            unit="agents",
            value=number("many", "in_flight_max"),
            goal=Goal(least=sizes.many_agents, most=sizes.many_agents),
        ),
        FigureSpec(
            row="many-agents",
            title=f"{many}: summed PSS of all processes",
            unit="bytes",
            value=number("many", "pss_peak_bytes"),
            goal=Goal(most=2 * 2**30),
        ),
        FigureSpec(
            row="script-run",
            title=f"scripts/run --agents {sizes.agents}, start to finish",
            unit="s",
            value=number("script", "elapsed_s"),
            goal=Goal(most=12),
        ),
        FigureSpec(
            row="sampling",
            title=f"CPU of the sampler's process, {sizes.paced_rate} operations/s",
            unit="% of a core",
            value=number("paced", "sampler_cpu_percent"),
            goal=Goal(most=3),
        ),
    ]


def _target_cost() -> list[FigureSpec]:
    """An agent alone pays two turns of threads for each operation, which many agents share."""
    specs = []
    for agents in reversed(COUNTS):
        who = f"{agents:,} agents" if agents > 1 else "1 agent"
        for name, title, goal in (
            ("added", "CPU that the harness adds to an operation of a plain target", Goal(most=15)),
            ("bare", "CPU of a bare loop's operation", None),
        ):
            specs.append(
                FigureSpec(
                    row="target-cost",
                    title=f"{title}, {who}",
                    unit="µs",
                    value=number("target-cost", f"{name}_{agents}_us"),
                    goal=goal if agents > 1 else None,
                )
            )
    return specs
