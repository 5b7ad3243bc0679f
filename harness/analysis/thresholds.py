"""Thresholds: what a figure of a summary must keep to, asked for before a run, judged after it.

A threshold is a path into the summary (`harness.analysis.paths`), one of ``< <= > >=`` and a
number: ``search.p99_ms<20``, ``throughput_ops_s >= 5e4``, ``failed<1%``. A service level
objective is written the same way.

Invariants
- A threshold is judged by the summary of the whole run, over all nodes.
- Only a figure that is known and keeps to its limit passes: one that was not measured, that has
  too few samples, or that an INVALID run measured is a breach that says so.
- A per cent sign stands where it means something: on figures in per cent, on ratios (divided by
  100), and on counts of failures, which it takes as a share of the operations.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from harness.analysis.latency import PERCENTILES, fewest_samples
from harness.analysis.paths import summary_path, summary_paths, summary_value
from harness.errors import UsageError

__all__ = [
    "Threshold",
    "ThresholdFinding",
    "check_paths",
    "evaluate",
    "parse_threshold",
]

_OPTION = "--threshold"
_EXAMPLE = "'search.p99_ms<20'"
_SHOWN_MAX = 80
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARTS = re.compile(r"([^<>=!~]*)([<>=!~]+)(.*)", re.DOTALL)
# As the last part of a path has its unit: ``p99_ms``, ``rss_bytes_max``.
_UNIT = re.compile(r"_(ns|us|ms|s|bytes|ops_s)(?:_|\.|$)")
_IN_PERCENT = re.compile(r"^(?!.*_per_).*(?:^|_)percent(?:_|$)")


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A limit on a figure.

    Attributes:
        text: as it was given.
        path: of the figure, as it was given.
        operator: ``<``, ``<=``, ``>`` or ``>=``.
        number: that the figure is compared with, as it was written: 1 in ``failed<1%``.
        percent: a per cent sign followed.
        option: that it was given by.
    """

    text: str
    path: str
    operator: str
    number: float
    percent: bool
    option: str = _OPTION


class ThresholdFinding(TypedDict):
    """What became of a threshold, as ``summary.json`` has it.

    ``path`` is the figure's whole path; ``value`` is None where the figure is not known, and
    is in per cent where the threshold takes a count of failures as a share; ``limit`` is in
    the unit of ``value``.
    """

    threshold: str
    path: str
    operator: str
    value: float | None
    limit: float
    verdict: Literal["passed", "breached"]
    sentence: str


def parse_threshold(text: str, option: str = _OPTION) -> Threshold:
    """Read a threshold; whether its path exists is for `check_paths` to say.

    Raises:
        UsageError: it has no path, no comparison, or no number.
    """
    text = text.strip()
    found = _PARTS.fullmatch(text)
    if found is None:
        problem = f"{_shown(text)} compares nothing; write it in quotes, such as {_EXAMPLE}"
        raise UsageError(option, problem)
    path, sign, limit = (part.strip() for part in found.groups())
    if sign not in _OPERATORS:
        raise UsageError(option, f"{_shown(sign)} is no comparison; choose {', '.join(_OPERATORS)}")
    if not path:
        raise UsageError(option, f"{_shown(text)} names no figure; write it as {_EXAMPLE}")
    percent = limit.endswith("%")
    number = _number(limit.removesuffix("%").rstrip() if percent else limit)
    if number is None:
        hint = _unit_hint(path, limit)
        raise UsageError(option, f"{_shown(limit)} in {_shown(text)} is no finite number{hint}")
    return Threshold(
        text=text, path=path, operator=sign, number=number, percent=percent, option=option
    )


def check_paths(thresholds: Iterable[Threshold], template: Mapping[str, Any]) -> None:
    """Refuse thresholds on figures that a summary will not have, before anything runs.

    Args:
        thresholds: as parsed.
        template: a summary with every path that there will be, whatever its values.

    Raises:
        UsageError: names figures with a similar path; or a per cent sign means nothing there.
    """
    for one in thresholds:
        try:
            path = summary_path(template, one.path)
        except UsageError as error:
            raise UsageError(one.option, f"{_shown(error.field)}: {error.problem}") from None
        if one.percent and not _takes_percent(template, path):
            unit = _UNIT.search(path)
            what = f"is in {unit[1]}" if unit else "is no share of anything"
            what = what.replace("ops_s", "operations a second")
            problem = f"a per cent sign means nothing for {path}, which {what}; leave it out"
            raise UsageError(one.option, problem)


def evaluate(thresholds: Sequence[Threshold], summary: Mapping[str, Any]) -> list[ThresholdFinding]:
    """Judge thresholds by a summary, in their order.

    A figure that the summary does not have, such as one of a step that was not reached, is a
    breach too: `check_paths` is what refuses a path before a run.
    """
    invalid = any(one["verdict"] == "invalid" for one in summary.get("verdicts", ()))
    return [_judge(one, summary, invalid) for one in thresholds]


def _judge(threshold: Threshold, summary: Mapping[str, Any], invalid: bool) -> ThresholdFinding:
    try:
        path = summary_path(summary, threshold.path)
        value = summary_value(summary, path)
    except UsageError:
        path, value = threshold.path, None
    limit, sign = threshold.number, "%" if threshold.percent else ""
    share_of = _percent_of(path) if threshold.percent else None
    if share_of == "operations":
        total = _share_of(summary, path)
        value = 100 * value / total if value is not None and total else None
    elif share_of == "ratio":
        limit /= 100
    known = value is not None and math.isfinite(value)
    kept = known and _OPERATORS[threshold.operator](value, limit)  # type: ignore[arg-type]
    asked = f"{threshold.operator} {_figure(threshold.number)}{sign}"
    if not known:
        sentence = f"{path} is not known: {_why_unknown(summary, path)}; it had to be {asked}."
    elif invalid:
        sentence = f"{path} may not be believed, for the run is INVALID; it had to be {asked}."
    else:
        shown = _measured(value, limit, share_of)  # type: ignore[arg-type]
        sentence = f"{path} is {shown}, {'which is' if kept else 'and had to be'} {asked}."
    return ThresholdFinding(
        threshold=threshold.text,
        path=path,
        operator=threshold.operator,
        value=value if known else None,
        limit=limit,
        verdict="passed" if kept and not invalid else "breached",
        sentence=sentence,
    )


def _percent_of(path: str) -> Literal["percent", "ratio", "operations"] | None:
    """What a per cent sign means for a figure; None where it means nothing."""
    groups, _, leaf = path.rpartition(".")
    if _IN_PERCENT.search(leaf):
        return "percent"
    if leaf.endswith("_ratio") or leaf == "efficiency" or "recall" in groups.split("."):
        return "ratio"
    if leaf == "failed" or "outcomes" in groups.split("."):
        return "operations"
    return None


def _takes_percent(template: Mapping[str, Any], path: str) -> bool:
    meaning = _percent_of(path)
    if meaning == "operations":
        return _operations_path(path) in summary_paths(template)
    return meaning is not None


def _operations_path(path: str) -> str:
    """The operations that a count of failures is a share of: those of its own group."""
    groups = path.split(".")[:-1]
    if groups and groups[-1] == "outcomes":
        groups.pop()
    return ".".join([*groups, "operations"])


def _share_of(summary: Mapping[str, Any], path: str) -> float | None:
    try:
        return summary_value(summary, _operations_path(path))
    except UsageError:
        return None


def _why_unknown(summary: Mapping[str, Any], path: str) -> str:
    """Why a figure is None, as far as its neighbours tell."""
    group, _, leaf = path.rpartition(".")
    if path not in summary_paths(summary):
        return "the summary has no such figure"
    percentile = leaf if leaf in PERCENTILES else f"{leaf}_ms"  # some groups have the unit
    if percentile not in PERCENTILES:
        return "it was not measured"
    needed = fewest_samples(PERCENTILES[percentile])
    try:
        count = summary_value(summary, f"{group}.count") or 0
    except UsageError:
        return f"there were fewer than the {needed:,} samples that it takes"
    plural = "sample is" if count == 1 else "samples are"
    return f"{count:,} {plural} too few, it takes {needed:,}"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unit_hint(path: str, limit: str) -> str:
    """What to write instead, where a unit was given (``20ms``)."""
    unit = _UNIT.search(path)
    digits = re.match(r"[-+]?[\d._]+(?:[eE][-+]?\d+)?(?=\s*[a-zA-Zµ]+/?[a-zA-Z]*$)", limit)
    if unit and digits:
        return f"; it is in {unit[1]}, as its name says: give the number alone"
    if "," in limit:
        return "; thousands are set apart by _, as in 10_000"
    return ""


def _measured(value: float, limit: float, share_of: str | None) -> str:
    """The figure as people read it, and always so that it differs from a limit it is not at."""
    scale, sign = (100.0, "%") if share_of == "ratio" else (1.0, "%" if share_of else "")
    shown = _figure(value * scale)
    if shown == _figure(limit * scale) and value != limit:
        shown = f"{value * scale!r}"
    return f"{shown}{sign}{' of the operations' if share_of == 'operations' else ''}"


def _figure(value: float) -> str:
    """A number to four significant digits at least, whole numbers whole."""
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1e3 else f"{value:.4g}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}...")
