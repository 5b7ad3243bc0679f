"""A cluster of several hosts, ``scripts/bench cluster``: on the hosts that scripts/lab makes.

All hosts share this machine's cores, so only ratios mean something: the same agents and shards
on four hosts and on one, with backups and without.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, Measured, number, ratio
from bench.harness_runs import HarnessRun, run_harness
from bench.sizes import size

__all__ = ["FOOT", "MEASUREMENTS", "ROWS", "ClusterSizes", "figure_specs", "skipped_rows"]

_ROOT = Path(__file__).resolve().parents[3]
_LAB = _ROOT / "scripts" / "lab"
_SHARED = "/mnt/shared"
_CALL_S_MAX = 900.0
_JOIN_S_MAX = 120.0
_SHARDS = 2
_KILL_AT_S = 5

FOOT = (
    "All hosts are namespaces on this machine and share its cores; a figure of four hosts and the "
    "one that it is compared with are of the same repeat.",
)


@dataclass(frozen=True, kw_only=True)
class ClusterSizes:
    """Counts, all positive; each is an option of the command."""

    hosts: int = size(4, "hosts of the lab, the head among them")
    agents: int = size(500, "agents, in two tasks, on two shards")
    rounds: int = size(20, "rounds of each")
    memories: int = size(100_000, "memories in the shard that is killed")
    backup_s: int = size(20, "seconds of the runs with and without backups")


def one(sizes: ClusterSizes, folder: Path) -> HarnessRun:
    """The agents on this machine, as one host."""
    return run_harness(_standard(sizes), folder)


def several(sizes: ClusterSizes, folder: Path) -> Measured:
    """The same on the hosts of a lab, and what a killed shard and backups do there."""
    del folder  # the runs keep to the hosts
    with _cluster(sizes.hosts) as environment:
        measured = {"throughput_ops_s": _run(environment, _standard(sizes))["throughput_ops_s"]}
        measured |= {"recovery_s": _recovery_s(_run(environment, _killed(sizes)))}
        measured |= {
            "plain_ops_s": _run(environment, _timed(sizes))["throughput_ops_s"],
            "backups_ops_s": _run(environment, _backed_up(sizes))["throughput_ops_s"],
        }
    return measured


MEASUREMENTS = {"one": one, "several": several}

ROWS = {"hosts": ("one", "several"), "killed-shard": ("several",), "backups": ("several",)}


def figure_specs(sizes: ClusterSizes) -> list[FigureSpec]:
    """The lines of the table."""
    title = f"{sizes.agents:,} agents in 2 tasks, {_SHARDS} shards"
    return [
        FigureSpec(
            row="hosts",
            title=f"{title}: {sizes.hosts} hosts against one",
            unit="times",
            value=ratio(number("several", "throughput_ops_s"), number("one", "throughput_ops_s")),
            goal=Goal(least=0.6),
        ),
        FigureSpec(
            row="killed-shard",
            title=f"SIGKILL of a shard of {sizes.memories:,} memories to its next answer",
            unit="s",
            value=number("several", "recovery_s"),
            goal=Goal(most=5),
        ),
        FigureSpec(
            row="backups",
            title=f"{title}: with a backup every 5 s against without",
            unit="times",
            value=ratio(number("several", "backups_ops_s"), number("several", "plain_ops_s")),
            goal=Goal(least=0.85),
        ),
    ]


def skipped_rows() -> Mapping[str, str]:
    """Every row, where there is no root to make a lab."""
    if os.geteuid() == 0 and sys.platform == "linux":
        return {}
    return dict.fromkeys(ROWS, "a lab of hosts needs Linux and root")


def _tasks(sizes: ClusterSizes) -> list[str]:
    each = -(-sizes.agents // 2)
    return [*("--agents", f"{sizes.agents}"), *("--agents-per-task", f"{each}"), "--shards", "2"]


def _standard(sizes: ClusterSizes) -> list[str]:
    return [*_tasks(sizes), "--rounds", f"{sizes.rounds}"]


def _killed(sizes: ClusterSizes) -> list[str]:
    load = ["--agents", "50", "--rate", "500", "--duration", "20", "--shards", "1"]
    return [*load, "--preload", f"{sizes.memories}", "--fault", f"at {_KILL_AT_S}s kill shard 0"]


def _timed(sizes: ClusterSizes) -> list[str]:
    return ["--duration", f"{sizes.backup_s}", *_tasks(sizes)]


def _backed_up(sizes: ClusterSizes) -> list[str]:
    backups = ["--backup", f"file://{_SHARED}/backups", "--backup-interval", "5"]
    return [*_timed(sizes), *backups]


def _recovery_s(summary: Mapping[str, Any]) -> float:
    (fault,) = summary["faults"]
    if fault["recovery_s"] is None:
        raise MeasurementError(f"the shard did not come back: {fault['sentence']}")
    return float(fault["recovery_s"])


@contextmanager
def _cluster(hosts: int) -> Iterator[dict[str, str]]:
    """A lab with Ray on all of its hosts; the environment in which its commands find it."""
    environment = dict(os.environ, HARNESS_LAB="bench")
    environment.pop("RAY_ADDRESS", None)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    try:
        said = _call([str(_LAB), "up", "--hosts", f"{hosts}"], environment)
        file = said.strip().splitlines()[-1]
        _call(["ray", "up", "-y", "--no-config-cache", file], environment)
        try:
            _wait_for_nodes(environment, hosts)
            yield environment
        finally:
            _call(["ray", "down", "-y", file], environment)
    finally:
        _call([str(_LAB), "down"], environment)


def _run(environment: dict[str, str], arguments: list[str]) -> dict[str, Any]:
    """``harness run`` on the head; its summary."""
    command = ["harness", "run", "--json", "--out", f"{_SHARED}/run", *arguments]
    try:
        said = _call([str(_LAB), "exec", "1", "--", *command], environment)
    finally:
        _call([str(_LAB), "exec", "1", "--", "rm", "-rf", f"{_SHARED}/run"], environment)
    summary: dict[str, Any] = json.loads(said)
    return summary


def _call(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CALL_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{shutil.which(command[0])} was ended") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise MeasurementError(
            f"{' '.join(command[:4])}: exit code {done.returncode}: {lines[-1] if lines else ''}"
        )
    return done.stdout


def _wait_for_nodes(environment: dict[str, str], hosts: int) -> None:
    """Wait until Ray knows of all hosts: workers are started after ``ray up`` has returned."""
    look = "import ray; ray.init(log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    deadline_s = time.monotonic() + _JOIN_S_MAX
    while True:
        said = _call([str(_LAB), "exec", "1", "--", "python", "-c", look], environment)
        # Ray may write to standard output, too
        (alive,) = (line for line in said.splitlines() if line.isdigit())
        if int(alive) >= hosts:
            return
        if time.monotonic() > deadline_s:
            raise MeasurementError(f"only {alive} of {hosts} hosts joined the cluster")
