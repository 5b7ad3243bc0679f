"""The verdicts of a comparison of targets: who is ahead, by how much, and what to know before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.analysis.agent_verdicts import FEWEST_REPEATS, busy_with_others
from harness.analysis.target_ranking import Ranking
from harness.analysis.verdicts import VERDICTS, Verdict
from harness.schema import OPERATIONS

__all__ = ["LEAST_RECALL", "points_of", "target_verdicts"]

# What finds less than this of the nearest does not do what it is compared by.
LEAST_RECALL = 0.9

Targets = Mapping[str, Mapping[str, Any]]


def target_verdicts(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Verdict]:
    """Judge a comparison, the most serious first; who is ahead comes first of what is well.

    Args:
        run: ``run.json`` of its directory.
        summary: with ``targets``, ``comparison``, ``left_out`` and ``cuts``.
    """
    targets: Targets = summary["targets"]
    found = [
        *_throughput(summary["comparison"]["throughput"]),
        *_latency(summary["comparison"]["volumes"]),
        _completion(run, targets),
        *_left_out(summary["left_out"]),
        *_forgets(targets),
        *_conformance(targets),
        *_durability(targets),
        *_cuts(run, summary),
        *_failures(targets),
        *_recall(targets),
        *_load_generator(targets),
        *_repeats(summary["comparison"]["throughput"]),
        *busy_with_others(
            [
                repeat
                for one in targets.values()
                for figures in one["counts"].values()
                for repeat in figures["repeats"]
            ]
        ),
    ]
    return sorted(found, key=lambda one: VERDICTS.index(one["verdict"]))


def _verdict(name: str, verdict: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": verdict, "sentence": sentence}


def _throughput(counts: Mapping[str, Ranking | None]) -> Iterator[Verdict]:
    """Who carried most with the most agents, and with fewer where that was another."""
    known = [(count, ranking) for count, ranking in counts.items() if ranking is not None]
    if not known:
        return
    count, ranking = known[-1]
    first = ranking["order"][0]
    sentence = (
        f"With {_agents(count)} {first['target']} carried most, {first['value']:,.0f} operations/s"
        f"{_lead(ranking, 'what {} did')}"
    )
    others: dict[str, list[str]] = {}
    for size, other in known[:-1]:
        ahead = other["order"][0]["target"]
        if ahead != first["target"]:
            others.setdefault(ahead, []).append(f"{int(size):,}")
    parts = [f"with {_listed(sizes)} it was {ahead}" for ahead, sizes in others.items()]
    if parts:
        said = "; ".join(parts)
        sentence += f" {said[0].upper()}{said[1:]}."
    yield _verdict("throughput", "ok", sentence)


def _latency(volumes: Mapping[str, Mapping[str, Ranking | None]]) -> Iterator[Verdict]:
    """Who answered a single operation of each kind fastest, at the largest volume."""
    known = [(volume, one) for volume, one in volumes.items() if any(one.values())]
    if not known:
        return
    volume, rankings = known[-1]
    for name in OPERATIONS:
        ranking = rankings.get(name)
        if ranking is None:
            continue
        first = ranking["order"][0]
        sentence = (
            f"At {int(volume):,} memories {first['target']} was fastest at a single {name}, "
            f"{_time(first['value'])} at the median{_lead(ranking, 'as fast as {}')}"
        )
        yield _verdict(f"{name}_latency", "ok", sentence)


def _lead(ranking: Ranking, compared: str) -> str:
    """How far the first is ahead of the second, and whether that is beyond the spread."""
    lead, beyond = ranking["lead"], ranking["beyond_spread"]
    if lead["estimate"] is None or len(ranking["order"]) < 2:
        return "."
    times = _times(lead["estimate"])
    said = f", {times} times {compared.format(ranking['order'][1]['target'])}"
    if beyond is None or lead["low"] is None or lead["high"] is None:
        return f"{said}; too few repeats tell how far they spread."
    interval = f"(95% interval {_times(lead['low'])} to {_times(lead['high'])})"
    if beyond:
        return f"{said} {interval}: beyond the spread of the repeats."
    return f"{said} {interval}: within the spread of the repeats, so no difference was shown."


def _completion(run: Mapping[str, Any], targets: Targets) -> Verdict:
    if not any(one["counts"] or one["volumes"] for one in targets.values()):
        return _verdict("completion", "failed", "No step of the comparison was measured.")
    status = run.get("status")
    if status == "interrupted":
        sentence = "The comparison was interrupted: the figures are of the steps until then."
        return _verdict("completion", "warning", sentence)
    problems = [one for one in run.get("problems", []) if isinstance(one, str)]
    if status == "failed":
        first = f" ({problems[0].rstrip('.')})" if problems else ""
        sentence = f"Steps failed{first}: the figures are of the others."
        return _verdict("completion", "failed", sentence)
    return _verdict("completion", "ok", "Every step was measured.")


def _left_out(left_out: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    if left_out:
        sentences = " ".join(str(one.get("sentence")) for one in left_out)
        yield _verdict("left_out", "warning", sentences)


def _forgets(targets: Targets) -> Iterator[Verdict]:
    """Who gave something else back than was stored, or nothing."""
    for target, one in targets.items():
        parts = []
        for volume, figures in one["volumes"].items():
            of_all = f"of {sum(each['retrieved'] or 0 for each in figures['repeats']):,} retrieves"
            for name, words in (("missing", "came back missing"), ("altered", "gave another")):
                if figures[name]:
                    parts.append(f"{figures[name]:,} {of_all} at {int(volume):,} {words}")
        if parts:
            sentence = f"{target} forgets what it acknowledged: {'; '.join(parts)}."
            yield _verdict("forgets", "failed", sentence)


def _conformance(targets: Targets) -> Iterator[Verdict]:
    """What a target does otherwise than asked; it is compared all the same."""
    for target, one in targets.items():
        failed = [point["name"] for point in points_of(one) if point.get("state") == "failed"]
        if failed:
            sentence = (
                f"{target} does not do all that is asked of a memory: it fails {_listed(failed)}, "
                "and its figures are of what it does."
            )
            yield _verdict("conformance", "warning", sentence)
        checked = one.get("conformance")
        if isinstance(checked, Mapping) and checked.get("problem"):
            sentence = f"What {target} does is not known. {checked['problem']}"
            yield _verdict("conformance", "warning", sentence)


def points_of(target: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The points of conformance of a target; none where it was not checked."""
    conformance = target.get("conformance")
    points = conformance.get("points") if isinstance(conformance, Mapping) else None
    return [one for one in points or [] if isinstance(one, Mapping)]


def _durability(targets: Targets) -> Iterator[Verdict]:
    """Acknowledgements mean different things."""
    without = [
        target
        for target, one in targets.items()
        if isinstance(one["capabilities"], list) and "durable" not in one["capabilities"]
    ]
    if without and len(without) < len(targets):
        sentence = (
            f"What {_listed(without)} acknowledged is lost when the process is killed; the "
            "others keep it, which costs them time."
        )
        yield _verdict("durability", "warning", sentence)


def _cuts(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[Verdict]:
    """What the cap on time cut, and where."""
    settings = run.get("bench")
    cap_s = settings.get("time_cap_s") if isinstance(settings, Mapping) else None
    parts = [f"{one['target']} with {_agents(one['agents'])}" for one in summary["cuts"]]
    for target, one in summary["targets"].items():
        for volume, figures in one["volumes"].items():
            if figures.get("cut"):
                reached = figures["cut"]["reached"]
                parts.append(f"{target} at {reached:,} of {int(volume):,} memories")
    if parts:
        sentence = (
            f"The cap of {cap_s:g} s for a step cut {_listed(parts)}: figures there are of what "
            "came until then, and larger ones were not tried."
        )
        yield _verdict("cuts", "warning", sentence)


def _failures(targets: Targets) -> Iterator[Verdict]:
    """Failed operations, but for those that were under way when a step was cut."""
    for target, one in targets.items():
        failed = sum(
            repeat["failed"]
            for each in one["counts"].values()
            for repeat in each["repeats"]
            if repeat["status"] != "interrupted"
        )
        failed += sum(figures["failed"] for figures in one["volumes"].values())
        if failed:
            sentence = f"{failed:,} operations of {target} failed."
            yield _verdict("failures", "warning", sentence)


def _recall(targets: Targets) -> Iterator[Verdict]:
    """The lowest recall of each at its largest volume; those that find too little, by name."""
    found = []
    for target, one in targets.items():
        known = [(int(size), each) for size, each in one["volumes"].items()]
        known = [(size, each) for size, each in known if each.get("recall") is not None]
        if known:
            size, figures = known[-1]
            found.append((figures["recall"], target, size, figures["k"]))
    if not found:
        return
    low = [one for one in sorted(found) if one[0] < LEAST_RECALL]
    k = found[0][3]
    if low:
        parts = [f"{target} found {value:.1%} of it" for value, target, _, _ in low]
        sentence = (
            f"Of the {k} nearest by exact search at {low[0][2]:,} memories {_listed(parts)}: a "
            "search that finds less has less to do."
        )
        yield _verdict("recall", "warning", sentence)
        return
    value, target, size, _ = min(found)
    if value == 1:
        sentence = f"All found the {k} nearest that exact search finds, at {size:,} memories."
    else:
        shown = min(f"{value:.3f}", "0.999")  # what is not 1 is not to be read as 1
        sentence = f"Recall@{k} was lowest for {target}, {shown} at {size:,} memories."
    yield _verdict("recall", "ok", sentence)


def _load_generator(targets: Targets) -> Iterator[Verdict]:
    """Where agents, not the store, were the limit; a store in their process is of one CPU time."""
    limited = [
        f"{target} with {_agents(count)}"
        for target, one in targets.items()
        for count, figures in one["counts"].items()
        if figures["limit"]["kind"] == "load_generator" and not one["in_process"]
    ]
    if limited:
        sentence = (
            f"The load generator, not the store, was the limit of {_listed(limited)}: the store "
            "may carry more."
        )
        yield _verdict("load_generator", "warning", sentence)


def _repeats(counts: Mapping[str, Ranking | None]) -> Iterator[Verdict]:
    unknown = [
        one
        for one in counts.values()
        if one is not None and len(one["order"]) > 1 and one["beyond_spread"] is None
    ]
    if unknown:
        sentence = (
            "Whether a lead is beyond the spread of the repeats is known from "
            f"{FEWEST_REPEATS} of each on: --repeats {FEWEST_REPEATS} tells."
        )
        yield _verdict("repeats", "warning", sentence)


def _agents(count: object) -> str:
    return "1 agent" if str(count) == "1" else f"{int(str(count)):,} agents"


def _times(ratio: float) -> str:
    """A ratio to three digits."""
    return f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _time(milliseconds: float) -> str:
    if milliseconds < 1:
        return f"{milliseconds * 1e3:,.0f} µs"
    return f"{milliseconds:,.2f} ms"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
