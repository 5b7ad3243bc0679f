"""One side of a comparison: the run directories or bench directories that are its repeats.

A side is named by a directory, by several joined with commas, or by a folder that holds them.
All of a side are of one kind and should be of one plan. What a figure's repeats are depends on
where it stands: of a run, each directory gives one; of a number of agents in a benchmark, each
of its steps does; of a target, what the summary has of each repeat; of everything else in a
benchmark, each bench directory.

Only files are read, and no path is made from what a file says: a step is looked for by its name
in the folder of steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.analysis.comparable_figures import Figure, Section, figure_value, with_derived
from harness.analysis.probe_rows import probe_of, probe_rows
from harness.analysis.summary import summarise
from harness.analysis.time_blocks import TimeBlocks, read_blocks
from harness.errors import RunDirectoryError, UsageError
from harness.rundir import RUN_FILE
from harness.rundir_reader import RunReader, open_run

__all__ = ["REPEATS_MAX", "Member", "Side", "open_side"]

REPEATS_MAX = 1000
_STEPS = "steps"
# a step's repeats, by the section they are of
_STEP_NAMES = {
    "counts": "agents-{}-[0-9]+",
    "threads": "threads-{}-[0-9]+",
    "volumes": "volume-{}",
    "rates": "rate-{}",
    "resources": "rate-[0-9.]+",
}
_PARTS = ("agents", "memory", "resources")
_KINDS = {
    "run": "a run",
    "bench-agents": "a benchmark of agents",
    "bench-memory": "a benchmark of memory",
    "bench-resources": "a benchmark of resources",
    "bench-targets": "a comparison of targets",
    "bench-all": "all three benchmarks",
    "capacity": "a search for the capacity",
}


@dataclass(kw_only=True)
class Member:
    """A directory of a side.

    Attributes:
        reader: of the directory.
        summary: its figures.
    """

    reader: RunReader
    summary: dict[str, Any]
    _steps: dict[str, RunReader] = field(default_factory=dict)
    _step_names: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    _step_summaries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def run(self) -> dict[str, Any]:
        """``run.json``."""
        return self.reader.run

    def steps(self, section: Section) -> list[str]:
        """Give the names of the steps that a section is of, those that are INVALID left out."""
        if section.path not in self._step_names:
            self._step_names[section.path] = self._look_for_steps(section)
        return self._step_names[section.path]

    def _look_for_steps(self, section: Section) -> list[str]:
        pattern = _STEP_NAMES.get(section.group)
        if pattern is None:
            return []
        wanted = re.compile(pattern.format(re.escape(section.path[-1])))
        found = []
        for root in (self.reader.path, *(self.reader.path / part for part in _PARTS)):
            folder = root / _STEPS
            names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
            for name in filter(wanted.fullmatch, names):
                try:
                    reader = open_run(folder / name)
                except RunDirectoryError:
                    continue
                if reader.run.get("status") != "invalid":
                    self._steps[name] = reader
                    found.append(name)
        # of several rates, none is the one that the section is of
        return [] if section.group == "resources" and len(found) > 1 else found

    def step_reader(self, name: str) -> RunReader:
        """Give the run directory of a step that `steps` named."""
        return self._steps[name]

    def step_summary(self, name: str) -> dict[str, Any]:
        """Give the summary of a step that `steps` named; empty when it has none."""
        if name not in self._step_summaries:
            try:
                found = self._steps[name].summary or {}
            except RunDirectoryError:
                found = {}
            self._step_summaries[name] = with_derived(found)
        return self._step_summaries[name]


@dataclass(kw_only=True)
class Side:
    """A side, opened.

    Attributes:
        name: BASE or NEW.
        text: as it was named.
        kind: the command that its directories are of, such as ``run`` or ``bench-agents``.
        members: its directories, at least one.
        left_out: directories that are left out since they are INVALID.
    """

    name: str
    text: str
    kind: str
    members: list[Member]
    left_out: list[Path]
    _blocks: dict[tuple[str, ...], TimeBlocks | None] = field(default_factory=dict)

    @property
    def kind_words(self) -> str:
        """The kind in words."""
        return _KINDS.get(self.kind, f"of {self.kind!r}")

    def section(self, member: Member, section: Section) -> Mapping[str, Any]:
        """Give a section of a member's summary; empty where it has none."""
        value: Any = member.summary
        for name in section.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, Mapping) else {}

    def samples(self, section: Section, figure: Figure) -> list[float]:
        """Give a figure of each repeat that has it."""
        return [
            value
            for member in self.members
            for value in self._of_member(member, section, figure.path)
            if value is not None
        ]

    def _of_member(self, member: Member, section: Section, path: str) -> list[float | None]:
        whole = self.section(member, section)
        stated = figure_value(whole, path)
        if section.group == "run":
            return [stated]
        if section.group == "targets":
            repeats = whole.get("repeats")
            known = [one for one in repeats or [] if isinstance(one, Mapping)]
            return [figure_value(one, path) for one in known] or [stated]
        names = member.steps(section)
        if section.group not in {"counts", "threads"}:
            if stated is not None or not names:
                return [stated]
            return [figure_value(member.step_summary(name), path) for name in names]
        entries = _by_step(whole.get("repeats"))
        values = []
        for name in names:
            own = figure_value(entries.get(name, {}), path)
            values.append(own if own is not None else figure_value(member.step_summary(name), path))
        return values if any(value is not None for value in values) else [stated]

    def blocks(self, section: Section, path: str) -> tuple[TimeBlocks | None, str]:
        """Give the runs that a figure is of in blocks of time, and its name in these.

        Blocks are None when there are no rows. Of a volume they are those of one kind of probe.
        """
        probe, name = probe_of(path) if section.group == "volumes" else ("", path)
        key = (*section.path, probe)
        if key not in self._blocks:
            readers = [
                reader
                for member in self.members
                for reader in (
                    [member.reader]
                    if section.group == "run"
                    else [member.step_reader(name) for name in member.steps(section)]
                )
            ]
            found = [read_blocks(one, probe_rows(one, probe) if probe else None) for one in readers]
            parts = [one for one in found if one is not None]
            self._blocks[key] = TimeBlocks.joined(parts) if parts else None
        return self._blocks[key], name


def _by_step(repeats: object) -> dict[str, Mapping[str, Any]]:
    """What a summary says of each repeat, by the name of its step."""
    if not isinstance(repeats, list):
        return {}
    return {
        Path(step).name: entry
        for entry in repeats
        if isinstance(entry, Mapping) and isinstance(step := entry.get("step"), str)
    }


def open_side(name: str, text: str) -> Side:
    """Open a side of a comparison.

    Args:
        name: BASE or NEW, for messages.
        text: a run or bench directory, a folder of such, or several joined with commas.

    Raises:
        RunDirectoryError: a directory is missing, cannot be read, or has nothing to compare.
        UsageError: the directories are not of one kind, or one is named twice.
    """
    readers = [open_run(path) for path in _directories(name, text)]
    kinds = sorted({str(reader.run.get("command")) for reader in readers})
    if len(kinds) > 1:
        raise UsageError(name, f"holds directories of {' and of '.join(kinds)}; give one kind")
    left_out = [reader.path for reader in readers if reader.run.get("status") == "invalid"]
    if len(left_out) == len(readers):
        raise RunDirectoryError(
            f"{text} is INVALID: its load generator did not keep the schedule, so there is no "
            "figure to compare"
        )
    members = [
        Member(reader=reader, summary=_summary(reader))
        for reader in readers
        if reader.path not in left_out
    ]
    return Side(name=name, text=text, kind=kinds[0], members=members, left_out=left_out)


def _directories(name: str, text: str) -> list[Path]:
    whole = Path(text)
    try:
        named = [whole] if "," not in text or whole.exists() else list(map(Path, text.split(",")))
        found = [each for path in named for each in _repeats_in(path)]
        resolved = [path.resolve() for path in found]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a folder"
        raise RunDirectoryError(f"{text!r} cannot be read: {reason}") from None
    if len(found) > REPEATS_MAX:
        raise UsageError(name, f"{text} has more than {REPEATS_MAX} directories")
    twice = [path for path, real in zip(found, resolved, strict=True) if resolved.count(real) > 1]
    if twice:
        raise UsageError(name, f"{twice[0]} is named twice; a repeat is a run of its own")
    return found


def _repeats_in(path: Path) -> list[Path]:
    """The run directories that a folder holds; itself when it is one, or holds none."""
    if (path / RUN_FILE).exists() or not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if (one / RUN_FILE).is_file()) or [path]


def _summary(reader: RunReader) -> dict[str, Any]:
    """The figures of a directory; those of a run that was killed are made from its rows."""
    command = reader.run.get("command")
    summary = reader.summary
    if command == "run":
        summary = summarise(reader) if summary is None else summary
        if not summary.get("operations"):
            raise RunDirectoryError(f"{reader.path} has no figures: no operation was measured")
        return with_derived(summary)
    if summary is None:
        raise RunDirectoryError(
            f"{reader.path} has no figures: the benchmark ended before its summary was made"
        )
    return {"bench": command, **summary}
