"""The live view: a panel that leaves nothing behind, and plain lines where there is no terminal."""

from __future__ import annotations

import errno
import io
import re
from dataclasses import replace

import pyte
import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.live.panel import panel_lines, plain_line, reflowed_rows, sparkline
from harness.live.progress import Progress
from harness.live.terminal import live_view

NOW = Progress(
    elapsed_s=12.4,
    phase="measuring",
    agents_total=500,
    agents_started=500,
    agents_done=312,
    operations_done=112_340,
    operations_total=180_000,
    ops_per_s=85_120.0,
    p50_ms=4.31,
    p99_ms=12.4,
    in_flight=487,
    cpu_percent_by_role={"sampler": 2.0, "shard": 71.0, "cohort": 143.0},
    rss_bytes_by_role={"sampler": 80 * 2**20, "shard": 340 * 2**20, "cohort": 212 * 2**20},
    node_cpu_percent=97.0,
    eta_s=8.0,
)


def _screen(output, width=100, height=24):
    screen = pyte.Screen(width, height)
    stream = pyte.Stream(screen)
    stream.feed(output.replace("\n", "\r\n"))
    return screen


def _text(screen):
    return [line.rstrip() for line in screen.display if line.strip()]


def test_the_panel_shows_every_figure_of_a_snapshot():
    """Agents, operations, percentiles, failures, CPU and memory by role and time left are there."""
    text = "\n".join(line.plain for line in panel_lines(NOW, [1.0, 2.0], 100))
    for word in (
        "measuring",
        "12.4 s",
        "about 8.0 s left",
        "312 of 500 done, 188 at work",
        "85,120/s",
        "112,340 of 180,000",
        "p50 4.31 ms",
        "p99 12.4 ms",
        "none failed",
        "487 in flight",
        "143%",
        "340 MiB",
        "97%",
    ):
        assert word in text


def test_failures_and_retries_take_the_place_of_none():
    """What went wrong is counted in the panel and in the plain line."""
    now = replace(NOW, failures=3, retries=9)
    text = "\n".join(line.plain for line in panel_lines(now, [], 100))
    assert "3 failed" in text
    assert "9 retries" in text
    assert "failures 3" in plain_line(now)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 250])
def test_no_line_of_the_panel_reaches_the_terminals_edge(width):
    """At any width, lines are shorter than the terminal and have no trailing blank."""
    hostile = replace(NOW, phase="x" * 300, failures=10**9, retries=10**9, in_flight=10**9)
    for now in (NOW, hostile, Progress(elapsed_s=0, phase="starting")):
        for line in panel_lines(now, [5.0] * 99, width):
            assert cell_len(line.plain) < width
            assert not line.plain.endswith(" ")


def test_a_sparkline_goes_from_zero_to_the_largest():
    """Bars are scaled to the largest value, and only the latest that fit are drawn."""
    assert sparkline([0, 50, 100], 10) == "▁▅█"
    assert sparkline([0, 0, 7], 2) == "▁█"
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([], 5) == sparkline([1], 0) == ""


def test_a_terminal_sees_one_panel_however_often_it_is_drawn(terminal):
    """Each snapshot is drawn over the one before; notes and nothing else stay above it."""
    console = Console(file=terminal, width=100, height=24)
    with live_view(console) as view:
        view.note("placed 2 shards")
        for number in range(5):
            view.update(replace(NOW, operations_done=number))
        view.note("shard 1 restarted")
        view.update(replace(NOW, operations_done=99))
        screen = _screen(terminal.getvalue())
        lines = _text(screen)
        assert lines[:2] == ["placed 2 shards", "shard 1 restarted"]
        assert sum("operations" in line for line in lines) == 1
        assert any("99 of 180,000" in line for line in lines)
        assert screen.cursor.hidden
    screen = _screen(terminal.getvalue())
    assert _text(screen) == ["placed 2 shards", "shard 1 restarted"]
    assert not screen.cursor.hidden


def test_the_cursor_is_back_after_an_interruption(terminal):
    """Ctrl-C leaves neither a panel nor a hidden cursor, and goes on to whoever waits for it."""
    console = Console(file=terminal, width=100, height=24)

    def interrupted():
        with live_view(console) as view:
            view.update(NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    screen = _screen(terminal.getvalue())
    assert not screen.cursor.hidden
    assert _text(screen) == []


@pytest.mark.parametrize("width", [60, 78])
def test_a_terminal_made_narrower_shows_one_whole_panel(terminal, width):
    """What the narrower terminal wrapped of the old panel is gone with the next snapshot."""
    console = Console(file=terminal, width=100, height=24)
    with live_view(console) as view:
        view.note("placed")
        view.update(NOW)
        # A terminal of the new width wraps what was drawn for the old one, as a resize does.
        console.width = width
        view.update(NOW)
        lines = _text(_screen(terminal.getvalue(), width))
    assert lines[0] == "placed"
    assert lines[1:] == [line.plain for line in panel_lines(NOW, [1.0, 1.0], width)]


def test_rows_are_counted_as_a_terminal_wraps_them():
    """A line takes a row for each width it covers, and an empty one takes a row too."""
    assert reflowed_rows([0, 59, 60, 61, 120, 121], 60) == 1 + 1 + 1 + 2 + 2 + 3


def test_a_low_terminal_is_not_scrolled(terminal):
    """A panel higher than the terminal is cut, so that it can still be drawn over."""
    console = Console(file=terminal, width=100, height=4)
    with live_view(console) as view:
        for _ in range(10):
            view.update(NOW)
        lines = _text(_screen(terminal.getvalue(), height=4))
    assert len(lines) == 3


def _plain_output(progresses):
    stream = io.StringIO()
    with live_view(Console(file=stream, width=80, force_terminal=True)) as view:
        for progress in progresses:
            view.update(progress)
    return stream.getvalue()


def test_without_a_terminal_there_are_plain_lines():
    """A pipe gets text without a control character, even where colour is forced."""
    output = _plain_output([NOW])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", output)
    assert output.count("\n") == 1
    for word in ("measuring", "312/500", "112,340/180,000", "p99 12.4 ms", "failures 0", "left"):
        assert word in output


def test_plain_lines_come_every_two_seconds_and_at_a_change_of_phase():
    """Of four snapshots a second for 6 s, and a phase that changes at 3 s, five lines remain."""
    snapshots = [
        replace(NOW, elapsed_s=tick / 4, phase="warm-up" if tick < 12 else "measuring")
        for tick in range(25)
    ]
    lines = _plain_output(snapshots).splitlines()
    assert [line.split()[0] for line in lines] == ["0.0", "2.0", "3.0", "5.0"]


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_a_terminal_that_wants_it_plain_gets_plain_lines(terminal, monkeypatch, name, value):
    """A dumb terminal, and a user who sets NO_COLOR, see no control character."""
    monkeypatch.setenv(name, value)
    with live_view(Console(file=terminal, width=80)) as view:
        view.update(NOW)
        view.note("done")
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().endswith("done\n")


def test_hostile_notes_and_phases_are_text(terminal):
    """Markup and escape sequences in a note or a phase are shown, not obeyed."""
    hostile = "[red]x[/] \x1b[2J"
    stream = io.StringIO()
    for target in (stream, terminal):
        with live_view(Console(file=target, width=100, height=24)) as view:
            view.note(hostile)
            view.update(replace(NOW, phase=hostile))
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("[red]x[/] �[2J") == 2
    assert "\x1b[2J" not in terminal.getvalue()
    assert "[red]x[/] �[2J" in _text(_screen(terminal.getvalue()))


class _Breaking(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


class _BreakingTerminal(io.StringIO):
    """A terminal that goes away once something is drawn on it."""

    whole = True

    def isatty(self):
        return True

    def write(self, text):
        if self.whole:
            return len(text)
        raise OSError(errno.EIO, "the terminal is gone")


def test_a_broken_pipe_does_not_fail_the_run():
    """A view whose reader has gone is quiet."""
    with live_view(Console(file=_Breaking(), width=80)) as view:
        view.note("one")
        view.update(NOW)


def test_a_terminal_that_goes_away_does_not_fail_the_run(terminal):
    """A panel whose terminal is gone is quiet, to the end of the view."""
    stream = _BreakingTerminal()
    with live_view(Console(file=stream, width=80, height=24)) as view:
        view.update(NOW)
        stream.whole = False
        view.note("two")
        view.update(NOW)
    with live_view(Console(file=stream, width=80, height=24)) as view:
        view.update(NOW)
        view.note("two")
