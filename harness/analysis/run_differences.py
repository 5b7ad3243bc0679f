"""What two sides of a comparison differ in besides their figures: plan, machine, versions.

A comparison of two releases differs in commit or versions on purpose; one whose plans or
machines differ compares those as well. Both are named, each thing that differs with what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.comparison_side import Member, Side
from harness.analysis.verdicts import VERDICTS, Verdict
from harness.plan import option_name

__all__ = ["Difference", "find_differences", "side_notes", "tell_differences", "verdict_notes"]

Kind = Literal["plan", "machine", "versions", "commit", "schema"]
_HOST_FACTS = (
    "hostname",
    "cpu_model",
    "cpu_count_usable",
    "memory_bytes",
    "system",
    "kernel",
    "machine",
    "python",
)
_TEXT_MAX = 60
_NAMED_MAX = 6
_SENTENCES: dict[Kind, tuple[str, str]] = {
    "plan": ("warning", "The plans differ, which ratios show as well: {}."),
    "machine": ("warning", "The machines differ, which ratios show as well: {}."),
    "versions": ("warning", "Versions differ: {}."),
    "commit": ("ok", "Commits differ: {}."),
    "schema": ("warning", "The directories are of different schemas: {}."),
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that differs.

    Attributes:
        kind: plan, machine, versions, commit or schema.
        name: the option, or what it is.
        base: of the base, as text.
        new: of the new side, as text.
    """

    kind: Kind
    name: str
    base: str
    new: str


def find_differences(base: Side, new: Side) -> list[Difference]:
    """Compare what the first directory of each side says of itself."""
    before, after = _facts(base.members[0]), _facts(new.members[0])
    return [
        Difference(kind=kind, name=name, base=_text(old), new=_text(now))
        for kind, name in dict.fromkeys([*before, *after])
        if not _same(old := before.get((kind, name)), now := after.get((kind, name)))
    ]


def tell_differences(differences: list[Difference]) -> list[Verdict]:
    """Say what differs, in a sentence for each kind."""
    told = []
    for kind, (verdict, sentence) in _SENTENCES.items():
        found = [one for one in differences if one.kind == kind]
        if not found:
            continue
        parts = [f"{one.name} ({one.base} to {one.new})" for one in found[:_NAMED_MAX]]
        if len(found) > _NAMED_MAX:
            parts.append(f"{len(found) - _NAMED_MAX} more")
        words = sentence.format(", ".join(parts))
        told.append({"name": kind, "verdict": verdict, "sentence": words})
    return told


def side_notes(side: Side) -> list[Verdict]:
    """Say what to know of a side by itself: cut short, damaged, left out, of several plans."""
    notes = [
        _warning("invalid", f"{side.name}: {path} is INVALID and left out.")
        for path in side.left_out
    ]
    for member in side.members:
        status = member.run.get("status")
        if status != "complete":
            shown = "was killed or still goes on" if status == "running" else f"is {_text(status)}"
            sentence = f"{side.name}: {member.reader.path} {shown}; its figures are of a part."
            notes.append(_warning("status", sentence))
        if member.reader.damaged_files:
            sentence = f"{side.name}: files of {member.reader.path} could not be read whole."
            notes.append(_warning("damaged_files", sentence))
    first = _facts(side.members[0])
    unlike = {
        name
        for member in side.members[1:]
        for (kind, name), value in _facts(member).items()
        if kind in {"plan", "machine"} and not _same(value, first.get((kind, name)))
    }
    if unlike:
        sentence = f"The repeats of {side.name} are not alike: {', '.join(sorted(unlike))} differ."
        notes.append(_warning("repeats", sentence))
    return notes


def verdict_notes(base: Side, new: Side) -> list[Verdict]:
    """Say which verdicts are more serious than they were: a leak, a failure, a bend."""
    before, after = _worst_verdicts(base), _worst_verdicts(new)
    fine = len(VERDICTS)
    return [
        _warning(f"verdict_{name}", f"NEW, and not BASE: {_shortened(sentence)}")
        for name, (rank, sentence) in after.items()
        if rank < VERDICTS.index("ok") and rank < before.get(name, (fine, ""))[0]
    ]


def _worst_verdicts(side: Side) -> dict[str, tuple[int, str]]:
    """The most serious verdict of each name over a side's directories, as its rank."""
    worst: dict[str, tuple[int, str]] = {}
    for member in side.members:
        found = member.summary.get("verdicts")
        for one in found if isinstance(found, list) else []:
            name, verdict, sentence = (
                _mapping(one).get(key) for key in ("name", "verdict", "sentence")
            )
            if isinstance(name, str) and isinstance(sentence, str) and verdict in VERDICTS:
                found_now = (VERDICTS.index(verdict), sentence)
                worst[name] = min(worst.get(name, found_now), found_now)
    return worst


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= 300 else f"{sentence[:299]}…"


def _warning(name: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": "warning", "sentence": sentence}


def _facts(member: Member) -> dict[tuple[Kind, str], Any]:
    return {(kind, name): value for kind, name, value in _walk(member.run)}


def _walk(run: Mapping[str, Any]) -> Iterator[tuple[Kind, str, Any]]:
    for name, value in _mapping(run.get("plan")).items():
        yield "plan", option_name(name), value
    for name, value in _mapping(run.get("bench")).items():
        yield "plan", option_name(name), value
    trace = _mapping(run.get("trace"))
    if trace:
        yield "plan", "trace's fingerprint", trace.get("fingerprint")
    hosts = run.get("hosts")
    found = [_mapping(host) for host in hosts] if isinstance(hosts, list) else []
    if found:
        yield "machine", "hosts", len(found)
    for name in _HOST_FACTS:
        values = sorted({_text(host[name]) for host in found if name in host})
        if values:
            yield "machine", name, values[0] if len(values) == 1 else values
    for name, value in _mapping(run.get("versions")).items():
        yield "versions", name, value
    commit = _mapping(run.get("commit"))
    if commit:
        modified = " with changes" if commit.get("modified") else ""
        yield "commit", "commit", f"{str(commit.get('commit'))[:12]}{modified}"
    yield "schema", "schema_version", run.get("schema_version")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _same(one: object, other: object) -> bool:
    """Whether two facts are the same; one that an older release did not note is its default."""
    if one is None or other is None:
        return not one and not other
    return one == other


def _text(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        text = ",".join(f"{key}={part}" for key, part in value.items())
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = str(value)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
