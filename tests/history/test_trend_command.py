"""``harness runs trend``: which runs are drawn, what is said of them, and the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.history.trend import Change, Trend
from tests.conftest import Outcome
from tests.history.made_history import HOSTILE, document, made, made_series, summary_of
from tests.report.made_benches import make_bench

Harness = Callable[..., Outcome]
METRIC = ("--metric", "search.p99_ms")
STEADY = [4.0, 4.2, 3.9, 4.1, 4.05, 3.95, 4.15, 4.0]
STEP = STEADY + [one * 1.5 for one in STEADY]


def test_a_change_is_told_with_its_run_and_commit(harness_here: Harness, tmp_path: Path):
    """The figure is drawn, and the change names run, commit, medians and percent."""
    made_series(tmp_path, STEP)
    code, out, err = harness_here("runs", "trend", *METRIC, tmp_path)
    assert (code, err) == (0, "")
    assert "search.p99_ms over 16 runs of plan" in out
    assert "+50%, median 4.03 ms before, 6.04 ms after (run run-008, commit 0000000000)" in out
    assert len(re.findall("•", out)) == 16
    assert re.search(r"run-008 .* 6.00 ms +1\n", out)


def test_json_has_the_change(harness_here: Harness, tmp_path: Path):
    """The JSON has all runs with value and level, and the change with its run and medians."""
    made_series(tmp_path, STEP)
    found = json.loads(harness_here("runs", "trend", *METRIC, tmp_path, "--json")[1])
    (change,) = found["changes"]
    assert (change["index"], change["run"]) == (8, "run-008")
    assert change["before"] == pytest.approx(4.025)
    assert change["change_ratio"] == pytest.approx(0.5)
    assert [one["value"] for one in found["runs"]] == STEP
    assert [one["level"] for one in found["runs"]] == pytest.approx([4.025] * 8 + [6.0375] * 8)


def test_a_steady_figure_did_not_change(harness_here: Harness, tmp_path: Path):
    """Where nothing moved, that is said."""
    made_series(tmp_path, STEADY)
    out = harness_here("runs", "trend", *METRIC, tmp_path)[1]
    assert "No change was found." in out


def test_the_page_says_ok_only_where_changes_were_looked_for(harness_here: Harness, tmp_path: Path):
    """A steady figure is OK; of too few runs the page has the reason, and no verdict."""
    page = tmp_path / "page.html"
    made_series(tmp_path / "runs", STEADY)
    harness_here("runs", "trend", *METRIC, tmp_path / "runs", "--html", page)
    assert 'class="verdict ok"' in page.read_text()
    assert "No change was found." in page.read_text()
    made_series(tmp_path / "few", STEADY[:5])
    out = harness_here("runs", "trend", *METRIC, tmp_path / "few", "--html", page)[1]
    assert "No change was found." not in out
    assert 'class="verdict' not in page.read_text()
    assert "Change points are looked for in 8 runs or more." in page.read_text()


def test_a_level_is_of_runs_that_were_looked_at():
    """Runs before the last 500, in which no change is looked for, do not move their level."""
    values = [100.0] * 300 + [1.0] * 500
    trend = Trend(metric="x", values=values)
    assert trend.levels == values
    change = Change(index=700, before=1.0, after=1.0, change_ratio=0.0)
    assert Trend(metric="x", values=values, changes=[change]).levels == values
    assert Trend(metric="x", values=[1.0, 2.0, 9.0]).levels == [2.0] * 3


@pytest.mark.parametrize(("before", "after"), [(0.0, 5.0), (-4.0, 5.0), (4.0, -5.0), (-4.0, -8.0)])
def test_a_change_of_sign_has_no_ratio(
    harness_here: Harness, tmp_path: Path, before: float, after: float
):
    """A change from or to less than nothing is no per cent of anything."""
    noise = [0.0, 0.1, -0.1] * 4
    made_series(tmp_path, [level + one for level in (before, after) for one in noise])
    found = json.loads(harness_here("runs", "trend", *METRIC, tmp_path, "--json")[1])
    assert found["changes"]
    assert {one["change_ratio"] for one in found["changes"]} == {None}


def test_a_plan_that_does_not_know_the_figure_is_named_as_that(
    harness_here: Harness, tmp_path: Path
):
    """That others know it is said only where there are others."""
    made(tmp_path / "a" / "one", document(), summary_of(None))
    options = (*METRIC, tmp_path / "a")
    listed = json.loads(harness_here("runs", tmp_path / "a", "--json")[1])
    plan = listed[0]["plan_hash"]
    err = harness_here("runs", "trend", *options, "--plan", plan)[2]
    assert err.rstrip().endswith("of a plan of which no run knows the figure")
    made(tmp_path / "a" / "two", document(plan={"agents": 7}), summary_of())
    err = harness_here("runs", "trend", *options, "--plan", plan)[2]
    assert "no run knows the figure; of others some do: " in err


def test_runs_that_do_not_count_are_left_out_and_counted(harness_here: Harness, tmp_path: Path):
    """Failed, interrupted and INVALID runs, and those without the figure, are counted."""
    made_series(tmp_path, STEADY)
    for place, status in enumerate(("failed", "failed", "interrupted", "invalid")):
        made(tmp_path / f"bad-{place}", document(20 + place, status=status), summary_of(99.0))
    made(tmp_path / "few", document(30), summary_of(None))
    made(tmp_path / "none", document(31))
    out = harness_here("runs", "trend", *METRIC, tmp_path)[1]
    assert "over 8 runs" in out
    assert "99.0 ms" not in out
    reasons = "2 failed, 2 without the figure, 1 interrupted, 1 invalid"
    assert (
        f"6 runs of this plan left out: {reasons}." in out
        or f"6 runs of this plan left out: 2 without the figure, {reasons[:8]}" in out
    )


def test_the_plan_with_the_most_runs_is_drawn(harness_here: Harness, tmp_path: Path):
    """Runs of one plan alone are drawn; others are named, and drawn where they are asked for."""
    made_series(tmp_path / "a", STEADY)
    made_series(tmp_path / "b", [1.0, 1.1, 1.2], plan={"agents": 7})
    out = harness_here("runs", "trend", *METRIC, tmp_path)[1]
    assert "over 8 runs" in out
    other = re.search(r"(\w{8}) +3 +run, memory_core, 7 agents", out)
    assert other
    chosen = harness_here("runs", "trend", *METRIC, tmp_path, "--plan", other[1])[1]
    assert "over 3 runs" in chosen
    assert "Change points are looked for in 8 runs or more." in chosen


def test_many_plans_are_counted(harness_here: Harness, tmp_path: Path):
    """Of many plans some are named, and how many there are besides."""
    for agents in range(1, 12):
        made(tmp_path / str(agents), document(agents, {"agents": agents}), summary_of())
    out = harness_here("runs", "trend", *METRIC, tmp_path)[1]
    assert "11 agents" in out.splitlines()[1]  # of as many runs the latest
    assert "3 more plans are in --html and --json." in out
    code, _, err = harness_here("runs", "trend", *METRIC, tmp_path, "--plan", "f" * 64)
    assert code == 2
    assert err.count(", ") >= 9


def test_benchmarks_are_followed_by_their_paths(harness_here: Harness, tmp_path: Path):
    """A figure of one number of agents in benchmarks is followed as one of runs is."""
    for place in range(3):
        make_bench(tmp_path / f"bench-{place}", "agents")
    out = harness_here("runs", "trend", "--metric", "counts.100.search.p99_ms", tmp_path)[1]
    assert "counts.100.search.p99_ms over 3 runs" in out
    rate = harness_here("runs", "trend", "--metric", "counts.500.operations_per_second", tmp_path)
    assert re.search(r"\d/s ┤", rate[1])


def test_times_choose_the_runs(harness_here: Harness, tmp_path: Path):
    """Only runs that began within the times asked for are drawn."""
    made_series(tmp_path, STEP)
    options = ("--since", "2026-11-01T04:00", "--until", "2026-11-01T07:00")
    assert "over 3 runs" in harness_here("runs", "trend", *METRIC, tmp_path, *options)[1]


def test_machines_are_named_where_they_differ(harness_here: Harness, tmp_path: Path):
    """Runs of one plan on two machines are drawn together, with a word on it."""
    made_series(tmp_path / "a", STEADY)
    made_series(tmp_path / "b", STEADY, hosts=[{"hostname": "two"}])
    out = harness_here("runs", "trend", *METRIC, tmp_path)[1]
    assert "They ran on different machines, which a change may be of: one; two." in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "search.p9_ms"], "did you mean search.p99_ms"),
        (["--metric", "search"], "is a group of figures"),
        (["--metric", ""], "--metric"),
        ([], "--metric"),
        ([*METRIC, "--plan", "zz"], "of no plan whose runs know the figure: "),
        ([*METRIC, "--since", "soon"], "is no date and no age"),
        ([*METRIC, "--html", "/proc/none/x.html"], "--html: /proc/none/x.html cannot be written"),
    ],
)
def test_wrong_options_are_refused(
    harness_here: Harness, tmp_path: Path, options: list[str], words: str
):
    """An option that means nothing is refused in one sentence that says what would."""
    made_series(tmp_path, STEADY)
    code, out, err = harness_here("runs", "trend", tmp_path, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_nothing_to_draw_is_said_in_words(harness_here: Harness, tmp_path: Path):
    """Without runs, or without one that knows the figure, that is said, and nothing is wrong."""
    code, out, _ = harness_here("runs", "trend", *METRIC, tmp_path)
    assert (code, out) == (0, f"no runs under {tmp_path}\n")
    made(tmp_path / "one", document(status="failed"), summary_of())
    page = tmp_path / "page.html"
    code, out, _ = harness_here("runs", "trend", *METRIC, tmp_path, "--html", page)
    assert code == 0
    assert "knows search.p99_ms; 1 looked at" in out
    assert not page.exists()


@pytest.mark.parametrize("value", [0.0, -5.0, 1e300, 1e99, 1e-99])
def test_odd_values_are_drawn(harness_here: Harness, tmp_path: Path, value: float):
    """One run, nothing but zeros, and values beyond reason do no harm."""
    made_series(tmp_path, [value] * 9)
    code, out, _ = harness_here("runs", "trend", *METRIC, tmp_path, "--html", tmp_path / "p.html")
    assert code == 0
    assert ("over 9 runs" in out) == (abs(value) < 1e200)


def test_hundreds_of_runs_fit_the_width(harness_here: Harness, tmp_path: Path):
    """More runs than columns share them; the last ones are in the table, and all in the page."""
    made_series(tmp_path, [4.0 + (place % 7) / 10 for place in range(300)])
    page = tmp_path / "page.html"
    out = harness_here("runs", "trend", *METRIC, tmp_path, "--html", page)[1]
    plotted = [line for line in out.splitlines() if "┤" in line]
    assert max(map(len, plotted)) <= 120
    assert "275 earlier runs are in --html and --json." in out
    options = ("--since", "2026-11-01", "--until", "2026-11-02T02:00")
    few = harness_here("runs", "trend", *METRIC, tmp_path, *options)[1]
    assert "1 earlier run is in --html and --json." in few
    assert page.read_text().count("run-0") >= 99


class _Texts(HTMLParser):
    """The elements that a page has, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_the_chart_and_hostile_text_as_text(harness_here: Harness, tmp_path: Path):
    """The page draws the runs with their change; names and commits that are markup are text."""
    evil = {"commit": {"commit": "<script>alert(1)</script>"}, "hosts": [{"hostname": HOSTILE}]}
    for place, value in enumerate(STEP):
        made(tmp_path / f"<img src=x onerror=1>{HOSTILE[:-1]}{place:02}",
             document(place, **evil), summary_of(value))  # fmt: skip
    page = tmp_path / "page.html"
    code, out, _ = harness_here("runs", "trend", *METRIC, tmp_path, "--out", page)
    assert code == 0
    assert out.rstrip().endswith(str(page))
    assert not {"\x1b", "\u202e", "\x07"} & set(out)
    parsed = _Texts()
    parsed.feed(page.read_text())
    assert "img" not in parsed.tags
    assert parsed.tags.count("script") == 2
    assert "It changed once; the last time from 2026-11-01 08:00 on: +50%" in parsed.text
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page.read_text())[1])  # type: ignore[index]
    assert data[0]["series"][0]["values"] == pytest.approx(STEP)
    assert [mark["begin"] for mark in data[0]["marks"]] == [9]


def test_without_the_extra_the_trend_is_drawn(tmp_path: Path):
    """Where ruptures is not installed all is drawn but the changes, and how to get it is said."""
    made_series(tmp_path, STEP)
    program = (
        "import sys; sys.modules['ruptures'] = None\n"
        "from harness.cli import main; main()"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program, "runs", "trend", *METRIC, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "pip install 'agent-memory-harness[trend]'" in done.stdout
    assert "over 16 runs" in done.stdout
    assert "•" in done.stdout
