"""The reports of benchmarks: every section that a summary has figures for, whatever else it has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.report.document import Chart, Facts, Link, Report, Table
from harness.report.html import read_report, write_report
from harness.report.markdown import render_markdown
from tests.report.made_benches import COUNTS, VOLUMES, agents_summary, make_bench
from tests.report.made_runs import HOSTILE

KINDS = ("agents", "memory", "resources", "targets", "all")


def charts(report: Report) -> dict[str, Chart]:
    return {
        block.key: block
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Chart)
    }


def tables(report: Report) -> dict[str, Table]:
    return {
        block.title: block
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Table)
    }


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("agents", {"scaling", "efficiency", "latency-all", "cpu-agents", "percentiles-by-count"}),
        ("memory", {"degradation-search", "degradation-cross-tier", "recall", "volume-held"}),
        ("resources", {"leak-0", "rates-carried", "throughput", "cpu", "percentiles"}),
        ("targets", {"throughput-by-target", "search-by-target", "recall-by-target"}),
        ("all", {"scaling", "degradation-store", "recall", "leak-0", "series-cpu"}),
    ],
)
def test_each_benchmark_has_its_charts(tmp_path: Path, kind: str, keys: set[str]):
    """Scaling, degradation, recall, leaks and costs are drawn where there are figures of them."""
    assert keys <= charts(read_report(make_bench(tmp_path / "bench", kind))).keys()


def test_a_joined_benchmark_finds_the_steps_of_its_parts(tmp_path: Path):
    """What the rows of steps add is there for all three together too, and links to each part."""
    path = make_bench(tmp_path / "bench", "all")
    for part in ("agents", "memory", "resources"):
        write_report(make_bench(path / part, part))
    report = read_report(path)
    assert {"percentiles-by-count", "cpu", "throughput"} <= charts(report).keys()
    links = [row[0] for row in tables(report)["Steps"].rows]
    assert links == [
        Link(f"{part}/report.html", part) for part in ("agents", "memory", "resources")
    ]


def test_the_law_is_drawn_through_the_points_and_beyond(tmp_path: Path):
    """The fitted curve is near what was measured, and is another, dashed line beyond it."""
    chart = charts(read_report(make_bench(tmp_path / "bench", "agents")))["scaling"]
    lines = {series.label: series for series in chart.series}
    place = list(chart.x).index(100)
    measured, fitted = lines["measured"].values[place], lines["fitted law"].values[place]
    assert fitted == pytest.approx(measured, rel=0.15)
    assert lines["fitted law"].low is not None
    values = lines["extrapolated"].values
    beyond = [at for at, value in zip(chart.x, values, strict=True) if value is not None]
    assert lines["extrapolated"].style == "dashed"
    assert min(beyond) == max(COUNTS) < max(beyond)


def test_the_ideal_line_is_proportional_and_ends_within_the_picture(tmp_path: Path):
    """The ideal grows with the agents from the smallest count on, until it is at the top."""
    chart = charts(read_report(make_bench(tmp_path / "bench", "agents")))["scaling"]
    ideal = next(series for series in chart.series if series.label == "ideal")
    drawn = {at: one for at, one in zip(chart.x, ideal.values, strict=True) if one is not None}
    rates = [one / at for at, one in drawn.items()]
    assert rates == pytest.approx([rates[0]] * len(rates))
    assert 0.9 * chart.y_max < max(drawn.values()) <= chart.y_max
    assert max(drawn) < chart.x[-1]
    fitted = next(series for series in chart.series if series.label == "fitted law")
    assert None not in [one for at, one in zip(chart.x, fitted.values, strict=True) if at <= 500]


def test_one_agent_is_told_as_one(tmp_path: Path):
    """The title has one agent, not "1 agents"."""
    path = make_bench(tmp_path / "bench", "agents")
    summary = json.loads((path / "summary.json").read_text())
    summary["counts"] = {"1": summary["counts"]["1"]}
    (path / "summary.json").write_text(json.dumps(summary))
    assert read_report(path).title.endswith("at the most, with 1 agent")


def test_verdicts_of_a_joined_benchmark_say_whose_they_are(tmp_path: Path):
    """The name of its part stands before what a verdict says."""
    path = make_bench(tmp_path / "bench", "all")
    summary = json.loads((path / "summary.json").read_text())
    for part, one in zip(("agents", "memory", "resources"), summary["verdicts"], strict=True):
        one["name"] = f"{part}.{one['name']}"
    (path / "summary.json").write_text(json.dumps(summary))
    assert [one.sentence for one in read_report(path).verdicts] == [
        "Resources: shard 0 leaks.",
        "Agents: It scales.",
        "Memory: Recall is high.",
    ]


def test_threads_stand_beside_agents(tmp_path: Path):
    """The baseline of threads is in the same picture, and in a table against it."""
    report = read_report(make_bench(tmp_path / "bench", "agents"))
    labels = [series.label for series in charts(report)["scaling"].series]
    assert "as threads in one process" in labels
    assert len(tables(report)["Agents over Ray against threads"].rows) == 3


def test_every_figure_of_a_count_is_in_a_table(tmp_path: Path):
    """All scalar figures of the counts are shown, by count."""
    table = tables(read_report(make_bench(tmp_path / "bench", "agents")))[
        "Every figure by the number of agents"
    ]
    shown = {cell.value for row in table.rows for cell in row[1:]}
    expected = agents_summary()["counts"]["500"]
    for key, value in expected.items():
        if isinstance(value, float) and key != "efficiency":
            assert value in shown, key


def test_a_law_that_was_not_fitted_leaves_the_points(tmp_path: Path):
    """With too few counts for a law, the points are drawn and the sentence says why."""
    path = make_bench(tmp_path / "bench", "agents")
    summary = json.loads((path / "summary.json").read_text())
    summary["scaling"] |= {"usl": None, "sentence": "No scalability law was fitted."}
    (path / "summary.json").write_text(json.dumps(summary))
    report = read_report(path)
    assert [one.label for one in charts(report)["scaling"].series] == [
        "measured",
        "as threads in one process",
        "ideal",
    ]
    assert "No scalability law was fitted." in write_report(path).read_text()


def test_a_benchmark_of_memories_is_titled_by_what_the_figure_is(tmp_path: Path):
    """It names the largest volume, and that the time is the median response time."""
    report = read_report(make_bench(tmp_path / "bench", "memory"))
    assert report.title == "Median response time of a search among 1,000,000 memories: 1.45 ms"


def test_a_benchmark_of_memories_has_no_rounds(tmp_path: Path):
    """It is of no workload, loop and rounds, whatever its plan has; that of agents has them."""
    subtitles = {}
    for kind in ("agents", "memory"):
        path = make_bench(tmp_path / kind, kind)
        run = json.loads((path / "run.json").read_text())
        run["plan"] |= {"workload": "standard", "rate": None, "rounds": 20, "durability": "fsync"}
        (path / "run.json").write_text(json.dumps(run))
        subtitles[kind] = read_report(path).subtitle.split(" · ")
    assert subtitles["memory"] == ["memory_core", "fsync", "seed 1"]
    assert {"standard", "closed loop", "20 rounds"} <= set(subtitles["agents"])


def test_degradation_has_points_and_fit_on_logarithmic_axes(tmp_path: Path):
    """Each operation has service and response at each volume, and the fitted curve."""
    chart = charts(read_report(make_bench(tmp_path / "bench", "memory")))["degradation-search"]
    assert chart.x_spacing == "log"
    assert chart.y_log
    for series in chart.series[:2]:
        assert sum(value is not None for value in series.values) == len(VOLUMES)
    assert chart.series[2].style == "dashed"


def test_recall_that_was_not_measured_is_left_out(tmp_path: Path):
    """A tier that holds nothing yet has no point at that volume, not a recall of 0."""
    chart = charts(read_report(make_bench(tmp_path / "bench", "memory")))["recall"]
    ltm = next(series for series in chart.series if series.label == "ltm")
    assert list(ltm.values) == [None, None, 0.979, 0.979]


def test_leaks_come_first_and_are_called_so(tmp_path: Path):
    """Of the processes, one that leaks is drawn first, with its trend."""
    report = read_report(make_bench(tmp_path / "bench", "resources"))
    section = next(one for one in report.sections if one.key == "leaks")
    assert section.lead == "1 of 2 processes leak."
    assert charts(report)["leak-0"].title == "shard 0"
    assert charts(report)["leak-0"].series[1].label == "trend"


def test_the_trend_of_memory_follows_the_memory_after_warm_up(tmp_path: Path):
    """The line has what is explained and what is not, and begins where the warm-up ends."""
    chart = charts(read_report(make_bench(tmp_path / "bench", "resources")))["leak-0"]
    memory, trend = (series.values for series in chart.series)
    assert [at for at, value in zip(chart.x, trend, strict=True) if value is None][-1] < 60.0
    assert trend[-1] == pytest.approx(memory[-1], rel=0.01)
    assert trend[-1] - trend[30] == pytest.approx(18_100.0 * (chart.x[-1] - chart.x[30]))
    assert [mark.end for mark in chart.marks] == [60.0]


def test_the_samples_of_a_steady_load_are_drawn(tmp_path: Path):
    """A benchmark of a steady load shows the timelines of its own run, by role and node."""
    report = read_report(make_bench(tmp_path / "bench", "resources"))
    roles = {series.label for series in charts(report)["cpu"].series}
    assert roles == {"shard", "cohort"}
    assert "series-cpu" not in charts(report)


def test_without_the_run_the_series_of_the_summary_is_drawn(tmp_path: Path):
    """Where the step of a steady load is gone, its summary's time series is drawn instead."""
    path = make_bench(tmp_path / "bench", "resources")
    (path / "steps" / "rate-100" / "run.json").unlink()
    assert {"series-cpu", "series-memory", "series-rate"} <= charts(read_report(path)).keys()


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_benchmark_that_was_killed_shows_its_steps(tmp_path: Path, kind: str):
    """Without a summary the report has the steps that are there, and says that it has not ended."""
    path = make_bench(tmp_path / "bench", kind, summary=False)
    report = read_report(path)
    assert "has not ended, or was killed" in report.verdicts[0].sentence
    assert tables(report)["Steps"].rows[0][1] == "complete"
    write_report(path)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("agents", "percentiles-by-count"), ("resources", "leak-0")],
)
def test_figures_of_a_killed_benchmark_are_made_anew(tmp_path: Path, kind: str, key: str):
    """Without a summary the figures are those of the steps, and so are verdicts and tiles."""
    report = read_report(make_bench(tmp_path / "bench", kind, summary=False))
    assert key in charts(report)
    assert "figures are made anew" in report.verdicts[0].sentence
    assert [one.name for one in report.verdicts].count("completion") == 1
    assert "has not ended" not in report.title


def test_a_summary_that_is_damaged_is_made_anew(tmp_path: Path):
    """A torn summary.json is said to be damaged, and what stands there is of the steps."""
    path = make_bench(tmp_path / "bench", "agents")
    (path / "summary.json").write_text("{")
    report = read_report(path)
    assert any("summary of the benchmark is damaged" in one.sentence for one in report.verdicts)
    assert report.summary["counts"]["500"]["operations_per_second"] > 0
    assert (path / "summary.json").read_text() == "{"


def test_a_summary_that_is_gone_is_made_anew(tmp_path: Path):
    """Of a benchmark that ended, a summary.json that is gone is said to be missing."""
    path = make_bench(tmp_path / "bench", "agents")
    (path / "summary.json").unlink()
    report = read_report(path)
    assert any("summary of the benchmark is missing" in one.sentence for one in report.verdicts)


def test_what_cannot_be_summed_up_anew_leaves_the_steps(tmp_path: Path):
    """Where a step is damaged too, its bench report has a verdict and the table of steps."""
    path = make_bench(tmp_path / "bench", "agents")
    (path / "summary.json").write_text("{")
    (path / "steps" / "agents-500-1" / "run.json").write_text("{")
    report = read_report(path)
    assert "damaged: these are the steps" in report.verdicts[0].sentence
    assert tables(report)["Steps"].rows[0][1] == "cannot be read"


def test_a_part_of_a_joined_benchmark_that_was_killed_is_made_anew(tmp_path: Path):
    """Killed in its second part, a joined benchmark has the figures of the first and of that."""
    path = make_bench(tmp_path / "bench", "all", summary=False)
    make_bench(path / "agents", "agents")
    make_bench(path / "resources", "resources", summary=False)
    report = read_report(path)
    assert {"scaling", "leak-0"} <= charts(report).keys()
    assert {"completion", "memory.completion", "resources.completion"} <= {
        one.name for one in report.verdicts
    }


@pytest.mark.parametrize("steps", ["x", [1], [{"name": "../.."}], [{"name": "\x00"}], {}])
def test_steps_lead_nowhere_else(tmp_path: Path, steps: Any):
    """What run.json names as steps is looked for in the folder of steps and nowhere else."""
    path = make_bench(tmp_path / "bench", "agents")
    run = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**run, "steps": steps}))
    summary = json.loads((path / "summary.json").read_text())
    for count in summary["counts"].values():
        count["repeats"] = [{"step": "steps/../../../etc"}, {"step": "/etc"}]
    (path / "summary.json").write_text(json.dumps(summary))
    assert "Steps" not in tables(read_report(path))
    write_report(path)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_benchmarks_are_text(tmp_path: Path, kind: str):
    """Text of a benchmark of any content is escaped in HTML and in Markdown."""
    path = make_bench(tmp_path / "bench", kind, words=HOSTILE)
    page = write_report(path).read_text("utf-8")
    assert "<img" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert "<img" not in render_markdown(read_report(path)).replace("\\<img", "")


@pytest.mark.parametrize("value", [None, "text", {}, -1, [None, {"a": []}]])
@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_summary_of_any_content_is_reported(tmp_path: Path, kind: str, value: Any):
    """Whatever stands where a group of figures should be, the report is made without it."""
    path = make_bench(tmp_path / "bench", kind)
    shutil.rmtree(path / "steps")
    summary = json.loads((path / "summary.json").read_text())
    for broken in _broken(summary, value):
        (path / "summary.json").write_text(json.dumps(broken))
        write_report(path)


def _broken(document: dict[str, Any], value: Any) -> list[dict[str, Any]]:
    """The document with the value in each place: at the top, and two levels further down."""
    found = [{**document, key: value} for key in document if key != "schema_version"]
    for key, inner in document.items():
        if isinstance(inner, dict):
            first = next(iter(inner))
            found.append({**document, key: {**inner, first: value}})
            found.append({**document, key: dict.fromkeys(inner, value)})
            deeper = inner[first]
            if isinstance(deeper, dict):
                found.append({**document, key: {**inner, first: dict.fromkeys(deeper, value)}})
    return found


def test_figures_of_a_steady_load_keep_their_digits(tmp_path: Path):
    """The figures of a steady load stand with their values."""
    report = read_report(make_bench(tmp_path / "bench", "resources"))
    section = next(one for one in report.sections if one.key == "utilization")
    facts = next(block for block in section.blocks if isinstance(block, Facts))
    assert ("carried", 99.8) in [(name, cell.value) for name, cell in facts.pairs]
