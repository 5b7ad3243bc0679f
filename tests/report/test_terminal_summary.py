"""The summary in a terminal: what is said first, what is shown, and that it fits."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from harness.report import render_summary

PLAN = {"target": "memory_core", "durability": "fsync", "shards": 2, "seed": 7}


def test_a_good_run_begins_with_its_throughput(summary, shown):
    """Without anything to warn of, the first line is what was reached."""
    lines = shown(render_summary(summary, {"plan": PLAN}))
    assert lines[0].startswith(
        " 85,714 operations/s: 180,000 operations by 500 agents (500 at once)"
    )
    assert "none failed" in lines[0]
    assert lines[1] == " memory_core, fsync, closed loop, 2 shards, seed 7"


def test_it_ends_with_what_limited_the_run(summary, shown):
    """The last sentence is the limit's."""
    assert shown(render_summary(summary, {}))[-1] == f" {summary['limit']['sentence']}"


def test_one_table_has_the_times_of_each_operation_side_by_side(summary, shown):
    """Response, service, queueing and transport are in one row an operation, in one unit."""
    lines = shown(render_summary(summary, {}))
    heads = next(number for number, line in enumerate(lines) if "p99.9" in line)
    for group in ("response", "service", "queueing", "transport"):
        assert group in lines[heads - 1]
    assert lines[heads].split()[:3] == ["ms", "count", "op/s"]
    store = next(line for line in lines if line.startswith(" store")).split()
    response = ["4.42", "7.91", "12.4", "31.7", "1,042"]
    parts = ["0.884", "2.48", "1.77", "4.96", "1.77", "4.96"]
    assert store == ["store", "100,000", "47,619", *response, *parts]


@pytest.mark.parametrize(("p50_ms", "unit"), [(0.05, "µs"), (4.0, "ms"), (20_000.0, "s")])
def test_the_tables_unit_suits_the_usual_response(summary, shown, p50_ms, unit):
    """The table is in µs, ms or s by the median response."""
    summary["all"]["p50_ms"] = p50_ms
    lines = shown(render_summary(summary, {}))
    assert any(line.split()[:2] == [unit, "count"] for line in lines)


def test_a_percentile_that_is_none_is_a_dash(summary, shown):
    """What has too few samples is shown as not known."""
    for name in ("p99_ms", "p999_ms"):
        summary["search"][name] = None
    search = next(line for line in shown(render_summary(summary, {})) if line.startswith(" search"))
    assert search.split()[5:7] == ["-", "-"]


def test_resources_have_a_row_a_role_and_one_for_the_machine(summary, shown):
    """Processes, CPU, CPU for each operation and memory are shown by role, the sampler's too."""
    lines = shown(render_summary(summary, {}))
    shard = next(line for line in lines if line.startswith(" shard")).split()
    assert shard == ["shard", "2", "71%", "93%", "6.40", "212", "MiB", "98.0", "MiB"]
    assert any(line.startswith(" sampler") for line in lines)
    assert any(line.startswith(" machine  of 2 cores") for line in lines)
    assert not any(line.startswith(" raylet") for line in lines)


def test_an_invalid_run_says_so_first_and_withholds_its_times(summary, shown):
    """INVALID stands before all else, and neither throughput nor a percentile is offered."""
    sentence = "The load generator did not keep its schedule: 80.0 ms."
    verdict = {"name": "validity", "verdict": "invalid", "sentence": sentence}
    summary["verdicts"].insert(0, verdict)
    lines = shown(render_summary(summary, {}))
    assert lines[0] == f" INVALID: {sentence}"
    assert not any("85,714" in line or "12.4" in line or "p99" in line for line in lines)


def test_a_run_that_the_load_generator_limited_says_so_first(summary, shown):
    """The first line names the load generator; the figures are shown all the same."""
    summary["limit"] = {"kind": "load_generator", "sentence": "The load generator limited the run."}
    lines = shown(render_summary(summary, {}))
    assert "load generator, not the store, was the limit" in lines[0]
    assert any(line.startswith(" search") for line in lines)


def test_failures_are_told_before_the_figures(summary, shown):
    """A verdict that is not ok stands above what was reached, which no longer says none failed."""
    sentence = "12 of 180,000 operations failed (0.01%): 12 timeout."
    summary["failed"] = 12
    summary["verdicts"] = [{"name": "failures", "verdict": "warning", "sentence": sentence}]
    lines = shown(render_summary(summary, {}))
    assert lines[0] == f" {sentence}"
    assert "none failed" not in lines[1]


def test_a_run_without_a_row_has_no_table(summary, shown):
    """Where nothing was measured only sentences are shown."""
    summary["operations"] = 0
    for role in ("shard", "cohort", "sampler"):
        summary["resources"][role]["processes"] = 0
    lines = shown(render_summary(summary, {}))
    assert not any("p99" in line or "CPU of" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_longer_than_the_terminal(summary, shown, width):
    """At any width lines fit, and every operation still has its row."""
    lines = shown(render_summary(summary, {"plan": PLAN}), width)
    assert max(cell_len(line) for line in lines) <= width
    for name in ("all", "store", "retrieve", "search"):
        assert sum(line.startswith(f" {name} ") for line in lines) == 1


@pytest.mark.parametrize("width", [80, 100])
def test_service_queueing_and_transport_are_there_at_usual_widths(summary, shown, width):
    """At 80 columns the four groups are still side by side."""
    lines = shown(render_summary(summary, {}), width)
    assert any(
        all(group in line for group in ("response", "service", "queueing", "transport"))
        for line in lines
    )


def test_hostile_text_is_shown_as_text(summary, shown):
    """Markup, links and escape sequences in a plan or a sentence are neither obeyed nor lost."""
    hostile = "[bold red]x[/] [link=http://a]y[/link] \x1b]0;title\x07"
    summary["limit"]["sentence"] = hostile
    summary["verdicts"] = [{"name": "failures", "verdict": "warning", "sentence": hostile}]
    text = "\n".join(shown(render_summary(summary, {"plan": {"target": hostile}}), 200))
    assert text.count("[bold red]x[/] [link=http://a]y[/link]") == 3
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_run_without_a_plan_is_shown(summary, shown):
    """A run.json that holds no plan, or something else under its name, does no harm."""
    for run in ({}, {"plan": None}, {"plan": "x"}):
        assert shown(render_summary(summary, run))[1] == " closed loop"


def test_an_open_loop_shows_what_was_carried(summary, shown):
    """The rate that was offered stands beside the one that was reached."""
    summary["schedule"] |= {"offered_rate_ops_s": 1_000.0, "achieved_rate_ops_s": 812.4}
    lines = shown(render_summary(summary, {"plan": PLAN}))
    assert "open loop, 812 of 1,000 operations/s" in lines[1]


def test_thresholds_come_last_passed_or_breached(summary, shown):
    """What decides on the exit code is next to the end, in a line each."""
    summary["thresholds"] = [
        {"verdict": "passed", "sentence": "failed is 0, which is < 1."},
        {"verdict": "breached", "sentence": "search.p99_ms is 31, and had to be < 20."},
    ]
    lines = shown(render_summary(summary, {}))
    assert [line.split(maxsplit=1) for line in lines[-2:]] == [
        ["passed", "failed is 0, which is < 1."],
        ["breached", "search.p99_ms is 31, and had to be < 20."],
    ]


def test_found_warm_up_is_told_below_what_ran(summary, shown):
    """A run that took a while to settle says how long; one that was steady throughout does not."""
    sentence = "The run settled after 20 s, by throughput; that time is in the figures."
    assert not any("settled" in line for line in shown(render_summary(summary, {})))
    summary["steady"] = {"settled": True, "warmup_s": 20.0, "sentence": sentence}
    assert any(sentence in line for line in shown(render_summary(summary, {})))
