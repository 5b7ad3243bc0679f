"""A comparison's page is self-contained, well formed, and shows hostile text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from harness.analysis.bootstrap import Estimate
from harness.analysis.comparison import Comparison, Versus
from harness.analysis.figure_comparison import Compared
from harness.analysis.run_differences import Difference
from harness.report.comparison_page import comparison_page

HOSTILE = "<script>alert(1)</script>\"'&\x1b"
EMPTY = {"meta", "br", "line", "circle"}


class Page(HTMLParser):
    """Every tag with its attributes, and all text; a tag that is not closed fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def compared(
    low: float | None, estimate: float | None, high: float | None, **changes: Any
) -> Compared:
    one = Compared(
        path="all.p50_ms",
        section="",
        label="all p50",
        unit="ms",
        better="less",
        base=1.0,
        new=estimate,
        base_repeats=3,
        new_repeats=3,
        ratio=Estimate(estimate=estimate, low=low, high=high),
        basis="repeats",
        verdict="no difference",
        reason="the interval holds 1",
    )
    return replace(one, **changes)


def comparison(*figures: Compared, name: str = "runs/new") -> Comparison:
    note = {"name": "plan", "verdict": "warning", "sentence": f"The plans differ: {name}."}
    difference = Difference(kind="plan", name="--agents", base=name, new="5")
    versus = Versus(
        new=name,
        repeats=(name,),
        figures=figures,
        differences=(difference,),
        notes=(note,),
        sentence="Of 1 figures, 1 is worse.",
    )
    return Comparison(kind="run", base=name, repeats=(name,), confidence=0.95, against=(versus,))


def test_hostile_text_is_text():
    """Names, notes and options from files are escaped, wherever they are shown."""
    one = compared(0.9, 1.1, 1.2, section=HOSTILE, reason=HOSTILE, path=HOSTILE, label=HOSTILE)
    source = comparison_page(comparison(one, name=HOSTILE))
    page = Page(source)
    assert not page.named("script")
    assert "\x1b" not in source
    assert sum("<script>" in text for text in page.text) >= 5
    assert {name for _, attributes in page.tags for name in attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "class", "scope", "title"),
        *(
            "viewbox",
            "role",
            "aria-label",
            "aria-hidden",
            "data-theme",
            "x1",
            "x2",
            "y1",
            "y2",
            "cx",
            "cy",
            "r",
        ),
    }


def test_a_page_asks_nothing_of_anybody():
    """No script, no link, no address: it is all in the file, and the browser is told so."""
    source = comparison_page(comparison(compared(0.9, 1.1, 1.2)))
    assert not re.search(r"https?:|url\(|@import|<link|<img|<script|src=", source)
    assert "default-src 'none'" in source


def test_an_interval_is_drawn_about_the_middle():
    """No change is in the middle; half and twice are as far from it, on the two sides."""
    page = Page(comparison_page(comparison(compared(0.5, 1.0, 2.0))))
    [circle] = page.named("circle")
    interval = next(line for line in page.named("line") if line["class"] == "interval")
    middle, left, right = float(circle["cx"]), float(interval["x1"]), float(interval["x2"])
    assert middle == 100
    assert 0 <= left < middle < right <= 200
    assert round(middle - left, 1) == round(right - middle, 1)


def test_extreme_and_unknown_ratios_are_drawn_within_the_picture():
    """A ratio beyond the axis stands at its end; one without an interval has a point only."""
    figures = [
        compared(1e-9, 1.0, 1e9),
        compared(None, 2.0, None, verdict="unknown"),
        compared(None, None, None, verdict="unknown"),
        compared(0.0, 0.0, 0.0),
    ]
    page = Page(comparison_page(comparison(*figures)))
    assert len(page.named("svg")) == 2
    places = [float(line[end]) for line in page.named("line") for end in ("x1", "x2")]
    assert all(0 <= place <= 200 for place in places)


def test_what_differs_comes_first_and_the_worst_on_top():
    """Figures that are worse or better have a table of their own before all figures."""
    figures = [
        compared(0.9, 1.0, 1.1, label="same"),
        compared(0.4, 0.5, 0.6, label="faster", verdict="better"),
        compared(1.1, 1.2, 1.3, label="slower", verdict="worse"),
        compared(2.0, 3.0, 4.0, label="slowest", verdict="worse"),
    ]
    text = "\n".join(Page(comparison_page(comparison(*figures))).text)
    first, rest = text.split("All figures")
    assert first.index("slowest") < first.index("slower") < first.index("faster")
    assert "same" not in first
    assert rest.index("same") < rest.index("faster") < rest.index("slower")
