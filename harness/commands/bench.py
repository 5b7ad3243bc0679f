"""``harness bench``: the benchmarks."""

from __future__ import annotations

import click

from harness.commands.bench_agents import agents
from harness.commands.bench_all import every
from harness.commands.bench_memory import memory
from harness.commands.bench_resources import resources
from harness.commands.bench_targets import targets

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure how a store scales with agents and memories, and what it costs."""


for _each in (agents, memory, resources, targets, every):
    bench.add_command(_each)
