"""``harness bench``: the benchmarks."""

from __future__ import annotations

import click

from harness.commands.bench_agents import agents

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure how a store scales with agents and memories, and what it costs."""


bench.add_command(agents)
