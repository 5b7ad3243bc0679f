"""A run from its plan to its summary.

`prepare` checks a plan and starts nothing. `run` carries it out into its directory: Ray for the
length of the run, the steps on it (`harness.steps`), the databases' end, and the summary, which
is made from the run directory alone.

Whichever way it ends, everything that was started is ended, and the run directory says how far
it came.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness.analysis.summary import Summary, summarise
from harness.databases import Databases, databases_of_run
from harness.errors import RunFailedError, UsageError
from harness.faults import check_places, parse_faults
from harness.hosts import (
    available_memory_bytes,
    harness_commit,
    host_facts,
    is_tmpfs,
)
from harness.live.view import View
from harness.placement import Node
from harness.plan import RunPlan, with_agents
from harness.prepared import PreparedRun, StopRequest, places_of
from harness.ray_session import LOCAL, RaySession, check_address, ray_session
from harness.rundir import RunDirectory, Status
from harness.rundir_reader import open_run
from harness.steps import Steps
from harness.targets import load_target
from harness.targets.driven import BacksUp, DrivenTarget
from harness.trace import load_trace
from memory_core.errors import BadInputError, MemoryCoreError

__all__ = ["Outcome", "PreparedRun", "StopRequest", "prepare", "run"]


_NOT_RECORDED = {
    "name": "recording",
    "verdict": "warning",
    "sentence": "Nothing was recorded (--record off): only totals are known.",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: Status
    summary: Summary
    problems: list[str] = field(default_factory=list)


def prepare(plan: RunPlan) -> PreparedRun:
    """Check everything about a plan that needs a look beyond it. Starts nothing.

    Raises:
        UsageError: the trace, the target, the data folder or the address is wrong.
    """
    target = load_target(plan.target)
    if plan.audit and not getattr(target, "auditable", False):
        raise UsageError(
            "--audit", f"{plan.target} cannot be read back; --target memory_core or embedded can"
        )
    trace = None
    if plan.trace is not None:
        trace = load_trace(Path(plan.trace))
        if plan.agents is None:
            plan = with_agents(plan, trace.agents)
    if plan.agents is None:
        raise UsageError("--agents", "is missing")
    if trace is not None:
        trace.check_agents(plan.agents)
    if plan.address == LOCAL:
        places = places_of(plan, plan.agents, target, [_this_machine()], "")
        check_places(parse_faults(plan.faults), places.shards, places.cohorts, "")
    check_address(plan.address)
    if plan.backup is not None:
        _check_backup(target, plan.backup)
    if plan.data_dir is not None and plan.address == LOCAL:
        _check_data_dir(Path(plan.data_dir))
    return PreparedRun(plan=plan, agents=plan.agents, target=target, trace=trace)


def _this_machine() -> Node:
    """This machine as the one node of a Ray of our own, before there is one."""
    return Node(
        node_id="", address="", cpus=os.cpu_count() or 1, memory_bytes=available_memory_bytes()
    )


def run(
    prepared: PreparedRun,
    directory: RunDirectory,
    view: View,
    stop: StopRequest,
    session: RaySession | None = None,
) -> Outcome:
    """Carry a run out into its directory. A run that breaks off is summed up as far as it came.

    Args:
        prepared: what `prepare` gave.
        directory: made for it.
        view: shows how it goes.
        stop: asks for its end.
        session: a connection to Ray that several runs share; None makes one for this run.

    Raises:
        UsageError: no cluster is at the plan's address, or the tasks do not fit on it.
        RunFailedError: something did not start.
    """
    plan = prepared.plan
    _describe(prepared, directory)
    directory.on_event = view.event
    view.begin(plan.as_dict(), prepared.agents)
    running = Steps(prepared, directory, view, stop)
    status: Status = "failed"
    try:
        with (
            _session(plan, session) as ray,
            databases_of_run(ray, directory, plan, running.problems) as databases,
        ):
            if plan.keep_data:
                directory.write_run({"databases": str(databases.path or databases.memory)})
            if ray.owned:
                _warn_of_memory(databases, plan, view)
            status = running.carry_out(ray, databases)
    except BaseException as error:
        status = "interrupted" if stop.requested else "failed"
        directory.update_status(status)
        if not (isinstance(error, RunFailedError | OSError) and running.has_begun):
            raise
        running.problems.append(_in_words(error))
    if directory.lost_events:
        running.problems.append(
            f"{directory.lost_events:,} events could not be written: the disk was full"
        )
    summary = _sum_up(directory, running, status)
    if status == "complete":
        status = _judged(summary)
    directory.write_summary(summary)
    directory.update_status(status, problems=running.problems)
    view.end(status, summary)
    return Outcome(status=status, summary=summary, problems=running.problems)


def _in_words(error: BaseException) -> str:
    """What broke the run off, in a sentence."""
    if isinstance(error, OSError):
        where = error.filename or "a file of the run"
        return f"{where}: {error.strerror or error}"
    return str(error)


def _session(
    plan: RunPlan, shared: RaySession | None
) -> contextlib.AbstractContextManager[RaySession]:
    return ray_session(plan.address) if shared is None else contextlib.nullcontext(shared)


def _judged(summary: Summary) -> Status:
    """The status of a run that came to its end: INVALID, or failed if nothing succeeded."""
    if any(one["verdict"] == "invalid" for one in summary["verdicts"]):
        return "invalid"
    if summary["audit"]["verdict"] == "failed":
        return "failed"
    return "failed" if summary["operations"] <= summary["failed"] else "complete"


def _warn_of_memory(databases: Databases, plan: RunPlan, view: View) -> None:
    path = databases.path
    if plan.durability == "fsync" and path is not None and is_tmpfs(path):
        words = f"{path.parent} is on a memory file system, so fsync makes nothing durable"
        view.note(f"warning: {words}")


def _describe(prepared: PreparedRun, directory: RunDirectory) -> None:
    trace, host = prepared.trace, host_facts()
    directory.write_run(
        {
            "plan": prepared.plan.as_dict(),
            "agents": prepared.agents,
            "seed": prepared.plan.seed,
            "arguments": sys.argv[1:],
            "versions": {"harness": harness.__version__, **host["packages"]},
            "commit": harness_commit(),
            "hosts": [host],
            "trace": None
            if trace is None
            else {
                "fingerprint": trace.fingerprint,
                "agents": trace.agents,
                "states": trace.states,
            },
        }
    )


def _sum_up(directory: RunDirectory, running: Steps, status: Status) -> dict[str, Any]:
    directory.update_status(status)
    summary = summarise(open_run(directory.path))
    if not running.plan.record:
        # without rows, what the cohorts counted is all there is
        operations, failed = running.meter.operations, running.meter.failures
        summary |= {
            "operations": operations,
            "failed": failed,
            "duration_s": running.measured_s,
            "throughput_ops_s": (operations - failed) / max(running.measured_s, 1e-9),
            "agents": {**summary["agents"], "count": running.meter.agents},
            "verdicts": [one for one in summary["verdicts"] if _says_cut_short(one)]
            + [_NOT_RECORDED],
            "limit": {"kind": "unknown", "sentence": "What limited the run was not recorded."},
        }
    return summary


def _says_cut_short(verdict: Mapping[str, str]) -> bool:
    return verdict["name"] == "completion" and verdict["verdict"] != "ok"


def _check_backup(target: DrivenTarget, uri: str) -> None:
    if not isinstance(target, BacksUp):
        problem = f"target {target.name} has no backups; memory_core has"
        raise UsageError("--backup", problem)
    try:
        target.check_backup(uri)
    except BadInputError as error:
        raise UsageError("--backup", error.problem) from None
    except MemoryCoreError as error:
        raise UsageError("--backup", str(error)) from None


def _check_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".harness-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError("--data-dir", f"{path} cannot be written ({error.strerror})") from None
