"""The verdicts of memory-size scaling: does it forget, does it slow down, does it find?

A verdict is ``{name, verdict, sentence}`` as in `harness.analysis.verdicts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.slowdown import slowdown_verdict
from harness.analysis.verdicts import VERDICTS, Verdict

__all__ = ["memory_verdicts"]

_LEAST_RECALL = 0.9

_Volumes = Mapping[str, Mapping[str, Any]]


def memory_verdicts(summary: Mapping[str, Any], status: str | None) -> list[Verdict]:
    """Judge a benchmark, most serious first.

    Args:
        summary: with ``target``, ``volumes`` and ``degradation``.
        status: of the bench directory.
    """
    volumes: _Volumes = summary["volumes"]
    target = summary["target"] or "the target"
    found = [_completion(status, volumes)]
    if volumes:
        found += [
            _forgets(target, volumes),
            slowdown_verdict(target, summary["degradation"]),
            _failures(volumes),
            _recall(volumes),
            *_tiers(target, volumes),
            *_settled(volumes),
        ]
    return sorted(found, key=lambda one: VERDICTS.index(one["verdict"]))


def _verdict(name: str, verdict: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": verdict, "sentence": sentence}


def _number(count: int, what: str = "memories") -> str:
    return f"{count:,} {what}"


def _completion(status: str | None, volumes: _Volumes) -> Verdict:
    if status == "complete":
        return _verdict("completion", "ok", "Every volume was measured.")
    reached = max((int(volume) for volume in volumes), default=0)
    until = f"it measured up to {_number(reached)}" if reached else "it measured no volume"
    if status == "interrupted":
        sentence = f"The benchmark was interrupted: {until}. The same command with --out goes on."
        return _verdict("completion", "warning", sentence)
    if status == "failed":
        return _verdict("completion", "failed", f"The benchmark failed: {until}.")
    return _verdict("completion", "warning", f"The benchmark has not come to its end: {until}.")


def _forgets(target: str, volumes: _Volumes) -> Verdict:
    """Whether what was acknowledged is there, as it was stored."""
    lost: list[str] = []
    checked = False
    for volume, figures in volumes.items():
        retrieved = figures.get("retrieved") or {}
        checked |= bool(retrieved.get("altered") is not None)
        parts = []
        if retrieved.get("missing"):
            asked = retrieved["count"]
            parts.append(f"{retrieved['missing']:,} of {asked:,} retrieves came back missing")
        if retrieved.get("altered"):
            parts.append(f"{retrieved['altered']:,} gave another state than was stored")
        counted = figures.get("counted")
        if counted is not None and counted != int(volume):
            parts.append(f"it counts {_number(counted)}")
        audit = figures.get("audit") or {}
        if audit.get("missing"):
            parts.append(f"{audit['missing']:,} are not in its list")
        if audit.get("strangers"):
            parts.append(f"{audit['strangers']:,} in its list were never stored")
        if parts:
            lost.append(f"at {_number(int(volume))} {', '.join(parts)}")
    if lost:
        sentence = f"{target} forgets what it acknowledged: {'; '.join(lost)}."
        return _verdict("forgets", "failed", sentence)
    if not checked:
        sentence = f"Whether {target} keeps what it acknowledges is not known: it gives no states."
        return _verdict("forgets", "warning", sentence)
    sentence = f"{target} forgot nothing: every memory asked for was there, as it was stored."
    return _verdict("forgets", "ok", sentence)


def _failures(volumes: _Volumes) -> Verdict:
    failed = {volume: figures["failed"] for volume, figures in volumes.items() if figures["failed"]}
    loads = {
        volume: figures["load"].get("failed", 0)
        for volume, figures in volumes.items()
        if figures["load"].get("failed")
    }
    parts = [f"{count:,} probes at {_number(int(volume))}" for volume, count in failed.items()]
    parts += [f"{count:,} stores of the load to {int(one):,}" for one, count in loads.items()]
    if not parts:
        return _verdict("failures", "ok", "No operation failed.")
    return _verdict("failures", "warning", f"Operations failed: {'; '.join(parts)}.")


def _recall(volumes: _Volumes) -> Verdict:
    known = [
        (value, tier, volume)
        for volume, figures in volumes.items()
        for tier in ("all", "stm", "im", "ltm")
        if (value := figures["recall"][tier]) is not None
    ]
    if not known:
        return _verdict("recall", "ok", "Recall is not known: searches gave nothing to compare.")
    value, tier, volume = min(known, key=lambda one: one[0])
    k = volumes[volume]["recall"]["k"]
    if value == max(known, key=lambda one: one[0])[0]:
        sentence = f"Recall@{k} was {value:.3f} everywhere."
    else:
        where = "across tiers" if tier == "all" else f"in {tier}"
        shown = min(f"{value:.3f}", "0.999")  # what is not 1 is not to be read as 1
        sentence = f"Recall@{k} was lowest {where} at {_number(int(volume))}: {shown}."
    return _verdict("recall", "warning" if value < _LEAST_RECALL else "ok", sentence)


def _tiers(target: str, volumes: _Volumes) -> list[Verdict]:
    skipped = [
        one for figures in volumes.values() for one in figures["forced"] if one["moved"] is None
    ]
    if not skipped and all(figures["tiers"] is not None for figures in volumes.values()):
        return []
    sentence = (
        f"{target} moves nothing between tiers: forcing memories down was skipped, and cross-tier "
        "searches were of all its memories."
    )
    return [_verdict("tiers", "warning", sentence)]


def _settled(volumes: _Volumes) -> list[Verdict]:
    busy = [int(volume) for volume, figures in volumes.items() if figures["settled"] is False]
    if not busy:
        return []
    where = ", ".join(f"{volume:,}" for volume in busy)
    sentence = f"The store was still busy with what the load had left when probed at {where}."
    return [_verdict("settled", "warning", sentence)]
