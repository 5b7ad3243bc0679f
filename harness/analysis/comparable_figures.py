"""Which figures of a summary two runs are compared by, and whether more of each is better.

A summary has sections: that of a run is one, that of a benchmark has one for each number of
agents, volume or rate. A section's kind says which figures it may have; what a summary does not
have is left out. Only what says how a store did is here: counts, extremes and what follows from
the plan are not.

``floor_ratio`` is the smallest change that is worth a word, by how steady a figure is from one
run to the next: below it a difference, however sure, is none that people act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.finite import finite_number
from harness.schema import OPERATIONS, ROLES

__all__ = [
    "Better",
    "Figure",
    "Section",
    "Unit",
    "figure_interval",
    "figure_value",
    "sections",
    "with_derived",
]

Better = Literal["more", "less"]
Unit = Literal["ms", "s", "us", "bytes", "per_second", "ratio", "number"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of a section.

    Attributes:
        path: below its section (``search.p99_ms``).
        label: for people.
        unit: what it is in.
        better: which way is good.
        floor_ratio: the smallest change that counts, 0.05 for 5%.
        none_is_none: 0 means that there was none, not that it was too little to be measured.
    """

    path: str
    label: str
    unit: Unit
    better: Better
    floor_ratio: float
    none_is_none: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a summary whose figures belong together.

    Attributes:
        path: of the section in the summary, () for the summary of a run.
        title: for people; empty for the summary of a run.
        figures: those that it may have, in the order in which they are shown.
        group: what it is one of: ``run`` or a key of a benchmark's summary.
    """

    path: tuple[str, ...]
    title: str
    figures: tuple[Figure, ...]
    group: str


def _less(path: str, label: str, unit: Unit, floor_ratio: float) -> Figure:
    return Figure(path=path, label=label, unit=unit, better="less", floor_ratio=floor_ratio)


def _none(path: str, label: str, unit: Unit) -> Figure:
    """A figure of what should not happen at all."""
    return Figure(
        path=path, label=label, unit=unit, better="less", floor_ratio=0.05, none_is_none=True
    )


def _more(path: str, label: str, unit: Unit, floor_ratio: float) -> Figure:
    return Figure(path=path, label=label, unit=unit, better="more", floor_ratio=floor_ratio)


# The tail of a distribution varies more from run to run than its middle.
_FLOORS = {"mean": 0.05, "avg": 0.05, "p50": 0.05, "p95": 0.10, "p99": 0.10}
_ALL = ("all", *OPERATIONS)


def _times(pattern: str, label: str, names: tuple[str, ...], at: tuple[str, ...]) -> list[Figure]:
    return [
        _less(
            pattern.format(name=name, at=one),
            label.format(name=name.replace("_", "-"), at="mean" if one == "avg" else one),
            "ms",
            _FLOORS[one],
        )
        for name in names
        for one in at
    ]


_RESPONSE = _times("{name}.{at}_ms", "{name} {at}", _ALL, ("mean", "p50", "p95", "p99"))
_SERVICE = _times("service.{name}.{at}_ms", "{name} service {at}", _ALL, ("mean", "p50", "p99"))
_FAILED = _none("failed_ratio", "failed operations", "ratio")
_CPU = [
    _less("cpu_us_per_operation.all", "CPU an operation", "us", 0.05),
    _less("cpu_us_per_operation.shard", "CPU an operation, shards", "us", 0.05),
    _less("cpu_us_per_operation.cohort", "CPU an operation, agents", "us", 0.05),
]
_DISK_EACH = _less("disk_write_bytes_per_operation", "disk writes an operation", "bytes", 0.10)
_RUN = (
    _more("throughput_ops_s", "throughput", "per_second", 0.03),
    _FAILED,
    *_RESPONSE,
    *_SERVICE,
    *_CPU,
    _more("efficiency.operations_per_cpu_second", "operations a CPU second", "number", 0.05),
    _more("efficiency.operations_per_mib", "operations a MiB", "number", 0.05),
    _less("resources.shard.rss_bytes_max", "memory of shards", "bytes", 0.05),
    _less("resources.cohort.rss_bytes_max", "memory of agents", "bytes", 0.05),
    _DISK_EACH,
)
_COUNT = (
    _more("operations_per_second", "throughput", "per_second", 0.03),
    _more("throughput_agents_per_second", "agents a second", "per_second", 0.03),
    _FAILED,
    _less("avg_agent_duration_seconds", "round of an agent, mean", "s", 0.05),
    _less("95th_percentile_duration", "round of an agent, p95", "s", 0.10),
    *_RESPONSE,
    *_SERVICE,
    *_CPU,
    _less("max_memory_bytes", "memory", "bytes", 0.05),
    _DISK_EACH,
    _more("efficiency", "scaling efficiency", "ratio", 0.05),
)
_KINDS_OF_OPERATION = (*OPERATIONS, "cross_tier")
_VOLUME = (
    _more("load_rate_ops_s", "load rate", "per_second", 0.03),
    *_times(
        "{name}_latency_ms.{at}", "{name} {at}", _KINDS_OF_OPERATION, ("avg", "p50", "p95", "p99")
    ),
    *_times(
        "service.{name}.{at}", "{name} service {at}", _KINDS_OF_OPERATION, ("avg", "p50", "p99")
    ),
    _less("memory_usage_bytes", "memory", "bytes", 0.05),
    _less("memory_bytes_per_memory", "memory for each memory", "bytes", 0.05),
    _less("disk_usage_bytes", "disk", "bytes", 0.05),
    *(
        _more(f"recall.{tier}", f"recall, {tier}", "ratio", 0.01)
        for tier in ("all", "stm", "im", "ltm")
    ),
)
# What a comparison of targets says of each repeat of one.
_TARGET_COUNT = tuple(
    one for one in _COUNT if one.path in {"operations_per_second", "max_memory_bytes"}
)
_TARGET_VOLUME = (
    *(
        one
        for one in _VOLUME
        if not one.path.startswith(("cross_tier", "service.cross_tier", "recall"))
    ),
    _more("recall", "recall", "ratio", 0.01),
)
_COSTS: tuple[tuple[str, str, Unit], ...] = (
    ("cpu_us", "CPU", "us"),
    ("memory_bytes", "memory", "bytes"),
    ("disk_bytes", "disk", "bytes"),
)
_RATE = (
    _more("actual_rate_ops_per_second", "achieved rate", "per_second", 0.03),
    _FAILED,
    _less("avg_operation_time_ms", "all mean", "ms", 0.05),
    _less("p95_operation_time_ms", "all p95", "ms", 0.10),
    *(one for one in _RESPONSE if one.path not in {"all.mean_ms", "all.p95_ms"}),
    *_SERVICE,
    _less("lag_p99_ms", "schedule lag p99", "ms", 0.10),
    _none("late_operations", "late operations", "number"),
    _none("dropped_operations", "dropped operations", "number"),
    _more("operations_per_cpu_second", "operations a CPU second", "number", 0.05),
    _more("operations_per_cpu_percent", "operations a CPU percent", "number", 0.05),
    _more("operations_per_mb", "operations a MiB", "number", 0.05),
    *(
        _less(f"costs.{operation}.{path}", f"{operation} {label}", unit, 0.10)
        for operation in OPERATIONS
        for path, label, unit in _COSTS
    ),
)  # fmt: skip
_SCALING = (
    _more("usl.lambda", "one agent's throughput, fit", "per_second", 0.05),
    _more("usl.peak_ops_s", "peak throughput, fit", "per_second", 0.05),
)
_CAPACITY = (_more("low", "largest load that kept it", "number", 0.05),)
_BASELINE = (
    _less("memory_usage_bytes", "memory", "bytes", 0.05),
    _less("disk_usage_bytes", "disk", "bytes", 0.05),
)
# section of a benchmark's summary: (what its numbers count, figures)
_BY_NUMBER: dict[str, tuple[str, tuple[Figure, ...]]] = {
    "counts": ("agents", _COUNT),
    "threads": ("threads", _COUNT),
    "volumes": ("memories", _VOLUME),
    "rates": ("operations/s", _RATE),
}
_WHOLE: dict[str, tuple[str, tuple[Figure, ...]]] = {
    "scaling": ("scaling", _SCALING),
    "baseline": ("empty store", _BASELINE),
    "resources": ("resources", _RATE),
    "capacity": ("capacity", _CAPACITY),
}
_ORDER = (
    *("counts", "threads", "scaling", "baseline", "volumes", "resources", "rates", "capacity"),
)


def sections(summary: Mapping[str, Any]) -> Iterator[Section]:
    """Give the sections that a summary has: of a run one, of a benchmark each number's."""
    if "bench" not in summary:
        yield Section(path=(), title="", figures=_RUN, group="run")
        return
    yield from _of_targets(summary.get("targets"))
    for name in _ORDER:
        found = summary.get(name)
        if not isinstance(found, Mapping):
            continue
        if name in _WHOLE:
            title, figures = _WHOLE[name]
            yield Section(path=(name,), title=title, figures=figures, group=name)
            continue
        counted, figures = _BY_NUMBER[name]
        for number in sorted(filter(_is_number, found), key=float):
            one = float(number) == 1 and name in {"counts", "threads"}
            shown = f"{float(number):,.10g} {counted.removesuffix('s') if one else counted}"
            yield Section(path=(name, number), title=shown, figures=figures, group=name)


def _of_targets(targets: object) -> Iterator[Section]:
    """The sections of each target of a comparison, by agents and by memories."""
    for target, one in targets.items() if isinstance(targets, Mapping) else ():
        for name, counted, figures in (
            ("counts", "agents", _TARGET_COUNT),
            ("volumes", "memories", _TARGET_VOLUME),
        ):
            found = one.get(name) if isinstance(one, Mapping) else None
            for number in sorted(filter(_is_number, found or {}), key=float):
                words = (
                    counted.removesuffix("s") if (number, counted) == ("1", "agents") else counted
                )
                title = f"{target}, {float(number):,.10g} {words}"
                path = ("targets", str(target), name, number)
                yield Section(path=path, title=title, figures=figures, group="targets")


def _is_number(text: object) -> bool:
    try:
        return isinstance(text, str) and finite_number(float(text)) is not None
    except ValueError:
        return False


def figure_value(summary: Mapping[str, Any], path: str) -> float | None:
    """Give the figure at a path below a section; None unless it is a finite number.

    An estimate with its interval is its estimate.
    """
    value: Any = summary
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    if isinstance(value, Mapping):
        value = value.get("estimate")
    return finite_number(value)


def figure_interval(summary: Mapping[str, Any], path: str) -> tuple[float, float] | None:
    """Give the interval that a summary itself has of a figure below a section, if it has one.

    Of an estimate its ends, of what an operation costs those beside it, and of a search for the
    capacity the smallest load that broke the objective.
    """
    parent, _, name = path.rpartition(".")
    places = [path, f"{parent}.intervals.{name}"]
    for place in places:
        low, high = figure_value(summary, f"{place}.low"), figure_value(summary, f"{place}.high")
        if low is not None and high is not None:
            return low, high
    if path == "low" and "ended" in summary:
        low, high = figure_value(summary, "low"), figure_value(summary, "high")
        return None if low is None or high is None else (low, high)
    return None


def with_derived(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the summary of a run what compares better than what is in it.

    ``failed_ratio``: of operations that failed; ``cpu_us_per_operation.all``: of our processes
    together, None where that of one was not measured; ``disk_write_bytes_per_operation``: of the
    machines, whoever wrote.
    """
    operations = finite_number(summary.get("operations")) or 0.0
    failed = finite_number(summary.get("failed"))
    each = summary.get("cpu_us_per_operation")
    each = dict(each) if isinstance(each, Mapping) else {}
    known = {role: value for role in ROLES if (value := finite_number(each.get(role))) is not None}
    whole = all(
        role in known or not figure_value(summary, f"resources.{role}.processes") for role in ROLES
    )
    written = figure_value(summary, "resources.node.disk_write_bytes")
    return {
        **summary,
        "failed_ratio": None if failed is None or not operations else failed / operations,
        "cpu_us_per_operation": {**each, "all": sum(known.values()) if known and whole else None},
        "disk_write_bytes_per_operation": written / operations if written and operations else None,
    }
