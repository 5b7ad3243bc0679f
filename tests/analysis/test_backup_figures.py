"""Backups of a run are counted from its events, and judged where some came to nothing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.backups import backup_figures, backup_verdicts


def begun(number: int) -> dict[str, Any]:
    return {"kind": "backup", "state": "begin", "number": number}


def ended(number: int, **more: Any) -> dict[str, Any]:
    facts = {"duration_s": 2.0, "new_bytes": 10, "reused_bytes": 5, "problem": None}
    return {"kind": "backup", "state": "end", "number": number, **facts, **more}


def test_a_run_without_backups_has_nothing_to_say():
    """Without a backup all counts are 0, there is no sentence, and no verdict."""
    figures = backup_figures([{"kind": "phase", "phase": "measuring"}])
    assert figures["count"] == figures["failed"] == figures["unfinished"] == 0
    assert figures["duration_avg_s"] is figures["sentence"] is None
    assert backup_verdicts(figures) == []


def test_backups_are_summed_up():
    """Bytes are added up, times averaged, and the verdict is ok."""
    figures = backup_figures([begun(1), ended(1), begun(2), ended(2, duration_s=4.0)])
    assert (figures["count"], figures["new_bytes"], figures["reused_bytes"]) == (2, 20, 10)
    assert (figures["duration_avg_s"], figures["duration_max_s"]) == (3.0, 4.0)
    [verdict] = backup_verdicts(figures)
    assert verdict["verdict"] == "ok"
    assert verdict["sentence"].startswith("2 backups were taken while the run went on, in 3 s")


def test_backups_that_failed_are_a_warning():
    """One that failed and one without an end are told with the first reason; the rest counts."""
    figures = backup_figures(
        [
            *(begun(1), ended(1), begun(2), ended(2, problem="shard 1 died", duration_s=99.0)),
            *(begun(3), {"kind": "backups missed", "count": 4}),
        ]
    )
    assert (figures["count"], figures["failed"], figures["unfinished"]) == (1, 1, 1)
    assert (figures["missed"], figures["duration_max_s"]) == (4, 2.0)
    [verdict] = backup_verdicts(figures)
    assert verdict["verdict"] == "warning"
    assert "2 of 3 backups came to nothing: shard 1 died." in verdict["sentence"]


@pytest.mark.parametrize("value", [None, "x", -1, float("nan"), float("inf"), [], True, 10**400])
def test_events_of_anybody_harm_nothing(value: Any):
    """An event with anything for its numbers still gives finite figures."""
    figures = backup_figures(
        [
            {"kind": "backup", "number": value},
            ended(1, duration_s=value, new_bytes=value, reused_bytes=value),
            {"kind": "backups missed", "count": value},
        ]
    )
    assert figures["count"] == 1
    assert figures["duration_max_s"] == 0.0
