"""The HTML report in a headless Chromium: drawn, hovered, zoomed, and silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.history import read_all
from harness.history.directories import find_directories
from harness.history.trend import find_trend
from harness.report.html import write_report
from harness.report.trend_page import trend_page
from tests.browser import TEXT_OF_POOR_CONTRAST, Seen
from tests.history.made_history import made_series
from tests.report.made_benches import make_bench
from tests.report.made_runs import HOSTILE, SHOWN, make_run

pytestmark = pytest.mark.slow

# Of the pixels of a chart's canvas, how many hues there are: a blank one has one.
_COLOURS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add(
    (data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return [...seen];
}"""


class Opened(Seen):
    """A report in a browser's page."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        super().__init__(browser, **options)
        self.page.goto(report.as_uri())
        self.page.wait_for_selector(".plot canvas")

    def hover(self, key: str) -> str:
        """The words beside the pointer in the middle of a chart."""
        over = self.page.locator(f"#chart-{key} .u-over")
        over.scroll_into_view_if_needed()
        over.hover()
        tip = self.page.locator(f"#chart-{key} .tip")
        tip.wait_for(state="visible")
        return str(tip.inner_text())


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    pages: list[Opened] = []

    def opening(report: Path, **options: Any) -> Opened:
        pages.append(Opened(browser, report, **options))
        return pages[-1]

    yield opening
    for one in pages:
        one.context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("made") / "run", rate=1000.0))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("made") / "run", words=HOSTILE))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_drawn_in_both_themes(opened: Any, report: Path, theme: str):
    """Every chart's canvas has lines on it in either theme, and the page says nothing amiss."""
    page = opened(report, color_scheme=theme)
    canvases = page.page.locator(".plot canvas").all()
    assert len(canvases) == page.page.locator("figure.chart").count() >= 9
    for canvas in canvases:
        assert len(canvas.evaluate(_COLOURS)) > 3
    assert page.said == []


@pytest.mark.parametrize("kind", ["agents", "memory", "resources", "targets"])
def test_charts_of_benchmarks_are_drawn(opened: Any, tmp_path: Path, kind: str):
    """Every chart of a benchmark's report is drawn too, and hovering over it shows figures."""
    page = opened(write_report(make_bench(tmp_path / "bench", kind)))
    for canvas in page.page.locator(".plot canvas").all():
        assert len(canvas.evaluate(_COLOURS)) > 3
    charts = {"agents": "scaling", "memory": "degradation-search", "resources": "leak-0"}
    chart = charts.get(kind, "throughput-by-target")
    assert re.search(r"\d", page.hover(chart))
    assert page.said == []


def test_a_trend_is_drawn(opened: Any, tmp_path: Path):
    """The page of a trend draws runs, levels and changes, with no half runs on its axis."""
    levels = [4.0] * 8 + [6.0] * 8
    made_series(tmp_path, [one * (1 + place % 3 / 50) for place, one in enumerate(levels)])
    read = read_all(find_directories(tmp_path), tmp_path)
    trend = find_trend(read, "search.p99_ms", "", lambda run: True, dict)
    (tmp_path / "trend.html").write_text(trend_page(trend), "utf-8")
    page = opened(tmp_path / "trend.html", viewport={"width": 400, "height": 800})
    assert len(page.page.locator("#chart-trend canvas").evaluate(_COLOURS)) > 3
    assert re.search(r"\d ms", page.hover("trend"))
    assert page.page.evaluate("() => document.documentElement.scrollWidth") == 400
    assert page.said == []


def test_labels_of_an_axis_differ(opened: Any, report: Path):
    """Labels take as many digits as it needs to tell them apart, and one alone as few as usual."""
    page = opened(report)
    mib = 2**20
    written = page.page.evaluate(
        """(values) => {
            const extra = quantities.extraDigits(values, "bytes");
            return values.map((value) => quantities.write(value, "bytes", true, extra));
        }""",
        [115 * mib, 115.01 * mib, 115.02 * mib],
    )
    assert written == ["115 MiB", "115.01 MiB", "115.02 MiB"]
    assert page.page.evaluate("() => quantities.write(0.004162252, 'milliseconds')") == "4.16 µs"


def test_the_axes_of_scaling_can_be_logarithmic(opened: Any, tmp_path: Path):
    """A button turns the axes of throughput against agents, and turns them back."""
    page = opened(write_report(make_bench(tmp_path / "bench", "agents")))
    button = page.page.locator("#chart-scaling [data-zoom=axes]")
    for words in ("Linear", "Log"):
        button.click()
        assert button.inner_text() == words
        assert len(page.page.locator("#chart-scaling canvas").evaluate(_COLOURS)) > 3
    assert page.said == []


def test_the_page_asks_for_no_other_file(opened: Any, report: Path):
    """All that the browser asks for is the report itself."""
    page = opened(report)
    page.hover("percentiles")
    assert page.asked == [report.as_uri()]


def test_a_request_would_be_refused(opened: Any, report: Path):
    """The page's own policy stops what would leave: an image, a script that is not its own."""
    page = opened(report)
    done = page.page.evaluate(
        """() => new Promise((resolve) => {
            const image = new Image();
            image.onerror = () => resolve("refused");
            image.onload = () => resolve("loaded");
            image.src = "http://127.0.0.1:9/x.png";
        })"""
    )
    assert done == "refused"
    page.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); }"
    )
    assert page.page.evaluate("() => window.ran") is None
    assert any("Content Security Policy" in one for one in page.said)


@pytest.mark.parametrize(
    ("chart", "figure"),
    [
        ("percentiles", r"\d ms"),
        ("distribution", r"\d%"),
        ("throughput", r"\d/s"),
        ("parts-over-time", r"\d (ms|µs)"),
        ("cpu", r"\d%"),
        ("memory", r"\d MiB"),
    ],
)
def test_hovering_shows_figures(opened: Any, report: Path, chart: str, figure: str):
    """The pointer over a chart brings up the figures of that point, with their unit."""
    assert re.search(figure, opened(report).hover(chart))


def test_dragging_zooms_all_timelines_and_a_button_shows_all(opened: Any, report: Path):
    """A span that is dragged over becomes the whole chart, on every timeline; and back."""
    page = opened(report)
    over = page.page.locator("#chart-throughput .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    page.page.mouse.up()
    zoomed = page.page.locator(".plot.zoomed")
    zoomed.nth(4).wait_for()
    page.page.locator("#chart-throughput [data-zoom=all]").click()
    assert zoomed.count() == 0


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_data_is_under_a_chart_s_buttons(opened: Any, tmp_path: Path, width: int):
    """The buttons of each chart are beside its plot area, zoomed or not, at every width."""
    page = opened(
        write_report(make_bench(tmp_path / "bench", "agents")),
        viewport={"width": width, "height": 900},
    )
    page.page.locator("#chart-scaling [data-zoom=in]").click()
    page.page.locator("#chart-scaling .zoomed").wait_for()
    boxes = page.page.evaluate(
        """() => [...document.querySelectorAll("figure.chart")].map((figure) => {
            const box = (chosen) => figure.querySelector(chosen).getBoundingClientRect();
            const [tools, plot, whole] = [".tools", ".plot canvas", ".legend"].map(box);
            return [tools.bottom <= plot.top, tools.width > 40, tools.right <= whole.right + 1];
        })"""
    )
    assert len(boxes) >= 4
    assert boxes == [[True, True, True]] * len(boxes)


def test_a_chart_is_read_by_keyboard(opened: Any, report: Path):
    """Arrow keys move through a chart's points and say their figures; plus zooms, Escape ends."""
    page = opened(report)
    page.page.locator("#chart-throughput .plot").focus()
    for _ in range(30):
        page.page.keyboard.press("ArrowRight")
    spoken = page.page.locator("#chart-throughput .spoken").inner_text()
    assert re.search(r"store [\d.,]+/s", spoken), spoken
    page.page.keyboard.press("+")
    assert page.page.locator("#chart-throughput .plot.zoomed").count() == 1
    page.page.keyboard.press("Escape")
    assert page.page.locator("#chart-throughput .plot.zoomed").count() == 0


def test_a_chart_gives_its_data_as_a_table(opened: Any, report: Path):
    """Each chart opens into a table with a row for every point."""
    page = opened(report)
    page.page.locator("#chart-percentiles summary").click()
    rows = page.page.locator("#chart-percentiles details tbody tr")
    rows.first.wait_for()  # a browser says after the click that what was opened is open
    points = page.page.evaluate(
        "() => JSON.parse(document.getElementById('report-data').textContent)"
        ".find((one) => one.key === 'percentiles').x.length"
    )
    assert rows.count() == points > 50


def test_a_line_can_be_put_away(opened: Any, report: Path):
    """A press on its name takes a line out of its chart's picture and figures."""
    page = opened(report)
    page.page.locator("#chart-throughput .legend button", has_text="search").click()
    assert "search" not in page.hover("throughput")


def test_the_theme_can_be_chosen(opened: Any, report: Path):
    """The switch changes ground and charts whatever the system's theme is."""
    page = opened(report, color_scheme="light")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    before = page.page.evaluate(ground)
    page.page.locator("[data-theme-choice=dark]").click()
    assert page.page.evaluate(ground) != before
    assert page.page.locator("[data-theme-choice=dark]").get_attribute("aria-pressed") == "true"
    assert len(page.page.locator(".plot canvas").first.evaluate(_COLOURS)) > 3


@pytest.mark.parametrize("width", [320, 400, 768, 1280])
def test_nothing_sticks_out_sideways(opened: Any, report: Path, hostile: Path, width: int):
    """At the width of a phone, a tablet or a desk, the page is no wider than the screen."""
    for made in (report, hostile):
        page = opened(made, viewport={"width": width, "height": 800})
        wide = page.page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width


def test_charts_follow_the_width_of_the_window(opened: Any, report: Path):
    """A chart is drawn anew when its window becomes narrower."""
    page = opened(report, viewport={"width": 1280, "height": 800})
    page.page.set_viewport_size({"width": 400, "height": 800})
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('.plot canvas')].every("
        "(one) => one.getBoundingClientRect().width <= 400)"
    )


def test_hostile_text_is_only_text(opened: Any, hostile: Path):
    """Markup in ids, roles and events is read on the page, and does nothing."""
    page = opened(hostile)
    assert page.page.locator("img").count() == 0
    assert f"{SHOWN}_3" in page.page.locator("body").inner_text()
    assert "<img src=x onerror=alert(1)>" in page.hover("cpu")
    page.page.locator("#chart-cpu summary").click()
    assert "<img src=x" in page.page.locator("#chart-cpu details thead").inner_text()
    assert page.said == []
    assert page.asked == [hostile.as_uri()]


def test_paper_is_white(opened: Any, report: Path):
    """Printing from the dark theme prints the light one, and goes back."""
    page = opened(report, color_scheme="dark")
    page.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.page.evaluate("() => document.documentElement.dataset.theme") == "light"
    page.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.page.evaluate("() => document.documentElement.dataset.theme") == "auto"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast(opened: Any, report: Path, theme: str):
    """All text has a contrast of 4.5:1 or more with its ground (WCAG 2.2, 1.4.3)."""
    assert opened(report, color_scheme=theme).page.evaluate(TEXT_OF_POOR_CONTRAST) == []
