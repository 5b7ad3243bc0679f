"""The options that commands share: a plan's, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from harness.commands.watching import WATCH_OPTIONS
from harness.plan import ARRIVALS, WORKLOADS, RunPlan
from harness.plan_checks import DURABILITIES
from harness.plan_file import load_plan

__all__ = [
    "BACKUP_OPTIONS",
    "FAULT_OPTIONS",
    "OUTPUT_OPTIONS",
    "PLAN_OPTIONS",
    "THRESHOLD_OPTIONS",
    "plan_of",
    "plan_options",
    "with_options",
]


def _switch(name: str, text: str) -> Callable[[Any], Any]:
    return click.option(name, type=click.Choice(["on", "off"]), default=None, help=text)


PLAN_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--agents", type=int, help="Concurrent agents.  [500, or the trace's own number]"),
    click.option(
        "--target", help="The store that is driven; see `harness targets`.  [memory_core]"
    ),
    click.option("--workload", help=f"What an agent does: {', '.join(WORKLOADS)}.  [standard]"),
    click.option("--preload", type=int, help="States stored before the start.  [0]"),
    click.option("--rounds", type=int, help="Rounds of each agent.  [20]"),
    click.option("--duration", "duration_s", type=float, help="Seconds to measure, instead."),
    click.option(
        "--whole-rounds", is_flag=True, default=None, help="Finish rounds when that time is up."
    ),
    click.option("--warmup", "warmup_s", type=float, help="Seconds that do not count.  [0]"),
    click.option("--seed", type=int, help="The operations follow from it.  [1]"),
    click.option("--mix", help="Draw operations by weight: store=1,retrieve=8,search=1."),
    click.option("--think-time", "think_time_s", type=float, help="Pause after each operation, s."),
    click.option("--ramp", "ramp_s", type=float, help="Seconds over which agents start.  [0]"),
    click.option("--rate", type=float, help="Offer this many operations a second (open loop)."),
    click.option("--arrival", help=f"How they are spaced: {' or '.join(ARRIVALS)}.  [constant]"),
    click.option("--trace", help="File of recorded states that the agents replay."),
    click.option("--shards", type=int, help="Shards of the store.  [one a core]"),
    click.option("--shards-per-node", type=int, help="Shards on each node that has some, instead."),
    click.option("--agents-per-task", type=int, help="Agents in one Ray task.  [chosen]"),
    _switch("--pipelining", "off: one actor call an operation.  [on]"),
    click.option("--dimension", type=int, help="Length of the vectors.  [64]"),
    click.option("--durability", help=f"{' or '.join(DURABILITIES)}.  [fsync]"),
    click.option(
        "--memory-limit",
        "memory_limit_bytes",
        type=int,
        help="Bytes that a shard may hold in memory.  [no bound]",
    ),
    click.option("--data-dir", help="Folder for the databases.  [in the run directory]"),
    click.option("--keep-data", is_flag=True, default=None, help="Leave the databases there."),
    click.option(
        "--address",
        envvar="RAY_ADDRESS",
        help="Ray cluster, host:port.  [$RAY_ADDRESS, else a Ray of our own]",
    ),
    _switch("--record", "off: no rows and no samples, only totals.  [on]"),
    click.option("--sample-interval", "sample_interval_s", type=float, help="Seconds.  [0.2]"),
    click.option("--deadline", "deadline_s", type=float, help="An operation fails after, s.  [30]"),
    click.option(
        "--plan",
        "plan_file",
        type=click.Path(path_type=Path),
        help="TOML file with any of these options, or an earlier run's directory to repeat.",
    ),
]
FAULT_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="'at TIME kill WHAT'",
        help="Break something while the run goes on: 'at 20s kill shard 1', 'at 10s for 5s stall "
        "shard 0', 'at 30s kill node of shard 0'. May be given several times.",
    ),
    click.option(
        "--audit",
        is_flag=True,
        default=None,
        help="Check answers, and read every acknowledged write back at the end.",
    ),
]
BACKUP_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--backup",
        metavar="URI",
        help="Back the store up there while it is measured: a folder, s3://bucket/prefix, ...",
    ),
    click.option(
        "--backup-interval",
        "backup_interval_s",
        type=float,
        help="Seconds from one backup to the next.  [one backup]",
    ),
]
OUTPUT_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Run directory, new or empty.  [runs/<UTC time>-<command>]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead."),
    *WATCH_OPTIONS,
]
THRESHOLD_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--threshold",
        "thresholds",
        multiple=True,
        metavar="FIGURE<LIMIT",
        help="Exit with 3 unless a figure of the summary keeps to a limit: 'search.p99_ms<20', "
        "'throughput_ops_s>=5e4', 'failed<1%'. May be given several times.",
    ),
    click.option(
        "--junit",
        type=click.Path(path_type=Path),
        help="Write the verdicts to this file as JUnit XML, for a CI server.",
    ),
]


def with_options(options: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A decorator that gives a command these options, in their order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def plan_options(*, without: Collection[str]) -> list[Callable[[Any], Any]]:
    """`PLAN_OPTIONS` but for those that set these fields of the plan."""
    return [option for option in PLAN_OPTIONS if _name_of(option) not in without]


def _name_of(option: Callable[[Any], Any]) -> str:
    """The parameter that an option gives to a command."""

    def bare() -> None: ...

    name: str = option(bare).__click_params__[0].name
    return name


def plan_of(plan_file: Path | None, options: dict[str, Any]) -> RunPlan:
    """The plan of a file, if one is given, with the options that were given over it.

    Raises:
        UsageError: the file or an option is wrong.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    for name in ("pipelining", "record"):
        if name in given:
            given[name] = given[name] == "on"
    if isinstance(given.get("trace"), str) and given["trace"]:
        given["trace"] = str(Path(given["trace"]).absolute())
    if isinstance(given.get("backup"), str) and "://" not in given["backup"] and given["backup"]:
        given["backup"] = str(Path(given["backup"]).absolute())
    if plan_file is None:
        return RunPlan(**given)
    return load_plan(plan_file, given)
