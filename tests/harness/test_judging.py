"""Thresholds of a run: refused before it, judged after it, and told by exit code and JUnit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness import cli, runner
from harness.commands.judging import EXIT_BREACHED, KNOWN_UNRECORDED, Judge, run_template
from harness.errors import RunFailedError, UsageError
from harness.ray_session import RaySession
from harness.rundir import RunDirectory
from harness.runner import Outcome
from tests.harness.driving import short_folder
from tests.shared_ray import command_here


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "run")


def outcome(status: Any = "complete") -> Outcome:
    """The end of a run of 400 operations, with a p99 of 12 ms."""
    summary = run_template() | {"operations": 400, "verdicts": []}
    summary["all"] |= {"count": 400, "p99_ms": 12.0}
    return Outcome(status=status, summary=summary)


def finished(judge: Judge, directory: RunDirectory, status: Any = "complete") -> int:
    directory.update_status(status)
    judged = judge.judge(directory, outcome(status))
    return judge.finish(directory.path, judged)


@pytest.mark.parametrize(
    ("status", "code"),
    [("complete", EXIT_BREACHED), ("failed", 1), ("invalid", 4), ("interrupted", 130)],
)
def test_a_breach_is_the_exit_code_of_a_complete_run_only(directory, status, code):
    """What ended a run otherwise is more serious, and keeps its own."""
    assert finished(Judge.asked(["p99_ms<10"], None), directory, status) == code


def test_a_run_that_keeps_to_its_thresholds_exits_with_0(directory):
    """All of several have to pass."""
    assert finished(Judge.asked(["p99_ms<20", "operations>=400"], None), directory) == 0
    assert finished(Judge.asked(["p99_ms<20", "operations>400"], None), directory) == 3


def test_the_verdicts_are_in_the_summary_in_their_order(directory):
    """summary.json has them, and has no such key when none was asked for."""
    finished(Judge.asked(["p99_ms<20", "p99_ms<10"], None), directory)
    written = json.loads((directory.path / "summary.json").read_text())
    assert [one["verdict"] for one in written["thresholds"]] == ["passed", "breached"]
    assert "thresholds" not in Judge.asked([], None).judge(directory, outcome()).summary


@pytest.mark.parametrize("status", ["complete", "failed", "invalid", "interrupted"])
def test_the_junit_file_is_written_whichever_way_a_run_ends(directory, tmp_path, status):
    """CI reads it after a breach too."""
    path = tmp_path / "junit.xml"
    finished(Judge.asked(["p99_ms<10"], path), directory, status)
    assert ET.parse(path).getroot().get("failures") == "1"


def test_the_junit_file_of_a_run_that_failed_to_start_has_its_problem(directory, tmp_path):
    """There is no summary then."""
    path = tmp_path / "junit.xml"
    Judge.asked([], path).tell_failure(directory.path, "Ray did not start.")
    assert "Ray did not start." in path.read_text()


def test_a_junit_file_that_fails_after_the_run_fails_a_good_one(directory, tmp_path, capsys):
    """The disk may be full by then: one sentence, and exit code 1 in place of 0."""
    judge = Judge.asked([], tmp_path / "gone" / "junit.xml")
    assert finished(judge, directory) == 1
    assert "harness: --junit: " in capsys.readouterr().err


def test_without_rows_only_totals_may_be_asked_for():
    """--record off leaves no latencies, and outcomes would read as none failed."""
    Judge.asked([f"{path}>=0" for path in KNOWN_UNRECORDED], None).check(recorded=False)
    with pytest.raises(UsageError, match=r"outcomes\.timeout is not known with --record off"):
        Judge.asked(["outcomes.timeout<1"], None).check(recorded=False)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--threshold", "search.p99_m<20"], "did you mean search.p99_ms"),
        (["--threshold", "search.p99_ms"], "--threshold: 'search.p99_ms' compares nothing"),
        (["--threshold", "p99_ms<1", "--threshold", "x"], "--threshold: 'x' compares nothing"),
        (["--threshold", "p99_ms<9%"], "a per cent sign means nothing for all.p99_ms"),
        (["--threshold", "p99_ms<9", "--record", "off"], "not known with --record off"),
        (["--junit", "."], "--junit: . is a folder; name a file"),
        (["--junit", "none/junit.xml"], "--junit: none is not a folder; make it first"),
    ],
)
def test_the_command_refuses_what_it_could_not_judge(
    monkeypatch, capsys, tmp_path, arguments, part
):
    """Exit code 2 and one line, before anything starts; nothing is left behind."""

    def started(address: str) -> None:
        raise AssertionError(f"Ray was started or joined ({address})")

    monkeypatch.setattr(runner, "ray_session", started)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "run", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert part in said.err
    assert not list(tmp_path.iterdir())


def test_a_run_that_breaks_off_still_tells_ci(monkeypatch, capsys, tmp_path):
    """The JUnit file of a run without a summary says what happened."""

    def broken(*_: object) -> None:
        raise RunFailedError("Ray did not start")

    monkeypatch.setattr(runner, "run", broken)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "run", "--junit", "junit.xml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "Ray did not start" in (tmp_path / "junit.xml").read_text()


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_that_breaches_exits_with_3_and_says_which(ray_here: RaySession):
    """Passed and breached in the terminal, in the summary and in JUnit XML, of a real run."""
    with short_folder() as folder:
        asked = ["operations>=180", "search.p99_ms<1e6", "failed<1%", "p50_ms<1e-6"]
        options = [part for text in asked for part in ("--threshold", text)]
        size = ["--target", "noop", "--agents", "10", "--rounds", "1", "--shards", "1"]
        where = ["--out", folder / "out", "--junit", folder / "junit.xml"]
        done = command_here("run", *size, *where, *options, temp=folder)
        assert done.returncode == 3, done.stderr
        written = json.loads((folder / "out" / "summary.json").read_text())
        verdicts = {one["threshold"]: one["verdict"] for one in written["thresholds"]}
        assert verdicts == {
            "operations>=180": "passed",
            "search.p99_ms<1e6": "breached",  # 30 searches are too few
            "failed<1%": "passed",
            "p50_ms<1e-6": "breached",
        }
        assert "30 samples are too few" in done.stdout
        assert done.stdout.count("breached") == 2
        assert ET.parse(folder / "junit.xml").getroot().get("failures") == "2"
