"""JUnit XML: what a CI server is told, in the elements that it knows."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.errors import UsageError
from harness.report.junit import check_junit_file, junit_xml, write_junit

RUN = {
    "command": "run",
    "status": "complete",
    "started": "2026-11-23T01:00:00+00:00",
    "hosts": [{"hostname": "host-1"}],
}
# What Jenkins' schema (xUnit plugin, junit-10.xsd) has of each element that we write.
SCHEMA = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
        {"testcase"},
    ),
    "testcase": ({"name", "classname", "time"}, {"failure", "error", "system-out"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}


def finding(text: str, verdict: str = "passed", sentence: str = "It is so.") -> dict[str, str]:
    return {"threshold": text, "verdict": verdict, "sentence": sentence}


def suite_of(document: bytes) -> ET.Element:
    root = ET.fromstring(document)
    assert root.tag == "testsuites"
    (suite,) = root
    return suite


def cases(document: bytes) -> dict[str | None, ET.Element]:
    return {case.get("name"): case for case in suite_of(document).iter("testcase")}


def test_a_threshold_is_a_case_and_a_breach_its_failure(summary):
    """Counts add up; the sentence is the failure's message and text."""
    summary["thresholds"] = [
        finding("p99_ms<50"),
        finding("search.p99_ms<20", "breached", "search.p99_ms is 31, and had to be < 20."),
    ]
    suite = suite_of(document := junit_xml(RUN, summary, []))
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["4", "1", "0"]
    assert suite.get("hostname") == "host-1"
    failure = cases(document)["search.p99_ms<20"].find("failure")
    assert failure is not None
    assert failure.get("message") == failure.text == "search.p99_ms is 31, and had to be < 20."
    assert cases(document)["p99_ms<50"].find("failure") is None


def test_an_invalid_run_is_an_error_of_validity(summary):
    """It was carried out, but may not be believed."""
    summary["verdicts"] = [{"name": "validity", "verdict": "invalid", "sentence": "Late."}]
    found = cases(junit_xml({**RUN, "status": "invalid"}, summary, []))
    assert found["validity"].find("error") is not None
    assert found["completion"].find("error") is None


def test_a_run_whose_operations_all_failed_is_an_error_of_completion(summary):
    """The sentence of the verdict is what the server shows."""
    summary["verdicts"] = [{"name": "failures", "verdict": "failed", "sentence": "All failed."}]
    error = cases(junit_xml({**RUN, "status": "failed"}, summary, []))["completion"].find("error")
    assert error is not None
    assert error.text == "All failed."


@pytest.mark.parametrize("status", ["interrupted", "failed", "running"])
def test_a_run_that_was_cut_short_never_reads_as_passed(summary, status):
    """Whatever its thresholds say."""
    summary["thresholds"] = [finding("p99_ms<50")]
    assert suite_of(junit_xml({**RUN, "status": status}, summary, [])).get("errors") == "1"


def test_a_run_without_a_summary_is_two_errors_with_its_problem():
    """A run that failed to start has a document too."""
    found = cases(document := junit_xml({"status": "failed"}, {}, ["Ray did not start."]))
    assert suite_of(document).get("errors") == "2"
    error = found["completion"].find("error")
    assert error is not None
    assert error.text == "Ray did not start."


def test_hostile_text_is_text():
    """Markup, quotes, control characters and lone surrogates come out as text, or replaced."""
    hostile = "</testcase><x a='1'>&amp;\"\x00\x1b[31m\ud800\ufffe\r\n]]>"
    summary = {"thresholds": [finding(hostile, "breached", hostile)], "verdicts": []}
    document = junit_xml({**RUN, "hosts": [{"hostname": hostile}]}, summary, [hostile])
    text = document.decode("utf-8")
    assert "<x a" not in text
    assert "\x1b" not in text
    assert any(name and name.startswith("</testcase><x a='1'>&amp;\"") for name in cases(document))


def test_it_has_nothing_that_the_servers_schema_lacks(summary):
    """Only known elements with known attributes; times without exponent."""
    summary["thresholds"] = [finding("a<1"), finding("b<1", "breached")]
    summary["duration_s"] = 1e-9
    for element in ET.fromstring(junit_xml(RUN, summary, ["It broke."])).iter():
        attributes, children = SCHEMA[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        assert "e" not in element.get("time", "")


def test_a_file_that_can_be_written_passes_and_nothing_is_left(tmp_path: Path):
    """The check makes no file, and leaves one that is there as it is."""
    check_junit_file(tmp_path / "new.xml")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.xml").write_text("old")
    check_junit_file(tmp_path / "old.xml")
    assert (tmp_path / "old.xml").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (".", "is a folder; name a file"),
        ("none/junit.xml", "is not a folder; make it first"),
        ("x" * 300, "cannot be written"),
        ("a\0b", "is not the name of a file"),
        ("/proc/none.xml", "cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str, problem: str):
    """Before the run, by name of the option."""
    with pytest.raises(UsageError, match=problem) as refused:
        check_junit_file(tmp_path / name)
    assert refused.value.field == "--junit"


def test_a_pipe_is_not_opened_to_be_checked(tmp_path: Path):
    """Opening a pipe would wait for whoever reads it."""
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=check_junit_file, args=[tmp_path / "pipe"], daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_it_is_written_to_the_file(tmp_path: Path, summary):
    """What is there before is replaced."""
    path = tmp_path / "junit.xml"
    path.write_text("old" * 10_000)
    write_junit(path, RUN, summary)
    assert path.read_bytes() == junit_xml(RUN, summary, [])
