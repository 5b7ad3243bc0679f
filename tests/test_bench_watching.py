"""scripts/bench --only watching: who watches, and what it says of a run that nobody saw."""

import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.live.metrics import metrics_server
from harness.live.progress import Progress
from harness.live.view import Views
from harness.live.web.web_view import web_view
from harness.report.html import REPORT_FILE

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import watching
from bench.child import answer_of, start_child
from bench.errors import MeasurementError

WATCH = "watching_clients.watch"
SEEN = {"points_min": 10.0, "reports": 5.0, "scrapes": 10.0}


@pytest.mark.slow
def test_watchers_read_a_run_to_its_end(tmp_path: Path):
    """Each page has messages and the report, Prometheus has samples; their CPU is known."""
    (tmp_path / REPORT_FILE).write_text("<!doctype html><title>It</title>")
    with (
        web_view("run", tmp_path) as page,
        metrics_server("run", "127.0.0.1", 0) as metrics,
        ExitStack() as stack,
    ):
        both = Views([page, metrics])
        clients = start_child(WATCH, page=page.address, metrics=metrics.url, pages=3, bound_s=60.0)
        stack.callback(clients.communicate)
        stack.callback(clients.kill)
        both.begin({}, 3)
        # As a run does; pages that come after its end learn of that all the same.
        until_s = time.monotonic() + 2.0
        while time.monotonic() < until_s:
            both.update(Progress(elapsed_s=1.0, phase="measuring"))
            with suppress(subprocess.TimeoutExpired):
                clients.wait(0.1)
        both.end("complete", {})
        both.finish("complete", {}, tmp_path)
        seen = answer_of(clients, WATCH, 60.0)
    assert seen["reports"] == 3
    assert seen["messages_min"] >= 2
    assert seen["scrapes"] >= 1
    assert seen["samples_max"] >= 1
    assert seen["cpu_s"] >= 0
    assert 0 <= seen["lasted_s"] <= 60


@pytest.mark.parametrize(
    ("fewer", "words"),
    [
        ({"points_min": 4.0}, "a page had 4 points of a run of 10 s, and 5 of 5 pages"),
        ({"reports": 4.0}, "and 4 of 5 pages the report"),
        ({"scrapes": 4.0}, "only 4 scrapes in 10 s were answered"),
    ],
)
def test_a_run_that_nobody_saw_is_no_measurement(fewer: dict[str, float], words: str):
    """Pages without points or the report, and a Prometheus without samples, are refused."""
    watching._check(SEEN, 10)
    with pytest.raises(MeasurementError, match=words):
        watching._check(SEEN | fewer, 10)
