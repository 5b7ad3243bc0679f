"""``harness simulate``: where the design breaks at a size of a cluster.

Exit codes: 0 simulated, whatever broke; 2 wrong usage, which runs that do not suffice are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.commands.options import with_options
from harness.commands.plan import EVIDENCE_OPTIONS
from harness.errors import UsageError

__all__ = ["simulate"]


@click.command()
@click.option("--agents", type=click.IntRange(1, 1_000_000_000), required=True, help="At once.")
@click.option("--shards", type=click.IntRange(1, 1_000_000), required=True, help="Of the store.")
@click.option(
    "--tasks",
    "cohorts",
    type=click.IntRange(1, 100_000),
    help="That agents run in.  [as many as are at most 70% busy]",
)
@click.option(
    "--rate-per-agent", type=float, default=1.0, help="Operations a second of an agent.  [1]"
)
@click.option(
    "--shards-per-task",
    type=click.IntRange(1, 1_000_000),
    help="What if agents were dealt out to tasks so that those of one need so few shards?  [all]",
)
@click.option(
    "--duration", "duration_s", type=float, default=60.0, help="Seconds of the run.  [60]"
)
@with_options(EVIDENCE_OPTIONS)
def simulate(places: tuple[Path, ...], more: tuple[Path, ...], as_json: bool, **asked: Any) -> int:
    """Simulate a cluster by measured runs, and say where the design breaks.

    Operations are simulated on one shard with a lane of every task, control messages at the one
    control actor; what else there is one of is weighed by what it was measured to bear.
    """
    from harness.simulation.breaking import Trial, breaking
    from harness.sizing.reading import read_evidence

    rate, duration_s = asked["rate_per_agent"], asked["duration_s"]
    if not 1e-6 <= rate <= 1e6:
        raise UsageError("--rate-per-agent", f"must be from 0.000001 to 1,000,000, not {rate:g}")
    if not 0 < duration_s <= 366 * 86_400:
        raise UsageError("--duration", f"must be above 0 s and at most a year, not {duration_s:g}")
    trial = Trial(
        agents=asked["agents"],
        shards=asked["shards"],
        cohorts=asked["cohorts"],
        rate_per_agent_ops_s=rate,
        shards_per_cohort=asked["shards_per_task"],
        duration_s=duration_s,
        seed=asked["seed"],
    )
    found = breaking(trial, read_evidence([*places, *more]).runs)
    if as_json:
        _print_json(trial, found)
    else:
        from rich.console import Console

        from harness.report.simulation import render_breaking

        Console(highlight=False).print(render_breaking(found))
    return 0


def _print_json(trial: Any, found: Any) -> None:
    import json

    import msgspec

    from harness.schema import SCHEMA_VERSION

    document = {
        "schema_version": SCHEMA_VERSION,
        "trial": msgspec.to_builtins(trial),
        "found": msgspec.to_builtins(found),
    }
    for one, limit in zip(document["found"]["limits"], found.limits, strict=True):
        one |= {"broken": limit.ratio > 1, "broken_at_agents": limit.size_ratio * trial.agents}
    click.echo(json.dumps(document, indent=2))
