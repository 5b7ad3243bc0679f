"""What faults did to those that they hit: time to recover, errors meanwhile, the dip; pure.

Definitions
- *Hit* are the operations of the shard that a fault names, or of the shards on its node; where a
  store has no shards, or the fault names a cohort, those of the cohorts. A fault of a sampler hits
  none.
- *Recovered* is the moment of the first right answer after which `SETTLED_S` pass without a
  failed operation. It must be an answer that the fault could not have left behind: after a kill,
  to an operation that was issued after it or had to be sent again; after a stall, any that came
  when it was over. *Time to recover* runs from the fault to that moment, so that of a stall holds
  the stall. It is the recovery time of dependability benchmarks, seen by the client (M. Vieira and
  H. Madeira, "A Dependability Benchmark for OLTP Application Environments", VLDB 2003), with a
  settling time, so that one answer between failures is no recovery.
- *Meanwhile* are operations that were under way at any time from the fault to the recovery; the
  *errors* are those of them that failed (all outcomes but ok, not_found and bad_input).
- The *dip* compares right answers a second meanwhile with those in the 5 s before the fault.

Only what ended from `BEFORE_S` before a fault until `AFTER_S` after it is looked at, and nothing
after the next fault that hits the same.

A fault's times are of the driver's wall clock, and so are those of cohorts on its host. A cohort on
another host is as old as the time since its own start, by its own clock: it started when the
driver opened the barrier, some milliseconds later at most, and no clock is taken from another's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.rundir_reader import FileMetadata
from harness.schema import OUTCOMES, SUCCESSES

__all__ = ["AFTER_S", "BEFORE_S", "SETTLED_S", "FaultRows"]

SETTLED_S = 1.0
BEFORE_S = 5.0
AFTER_S = 120.0
# Shorter than this there is no rate to compare with.
_LEAST_BEFORE_S = 0.2
_NS = 1_000_000_000
_RIGHT = np.array([name in SUCCESSES for name in OUTCOMES])
_FAILED = np.array([name not in SUCCESSES and name != "bad_input" for name in OUTCOMES])

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """A fault as its event tells it; `shards` or `cohorts` are hit, and empty if none is.

    `opened_ns` is when the start barrier opened, by the driver's clock.
    """

    text: str
    done: bool
    problem: str | None
    opened_ns: int
    at_ns: int
    sent_ns: int
    over_ns: int
    is_stall: bool
    at_s: float
    who: str
    shards: frozenset[int]
    cohorts: frozenset[int]

    def hits_of(self, other: _Fault) -> bool:
        """Whether another fault hits some of the same."""
        return bool(self.shards & other.shards or self.cohorts & other.cohorts)


@dataclass
class _Rows:
    """Columns of the operations that a fault hit."""

    parts: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def columns(self) -> tuple[Times, Times, Times, Times, Times]:
        """Started, finished, attempts, outcome and response time, in the order of finishing."""
        rows = np.concatenate([np.empty((5, 0), np.int64), *self.parts], axis=1)
        rows = rows[:, np.argsort(rows[1], kind="stable")]
        return rows[0], rows[1], rows[2], rows[3], rows[4]


class FaultRows:
    """Notes what faults hit while a run's rows pass by, and says what came of it.

    Args:
        events: of the run; any but well-formed faults are left aside.
        run: ``run.json``, for which shards and cohorts are on a node.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]], run: Mapping[str, Any]) -> None:
        found = [_fault(event, run) for event in events if event.get("kind") == "fault"]
        self._faults = [fault for fault in found if fault is not None]
        self._rows = [_Rows() for _ in self._faults]
        self._first_ns: int | None = None
        self._opened_ns = next((fault.opened_ns for fault in self._faults), 0)
        topology = run.get("topology")
        known = topology if isinstance(topology, Mapping) else {}
        self._driver_node_id = known.get("driver_node_id")

    def watch(
        self, batches: Iterable[tuple[FileMetadata, pa.Table]]
    ) -> Iterator[tuple[FileMetadata, pa.Table]]:
        """Pass files of operations on, and keep what the faults hit."""
        for metadata, table in batches:
            if self._faults and table.num_rows:
                self._note(metadata, table)
            yield metadata, table

    def figures(self) -> list[dict[str, Any]]:
        """For each fault ``fault``, ``at_s``, ``done``, ``recovery_s`` and the rest; JSON.

        ``errors`` counts, ``errors_by_outcome`` names them; ``operations_meanwhile``;
        ``slowest_ms`` is their longest response time; ``throughput_before_ops_s``,
        ``throughput_meanwhile_ops_s``; ``sentence`` says it. What is not known is None.
        """
        return [self._figures(place) for place in range(len(self._faults))]

    def _note(self, metadata: FileMetadata, table: pa.Table) -> None:
        base_ns = metadata.start_wall_ns
        if self._driver_node_id not in {None, metadata.node_id}:
            base_ns = self._opened_ns
        finished = base_ns + table["finished_ns"].to_numpy()
        started = base_ns + table["started_ns"].to_numpy()
        first_ns = int(started.min())
        self._first_ns = first_ns if self._first_ns is None else min(self._first_ns, first_ns)
        shard = table["shard"].to_numpy()
        for fault, rows in zip(self._faults, self._rows, strict=True):
            if not fault.done:
                continue
            hit = (finished >= fault.at_ns - BEFORE_S * _NS) & (
                finished <= fault.over_ns + AFTER_S * _NS
            )
            if fault.shards:
                hit &= np.isin(shard, list(fault.shards))
            elif metadata.cohort not in fault.cohorts:
                continue
            if not hit.any():
                continue
            chunks = [chunk.indices.to_numpy() for chunk in table["outcome"].chunks]
            rows.parts.append(
                np.stack(
                    [
                        started[hit],
                        finished[hit],
                        table["attempts"].to_numpy()[hit].astype(np.int64),
                        np.concatenate(chunks)[hit].astype(np.int64),
                        (finished - base_ns - table["scheduled_ns"].to_numpy())[hit],
                    ]
                )
            )

    def _figures(self, place: int) -> dict[str, Any]:
        fault = self._faults[place]
        figures: dict[str, Any] = {
            "fault": fault.text,
            "at_s": fault.at_s,
            "done": fault.done,
            "recovery_s": None,
            "errors": 0,
            "errors_by_outcome": {},
            "operations_meanwhile": 0,
            "slowest_ms": None,
            "throughput_before_ops_s": None,
            "throughput_meanwhile_ops_s": None,
        }
        is_followed = False
        if fault.done and (fault.shards or fault.cohorts):
            later = [one for one in self._faults if one.done and one.at_ns > fault.at_ns]
            next_ns = min((one.at_ns for one in later if one.hits_of(fault)), default=None)
            until_ns = next_ns or fault.over_ns + round(AFTER_S * _NS)
            figures |= _measured(fault, self._rows[place].columns(), until_ns, self._first_ns)
            is_followed = next_ns is not None
        figures["sentence"] = _sentence(fault, figures, is_followed=is_followed)
        return figures


def _measured(
    fault: _Fault,
    columns: tuple[Times, Times, Times, Times, Times],
    until_ns: int,
    first_ns: int | None,
) -> dict[str, Any]:
    started, finished, attempts, outcome, response = columns
    right, failed = _RIGHT[outcome], _FAILED[outcome]
    within = (finished > fault.at_ns) & (finished <= until_ns)
    candidates = right & within & (finished > fault.over_ns)
    if not fault.is_stall:
        candidates &= (started > fault.sent_ns) | (attempts > 1)
    recovered_ns = _recovered_ns(finished[candidates], finished[failed & within])
    last = finished[within].max(initial=fault.at_ns)
    end_ns = int(last) if recovered_ns is None else recovered_ns
    meanwhile = (started <= end_ns) & (finished >= fault.at_ns) & (finished <= until_ns)
    errors = Counter(OUTCOMES[code] for code in outcome[meanwhile & failed].tolist())
    span_s = (end_ns - fault.at_ns) / _NS
    answers = int((right & (finished >= fault.at_ns) & (finished <= end_ns)).sum())
    slowest_ns = response[meanwhile].max(initial=-1)
    before_ns = max(fault.at_ns - round(BEFORE_S * _NS), first_ns or fault.at_ns)
    before_s = (fault.at_ns - before_ns) / _NS
    before = int((right & (finished >= before_ns) & (finished < fault.at_ns)).sum())
    return {
        "recovery_s": None if recovered_ns is None else span_s,
        "errors": errors.total(),
        "errors_by_outcome": dict(errors),
        "operations_meanwhile": int(meanwhile.sum()),
        "slowest_ms": None if slowest_ns < 0 else float(slowest_ns) / 1e6,
        "throughput_before_ops_s": before / before_s if before_s >= _LEAST_BEFORE_S else None,
        "throughput_meanwhile_ops_s": answers / span_s if span_s > 0 else None,
    }


def _recovered_ns(answers: Times, failures: Times) -> int | None:
    """The first of the answers, in order, after which nothing fails for a while.

    Args:
        answers: when right ones came that the fault did not leave behind, in order.
        failures: when operations failed, in order.
    """
    settled_ns = round(SETTLED_S * _NS)
    at = 0
    while at < len(answers):
        answer = int(answers[at])
        first = int(np.searchsorted(failures, answer, "right"))
        last = int(np.searchsorted(failures, answer + settled_ns, "right"))
        if first == last:
            return answer
        later = np.flatnonzero(answers[at:] > failures[last - 1])
        if not later.size:
            return None
        at += int(later[0])
    return None


def _fault(event: Mapping[str, Any], run: Mapping[str, Any]) -> _Fault | None:
    """What an event of a fault says; None where it is none that we wrote."""
    text, of, number = event.get("fault"), event.get("of"), event.get("number")
    at_ns, at_s = _number(event, "wall_ns"), _number(event, "t_s")
    if not isinstance(text, str) or not isinstance(number, int) or at_ns is None or at_s is None:
        return None
    sent_ns = max(_number(event, "answered_wall_ns") or at_ns, at_ns)
    for_s = _number(event, "for_s")
    is_stall = event.get("action") == "stall"
    shards: frozenset[int] = frozenset()
    cohorts: frozenset[int] = frozenset()
    if event.get("what") == "process":
        own = frozenset([number])
        shards, cohorts = (own, cohorts) if of == "shard" else (shards, own)
    elif event.get("what") == "node":
        shards = _there(run, event.get("node_id"), "shard", ("target", "shards"))
        if not shards:
            cohorts = _there(run, event.get("node_id"), "cohort", ("cohorts",))
    problem = event.get("problem")
    return _Fault(
        text=text,
        done=event.get("done") is True,
        problem=problem if isinstance(problem, str) else None,
        opened_ns=int(sent_ns - at_s * _NS),
        at_ns=int(at_ns),
        sent_ns=int(sent_ns),
        over_ns=int(at_ns + for_s * _NS) if is_stall and for_s else int(sent_ns),
        is_stall=is_stall,
        at_s=at_s,
        who=_who(shards, cohorts),
        shards=shards,
        cohorts=cohorts,
    )


def _who(shards: frozenset[int], cohorts: frozenset[int]) -> str:
    kind, numbers = ("shard", shards) if shards else ("cohort", cohorts)
    shown = ", ".join(str(number) for number in sorted(numbers)[:8])
    return f"{kind}{'s' if len(numbers) > 1 else ''} {shown}"


def _there(
    run: Mapping[str, Any], node_id: object, kind: str, path: Sequence[str]
) -> frozenset[int]:
    """The shards, or cohorts, that ``run.json`` has on a node."""
    found: Any = run.get("topology")
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else []
    return frozenset(
        one[kind]
        for one in listed
        if isinstance(one, Mapping)
        and one.get("node_id") == node_id
        and isinstance(one.get(kind), int)
    )


def _number(event: Mapping[str, Any], name: str) -> float | None:
    value = event.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**62:
        return None
    return value


def _sentence(fault: _Fault, figures: Mapping[str, Any], *, is_followed: bool) -> str:
    if not fault.done:
        return f"{fault.text}: not done: {fault.problem or 'no reason is known'}."
    if not fault.shards and not fault.cohorts:
        return f"{fault.text}: no operation depends on it."
    recovery_s, errors = figures["recovery_s"], figures["errors"]
    operations = figures["operations_meanwhile"]
    if recovery_s is not None:
        answered = f"{fault.who} answered again after {recovery_s:,.2f} s"
    elif is_followed:
        answered = f"{fault.who} had not come to answer again when the next fault hit"
    else:
        answered = f"{fault.who} did not come to answer again"
    many = f"{errors:,}" if errors else "none"
    parts = [f"{fault.text}: {answered}; of {operations:,} operations meanwhile {many} failed"]
    if errors:
        kinds = figures["errors_by_outcome"].items()
        parts.append(f" ({', '.join(f'{count:,} {name}' for name, count in kinds)})")
    if figures["slowest_ms"] is not None:
        parts.append(f", the slowest took {figures['slowest_ms']:,.0f} ms")
    before, meanwhile = (figures[f"throughput_{when}_ops_s"] for when in ("before", "meanwhile"))
    if before and meanwhile is not None:
        parts.append(f", and {before:,.0f} operations/s became {meanwhile:,.0f}")
    return "".join(parts) + "."
