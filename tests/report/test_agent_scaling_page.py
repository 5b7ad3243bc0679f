"""The benchmark of agents as a terminal shows it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from rich.cells import cell_len

from harness.report.agent_scaling import bar, render_agents

RUN = {
    "plan": {"target": "memory_core", "durability": "fsync", "seed": 7},
    "bench": {"step_duration_s": 3.0, "steps": 6},
}


def figures(ops_s: float, factor: float) -> dict[str, Any]:
    return {
        "operations_per_second": ops_s,
        "efficiency": factor,
        "total_duration_seconds": 0.1234,
        "avg_agent_duration_seconds": 0.1111,
        "max_agent_duration_seconds": 0.1199,
        "avg_cpu_percent": 123.4,
        "max_cpu_percent": 187.0,
        "max_memory_bytes": 612 * 2**20,
        "all": {"p50_ms": 4.42, "p99_ms": 12.4},
        "limit": {"kind": "machine", "sentence": f"The CPU limited the run at {factor:.0%}."},
    }


@pytest.fixture
def bench() -> dict[str, Any]:
    """A summary with two counts, and the threads beside them."""
    return {
        "duration_s": 75.0,
        "counts": {"1": figures(850.0, 1.0), "500": figures(64_482.0, 0.15)},
        "threads": {"1": figures(3_000.0, 1.0), "500": figures(9_000.0, 0.01)},
        "scaling": {"sentence": "500 agents reached the most."},
        "verdicts": [
            {"name": "repeats", "verdict": "warning", "sentence": "Measured once only."},
            {"name": "completion", "verdict": "ok", "sentence": "All 6 steps were measured."},
            {"name": "failures", "verdict": "ok", "sentence": "None of 9 operations failed."},
            {"name": "threads", "verdict": "ok", "sentence": "Threads reached 9,000."},
            {"name": "scaling", "verdict": "ok", "sentence": "500 agents reached the most."},
        ],
    }


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits_and_says_each_thing_once(bench, shown, width: int):
    """The headline stands first; no line is wider than the terminal, nor wrapped to fit it."""
    lines = shown(render_agents(bench, RUN), width)
    text = "\n".join(lines)
    assert lines[0] == " 500 agents reached the most."
    assert text.count("500 agents reached the most.") == 1
    assert text.count("Measured once only.") == 1
    assert "memory_core, fsync, rounds for 3.0 s a step, 6 steps in 1 min 15 s" in text
    assert max(map(cell_len, lines)) <= width
    for words in ("a round ─", "response ─", "CPU ─", "64,482", "612 MiB", "at 15%."):
        assert words in text


def test_one_step_is_told_as_one(bench, shown):
    """A benchmark of one step says "1 step"."""
    run = {**RUN, "bench": {**RUN["bench"], "steps": 1}}
    assert "1 step in 1 min 15 s" in "\n".join(shown(render_agents(bench, run), 80))


def test_bars_are_as_long_as_their_rates(bench, shown):
    """The best has the whole width, and one of 14% about a seventh of it."""
    lines = shown(render_agents(bench, RUN), 80)
    bars = {line.split()[1] + line.split()[0]: line.count("█") for line in lines if "█" in line}
    assert bars["agents500"] == 40
    assert bars["threads500"] == 5


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (0.0001, "▏"), (0.5, "██"), (0.53125, "██▏"), (1.0, "████"), (7.0, "████")],
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(share: float, drawn: str):
    """What is there at all is seen, and nothing runs over."""
    assert bar(share, 4) == drawn


def test_a_benchmark_that_failed_says_so_first(bench, shown):
    """What went wrong stands before any figure."""
    failed = {"name": "completion", "verdict": "failed", "sentence": "1 of 6 steps were measured."}
    bench["verdicts"].insert(0, failed)
    lines = shown(render_agents(bench, RUN))
    assert lines[0] == " 1 of 6 steps were measured."
    assert lines[1] == " 500 agents reached the most."


def test_nothing_measured_is_shown_as_that(bench, shown):
    """Without a count there is no table, and the verdict is all there is."""
    bench = copy.deepcopy(bench) | {"counts": {}, "threads": {}, "scaling": {"sentence": ""}}
    verdict = {"name": "completion", "verdict": "failed", "sentence": "No step was measured."}
    bench["verdicts"] = [verdict]
    lines = shown(render_agents(bench, RUN))
    assert lines[0] == " No step was measured."
    assert not any("op/s" in line for line in lines)


def test_unknown_figures_are_dashes(bench, shown):
    """A count without durations, samples or percentiles is shown all the same."""
    row = bench["counts"]["1"]
    for key, value in row.items():
        if isinstance(value, float | int):
            row[key] = None
    row["all"] = {"p50_ms": None, "p99_ms": None}
    line = next(one for one in shown(render_agents(bench, RUN)) if one.startswith("      1"))
    assert set(line.split()[1:]) == {"-"}


def test_text_from_a_file_is_shown_as_text(bench, shown):
    """Markup and control characters of a foreign summary do nothing."""
    bench["counts"]["1"]["limit"]["sentence"] = "[red]\x1b[31mhostile"
    assert any(
        "[red]\N{REPLACEMENT CHARACTER}[31mhostile" in one
        for one in shown(render_agents(bench, RUN))
    )
