"""Draws the terminal report of a run as an SVG picture, for the README.

    harness run --agents 500 --out runs/picture
    python scripts/lib/run_picture.py runs/picture docs/run.svg

The report is the one that `harness run` prints, made again from the run directory, at 100 columns.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from harness.report.terminal import render_summary
from harness.rundir_reader import open_run

COLUMNS = 100

_FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Draw a picture; 0 when done, 2 for wrong usage."""
    if len(arguments) != 2:
        print("usage: run_picture.py RUN_DIRECTORY OUT.svg", file=sys.stderr)
        return 2
    run_directory, out = map(Path, arguments)
    out.write_text(picture(run_directory), encoding="utf-8")
    return 0


def picture(run_directory: Path) -> str:
    """The report of a run as SVG."""
    reader = open_run(run_directory)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(render_summary(reader.summary or {}, reader.run))
    agents = reader.run.get("agents")
    svg = console.export_svg(title=f"harness run --agents {agents}", unique_id="run")
    # The fonts would be fetched from another host; any monospaced one will do.
    return "\n".join(line.rstrip() for line in _FONT_FACES.sub("", svg).splitlines()) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
