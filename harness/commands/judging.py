"""What commands that measure do with thresholds: check them, judge by them, tell CI of it.

    judge = Judge.asked(thresholds, junit)
    judge.check(template)             before anything runs
    outcome = judge.judge(directory, outcome)
    return judge.finish(directory.path, outcome)

The exit code is 3 for a run that is complete and breaches a threshold; an INVALID, a failed and
an interrupted run keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.commands.measuring import EXIT_CODES, say
from harness.errors import RunDirectoryError, UsageError

if TYPE_CHECKING:
    from harness.analysis.thresholds import Threshold
    from harness.runner import Outcome

__all__ = ["EXIT_BREACHED", "KNOWN_UNRECORDED", "Judge", "run_template"]

EXIT_BREACHED = 3
# What a run that records nothing knows all the same.
KNOWN_UNRECORDED = ("operations", "failed", "duration_s", "throughput_ops_s", "agents.count")


class _Summarised(Protocol):
    """A directory that takes a summary: a run's or a benchmark's."""

    def write_summary(self, summary: Mapping[str, Any]) -> None: ...


def run_template() -> dict[str, Any]:
    """The summary of a run without a row: it has every path that a run's summary has."""
    from harness.analysis.rows import MeasuredRows
    from harness.analysis.summary import summarise_rows
    from harness.schema import LOADGEN_SCHEMA, NODES_SCHEMA, PROCESSES_SCHEMA

    samples = [one.empty_table() for one in (NODES_SCHEMA, PROCESSES_SCHEMA, LOADGEN_SCHEMA)]
    return summarise_rows(MeasuredRows(), *samples, run={})


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Thresholds that were asked for, and where the verdicts go besides the summary.

    Attributes:
        thresholds: in the order in which they were given.
        junit: the file of ``--junit``.
    """

    thresholds: Sequence[Threshold]
    junit: Path | None

    @classmethod
    def asked(cls, texts: Sequence[str], junit: Path | None) -> Judge:
        """What the options ``--threshold`` and ``--junit`` ask for.

        Raises:
            UsageError: one is no threshold.
        """
        from harness.analysis.thresholds import parse_threshold

        return cls(thresholds=[parse_threshold(text) for text in texts], junit=junit)

    def check(self, template: Mapping[str, Any] | None = None, *, recorded: bool = True) -> None:
        """Refuse what could not be judged or written, before anything runs.

        Args:
            template: a summary with every path that there will be; None is a run's.
            recorded: rows are, so all figures will be known.

        Raises:
            UsageError: a path is unknown, or the file cannot be written.
        """
        from harness.report.junit import check_junit_file

        if self.thresholds:
            from harness.analysis.thresholds import check_paths

            template = run_template() if template is None else template
            check_paths(self.thresholds, template)
            if not recorded:
                self._check_unrecorded(template)
        if self.junit is not None:
            check_junit_file(self.junit)

    def _check_unrecorded(self, template: Mapping[str, Any]) -> None:
        from harness.analysis import summary_path

        for one in self.thresholds:
            path = summary_path(template, one.path)
            if path not in KNOWN_UNRECORDED:
                known = ", ".join(KNOWN_UNRECORDED)
                raise UsageError(
                    one.option, f"{path} is not known with --record off; known are {known}"
                )

    def judge(self, directory: _Summarised, outcome: Outcome) -> Outcome:
        """Judge by the thresholds and write the verdicts into the summary."""
        if not self.thresholds:
            return outcome
        from harness.analysis.thresholds import evaluate

        found = evaluate(self.thresholds, outcome.summary)
        summary = {**outcome.summary, "thresholds": found}
        directory.write_summary(summary)
        return replace(outcome, summary=summary)

    def say_breaches(self, outcome: Outcome) -> None:
        """Say on standard error what was breached, where the summary alone is printed."""
        for one in outcome.summary.get("thresholds", []):
            if one["verdict"] == "breached":
                say(f"breached: {one['sentence']}")

    def finish(self, path: Path, outcome: Outcome) -> int:
        """Write the JUnit file, if one was asked for; the exit code."""
        code = EXIT_CODES[outcome.status]
        found = outcome.summary.get("thresholds", [])
        if code == 0 and any(one["verdict"] == "breached" for one in found):
            code = EXIT_BREACHED
        written = self._write(path, outcome.summary, outcome.problems)
        return code if written or code else 1

    def tell_failure(self, path: Path, problem: str) -> None:
        """Write the JUnit file of a run that has no summary."""
        self._write(path, {}, [problem])

    def _write(self, path: Path, summary: Mapping[str, Any], problems: Sequence[str]) -> bool:
        """Whether the file was written, or none was asked for."""
        if self.junit is None:
            return True
        from harness.report.junit import write_junit
        from harness.rundir_reader import open_run

        try:
            run = open_run(path).run
        except RunDirectoryError:
            run = {"status": "failed"}
        try:
            write_junit(self.junit, run, summary, problems)
        except OSError as error:
            say(f"--junit: {self.junit} cannot be written ({error.strerror})")
            return False
        return True
