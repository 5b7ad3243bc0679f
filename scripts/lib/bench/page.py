"""What the live page costs who looks at it: seconds to its first chart, and memory after an hour.

A made run goes through the real server to a headless Chromium, on a clock of its own, so that an
hour takes seconds (`bench.page_child`). The first chart is timed by the page itself, from the start
of its navigation until a canvas has data on it. Memory is the page's JavaScript heap, its columns
and its document, after garbage has been collected.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from bench.child import in_child
from bench.figures import FigureSpec, Goal, number
from bench.sizes import Sizes

__all__ = ["page", "page_specs", "skipped_rows"]


def page(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Seconds to the first chart of a page that is opened late, and bytes of one that was not."""
    return in_child(
        "page_child.look",
        folder=str(folder),
        chart_points=sizes.page_points,
        memory_s=sizes.page_s,
    )


def skipped_rows() -> dict[str, str]:
    """The row, where it cannot be measured here, and why in a sentence."""
    if importlib.util.find_spec("playwright") is None:
        return {"page": "playwright is not installed; the extra dev brings it"}
    if shutil.which("chromium") is None:
        return {"page": "there is no chromium on the PATH"}
    return {}


def page_specs(sizes: Sizes) -> list[FigureSpec]:
    """The lines of the table."""
    return [
        FigureSpec(
            row="page",
            title=f"live page opened on {sizes.page_points:,} points: to its first chart",
            unit="s",
            value=number("page", "first_chart_s"),
            goal=Goal(most=1.0),
        ),
        FigureSpec(
            row="page",
            title=f"memory of a live page after {sizes.page_s:,} s of points",
            unit="bytes",
            value=number("page", "memory_bytes"),
            goal=Goal(most=50 * 2**20),
        ),
    ]
