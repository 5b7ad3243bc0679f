"""The live page in a headless Chromium, fed by the real server as a run would, and by a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.live.web.web_view import WebView
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.report.html import write_report
from harness.report.quantities import written
from harness.rundir import RunDirectory
from harness.runner import Outcome, StopRequest, prepare, run
from tests.browser import TEXT_OF_POOR_CONTRAST, Seen
from tests.live.made_run import SUMMARY, MadeRun

pytestmark = pytest.mark.slow

_WAIT_MS = 60_000
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e{0}"
SHOWN = "</script><img src=x onerror=alert(1)>\"'&\N{REPLACEMENT CHARACTER}{0}"
CHARTS = (
    "throughput",
    "response",
    "parts",
    "failures",
    "agents",
    "cpu",
    "memory",
    "disk",
    "network",
)


class Watched(Seen):
    """The live page in a browser."""

    def __init__(self, browser: Any, address: str, script: str = "", **options: Any) -> None:
        super().__init__(browser, script, **options)
        self.page.set_default_timeout(_WAIT_MS)
        self.address = address
        self.page.goto(address)
        self.page.wait_for_selector("#connection[data-state=live]")

    def tile(self, name: str) -> str:
        """The figure of a tile."""
        tile = self.page.locator("#tiles > div").filter(has=self.page.locator("dt", has_text=name))
        return str(tile.locator("dd").first.inner_text())

    def until(self, true: str, argument: Any = None) -> None:
        """Wait until something is true of the page."""
        self.page.wait_for_function(true, arg=argument)

    def drawn_until(self, at_s: float) -> None:
        """Wait until the charts go as far as a moment."""
        self.until("(at) => charts.drawn.length && charts.drawn[0].u.data[0].at(-1) >= at", at_s)

    def is_silent(self) -> bool:
        """Nothing was said on the console, nothing asked of any other host."""
        return not self.said and all(one.startswith(self.address) for one in self.asked)


@pytest.fixture
def watched(browser: Any) -> Iterator[Callable[..., Watched]]:
    pages: list[Watched] = []

    def watching(address: str, **options: Any) -> Watched:
        pages.append(Watched(browser, address, **options))
        return pages[-1]

    yield watching
    for one in pages:
        one.context.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[MadeRun]:
    run = MadeRun(tmp_path)
    yield run
    run.close()


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeRun]:
    """A run of two nodes that has gone on for a minute, with failures, and stays so."""
    run = MadeRun(tmp_path_factory.mktemp("made"), nodes={"a" * 56: "host-a", "b" * 56: "host-b"})
    run.begin()
    run.view.event({"kind": "phase", "phase": "measuring"})
    run.goes_on(30)
    run.view.event({"kind": "fault", "fault": "kill shard 1", "done": True})
    run.goes_on(2, failures=["timeout", "unavailable"])
    run.goes_on(28)
    yield run
    run.close()


# Beside what the page does with them, its points are counted as they come.
HEARING = """
window.points_heard = 0;
window.EventSource = class extends EventSource {
  constructor(address) {
    super(address);
    this.addEventListener("point", (event) => {
      window.points_heard += 1;
      window.heard_s = JSON.parse(event.data).t;
    });
  }
};
"""
_COLOURS = """() => [...document.querySelectorAll(".plot canvas")].map((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add(
    (data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return seen.size;
})"""


@pytest.mark.parametrize(("theme", "width"), [("light", 400), ("dark", 2560)])
def test_who_joins_in_the_middle_sees_all_of_the_past(
    watched: Any, under_way: MadeRun, theme: str, width: int
):
    """Every chart has its lines from the beginning, in either theme, at any width, legibly."""
    page = watched(
        under_way.view.address, color_scheme=theme, viewport={"width": width, "height": 900}
    )
    page.drawn_until(60.0)
    assert page.page.evaluate("() => charts.drawn.map((one) => one.host.parentNode.id)") == [
        f"chart-{name}" for name in CHARTS
    ]
    assert page.page.evaluate("() => charts.drawn.map((one) => one.u.data[0][0])") == [1.0] * 9
    assert min(page.page.evaluate(_COLOURS)) > 3
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.page.evaluate(TEXT_OF_POOR_CONTRAST) == []
    assert page.is_silent()


def test_failures_are_shown_by_outcome(watched: Any, under_way: MadeRun):
    """Of each outcome how many there were, and a line; the fault is in the list of events."""
    page = watched(under_way.view.address)
    page.drawn_until(60.0)
    tile = page.page.locator("#tiles > div.failed").inner_text()
    assert "24" in tile
    assert "12 timeout, 12 unavailable; 3 batches sent again" in tile
    legend = page.page.locator("#chart-failures .legend > button")
    assert legend.all_inner_texts() == ["unavailable", "timeout"]
    assert "kill shard 1" in page.page.locator("#events-rows").inner_text()


def test_the_page_is_used_by_keyboard(watched: Any, under_way: MadeRun):
    """Choices are buttons, arrow keys read a chart and all point alike; a reload keeps choices."""
    page = watched(under_way.view.address)
    page.drawn_until(60.0)
    page.page.locator("#choose-operation button", has_text="search").focus()
    page.page.keyboard.press("Enter")
    page.page.locator("#choose-split button", has_text="By node").focus()
    page.page.keyboard.press("Space")
    for _ in range(2):
        page.until(
            "() => document.querySelector('#chart-response p').textContent.includes('search')"
        )
        legend = page.page.locator("#chart-cpu .legend > button", has_text="host-b")
        legend.wait_for()
        page.page.locator("#chart-throughput .plot").focus()
        for _ in range(3):
            page.page.keyboard.press("ArrowRight")
        assert page.page.locator("#chart-throughput .reading").inner_text() == (
            "3.0 s · measuring: all 1,000/s"
        )
        places = page.page.evaluate("() => charts.drawn.map((one) => one.u.cursor.idx)")
        assert places == [2] * len(CHARTS)
        page.page.reload()
        page.drawn_until(60.0)
    assert page.is_silent()


def test_one_node_or_one_role_can_be_chosen(watched: Any, under_way: MadeRun):
    """Lines by role are of all nodes or of one; lines by node of all processes or of one role."""
    page = watched(under_way.view.address)
    page.drawn_until(60.0)
    shard = "() => charts.drawn.find((one) => one.spec.key === 'cpu').u.data[1].at(-1)"
    both = page.page.evaluate(shard)
    page.page.locator("#choose-one select").select_option("host-b")
    page.until(f"(both) => Math.abs(({shard})() * 2 - both) < 0.01", both)
    page.page.locator("#choose-split button", has_text="By node").click()
    page.page.locator("#choose-one select").select_option("driver")
    page.until("() => document.querySelector('#chart-cpu p').textContent.includes('driver')")
    names = page.page.locator("#chart-cpu .legend > button").all_inner_texts()
    assert names == ["host-a", "host-b"]


def test_a_page_goes_on_with_the_run_and_says_so_where_there_is_nothing_yet(
    watched: Any, made: MadeRun
):
    """Before the first figures each chart says so in words; then it is drawn, and moves."""
    page = watched(made.view.address)
    assert page.page.locator(".chart canvas").count() == 0
    assert all(one.strip() for one in page.page.locator(".chart .none").all_inner_texts())
    made.begin(rate=900.0)
    made.goes_on(3)
    page.drawn_until(3.0)
    assert page.page.locator(".chart.empty .none").all_inner_texts() == ["No operation has failed."]
    made.goes_on(3)
    page.drawn_until(6.0)
    assert page.tile("Throughput") == written(1000.0, "rate")
    assert page.tile("99th percentile") == written(7.25, "milliseconds")
    latest = page.page.locator("#chart-throughput .spoken table").inner_text()
    assert "1,000/s" in latest
    assert page.is_silent()


def test_nothing_is_drawn_while_nobody_looks(watched: Any, made: MadeRun):
    """A hidden page takes what comes and draws nothing; when it is seen again, all is there."""
    page = watched(made.view.address, script=HEARING)
    made.begin()
    made.goes_on(2)
    page.drawn_until(2.0)
    page.page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { value: true, configurable: true });
            window.points_heard = window.drawings_set = 0;
            const later = window.setTimeout;
            window.setTimeout = (act, ...others) => {
                if (String(act).includes("draw")) window.drawings_set += 1;
                return later(act, ...others);
            };
        }"""
    )
    made.goes_on(5)
    page.until("() => window.points_heard === 5")
    assert page.page.evaluate("() => window.drawings_set") == 0
    page.page.evaluate(
        "() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.drawn_until(7.0)
    assert page.page.evaluate("() => window.drawings_set") > 0


def test_a_lost_connection_is_said_and_found_again(watched: Any, made: MadeRun, tmp_path: Path):
    """What was seen stays meanwhile; when a server is back on the port, the page goes on."""
    page = watched(made.view.address)
    made.begin()
    made.goes_on(5)
    page.drawn_until(5.0)
    made.close()
    page.page.wait_for_selector("#connection[data-state=lost]")
    assert "connection to the run is lost" in page.page.locator("#notice").inner_text()
    assert page.page.locator("#chart-throughput canvas").is_visible()
    assert page.tile("Throughput") == written(1000.0, "rate")
    port = int(made.view.address.rstrip("/").rpartition(":")[2])
    again = MadeRun(tmp_path, port=port)
    try:
        again.begin()
        again.goes_on(9)
        page.page.wait_for_selector("#connection[data-state=live]")
        page.drawn_until(9.0)
        assert not page.page.locator("#notice").is_visible()
        assert page.page.locator("#status").inner_text() == "The connection is back."
    finally:
        again.close()


def test_the_report_takes_the_place_of_the_page(watched: Any, tmp_path: Path):
    """At the end the summary's own figures are shown, then the report; here behind a token."""
    made = MadeRun(tmp_path, host="127.0.0.1")
    page = watched(made.view.address)
    made.begin()
    made.goes_on(5)
    page.drawn_until(5.0)
    made.ends()
    page.until("() => document.getElementById('phase').textContent === 'complete'")
    assert page.tile("Throughput") == written(SUMMARY["throughput_ops_s"], "rate")
    assert page.tile("Median response") == written(SUMMARY["all"]["p50_ms"], "milliseconds")
    assert page.tile("99th percentile") == written(SUMMARY["all"]["p99_ms"], "milliseconds")
    assert page.tile("Failed") == "7"
    (tmp_path / "report.html").write_text("<!doctype html><h1>The report</h1>", "utf-8")
    with ThreadPoolExecutor(1) as thread:
        finishing = thread.submit(made.view.finish, "complete", SUMMARY, tmp_path)
        page.page.wait_for_url("**/report")
        assert page.page.locator("h1").inner_text() == "The report"
        finishing.result(60)
    made.close()
    assert page.is_silent()


def test_a_run_without_a_report_keeps_its_page(watched: Any, made: MadeRun, tmp_path: Path):
    """Where a command breaks off, the page says why and keeps what it has."""
    page = watched(made.view.address)
    made.begin()
    made.goes_on(5)
    page.drawn_until(5.0)
    made.view.break_off("failed", "The disk is full.")
    page.page.wait_for_selector("#connection[data-state=ended]")
    made.close()
    assert "The disk is full." in page.page.locator("#notice").inner_text()
    assert page.page.locator("#chart-throughput canvas").is_visible()


def test_steps_of_a_benchmark_are_a_table(watched: Any, tmp_path: Path):
    """Of all steps the figures; of the current benchmark how many, its time, the offered rate."""
    run = MadeRun(tmp_path, command="bench-all")
    try:
        run.view.step("memory-1", 1, 1)
        run.begin()
        run.goes_on(1)
        run.ends()
        run.view.step("agents-1-1", 1, 3)
        run.begin()
        run.goes_on(4)
        run.ends()
        run.view.step(HOSTILE, 2, 3)
        run.begin(rate=900.0)
        run.goes_on(1)
        page = watched(run.view.address)
        page.drawn_until(6.0)
        rows = [one.all_inner_texts() for one in cells_of(page.page.locator("#steps-rows tr"))]
        assert rows == [
            ["memory-1", "complete", "1,004/s", "1.62 ms", "8.38 ms"],
            ["agents-1-1", "complete", "1,004/s", "1.62 ms", "8.38 ms"],
            [SHOWN, "running", "1,000/s", "1.75 ms", "7.25 ms"],
        ]
        lead = page.page.locator("#steps-lead").inner_text()
        assert lead.startswith("1 of 3 done, 1 to come, about ")
        assert page.page.locator("#phase").inner_text() == "step 2 of 3, measuring"
        done = float(page.page.locator("#progress").get_attribute("value"))
        assert 1 / 3 < done < 2 / 3
        assert page.page.evaluate("() => charts.drawn[0].u.data[2]") == [None] * 5 + [900.0]
        assert "left" in page.page.locator("#tiles").inner_text()
        run.view.break_off("failed", "The disk is full.")
        page.page.wait_for_selector("#connection[data-state=ended]")
        page.until("() => document.getElementById('phase').textContent === 'failed'")
        assert page.page.locator("#steps-lead").inner_text() == "2 of 3 done."
        last = page.page.locator("#steps-rows tr").last
        assert last.locator("td").first.inner_text() == "failed"
        assert "left" not in page.page.locator("#tiles").inner_text()
        assert page.is_silent()
    finally:
        run.close()


def cells_of(rows: Any) -> list[Any]:
    return [row.locator("th, td") for row in rows.all()]


def test_hostile_text_is_only_text(watched: Any, tmp_path: Path):
    """Markup in a plan, a path, nodes, events and notes is read on the page, and does nothing."""
    run = MadeRun(
        tmp_path / HOSTILE.replace("/", "_"),
        nodes={HOSTILE: HOSTILE, "__proto__": HOSTILE + "2", "x" * 5000: "y" * 5000},
        command=HOSTILE,
    )
    try:
        run.begin(target=HOSTILE, note={HOSTILE: [HOSTILE]}, long="w" * 100_000)
        run.view.event({"kind": HOSTILE, HOSTILE: HOSTILE})
        run.view.note(HOSTILE)
        run.view.event({"kind": "phase", "phase": HOSTILE})
        run.goes_on(3)
        page = watched(run.view.address, viewport={"width": 400, "height": 800})
        page.drawn_until(3.0)
        page.page.locator("#choose-split button", has_text="By node").click()
        page.page.locator("#plan summary").click()
        page.until(
            "(words) => document.querySelector('#chart-cpu').textContent.includes(words)", SHOWN
        )
        for place in ("title", "events-rows", "plan-facts"):
            assert SHOWN in page.page.locator(f"#{place}").inner_text(), place
        assert page.page.locator("img").count() == 0
        assert page.page.evaluate("() => document.documentElement.scrollWidth") <= 400
        assert page.is_silent()
    finally:
        run.close()


def test_an_hour_takes_little_memory(watched: Any, made: MadeRun):
    """After an hour's points the page holds no more than it may, and as many as are drawn."""
    page = watched(made.view.address, script=HEARING)
    made.begin()
    for _ in range(60):  # no faster than the page reads, or it would be told all in one state
        made.goes_on(60)
        page.until("(at) => window.heard_s >= at - 30", made.at_s)
    page.drawn_until(3590.0)
    session = page.context.new_cdp_session(page.page)
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    used = usage["usedSize"] + usage.get("backingStorageSize", 0)
    assert used < 50 * 2**20, usage
    assert page.page.evaluate("() => charts.drawn[0].u.data[0].length") <= 1200
    assert page.page.evaluate("() => window.points_heard") > 2000  # each is of 4 s by then
    assert page.is_silent()


@pytest.mark.cluster
def test_a_real_run_is_watched_from_its_beginning_to_its_report(
    watched: Any, ray_here: RaySession, tmp_path: Path
):
    """Charts move while it goes; at its end page and report have the figures of its summary."""
    folder = RunDirectory.create(tmp_path / "run", "run")
    plan = RunPlan(target="embedded", agents=4, shards=1, duration_s=600.0)
    stop = StopRequest()
    with ThreadPoolExecutor(1) as thread:
        view = thread.submit(lambda: WebView("run", folder.path, host=None, port=0)).result()

        def carried_out() -> Outcome:
            outcome = run(prepare(plan), folder, view, stop, ray_here)
            write_report(folder.path)
            view.finish(outcome.status, outcome.summary, folder.path)
            return outcome

        running = thread.submit(carried_out)
        try:
            page = watched(view.address, script=TILES_AT_THE_END)
            page.until("(names) => charts.drawn.length >= names", len(CHARTS) - 1)  # none failed
            seen_s = page.page.evaluate("() => charts.drawn[0].u.data[0].at(-1)")
            page.drawn_until(seen_s + 1)
            stop.set()
            page.page.wait_for_url("**/report")
            summary = running.result(60).summary
        finally:
            stop.set()
            view.close()
    shown = page.page.evaluate("() => JSON.parse(sessionStorage.getItem('tiles'))")
    assert shown["Throughput"] == written(summary["throughput_ops_s"], "rate")
    assert shown["Median response"] == written(summary["all"]["p50_ms"], "milliseconds")
    assert shown["99th percentile"] == written(summary["all"]["p99_ms"], "milliseconds")
    assert shown["Failed"] == written(summary["failed"], "count")
    tiles = page.page.locator(".tiles").inner_text()
    assert shown["99th percentile"] in tiles
    assert page.is_silent()


# What the tiles show when the page is left.
TILES_AT_THE_END = """
addEventListener("pagehide", () => {
  const tiles = [...document.querySelectorAll("#tiles > div")];
  if (!tiles.length) return;
  sessionStorage.setItem("tiles", JSON.stringify(Object.fromEntries(tiles.map(
    (one) => [one.querySelector("dt").textContent, one.querySelector("dd").textContent]))));
});
"""
