"""How much each measurement does. What the product must reach is said for the defaults only."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BATCH_OPERATIONS", "SLICES", "THREADS", "Sizes", "size", "words"]

BATCH_OPERATIONS = 256
THREADS = 16
# Bare puts, one thread and many threads take turns this often within a repeat.
SLICES = 3


def size(default: int, text: str) -> int:
    """A count that is an option of the command."""
    made: int = field(default=default, metadata={"help": text})
    return made


def words(default: str, text: str) -> str:
    """Text that is an option of the command."""
    made: str = field(default=default, metadata={"help": text, "type": str})
    return made


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Counts, all positive; each is an option of the command."""

    agents: int = size(500, "agents through Ray")
    rounds: int = size(20, "rounds of each")
    unpipelined_rounds: int = size(2, "rounds of each with --pipelining off, which is slow")
    many_agents: int = size(10_000, "agents at once, of one round each")
    embedded_agents: int = size(100, "agents of the calls one at a time")
    embedded_rounds: int = size(20, "rounds of each")
    single_stores: int = size(1_000, "stores, and bare puts, in a slice of the fsync rows")
    batch_rounds: int = size(20, f"rounds of each of {BATCH_OPERATIONS} agents in batches")
    paced_rate: int = size(100, "operations a second of the paced run")
    paced_s: int = size(20, "seconds of it")
    cost_operations: int = size(45_000, "operations of a plain target by 500 agents, each way")
    watching_s: int = size(10, "seconds of each run that is watched, or is not")
    page_points: int = size(600, "points of a run whose live page is opened")
    page_s: int = size(3_600, "seconds of points that go by on an open live page")
    peer_rounds: int = size(10, "rounds of a peer that is checked against a bare script")
    peer_rounds_alone: int = size(300, "rounds of its one agent alone")
