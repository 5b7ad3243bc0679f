"""``report.html`` of a run or bench directory, made from its files alone."""

from __future__ import annotations

import os
from pathlib import Path

from harness.benchmarks.bench_directory import BenchReader
from harness.report.bench_report import bench_report, is_bench
from harness.report.document import Report
from harness.report.page import render_page
from harness.report.run_data import read_run
from harness.report.run_report import run_report
from harness.rundir_reader import open_run

__all__ = ["REPORT_FILE", "read_report", "write_report", "write_text"]

REPORT_FILE = "report.html"


def read_report(path: Path) -> Report:
    """Read a run or bench directory and lay out what its report says.

    Raises:
        RunDirectoryError: it is none that we can read.
    """
    reader = open_run(path)
    if is_bench(reader.run):
        return bench_report(BenchReader(reader))
    return run_report(read_run(path))


def write_report(path: Path) -> Path:
    """Make ``report.html`` in a run or bench directory, in the place of one that is there.

    Returns:
        Where it is.

    Raises:
        RunDirectoryError: it is none that we can read.
        OSError: the file cannot be written.
    """
    target = path / REPORT_FILE
    write_text(target, render_page(read_report(path)))
    return target


def write_text(target: Path, text: str) -> None:
    """Write a file whole: who reads it finds the old one or the new one."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, "utf-8")
        unfinished.replace(target)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
