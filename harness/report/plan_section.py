"""What was run, where, and how to run it again: the plan, the machines, the command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.report.document import Block, Cell, Code, Facts, Note, Section, Table
from harness.report.driven_store import store_facts
from harness.report.fields import TEXT_CHARACTERS_MAX, group, groups, listed, number, text
from harness.report.figures import plain
from harness.report.quantities import figure

__all__ = ["again_section", "environment_section", "plan_section"]

_NODES_MAX = 50
_FILES_MAX = 50


def plan_section(run: Mapping[str, Any]) -> Section | None:
    """Every field of the plan; those that were left at nothing come last, together."""
    plan = group(run, "plan")
    if not plan:
        return None
    given = [(name, value) for name, value in plan.items() if value is not None]
    unset = [plain(name) for name, value in plan.items() if value is None]
    blocks: list[Block] = [_pairs("Plan", given)]
    settings = [(name, value) for name, value in group(run, "bench").items() if value is not None]
    if settings:
        blocks.insert(0, _pairs("Benchmark", settings))
    if unset:
        blocks.append(Note(f"Not set: {', '.join(unset)}."))
    store = store_facts(run)
    if store is not None:
        blocks.append(store)
    return Section("plan", "Plan", "", blocks)


def _pairs(title: str, pairs: Sequence[tuple[object, object]]) -> Facts:
    return Facts(title, [(_cut(name), _cut(_readable(value))) for name, value in pairs])


def _readable(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_readable(one)}" for name, one in value.items())
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(str(_readable(one)) for one in value)
    return "-" if value is None else value


def _cut(value: object) -> str:
    shown = plain(value)
    return shown if len(shown) <= TEXT_CHARACTERS_MAX else f"{shown[:TEXT_CHARACTERS_MAX]}…"


def environment_section(run: Mapping[str, Any], damaged: Sequence[str] = ()) -> Section | None:
    """The hosts, the nodes and their shards, versions, the commit, files that were damaged."""
    blocks: list[Block] = [one for one in (_hosts(run), _nodes(run), _versions(run)) if one]
    if damaged:
        shown = ", ".join(_cut(name) for name in damaged[:_FILES_MAX])
        more = len(damaged) - _FILES_MAX
        shown += f" and {more:,} more" if more > 0 else ""
        blocks.append(Note(f"Files that could not be read whole: {shown}.", "warning"))
    if not blocks:
        return None
    return Section("environment", "Environment", _commit(run), blocks)


def _commit(run: Mapping[str, Any]) -> str:
    commit = text(run, "commit", "commit")
    if not commit:
        return ""
    changed = group(run, "commit").get("modified")
    return f"Commit {commit}{', with changes that were not committed' if changed else ''}."


def _hosts(run: Mapping[str, Any]) -> Table | None:
    rows: list[list[Cell]] = [
        [
            text(host, "hostname"),
            text(host, "cpu_model"),
            figure(number(host, "cpu_count"), "count"),
            figure(number(host, "memory_bytes"), "bytes"),
            " ".join([text(host, "system"), text(host, "kernel"), text(host, "machine")]).strip(),
            text(host, "python"),
        ]
        for host in groups(run, "hosts")[:_NODES_MAX]
    ]
    columns = ["host", "CPU", "cores", "memory", "system", "Python"]
    return Table(title="Hosts", columns=columns, rows=rows) if rows else None


def _nodes(run: Mapping[str, Any]) -> Table | None:
    shards = groups(run, "topology", "target", "shards")
    nodes = groups(run, "topology", "nodes")
    rows: list[list[Cell]] = []
    for node in nodes if len(nodes) == 1 else []:  # several have a section of their own
        here = [
            plain(one.get("shard")) for one in shards if one.get("node_id") == node.get("node_id")
        ]
        rows.append(
            [
                text(node, "address"),
                text(node, "node_id")[:16],
                figure(number(node, "cpus"), "count"),
                figure(number(node, "memory_bytes"), "bytes"),
                _cut(", ".join(here)) or "-",
            ]
        )
    columns = ["node", "id", "CPUs", "memory", "shards"]
    return Table(title="Nodes of the cluster", columns=columns, rows=rows) if rows else None


def _versions(run: Mapping[str, Any]) -> Facts | None:
    versions = group(run, "versions")
    return _pairs("Versions", list(versions.items())) if versions else None


def again_section(run: Mapping[str, Any], path: Path) -> Section:
    """The command that was given, the one that repeats its plan, and the one for this report."""
    shown = _cut(path.name) or "DIR"
    blocks: list[Block] = []
    arguments = [one for one in listed(run, "arguments") if isinstance(one, str)]
    if arguments:
        blocks.append(Code("As it was run", _command(["harness", *_without_out(arguments)])))
    if text(run, "command") == "run":
        blocks.append(
            Code(
                "The same plan, from this directory", _command(["harness", "run", "--plan", shown])
            )
        )
    blocks.append(Code("This report, from the files alone", _command(["harness", "report", shown])))
    seed = number(run, "seed")
    lead = "" if seed is None else f"The operations follow from the seed, {seed:.0f}."
    return Section("again", "How to reproduce it", lead, blocks)


def _without_out(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments but for where results went, which would be refused a second time."""
    skip = False
    for argument in arguments:
        if skip or argument.startswith("--out="):
            skip = False
        elif argument == "--out":
            skip = True
        else:
            yield argument


def _command(words: Sequence[str]) -> str:
    return _cut(" ".join(shlex.quote(plain(word)) for word in words))
