"""What the backups of a run's own store came to, from the run's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.analysis.finite import finite_number

__all__ = ["backup_figures", "backup_verdicts"]


def backup_figures(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the events ``backup`` and ``backups missed``.

    Returns:
        ``count`` of backups that are there, ``failed``, ``unfinished`` (begun, and no end is
        known), ``missed`` (due while another was being taken), ``new_bytes`` and ``reused_bytes``
        of all together, ``duration_avg_s`` and ``duration_max_s`` (None without one), ``problem``
        of the first that failed, and a ``sentence``, None where no backup was asked for.
    """
    begun, ended, missed = set(), {}, 0
    for event in events:
        number = event.get("number")
        if event.get("kind") == "backup" and isinstance(number, int):
            if event.get("state") == "end":
                ended[number] = event
            else:
                begun.add(number)
        elif event.get("kind") == "backups missed":
            missed += _whole(event.get("count"))
    there = [one for one in ended.values() if one.get("problem") is None]
    problems = [str(one["problem"]) for one in ended.values() if one.get("problem") is not None]
    durations = [_seconds(one.get("duration_s")) for one in there]
    figures: dict[str, Any] = {
        "count": len(there),
        "failed": len(problems),
        "unfinished": len(begun - ended.keys()),
        "missed": missed,
        "new_bytes": sum(_whole(one.get("new_bytes")) for one in there),
        "reused_bytes": sum(_whole(one.get("reused_bytes")) for one in there),
        "duration_avg_s": sum(durations) / len(durations) if durations else None,
        "duration_max_s": max(durations, default=None),
        "problem": problems[0] if problems else None,
    }
    return figures | {"sentence": _sentence(figures)}


def backup_verdicts(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """A verdict on the backups, where there were to be some."""
    if figures["sentence"] is None:
        return []
    lost = figures["failed"] + figures["unfinished"]
    verdict = "warning" if lost else "ok"
    return [{"name": "backups", "verdict": verdict, "sentence": figures["sentence"]}]


def _sentence(figures: Mapping[str, Any]) -> str | None:
    count, lost = figures["count"], figures["failed"] + figures["unfinished"]
    if not count + lost:
        return None
    parts = []
    if count:
        what = "1 backup was" if count == 1 else f"{count:,} backups were"
        parts.append(
            f"{what} taken while the run went on, in {figures['duration_avg_s']:.2g} s on average: "
            f"{figures['new_bytes']:,} bytes written, {figures['reused_bytes']:,} there already"
        )
    if lost:
        cause = f": {figures['problem']}" if figures["problem"] is not None else ""
        parts.append(f"{lost:,} of {count + lost:,} backups came to nothing{cause}")
    return "; ".join(parts) + "."


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _seconds(value: object) -> float:
    return max(finite_number(value) or 0.0, 0.0)
