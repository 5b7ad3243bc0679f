"""The store at depth, ``scripts/bench core``: a million memories of one agent, and many agents.

Each measurement runs in a process of its own (`bench.core_child`). Recall is against exact search
on vectors that are made here, independently of the store.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench import core_child
from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, Measured, number, ratio
from bench.sizes import size
from memory_core import StateEncoder

__all__ = ["MEASUREMENTS", "ROWS", "CoreSizes", "figure_specs"]

_RECALL_QUERIES = 100
_ENCODED_TOGETHER = 4_096


@dataclass(frozen=True, kw_only=True)
class CoreSizes:
    """Counts, all positive; each is an option of the command."""

    memories: int = size(1_000_000, "memories of one agent")
    few_memories: int = size(1_000, "memories that they are compared with")
    many_agents: int = size(100_000, "agents of a few memories each")
    few_agents: int = size(500, "agents that they are compared with")
    memories_each: int = size(10, "memories of each of them")


def grown(sizes: CoreSizes, folder: Path) -> Measured:
    """One agent's memories with default tiers, at volumes that grow tenfold."""
    volumes = [sizes.few_memories]
    while volumes[-1] * 10 < sizes.memories:
        volumes.append(volumes[-1] * 10)
    volumes.append(sizes.memories)
    seen = _in_child(core_child.grow, str(folder / "grown"), sizes.memories, volumes, {})
    few, all_of_them = (seen["volumes"][str(volumes[at])] for at in (0, -1))
    recalls = _recalls({int(volume): one["found"] for volume, one in seen["volumes"].items()})
    return {
        "store_ops_s": seen["store_ops_s"],
        "slowest_single_s": seen["slowest_single_s"],
        "search_few_us": few["search_p50_s"] * 1e6,
        "search_us": all_of_them["search_p50_s"] * 1e6,
        "retrieve_few_us": few["retrieve_p50_s"] * 1e6,
        "retrieve_us": all_of_them["retrieve_p50_s"] * 1e6,
        "rss_bytes": all_of_them["rss_bytes"],
        "recall": min(recalls.values()),
    }


def killed(sizes: CoreSizes, folder: Path) -> Measured:
    """A process killed with all its memories, the next one that opens them, and a transition."""
    path, roomy = str(folder / "killed"), {"stm_capacity": sizes.memories}
    _in_child(core_child.killed_after_load, path, sizes.memories, roomy, killed=True)
    measured: Measured = _in_child(core_child.open_again, path, roomy)
    return measured


def many(sizes: CoreSizes, folder: Path) -> Measured:
    """Many agents of a few memories each, against few."""
    few = _in_child(
        core_child.many_agents, str(folder / "few"), sizes.few_agents, sizes.memories_each
    )
    lots = _in_child(
        core_child.many_agents, str(folder / "many"), sizes.many_agents, sizes.memories_each
    )
    return {
        "rss_bytes": lots["rss_bytes"],
        "search_us": lots["search_p50_s"] * 1e6,
        "search_few_us": few["search_p50_s"] * 1e6,
    }


MEASUREMENTS: dict[str, Callable[[Any, Path], Measured]] = {
    "grown": grown,
    "killed": killed,
    "many": many,
}
ROWS: dict[str, tuple[str, ...]] = {
    "million": ("grown",),
    "opening": ("killed",),
    "many-agents": ("many",),
}


def figure_specs(sizes: CoreSizes) -> list[FigureSpec]:
    """The lines of the table."""
    all_of_them, few = f"{sizes.memories:,} memories", f"{sizes.few_memories:,}"
    agents = f"{sizes.many_agents:,} agents, {sizes.memories_each} memories each"
    grown_by = [
        (
            "store rate over the whole load, fsync",
            "operations/s",
            "store_ops_s",
            Goal(least=60_000),
        ),
        ("slowest single store during the load", "s", "slowest_single_s", Goal(most=0.1)),
        ("search k=10, states included, p50", "µs", "search_us", Goal(most=600)),
        (f"search at {few}, p50", "µs", "search_few_us", None),
        ("retrieve by id, p50", "µs", "retrieve_us", Goal(most=40)),
        (f"retrieve at {few}, p50", "µs", "retrieve_few_us", None),
        (f"lowest recall@10 from {few} on", "ratio", "recall", Goal(least=0.95)),
        ("resident memory of the process", "bytes", "rss_bytes", Goal(most=500 * 2**20)),
    ]
    opened_by = [
        ("killed and opened again: first answer", "s", "first_answer_s", Goal(most=5)),
        ("30% to IM while other calls go on: whole", "s", "transition_s", Goal(most=10)),
        ("the longest that another call waits", "s", "longest_wait_s", Goal(most=0.1)),
    ]
    return [
        *(
            FigureSpec(
                row="million",
                title=f"{all_of_them}: {title}",
                unit=unit,
                value=number("grown", name),
                goal=goal,
            )
            for title, unit, name, goal in grown_by
        ),
        *(
            FigureSpec(
                row="opening",
                title=f"{all_of_them}: {title}",
                unit=unit,
                value=number("killed", name),
                goal=goal,
            )
            for title, unit, name, goal in opened_by
        ),
        FigureSpec(
            row="many-agents",
            title=f"{agents}: resident memory",
            unit="bytes",
            value=number("many", "rss_bytes"),
            goal=Goal(most=2**30),
        ),
        FigureSpec(
            row="many-agents",
            title=f"{agents}: search p50 against {sizes.few_agents:,} agents",
            unit="times",
            value=ratio(number("many", "search_us"), number("many", "search_few_us")),
            goal=Goal(most=2),
        ),
    ]


def _recalls(found: dict[int, list[list[int]]]) -> dict[int, float]:
    """Recall@10 at each volume, against exact search on vectors that the store did not make."""
    encoder = StateEncoder()
    states = core_child.walk(0)
    total = max(found)
    vectors = np.concatenate(
        [
            encoder.encode_packed(list(islice(states, min(_ENCODED_TOGETHER, total - first))))
            for first in range(0, total, _ENCODED_TOGETHER)
        ]
    )
    asked = encoder.encode_packed(core_child.queries(_RECALL_QUERIES))
    recalls = {}
    for volume, results in found.items():
        k = min(core_child.SEARCH_K, volume)
        hit = 0
        for query, ids in zip(asked, results, strict=False):
            scores = vectors[:volume] @ query
            # of equal scores any may be found
            least = np.partition(scores, volume - k)[volume - k] - 1e-5
            hit += sum(scores[one] >= least for one in ids[:k])
        recalls[volume] = hit / (k * len(asked))
    return recalls


def _in_child(work: Callable[..., Any], *arguments: Any, killed: bool = False) -> Any:
    """What ``work`` gives in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(send, work, arguments))
    child.start()
    send.close()
    try:
        answer = receive.recv()
    except EOFError:
        answer = None
    finally:
        child.join()
    if killed:
        if child.exitcode != -9:
            raise MeasurementError(f"{work.__name__} was not killed: {answer}")
        return None
    if not isinstance(answer, dict):
        raise MeasurementError(f"{work.__name__}: {answer or f'exit code {child.exitcode}'}")
    return answer


def _report(send: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        send.send(work(*arguments))
    except Exception as error:  # noqa: BLE001 - told by the parent
        send.send(f"{type(error).__name__}: {error}")
