"""``harness plan``: how large a cluster has to be, from measured runs.

Exit codes: 0 sized; 2 wrong usage, which runs that do not suffice are, and a target that no size
keeps.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.options import with_options
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.sizing.cluster_plan import Question

__all__ = ["EVIDENCE_OPTIONS", "parse_bytes", "parse_time_s", "plan"]

_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*(us|ms|s|min)", re.ASCII)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_BYTES = re.compile(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*([KMGT]i?)?(B|bit)", re.ASCII)
_FACTORS: dict[str | None, float] = {
    None: 1.0,
    **{f"{name}i": 1024.0**power for power, name in enumerate("KMGT", start=1)},
    **{name: 1000.0**power for power, name in enumerate("KMGT", start=1)},
}

EVIDENCE_OPTIONS = [
    click.option(
        "--from",
        "places",
        multiple=True,
        required=True,
        type=click.Path(path_type=Path),
        metavar="RUN",
        help="A run, a directory of bench agents or bench memory, or a file that --keep wrote. "
        "May be given several times, and names what follows it too: --from a b c.",
    ),
    click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]..."),
    click.option("--seed", type=click.IntRange(0), default=1, help="Of the simulation.  [1]"),
    click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead."),
]
# i4i.4xlarge and c6i.4xlarge of AWS, with the bandwidth that they have all the time.
_NODE_OPTIONS = [
    click.option("--node-cores", type=click.IntRange(1, 4096), default=16, show_default=True),
    click.option("--node-memory", default="128GiB", show_default=True, metavar="BYTES"),
    click.option("--node-disk", default="3750GB", show_default=True, metavar="BYTES"),
    click.option("--node-network", default="9.375Gbit", show_default=True, metavar="BITS/S"),
    click.option("--agent-node-cores", type=click.IntRange(1, 4096), default=16, show_default=True),
    click.option("--agent-node-memory", default="32GiB", show_default=True, metavar="BYTES"),
    click.option("--agent-node-network", default="6.25Gbit", show_default=True, metavar="BITS/S"),
]


@click.command()
@click.option("--agents", type=click.IntRange(1, 1_000_000_000), required=True, help="At once.")
@click.option(
    "--memories-per-agent",
    type=click.IntRange(1, 1_000_000_000),
    required=True,
    help="That each has stored.",
)
@click.option(
    "--target-p99", required=True, metavar="TIME", help="Of the response time: 50ms, 1.5s."
)
@click.option(
    "--rate-per-agent",
    type=float,
    help="Operations a second of an agent.  [of runs with pauses or a rate; else 1]",
)
@click.option(
    "--core-speed",
    type=float,
    default=1.0,
    show_default=True,
    help="How fast a core is, of those that were measured.",
)
@click.option(
    "--shards-per-task",
    type=click.IntRange(1, 1_000_000),
    help="What if agents were dealt out to tasks so that those of one need so few shards?  [all]",
)
@with_options(_NODE_OPTIONS)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep what was read of the runs in this file."
)
@with_options(EVIDENCE_OPTIONS)
def plan(
    places: tuple[Path, ...],
    more: tuple[Path, ...],
    keep: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Size a cluster from measured runs: shards, agent tasks, machines.

    The options of nodes are of a machine that holds shards, and of one that holds agents; by
    default AWS's i4i.4xlarge and c6i.4xlarge.
    """
    from harness.sizing.cluster_plan import plan_cluster
    from harness.sizing.evidence import write_evidence
    from harness.sizing.reading import read_evidence

    question = _question(asked)
    evidence = read_evidence([*places, *more])
    if keep is not None:
        try:
            write_evidence(evidence, keep)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError("--keep", f"{keep} cannot be written: {reason}") from None
    found = plan_cluster(question, evidence)
    if as_json:
        _print_json(question, found)
    else:
        from rich.console import Console

        from harness.report.sizing import render_plan

        Console(highlight=False).print(render_plan(question, found))
    return 0


def _question(asked: dict[str, Any]) -> Question:
    """What is asked, checked.

    Raises:
        UsageError: an option is out of its range.
    """
    from harness.sizing.cluster import Node
    from harness.sizing.cluster_plan import Question

    rate = asked["rate_per_agent"]
    if rate is not None and not 1e-6 <= rate <= 1e6:
        raise UsageError("--rate-per-agent", f"must be from 0.000001 to 1,000,000, not {rate:g}")
    speed = asked["core_speed"]
    if not 0.01 <= speed <= 100:
        raise UsageError("--core-speed", f"must be from 0.01 to 100, not {speed:g}")
    return Question(
        agents=asked["agents"],
        memories_per_agent=asked["memories_per_agent"],
        target_p99_s=parse_time_s(asked["target_p99"], "--target-p99"),
        rate_per_agent_ops_s=rate,
        memory_node=Node(
            cores=asked["node_cores"],
            memory_bytes=parse_bytes(asked["node_memory"], "--node-memory"),
            disk_bytes=parse_bytes(asked["node_disk"], "--node-disk"),
            network_bytes_s=parse_bytes(asked["node_network"], "--node-network"),
        ),
        agent_node=Node(
            cores=asked["agent_node_cores"],
            memory_bytes=parse_bytes(asked["agent_node_memory"], "--agent-node-memory"),
            disk_bytes=1.0,
            network_bytes_s=parse_bytes(asked["agent_node_network"], "--agent-node-network"),
        ),
        core_speed_ratio=speed,
        shards_per_cohort=asked["shards_per_task"],
        seed=asked["seed"],
    )


def parse_time_s(text: str, option: str) -> float:
    """Read a time as ``50ms`` or ``1.5s``, in seconds.

    Raises:
        UsageError: it is none, or nothing at all.
    """
    matched = _TIME.fullmatch(text.strip())
    seconds = float(matched[1]) * _SECONDS[matched[2]] if matched else 0.0
    if seconds <= 0:
        raise UsageError(option, f"{text!r} is no time; write 50ms or 1.5s")
    return seconds


def parse_bytes(text: str, option: str) -> float:
    """Read a size as ``128GiB``, ``3750GB`` or, in bits, ``10Gbit``; in bytes.

    Raises:
        UsageError: it is none, or nothing at all.
    """
    matched = _BYTES.fullmatch(text.strip())
    size = 0.0
    if matched:
        size = float(matched[1]) * _FACTORS[matched[2]] / (8 if matched[3] == "bit" else 1)
    if size <= 0:
        raise UsageError(option, f"{text!r} is no size; write 128GiB, 3750GB or 10Gbit")
    return size


def _print_json(question: Question, found: Any) -> None:
    import json

    import msgspec

    from harness.schema import SCHEMA_VERSION

    document = {
        "schema_version": SCHEMA_VERSION,
        "question": msgspec.to_builtins(question),
        "plan": msgspec.to_builtins(found),
    }
    click.echo(json.dumps(document, indent=2))
