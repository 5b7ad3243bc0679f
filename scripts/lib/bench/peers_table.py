"""The comparison with peers as Markdown: the tables that README.md has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.session import Session
from harness.analysis.target_verdicts import points_of
from harness.report import figures

__all__ = ["peer_tables", "tables_of"]

_OPERATIONS = ("store", "retrieve", "search")


def tables_of(session: Session) -> list[str]:
    """The lines of a session that measured peers: tables, and what to know; none otherwise."""
    measured = [one["summary"] for one in session.raw if one["measurement"] == "peers"]
    if not measured:
        return []
    told = [one["sentence"] for one in measured[-1]["verdicts"]]
    return [*peer_tables(measured[-1]), "", *(f"- {figures.plain(one)}" for one in told)]


def peer_tables(summary: Mapping[str, Any]) -> Iterator[str]:
    """Figures by target, the best throughput first, then what each of them is.

    Args:
        summary: of ``harness bench targets``.
    """
    targets: Mapping[str, Mapping[str, Any]] = summary["targets"]
    counts = sorted({int(count) for one in targets.values() for count in one["counts"]})
    volumes = sorted({int(volume) for one in targets.values() for volume in one["volumes"]})
    rate = f"{counts[-1]}" if counts else ""
    volume = f"{volumes[-1]}" if volumes else ""
    order = sorted(targets, key=lambda one: -(_rate(targets[one], rate) or 0.0))
    heads = [f"{figures.counted(count, 'agent')}, op/s" for count in reversed(counts)]
    heads += [*_OPERATIONS, "recall@10", "loaded/s", "memory", "disk", "kept", "points"]
    yield from _table(
        ["", *heads],
        [[f"`{name}`", *_cells(targets[name], counts, volume)] for name in order],
        "---:",
    )
    yield ""
    yield from _table(
        ["", "version", "what an acknowledgement means", "settings"],
        [[f"`{name}`", *_facts(targets[name])] for name in order],
        "---",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], rule: str) -> Iterator[str]:
    """The lines of a table whose columns but the first are aligned by a rule."""
    yield f"| {' | '.join(heads)} |"
    yield f"| --- |{f' {rule} |' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _rate(one: Mapping[str, Any], count: str) -> float | None:
    found: float | None = one["counts"].get(count, {}).get("operations_per_second")
    return found


def _cells(one: Mapping[str, Any], counts: Sequence[int], volume: str) -> Iterator[str]:
    for count in reversed(counts):
        yield figures.rate(_rate(one, f"{count}"))
    held = one["volumes"].get(volume, {})
    for name in _OPERATIONS:
        yield figures.time(held.get(f"{name}_latency_ms", {}).get("p50"))
    recall = held.get("recall")
    yield figures.UNKNOWN if recall is None else f"{recall:.3f}"
    yield figures.rate(held.get("load_rate_ops_s"))
    yield figures.size(held.get("memory_bytes_per_memory"))
    yield figures.size(held.get("disk_bytes_per_memory"))
    yield "yes" if "durable" in (one["capabilities"] or []) else "no"
    points = [point for point in points_of(one) if point.get("state") != "not claimed"]
    passed = [point for point in points if point.get("state") == "passed"]
    yield f"{len(passed)} of {len(points)}" if points else figures.UNKNOWN


def _facts(one: Mapping[str, Any]) -> Iterator[str]:
    yield figures.plain(one["version"] or figures.UNKNOWN)
    yield figures.plain(one["durability"] or figures.UNKNOWN)
    settings = (one["settings"] or {}).items()
    yield ", ".join(f"{figures.plain(name)} {figures.plain(value)}" for name, value in settings)
