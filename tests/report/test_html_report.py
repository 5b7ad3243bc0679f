"""The HTML report of a run: whole, escaped, complete in itself, and made of whatever is there."""

from __future__ import annotations

import configparser
import json
import re
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import RunDirectoryError
from harness.report.html import read_report, write_report
from harness.report.page import SCRIPTS, STYLES, asset
from tests.report.made_runs import HOSTILE, SHOWN, make_run


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, and text by element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.shown: list[str] = []
        self.scripts: dict[str, str] = {}
        self._open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in {"script", "style"}:
            self._open = f"{tag} {dict(attrs).get('id') or ''}".strip()
            self.scripts[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] += data
        else:
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.shown)

    @property
    def charts(self) -> dict[str, Any]:
        return {one["key"]: one for one in json.loads(self.scripts["script report-data"])}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = make_run(tmp_path_factory.mktemp("made") / "run")
    return Page(write_report(path).read_text("utf-8"))


def test_the_page_begins_with_verdicts_in_words(page: Page):
    """Headline and verdicts stand before the first section."""
    text = page.text
    assert "8 agents" in text
    assert text.index("None of 3,600 operations failed.") < text.index("Response time by operation")


def test_every_part_of_a_run_has_its_chart(page: Page):
    """Percentiles, distribution, throughput, times, parts and resources are all drawn."""
    assert {
        "percentiles",
        "distribution",
        "throughput",
        "response-over-time",
        "parts-over-time",
        "cpu",
        "memory",
        "machine",
        "moved",
    } <= page.charts.keys()


def test_each_chart_has_as_many_values_as_points(page: Page):
    """Every series of a chart runs along its whole x, which ascends."""
    for chart in page.charts.values():
        assert all(np.diff(chart["x"]) > 0), chart["key"]
        for series in chart["series"]:
            assert len(series["values"]) == len(chart["x"]), chart["key"]


def test_percentiles_of_the_curve_are_those_of_the_rows(tmp_path: Path):
    """The curve passes through the percentiles that the summary has of the same rows."""
    path = make_run(tmp_path / "run", rows=20_000)
    curve = Page(write_report(path).read_text("utf-8")).charts["percentiles"]
    summary = json.loads((path / "summary.json").read_text())
    everything = next(one for one in curve["series"] if one["label"] == "all")
    for key, nines in (("p90_ms", 1.0), ("p99_ms", 2.0), ("p999_ms", 3.0)):
        found = np.interp(nines, curve["x"], everything["values"])
        assert found == pytest.approx(summary["all"][key], rel=0.02)


def test_the_distribution_adds_up_to_all_operations(page: Page):
    """The shares of each kind of operation add up to 100%."""
    for series in page.charts["distribution"]["series"]:
        assert sum(series["values"]) == pytest.approx(100, abs=1e-3)


def test_a_figure_keeps_every_digit_beside_what_is_shown(page: Page, tmp_path: Path):
    """The exact value of a figure of the summary is in the page as data."""
    path = make_run(tmp_path / "run")
    p99_ms = json.loads((path / "summary.json").read_text())["all"]["p99_ms"]
    assert f'<data value="{p99_ms!r}">' in write_report(path).read_text("utf-8")


def test_data_of_figures_are_plain_numbers(page: Page):
    """What a figure has as data is a number that any program reads."""
    values = [value for tag, name, value in page.attributes if (tag, name) == ("data", "value")]
    assert len(values) > 100
    assert all(np.isfinite(float(value)) for value in values)


def test_phases_and_events_are_marked_on_the_timelines(page: Page):
    """A timeline has the phases of the run as spans and other events as moments."""
    marks = page.charts["throughput"]["marks"]
    phases = {mark["label"] for mark in marks if mark["kind"] == "phase"}
    assert {"warm-up", "measuring"} <= phases
    assert [mark["label"] for mark in marks if mark["kind"] == "event"] == ["retries"]


def test_warm_up_that_was_found_is_shaded(tmp_path: Path):
    """A summary that found warm-up in the data has it on the timelines, and says so."""
    path = make_run(tmp_path / "run")
    summary = json.loads((path / "summary.json").read_text())
    summary["steady"] = {"settled": True, "warmup_s": 1.5, "sentence": "It settled after 1.5 s."}
    (path / "summary.json").write_text(json.dumps(summary))
    page = Page(write_report(path).read_text("utf-8"))
    found = [one for one in page.charts["throughput"]["marks"] if one["kind"] == "warm-up"]
    assert [(one["begin"], one["end"]) for one in found] == [(0, 1.5)]
    assert "It settled after 1.5 s." in page.text


def test_the_page_asks_for_nothing(page: Page):
    """No element refers to anything outside of the page, and a policy forbids any request."""
    references = {"src", "href", "data", "action", "srcset", "poster", "background"}
    elsewhere = [
        value
        for _, name, value in page.attributes
        if name in references and not str(value).startswith(("#", "data:"))
    ]
    assert elsewhere == []
    policy = next(
        value
        for tag, name, value in page.attributes
        if tag == "meta" and "default-src" in str(value)
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket", page.scripts["style"])


def test_hostile_text_is_shown_as_text(tmp_path: Path):
    """Ids, roles, hosts, versions, events and problems of any content are text, nothing else."""
    clean = Page(write_report(make_run(tmp_path / "clean")).read_text("utf-8"))
    path = make_run(tmp_path / "hostile", words=HOSTILE)
    text = write_report(path).read_text("utf-8")
    page = Page(text)
    assert not {"img", "iframe", "object"} & set(page.elements)
    assert page.elements.count("script") == clean.elements.count("script")
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert not [char for char in text if char in "\x00\u202e\u2028"]
    for shown in (f"{SHOWN}_3", f"state {SHOWN} was refused"):
        assert shown in page.text
    roles = {series["label"] for series in page.charts["cpu"]["series"]}
    assert any(label.startswith("</script>") for label in roles)


def test_data_cannot_end_its_script(tmp_path: Path):
    """The charts' data has no character that could end a script element or begin a comment."""
    text = write_report(make_run(tmp_path / "run", words=HOSTILE)).read_text("utf-8")
    begin = text.index('id="report-data">') + len('id="report-data">')
    data = text[begin : text.index("</script>", begin)]
    assert not set("<>&\u2028\u2029") & set(data)
    json.loads(data)


def test_a_summary_that_is_missing_is_made_anew(tmp_path: Path):
    """A run that was killed before its summary reports the same figures as one that was not."""
    whole = make_run(tmp_path / "whole")
    killed = make_run(tmp_path / "killed", summary=False, status="running")
    assert read_report(whole).summary["all"] == read_report(killed).summary["all"]
    assert "has not ended, or was killed" in Page(write_report(killed).read_text("utf-8")).text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "operations": "many", "all": [], "verdicts": {"a": 1}}',
    ],
)
def test_a_damaged_summary_costs_nothing_but_time(tmp_path: Path, content: bytes):
    """A summary that is damaged or of another make is made anew from the rows."""
    path = make_run(tmp_path / "run")
    whole = read_report(path).summary["all"]
    (path / "summary.json").write_bytes(content)
    assert read_report(path).summary["all"] == whole


@pytest.mark.parametrize("value", [None, "text", {}, -1, [None, {"a": []}]])
def test_a_summary_of_any_content_is_reported(tmp_path: Path, value: Any):
    """Whatever stands where a figure or a group should be, the report is made without it."""
    path = make_run(tmp_path / "run", rows=400)
    summary = json.loads((path / "summary.json").read_text())
    for key in summary:
        if key not in {"operations", "schema_version"}:
            (path / "summary.json").write_text(json.dumps({**summary, key: value}))
            write_report(path)


@pytest.mark.parametrize("value", [None, "text", {}, -1, [None, {"a": []}]])
def test_a_run_document_of_any_content_is_reported(tmp_path: Path, value: Any):
    """Whatever stands in a field of run.json, the report is made without it."""
    path = make_run(tmp_path / "run", rows=400, summary=False)
    run = json.loads((path / "run.json").read_text())
    for key in run:
        if key != "schema_version":
            (path / "run.json").write_text(json.dumps({**run, key: value}))
            write_report(path)


def test_a_run_without_a_row_says_so(tmp_path: Path):
    """An empty run has a report, whose headline says that nothing was measured."""
    path = make_run(tmp_path / "run", rows=0, summary=False)
    report = read_report(path)
    assert report.title == "No operation was measured"
    write_report(path)


def test_a_bare_directory_of_a_run_that_was_killed_at_once_is_reported(tmp_path: Path):
    """A run.json with nothing else is enough for a report."""
    (tmp_path / "run.json").write_text('{"schema_version": 1, "status": "running"}')
    assert write_report(tmp_path).stat().st_size > 10_000


def test_damaged_files_are_named(tmp_path: Path):
    """Files that could not be read whole are counted in a verdict and named."""
    path = make_run(tmp_path / "run", summary=False)
    torn = path / "ops" / "cohort-00001-000000.parquet"
    torn.write_bytes(torn.read_bytes()[:-40])
    page = Page(write_report(path).read_text("utf-8"))
    assert "1 file of the run could not be read whole" in page.text
    assert "ops/cohort-00001-000000.parquet" in page.text


def test_times_of_an_invalid_run_are_withheld(tmp_path: Path):
    """An INVALID run shows no response time, and says why."""
    path = make_run(tmp_path / "run", status="invalid", rate=100.0)
    summary = json.loads((path / "summary.json").read_text())
    summary["verdicts"][0] |= {"verdict": "invalid", "sentence": "It lost its schedule."}
    (path / "summary.json").write_text(json.dumps(summary))
    page = Page(write_report(path).read_text("utf-8"))
    assert "This run is INVALID" in page.text
    assert "times of this run are withheld" in page.text
    assert not {"percentiles", "distribution", "response-over-time"} & page.charts.keys()


def test_long_samples_are_thinned_with_their_extremes(tmp_path: Path):
    """Beyond some hundred samples, a line has the least and the most beside its mean."""
    path = make_run(tmp_path / "run", rows=400, span_s=200.0)
    chart = Page(write_report(path).read_text("utf-8")).charts["machine"]
    line = chart["series"][0]
    assert len(chart["x"]) == 600
    assert max(line["high"]) == 56.0
    assert min(line["low"]) == 50.0


def test_every_node_has_its_own_timelines(tmp_path: Path):
    """On a cluster each node has its charts of CPU, memory and traffic."""
    path = make_run(tmp_path / "run", nodes=3)
    charts = Page(write_report(path).read_text("utf-8")).charts
    assert {f"cpu-{node}" for node in range(3)} <= charts.keys()


def test_the_command_is_there_to_repeat(page: Page):
    """The report has the command as it was given, but for where results went."""
    assert "harness run --agents 8 --target agent" in page.text
    assert "somewhere" not in page.text


def test_what_is_no_run_directory_is_refused(tmp_path: Path):
    """A folder that is none of ours is a RunDirectoryError, and nothing is written there."""
    with pytest.raises(RunDirectoryError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_installed_package_has_the_assets():
    """Each file that the page is made of is in the package's data, with its licence beside it."""
    names = [*STYLES, *SCRIPTS, "uplot.LICENSE"]
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    patterns = settings["options.package_data"]["harness.report"].split()
    for name in names:
        assert asset(name)
        assert any(fnmatch(f"assets/{name}", pattern) for pattern in patterns)
