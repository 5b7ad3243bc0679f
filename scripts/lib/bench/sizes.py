"""How much each measurement does. What the product must reach is said for the defaults only."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BATCH_OPERATIONS", "SLICES", "THREADS", "Sizes", "size"]

BATCH_OPERATIONS = 256
THREADS = 16
# Bare puts, one thread and many threads take turns this often within a repeat.
SLICES = 3


def size(default: int, text: str) -> int:
    """A count that is an option of the command."""
    made: int = field(default=default, metadata={"help": text})
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
