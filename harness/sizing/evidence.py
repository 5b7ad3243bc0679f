"""What sizing knows of measured runs, and the file that keeps it.

Evidence is small (some 15 KB a run: a thousand of its batches and a few totals), so it can be kept
where run directories cannot: ``harness plan --keep FILE`` writes it, ``--from FILE`` reads it.
`harness.sizing.reading` makes it of directories.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec

from harness.errors import RunDirectoryError
from harness.schema import OPERATIONS
from harness.sizing.batches import Batches

__all__ = ["Evidence", "MemoryEvidence", "RunEvidence", "read_kept", "write_evidence"]

_VERSION = 1
_FILE_BYTES_MAX = 256 * 2**20

_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
_Exponent = Annotated[float, msgspec.Meta(ge=-10, le=10)]


class RunEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the pipelined client against shards.

    Attributes:
        name: of its directory.
        agents: that ran at once.
        shards: processes that served.
        cohorts: processes that agents ran in.
        think_time_s: pause after each operation; 0 offers as much as is answered.
        open_loop: whether a rate was offered.
        duration_s: that was measured.
        operations: by type.
        throughput_ops_s: of all of them.
        response_ms: ``p50``, ``p90``, ``p95`` and ``p99`` of the response time, None where the
            run was too short.
        batches_sent: batches that they travelled in, also those that ``batches`` leaves out.
        batches: some of them.
        shard_cpu_s: CPU seconds of all shards together.
        cohort_cpu_s: of all cohorts together.
        wire_bytes: that went between processes, over all interfaces; None where not sampled.
        cores: of the machines.
        foreign_cores: that others than the run's processes used; None where not known.
    """

    name: str
    agents: _Positive
    shards: _Positive
    cohorts: _Positive
    think_time_s: _Amount
    open_loop: bool
    duration_s: _Amount
    operations: dict[str, Annotated[int, msgspec.Meta(ge=0, le=2**53)]]
    throughput_ops_s: Annotated[float, msgspec.Meta(gt=0, le=1e18)]
    response_ms: dict[str, _Amount | None]
    batches_sent: _Positive
    batches: Batches
    shard_cpu_s: Annotated[float, msgspec.Meta(gt=0, le=1e18)]
    cohort_cpu_s: Annotated[float, msgspec.Meta(gt=0, le=1e18)]
    wire_bytes: _Amount | None
    cores: _Positive
    foreign_cores: _Amount | None

    def __post_init__(self) -> None:
        """Raise ValueError unless there are operations, by the types there are."""
        if set(self.operations) != set(OPERATIONS) or not any(self.operations.values()):
            raise ValueError(f"operations: must be some of {', '.join(OPERATIONS)}")

    @property
    def operations_total(self) -> int:
        """Operations of all types."""
        return sum(self.operations.values())

    @property
    def batch_ops(self) -> float:
        """Operations of a batch, on average."""
        return self.operations_total / self.batches_sent


class MemoryEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What memories take, and how time grows with them, from ``bench memory``.

    Attributes:
        name: of its directory.
        agents: over which the memories were spread.
        shards: that held them.
        volumes: ``(volumes,)`` memories.
        memory_bytes: of the store's processes at each volume, beyond the empty store.
        disk_bytes: likewise, of its files.
        exponents: by type of operation, the power of the number of memories that its service
            time grows with: estimate, low, high; None where not known.
    """

    name: str
    agents: _Positive
    shards: _Positive
    volumes: Annotated[list[_Positive], msgspec.Meta(min_length=1)]
    memory_bytes: list[_Amount]
    disk_bytes: list[_Amount]
    exponents: dict[str, tuple[_Exponent, float | None, float | None]]

    def __post_init__(self) -> None:
        """Raise ValueError unless each volume has its bytes."""
        if not len(self.volumes) == len(self.memory_bytes) == len(self.disk_bytes):
            raise ValueError("volumes: there are not as many of bytes")


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that was read."""

    runs: list[RunEvidence]
    memories: list[MemoryEvidence]
    schema_version: int = _VERSION


def write_evidence(evidence: Evidence, place: Path) -> None:
    """Keep evidence in a file, whole or not at all."""
    unfinished = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(msgspec.json.encode(evidence) + b"\n")
    unfinished.replace(place)


def read_kept(place: Path) -> Evidence:
    """Read a file of evidence. Raises RunDirectoryError when it is none that we can read."""
    try:
        if place.stat().st_size > _FILE_BYTES_MAX:
            raise RunDirectoryError(f"{place} is larger than any evidence that --keep writes")
        evidence = msgspec.json.decode(place.read_bytes(), type=Evidence)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RunDirectoryError(
            f"{place} is neither a directory of a run nor evidence that --keep wrote"
        ) from None
    if evidence.schema_version != _VERSION:
        raise RunDirectoryError(
            f"{place} has version {evidence.schema_version}, and this release reads {_VERSION}: "
            "keep it anew from its runs"
        )
    return evidence
