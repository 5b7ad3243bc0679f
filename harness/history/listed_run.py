"""One run or benchmark as a list has it: what its ``run.json`` and ``summary.json`` say in short.

Invariants
- Nothing here raises for what a file says: a directory that cannot be read is listed with a reason.
- No other file is opened. Of a run whose status is ``running``, the times of its files are looked
  at as well, where its process cannot be asked after.
- Times that an INVALID run measured are no figures of the store, and are left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from harness.documents import read_document
from harness.errors import NewerSchemaError, RunDirectoryError
from harness.history.plan_hash import canonical_plan, plan_hash
from harness.report.fields import group, groups, integer, number, sized_groups, text
from harness.rundir import RUN_FILE, STATUSES, SUMMARY_FILE

__all__ = [
    "LISTED_STATUSES",
    "SILENT_S",
    "UNREAD_STATUSES",
    "ListedRun",
    "read_listed",
    "was_killed",
]

# Those of a run, and what a list adds: a process that has gone, and what cannot be read.
UNREAD_STATUSES = ("damaged", "newer", "unreadable")
LISTED_STATUSES = (*STATUSES, "killed", *UNREAD_STATUSES)
# A run writes at least every 2 s. One whose process cannot be asked after, because it is on another
# host, counts as killed when it has not for this long.
SILENT_S = 600.0

_FILES_LOOKED_AT_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run or bench directory.

    Attributes:
        path: of the directory.
        name: its path below the folder that was listed.
        status: one of LISTED_STATUSES.
        reason: why something could not be read, in a sentence; "" if all was.
        command: ``run``, ``bench-agents`` and so on; "" if not known.
        started: in UTC.
        duration_s: of a benchmark; of a run, for how long it measured.
        target: what was driven.
        agents: how many; of a benchmark of agents its largest number, of a search for capacity what
            it found.
        throughput_ops_s: operations a second; of a benchmark of agents at that number.
        p99_ms: of the response time, as `throughput_ops_s`.
        plan_hash: `harness.history.plan_hash.plan_hash`.
        plan: in the form that is hashed.
        commit: of the harness, in hexadecimal; "" if not known.
        is_modified: files of that commit were changed.
        hosts: names of the machines.
        figures: those of the summary that were asked for, by path.
    """

    path: Path
    name: str
    status: str
    reason: str = ""
    command: str = ""
    started: datetime | None = None
    duration_s: float | None = None
    target: str = ""
    agents: int | None = None
    throughput_ops_s: float | None = None
    p99_ms: float | None = None
    plan_hash: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    commit: str = ""
    is_modified: bool = False
    hosts: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)


def read_listed(path: Path, name: str) -> tuple[ListedRun, dict[str, Any]]:
    """Read a directory; the second is its summary, empty if it has none that can be read."""
    try:
        run = read_document(path / RUN_FILE)
        if run is None:  # a link to nowhere, or gone since it was found
            raise RunDirectoryError(f"{path / RUN_FILE} is not there")
    except NewerSchemaError as error:
        return _unread(path, name, "newer", str(error)), {}
    except RunDirectoryError as error:
        is_kept = isinstance(error.__context__, OSError)  # from us, by who may read it
        return _unread(path, name, "unreadable" if is_kept else "damaged", str(error)), {}
    reason, summary = "", None
    try:
        summary = read_document(path / SUMMARY_FILE)
    except RunDirectoryError as error:
        reason = str(error)
    try:
        return _listed(path, name, run, summary or {}, reason), summary or {}
    except RecursionError:  # no run of ours
        return _unread(path, name, "damaged", f"{path / RUN_FILE} is nested too deeply"), {}


def _unread(path: Path, name: str, status: str, reason: str) -> ListedRun:
    return ListedRun(path=path, name=name, status=status, reason=reason)


def _listed(
    path: Path, name: str, run: Mapping[str, Any], summary: Mapping[str, Any], reason: str
) -> ListedRun:
    status = run.get("status")
    if status not in STATUSES:
        return _unread(path, name, "damaged", f"{path / RUN_FILE} has no status that a run has")
    status = "killed" if status == "running" and was_killed(path, run) else status
    agents, figures = _headline(run, summary)
    if status == "invalid":
        figures = {}
    return ListedRun(
        path=path,
        name=name,
        status=status,
        reason=reason,
        command=text(run, "command"),
        started=_moment(text(run, "started")),
        duration_s=number(summary, "duration_s"),
        target=_target(run),
        agents=agents,
        throughput_ops_s=number(figures, "throughput_ops_s"),
        p99_ms=number(figures, "all", "p99_ms"),
        plan_hash=plan_hash(run),
        plan=canonical_plan(run) or {},
        commit=text(run, "commit", "commit"),
        is_modified=group(run, "commit").get("modified") is True,
        hosts=tuple(text(host, "hostname") for host in groups(run, "hosts")),
    )


def _headline(
    run: Mapping[str, Any], summary: Mapping[str, Any]
) -> tuple[int | None, Mapping[str, Any]]:
    """How many agents, and the figures that stand for the whole, named as those of a run."""
    agents = run.get("agents", group(run, "plan").get("agents"))
    if isinstance(agents, list):  # the counts of a benchmark of agents
        agents = max((one for one in agents if _is_whole(one)), default=None)
    figures = summary
    for size, one in sized_groups(summary, "counts"):  # the largest comes last
        agents = size
        figures = {**one, "throughput_ops_s": one.get("operations_per_second")}
    capacity = group(summary, "capacity")
    if text(capacity, "search") == "agents":
        agents = integer(capacity, "low")
    if "bench" in summary and not group(summary, "counts"):
        rate = group(summary, "resources")
        figures = {**rate, "throughput_ops_s": rate.get("actual_rate_ops_per_second")}
    return (agents if _is_whole(agents) else None), figures


def was_killed(path: Path, run: Mapping[str, Any]) -> bool:
    """Whether a run that says it goes on has ended, as far as that can be known.

    Args:
        path: of its directory.
        run: ``run.json``, whose status is ``running``.
    """
    from harness.hosts import is_gone

    gone = is_gone(group(run, "process"))
    if gone is not None:
        return gone
    written = list(islice(_written(path), _FILES_LOOKED_AT_MAX))
    return bool(written) and time.time() - max(written) > SILENT_S


def _written(path: Path) -> Iterator[float]:
    """When files of a run, or of the steps of a benchmark, were last written."""
    for pattern in ("*", "resources/*", "steps/*/*", "steps/*/resources/*"):
        for file in path.glob(pattern):
            try:
                yield file.lstat().st_mtime
            except OSError:
                continue


def _target(run: Mapping[str, Any]) -> str:
    """The target, or those of a comparison of targets."""
    several = [text(one, "target") for one in groups(run, "bench", "targets")]
    return ", ".join(several) or text(run, "plan", "target")


def _moment(started: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(started)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15
