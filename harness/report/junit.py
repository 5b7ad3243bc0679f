"""JUnit XML of what was judged, so that a CI server shows it: one test case a threshold.

Two more cases say whether the run may be believed (``validity``) and whether it was carried out
and its operations succeeded (``completion``, which holds the failures too). Elements and
attributes are those that Jenkins' xUnit schema (``junit-10.xsd``) has and GitLab reads; a breach
is a ``failure``, a run that could not be carried out or believed an ``error``.

All text is escaped, and characters that XML cannot carry are replaced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from harness.errors import UsageError
from harness.report.figures import plain

__all__ = ["check_junit_file", "junit_xml", "write_junit"]

_OPTION = "--junit"
_UNKNOWN = "The run ended before anything could be said of it."


def junit_xml(run: Mapping[str, Any], summary: Mapping[str, Any], problems: Sequence[str]) -> bytes:
    """Give the document of a run or a benchmark, in UTF-8.

    Args:
        run: its ``run.json``; ``command``, ``status``, ``started`` and ``hosts`` are read.
        summary: its summary; empty where none could be made.
        problems: what went wrong on the way, in sentences.
    """
    suite = ET.Element("testsuite", {"name": plain(f"harness {run.get('command', 'run')}")})
    cases = _judgements(run, summary, problems)
    for one in summary.get("thresholds", ()):
        breached = one["verdict"] != "passed"
        cases.append(_case("thresholds", one["threshold"], "failure", one["sentence"], breached))
    counted = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
    }
    about = {name: str(number) for name, number in counted.items()}
    about["time"] = f"{summary.get('duration_s') or 0.0:.3f}"
    suite.attrib |= about | {"skipped": "0"} | _where_and_when(run)
    suite.extend(cases)
    suites = ET.Element("testsuites", {"name": "agent-memory-harness", **about})
    suites.append(suite)
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def check_junit_file(path: Path) -> None:
    """Refuse a file that could not be written, before anything runs. Leaves nothing behind.

    Raises:
        UsageError: it is a folder, its folder is not there, or neither can be written.
    """
    try:
        if path.exists():
            _check_existing(path)
        elif not path.parent.is_dir():
            raise UsageError(_OPTION, f"{path.parent} is not a folder; make it first")
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            path.unlink()
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror}); name another file"
        raise UsageError(_OPTION, problem) from None
    except ValueError:  # a null character in the name
        raise UsageError(_OPTION, f"{str(path)!r} is not the name of a file") from None


def write_junit(
    path: Path, run: Mapping[str, Any], summary: Mapping[str, Any], problems: Sequence[str] = ()
) -> None:
    """Write the document of `junit_xml`. Raises OSError when it cannot be written."""
    path.write_bytes(junit_xml(run, summary, problems))


def _check_existing(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(_OPTION, f"{path} is a folder; name a file")
    if stat.S_ISREG(mode):
        path.open("ab").close()
    elif not os.access(path, os.W_OK):  # opening a pipe would wait for its reader
        raise UsageError(_OPTION, f"{path} cannot be written; name another file")


def _judgements(
    run: Mapping[str, Any], summary: Mapping[str, Any], problems: Sequence[str]
) -> list[ET.Element]:
    """The cases ``validity`` and ``completion``."""
    verdicts = summary.get("verdicts", ())
    invalid = [one["sentence"] for one in verdicts if one["verdict"] == "invalid"]
    failed = [one["sentence"] for one in verdicts if one["verdict"] == "failed"]
    status = run.get("status")
    completed = status in ("complete", "invalid") and not failed
    said = [*problems, *failed]
    if not said:
        said = [one["sentence"] for one in verdicts if one["name"] in ("completion", "failures")]
    validity = invalid or [one["sentence"] for one in verdicts if one["name"] == "validity"]
    return [
        _case("run", "validity", "error", " ".join(validity), bool(invalid) or not summary),
        _case("run", "completion", "error", " ".join(said), not completed),
    ]


def _case(group: str, name: str, kind: str, sentence: str, bad: bool) -> ET.Element:
    """One test case; `kind` is the element that says why it is bad."""
    case = ET.Element(
        "testcase", {"classname": f"harness.{group}", "name": plain(name), "time": "0"}
    )
    text = plain(sentence) or _UNKNOWN
    if bad:
        problem = ET.SubElement(case, kind, {"type": name if group == "run" else "breached"})
        problem.attrib["message"] = problem.text = text
    elif sentence:
        ET.SubElement(case, "system-out").text = text
    return case


def _where_and_when(run: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    started = run.get("started")
    if isinstance(started, str):
        found["timestamp"] = plain(started)
    hosts = run.get("hosts")
    if isinstance(hosts, Sequence) and hosts and isinstance(hosts[0], Mapping):
        found["hostname"] = plain(hosts[0].get("hostname") or "")
    return found
