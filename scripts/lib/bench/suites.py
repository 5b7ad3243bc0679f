"""The suites of measurements: the harness and the store, the store at depth, several hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import (
    catalogue,
    cluster,
    core,
    core_figures,
    faces,
    page,
    peer_check,
    peers,
    peers_table,
    scale,
)
from bench.figures import FigureSpec
from bench.session import Session
from bench.sizes import Sizes

__all__ = ["SUITES", "Suite"]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Measurements that one call of the command makes.

    Attributes:
        sizes: a dataclass of how much each does.
        measurements: by name, in the order of a repeat.
        rows: the measurements that each row of the table needs.
        specs: the lines of the table for sizes.
        repeats: of everything, unless the call says otherwise.
        about: what the help says.
        foot: what stands below the table, a paragraph a line.
        tables: Markdown that is printed below the table, in lines, of what was measured.
        skipped: rows that cannot be measured here, and why in a sentence.
    """

    sizes: type[Any]
    measurements: Mapping[str, Callable[[Any, Path], Any]]
    rows: Mapping[str, Sequence[str]]
    specs: Callable[[Any], Sequence[FigureSpec]]
    repeats: int
    about: str
    foot: Sequence[str] = ()
    tables: Callable[[Session], Sequence[str]] | None = None
    skipped: Callable[[], Mapping[str, str]] = field(default=dict)

    def needed(self, rows: Sequence[str]) -> list[str]:
        """The measurements that rows need, in the order in which they are made."""
        wanted = {name for row in rows for name in self.rows[row]}
        return [name for name in self.measurements if name in wanted]

    def figure_specs(self, sizes: Any, rows: Sequence[str]) -> list[FigureSpec]:
        """The lines of the table for rows, in the order of the suite's rows."""
        specs = self.specs(sizes)
        return [spec for row in self.rows if row in rows for spec in specs if spec.row == row]


SUITES = {
    "main": Suite(
        sizes=Sizes,
        measurements=catalogue.MEASUREMENTS,
        rows=catalogue.ROWS,
        specs=catalogue.figure_specs,
        repeats=5,
        about="All of it takes about two minutes a repeat.",
        skipped=lambda: page.skipped_rows() | peer_check.skipped_rows(),
    ),
    "core": Suite(
        sizes=core.CoreSizes,
        measurements=core.MEASUREMENTS,
        rows=core.ROWS,
        specs=core_figures.figure_specs,
        repeats=3,
        about="The store alone, with a million memories: about seven minutes a repeat.",
        foot=core_figures.FOOT,
        skipped=core.skipped_rows,
    ),
    "scale": Suite(
        sizes=scale.ScaleSizes,
        measurements=scale.MEASUREMENTS,
        rows=scale.ROWS,
        specs=scale.figure_specs,
        repeats=3,
        about="How far off the prediction of 500 agents from 10 to 100 is, and what a run costs "
        "of which there is one: what `harness simulate` takes for granted. A minute a repeat.",
    ),
    "peers": Suite(
        sizes=peers.PeerSizes,
        measurements=peers.MEASUREMENTS,
        rows=peers.ROWS,
        specs=peers.figure_specs,
        repeats=1,
        about="Our store beside every other that is installed (pip install '.[targets]'), and "
        "Markdown of it: about two minutes for each, in one `harness bench targets`, which repeats "
        "by itself.",
        foot=peers.FOOT,
        tables=peers_table.tables_of,
    ),
    "faces": Suite(
        sizes=faces.FaceSizes,
        measurements=faces.MEASUREMENTS,
        rows=faces.ROWS,
        specs=faces.figure_specs,
        repeats=3,
        about="Our store as LangGraph's and LangChain's, beside itself and LangGraph's own stores: "
        "half a minute a repeat.",
        foot=faces.FOOT,
        skipped=faces.skipped_rows,
    ),
    "cluster": Suite(
        sizes=cluster.ClusterSizes,
        measurements=cluster.MEASUREMENTS,
        rows=cluster.ROWS,
        specs=cluster.figure_specs,
        repeats=3,
        about="Several hosts, made by scripts/lab: about three minutes a repeat.",
        foot=cluster.FOOT,
        skipped=cluster.skipped_rows,
    ),
}
