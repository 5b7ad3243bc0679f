"""``harness report DIR``: the report again, in each form, from the files alone."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.commands.report import make_report
from tests.report.made_runs import HOSTILE, make_run


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs ``harness report`` in this process; gives exit code, output and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", rows=1_000)


def test_the_page_is_written_and_its_path_comes_last(harness, run: Path):
    """Without options the report is DIR/report.html, whose path is the last line."""
    code, out, _ = harness(run)
    assert code == 0
    assert out.splitlines()[-1] == str(run / "report.html")
    assert (run / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_the_same_files_make_the_same_report(harness, run: Path):
    """A report that is made again is the same, byte for byte."""
    harness(run)
    first = (run / "report.html").read_bytes()
    harness(run)
    assert (run / "report.html").read_bytes() == first


def test_json_has_all_that_the_report_says(harness, run: Path):
    """JSON has verdicts, every chart's points, and the summary with every digit."""
    code, out, _ = harness(run, "--format", "json")
    whole = json.loads(out)
    assert code == 0
    summary = json.loads((run / "summary.json").read_text())
    assert whole["report"]["summary"]["all"] == summary["all"]
    assert {one["key"] for one in whole["report"]["sections"]} >= {"latency", "resources", "plan"}


def test_csv_has_every_figure_of_the_summary(harness, run: Path):
    """CSV has one line a figure, by its path, with every digit."""
    _, out, _ = harness(run, "--format", "csv")
    lines = list(csv.reader(io.StringIO(out)))
    assert lines[0] == ["path", "value"]
    figures = dict(lines[1:])
    summary = json.loads((run / "summary.json").read_text())
    assert float(figures["search.p50_ms"]) == summary["search"]["p50_ms"]
    assert int(figures["operations"]) == summary["operations"]


def test_markdown_has_verdicts_and_tables(harness, run: Path):
    """Markdown begins with headline and verdicts, and has the figures in tables."""
    _, out, _ = harness(run, "--format", "markdown")
    assert out.startswith("# 8 agents")
    assert "- **ok** None of 900 operations failed." in out
    assert "| operation | count |" in out


def test_markdown_of_hostile_text_has_no_markup(harness, tmp_path: Path):
    """Text of a run is escaped: it makes no element, link, image or column in Markdown."""
    path = make_run(tmp_path / "run", rows=400, words=f"{HOSTILE} | ![x](http://e) `a` [b](c)")
    _, out, _ = harness(path, "--format", "markdown")
    assert "\\<img src\\=x onerror\\=alert\\(1\\)\\>" in out
    fenced = out.split("```")
    assert "<img" not in "".join(fenced[0::2]).replace("\\<img", "")
    assert "![x](" not in "".join(fenced[0::2])


def test_csv_of_hostile_names_has_no_formula(harness, run: Path):
    """A key that a spreadsheet would take for a formula is made text."""
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "=cmd()": 1}))
    _, out, _ = harness(run, "--format", "csv")
    assert "'=cmd(),1" in out.splitlines()


@pytest.mark.parametrize("form", ["html", "markdown", "json", "csv"])
def test_a_file_may_be_named(harness, run: Path, tmp_path: Path, form: str):
    """--out names the file of any form, and the directory of the run is left alone."""
    target = tmp_path / "elsewhere"
    code, out, _ = harness(run, "--format", form, "--out", target)
    assert code == 0
    assert out.splitlines()[-1] == str(target)
    assert target.stat().st_size > 1_000
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a run directory"),
        (lambda path: path.write_text("x"), "is not a folder"),
        (lambda path: (path.mkdir(), (path / "run.json").write_text("{")), "is damaged"),
        (
            lambda path: (path.mkdir(), (path / "run.json").write_text('{"schema_version": 99}')),
            "install a newer",
        ),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(harness, tmp_path: Path, make, words: str):
    """A directory that cannot be reported is wrong usage, in one line."""
    make(tmp_path / "run")
    code, out, said = harness(tmp_path / "run")
    assert code == 2
    assert out == ""
    assert said.count("\n") == 1
    assert words in said


def test_a_place_that_cannot_be_written_is_refused(harness, run: Path, tmp_path: Path):
    """A report that cannot be written is wrong usage, and the sentence names the remedy."""
    code, _, said = harness(run, "--out", tmp_path / "missing" / "report.html")
    assert code == 2
    assert "name a file that can be" in said


def test_an_unknown_format_is_refused(harness, run: Path):
    """A format that there is not is wrong usage, and the sentence has those that there are."""
    code, _, said = harness(run, "--format", "pdf")
    assert code == 2
    assert "markdown" in said


def test_a_report_that_fails_does_not_fail_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """At the end of a measurement, what went wrong with its report is a sentence."""
    make_report(tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "report.html could not be made" in said.err
