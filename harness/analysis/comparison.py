"""Comparing runs: for each figure the ratio of new over base, how sure it is, and a verdict.

Each figure is judged for itself, at the confidence given: of many figures that did not change,
some stand out by chance. How many is said beside the verdicts; nothing is corrected for it,
since figures of one run go together, and what a correction would have to assume is not known.
A regression therefore asks for more: the whole interval has to lie beyond the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.bootstrap import FEWEST_FOR_INTERVAL
from harness.analysis.comparable_figures import Section, sections
from harness.analysis.comparison_side import Side, open_side
from harness.analysis.figure_comparison import Compared, Judgement, compare_figure, is_beyond
from harness.analysis.run_differences import (
    Difference,
    find_differences,
    side_notes,
    tell_differences,
    verdict_notes,
)
from harness.analysis.verdicts import Verdict
from harness.errors import UsageError

__all__ = ["Comparison", "Versus", "compare", "percent_text", "regressions"]


_HALF_MORE = 1.5


@dataclass(frozen=True, kw_only=True)
class Versus:
    """One new side against the base.

    Attributes:
        new: as it was named.
        repeats: its directories.
        figures: in the order of the summary.
        differences: in plan, machine, versions, commit and schema.
        notes: what to know before the figures, the most serious first.
        sentence: what came out.
    """

    new: str
    repeats: tuple[str, ...]
    figures: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    notes: tuple[Verdict, ...]
    sentence: str

    def count(self, verdict: Judgement) -> int:
        """How many figures have a verdict."""
        return sum(one.verdict == verdict for one in self.figures)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A base and what is compared with it.

    Attributes:
        kind: the command that all directories are of.
        base: as it was named.
        repeats: its directories.
        confidence: of each interval.
        against: one for each new side.
    """

    kind: str
    base: str
    repeats: tuple[str, ...]
    confidence: float
    against: tuple[Versus, ...]


def compare(paths: Sequence[str], *, confidence: float = 0.95, seed: int = 1) -> Comparison:
    """Compare sides with the first of them.

    Args:
        paths: the base, then one or more that are compared with it, each as for
            `harness.analysis.comparison_side.open_side`.
        confidence: of each interval.
        seed: the same seed gives the same intervals.

    Raises:
        RunDirectoryError: a directory cannot be read, or has no figures.
        UsageError: there is nothing to compare with, or the sides have nothing in common.
    """
    if len(paths) < 2:
        raise UsageError("NEW", "is missing; name a base and what is compared with it")
    base = open_side("BASE", paths[0])
    against = []
    for path in paths[1:]:
        new = open_side("NEW", path)
        if new.kind != base.kind:
            raise UsageError(
                "NEW",
                f"{path} is {new.kind_words} and BASE is {base.kind_words}; compare like with like",
            )
        against.append(_versus(base, new, confidence, seed))
    return Comparison(
        kind=base.kind,
        base=base.text,
        repeats=tuple(str(one.reader.path) for one in base.members),
        confidence=confidence,
        against=tuple(against),
    )


def percent_text(ratio: float) -> str:
    """Give a ratio as a percentage with no more digits than it has (``99.5%``)."""
    return f"{ratio * 100:.6g}%"


def regressions(comparison: Comparison, limit_ratio: float) -> list[tuple[str, Compared]]:
    """Give the figures that are worse by more than a limit with confidence, with their sides.

    Args:
        comparison: of them.
        limit_ratio: 0.1 for 10%; see `harness.analysis.figure_comparison.is_beyond`.
    """
    return [
        (versus.new, one)
        for versus in comparison.against
        for one in versus.figures
        if is_beyond(one, limit_ratio)
    ]


def _versus(base: Side, new: Side, confidence: float, seed: int) -> Versus:
    common = {section.path: section for section in _sections(base)}
    figures = [
        one
        for section in _sections(new)
        if section.path in common
        for figure in section.figures
        if (one := compare_figure(base, new, section, figure, confidence, seed)) is not None
    ]
    if not any(one.base is not None and one.new is not None for one in figures):
        raise UsageError("NEW", f"{new.text} has no figure in common with {base.text}")
    differences = find_differences(base, new)
    notes = [
        *side_notes(base),
        *side_notes(new),
        *verdict_notes(base, new),
        *tell_differences(differences),
        *_notes_on_evidence(figures, confidence),
    ]
    return Versus(
        new=new.text,
        repeats=tuple(str(one.reader.path) for one in new.members),
        figures=tuple(figures),
        differences=tuple(differences),
        notes=tuple(sorted(notes, key=lambda one: one["verdict"] != "warning")),
        sentence=_sentence(figures),
    )


def _sections(side: Side) -> list[Section]:
    """The sections of all of a side's summaries, each once."""
    found = {one.path: one for member in side.members for one in sections(member.summary)}
    return list(found.values())


def _notes_on_evidence(figures: list[Compared], confidence: float) -> list[Verdict]:
    """What the intervals do not say: variation between runs, and that there are many of them."""
    notes: list[Verdict] = []
    within = [one for one in figures if one.basis == "within"]
    if within:
        count = _of_figures(len(within), "has", "have")
        sentence = (
            f"{count} fewer than {FEWEST_FOR_INTERVAL} repeats on a side: intervals there are of "
            "the variation within runs only, and runs of one plan may differ by more."
        )
        notes.append({"name": "within_run", "verdict": "warning", "sentence": sentence})
    wide = sum(one.verdict == "no difference" and _is_wide(one) for one in figures)
    if wide:
        sentence = (
            f"{_of_figures(wide, 'shows', 'show')} no difference, in an interval wide enough to "
            "hide a change by half: more repeats, longer runs or a quieter machine would tell."
        )
        notes.append({"name": "wide", "verdict": "warning", "sentence": sentence})
    judged = sum(one.basis != "none" for one in figures)
    if judged > 1:
        chance = judged * (1 - confidence)
        sentence = (
            f"{judged} figures have an interval of {percent_text(confidence)} each: if nothing "
            f"had changed, about {max(1, round(chance))} would leave out 1 by chance."
        )
        notes.append({"name": "many_figures", "verdict": "ok", "sentence": sentence})
    return notes


def _of_figures(count: int, one: str, several: str) -> str:
    return f"1 figure {one}" if count == 1 else f"{count} figures {several}"


def _is_wide(one: Compared) -> bool:
    low, high = one.ratio["low"], one.ratio["high"]
    return low is not None and high is not None and (low < 1 / _HALF_MORE or high > _HALF_MORE)


def _sentence(figures: list[Compared]) -> str:
    counts = {
        verdict: sum(one.verdict == verdict for one in figures)
        for verdict in ("worse", "better", "no difference", "unknown")
    }
    parts = [
        f"{counts['worse']} {'is' if counts['worse'] == 1 else 'are'} worse",
        f"{counts['better']} better",
        f"{counts['no difference']} without a difference",
    ]
    if counts["unknown"]:
        parts.append(f"{counts['unknown']} unknown")
    return f"Of {len(figures)} figures, {', '.join(parts)}."
