"""scripts/bench: options in; a table on standard output, progress on standard error, JSON out.

Exit codes: 0 everything was measured, whatever was reached; 1 something could not be measured;
2 wrong usage; 3 with ``--strict``, something was measured and missed its goal; 130 interrupted,
with what was measured until then written down.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure, Verdict, figure_of
from bench.machine import machine_facts, machine_line, warnings
from bench.session import Session
from bench.suites import SUITES, Suite
from bench.table import print_table

__all__ = ["exit_code", "main"]

SCHEMA_VERSION = 1
_DESCRIPTION = """\
Measures what the product must reach, on this machine: a table, and JSON with every raw figure.
Figures are medians over the repeats; what is compared is measured by turns, and a ratio is taken
within a repeat. Leave the machine alone meanwhile. ``scripts/bench core`` measures the store at
depth instead.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = "main"
    if given and given[0] in SUITES:
        name = given.pop(0)
    suite = SUITES[name]
    options = _parser(name, suite).parse_args(given)
    sizes = suite.sizes(**{size.name: getattr(options, size.name) for size in fields(suite.sizes)})
    asked = options.only or list(suite.rows)
    skipped = {row: why for row, why in suite.skipped().items() if row in asked}
    rows = [row for row in asked if row not in skipped]
    repeats = 1 if options.quick else options.repeats
    out: Path = options.out or _default_out()
    parent: Path = options.data_dir or out.parent
    refusal = _refusal(out, parent)
    if refusal is not None:
        _say(refusal)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        facts = machine_facts(Path(folder))
        for line in [f"warning: {one}" for one in warnings(facts)] + _skipped_lines(skipped):
            _say(line)
        measures = {name: suite.measurements[name] for name in suite.needed(rows)}
        session = Session(measures, sizes, Path(folder).absolute(), _say)
        interrupted = not _measured(session, repeats)
    standard = sizes == suite.sizes()
    specs = suite.figure_specs(sizes, rows)
    figures = [figure_of(spec, session.repeats, judged=standard) for spec in specs]
    code = exit_code(figures, session.problems, strict=options.strict)
    code = 130 if interrupted else code
    report = {"exit_code": code, "repeats": repeats, "sizes": asdict(sizes), "machine": facts}
    report |= {"skipped": skipped, "notes": list(suite.foot)}
    _write(out, report, figures, session)
    introduction = _introduction(facts, repeats, standard=standard) + _skipped_lines(skipped)
    print_table(figures, introduction, sys.stdout, suite.foot)
    for line in ["", *suite.tables(session)] if suite.tables else []:
        print(line)
    for problem in session.problems:
        _say(f"not measured: {problem}")
    print(f"\n{out}")
    return code


def _measured(session: Session, repeats: int) -> bool:
    """Make all measurements; False when that was interrupted."""
    try:
        session.measure(repeats)
    except KeyboardInterrupt:
        _say("interrupted; what was measured until now is written down")
        return False
    return True


def exit_code(figures: Sequence[Figure], problems: Sequence[str], *, strict: bool) -> int:
    """0, 1 or 3; see the module's head."""
    if problems or any(figure.verdict is Verdict.NOT_MEASURED for figure in figures):
        return 1
    return 3 if strict and any(figure.verdict is Verdict.MISSED for figure in figures) else 0


def _parser(name: str, suite: Suite) -> argparse.ArgumentParser:
    prog = "scripts/bench" if name == "main" else f"scripts/bench {name}"
    parser = argparse.ArgumentParser(prog=prog, description=f"{_DESCRIPTION}{suite.about}")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(suite.rows),
        metavar="NAME",
        help=f"this row alone; may be given again: {', '.join(suite.rows)}",
    )
    parser.add_argument(
        "--repeats",
        type=_count,
        default=suite.repeats,
        help=f"of everything [{suite.repeats}]",
    )
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--strict", action="store_true", help="exit code 3 for a missed goal")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="for the JSON [runs/<UTC time>-bench.json]"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="for databases meanwhile [beside the JSON]"
    )
    group = parser.add_argument_group("sizes", "goals are judged with the defaults only")
    for size in fields(suite.sizes):
        group.add_argument(
            f"--{size.name.replace('_', '-')}",
            type=size.metadata.get("type", _count),
            default=size.default,
            metavar="TEXT" if "type" in size.metadata else "N",
            help=f"{size.metadata['help']} [{size.default}]",
        )
    return parser


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return count


def _default_out() -> Path:
    return Path("runs") / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-bench.json"


def _refusal(out: Path, data_parent: Path) -> str | None:
    """Why nothing could be written, before minutes are spent on it; None when all is well."""
    if out.is_dir():
        return f"--out: {out} is a folder; name a file"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _unfinished(out).write_bytes(b"")
        _unfinished(out).unlink()
    except OSError as error:
        return f"--out: {out} cannot be written ({error.strerror}); name another file"
    if not data_parent.is_dir() or not os.access(data_parent, os.W_OK):
        return f"--data-dir: {data_parent} is no folder that can be written; make it first"
    return None


def _unfinished(out: Path) -> Path:
    return out.with_name(f".{out.name}.unfinished")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _introduction(facts: dict[str, Any], repeats: int, *, standard: bool) -> list[str]:
    lines = machine_line(facts).split("\n")
    lines.append("one repeat" if repeats == 1 else f"medians of {repeats} repeats")
    if not standard:
        lines.append("sizes are not the standard ones, so goals are not judged")
    return lines + [f"warning: {warning}" for warning in warnings(facts)]


def _skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    return [f"skipped {row}: {why}" for row, why in skipped.items()]


def _write(out: Path, report: dict[str, Any], figures: list[Figure], session: Session) -> None:
    """Write the JSON whole or not at all."""
    document = {
        "schema_version": SCHEMA_VERSION,
        **report,
        "warnings": warnings(report["machine"]),
        "problems": session.problems,
        "figures": [figure.as_dict() for figure in figures],
        "raw": session.raw,
    }
    unfinished = _unfinished(out)
    unfinished.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", "utf-8")
    unfinished.replace(out)
