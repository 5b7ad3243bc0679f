"""The live view of a run on standard error: a panel in a terminal, plain lines elsewhere.

    with live_view() as view:
        view.note("placing 2 shards")
        view.update(progress)

The panel is redrawn by `View.update` and by nothing else: no thread, no timer. It is drawn over
the one before in a single write, gone when the view is left, and the cursor is back, whichever
way that is. A view never fails a run: when its stream breaks it goes quiet.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from harness.live.panel import panel_lines, plain_line, reflowed_rows
from harness.live.progress import Progress
from harness.live.view import View
from harness.report.figures import plain

__all__ = ["PLAIN_INTERVAL_S", "live_view"]

PLAIN_INTERVAL_S = 2.0
_HISTORY_MAX = 64
# What writing to a stream raises that is closed, gone or full.
_BROKEN = (OSError, ValueError)


@contextmanager
def live_view(console: Console | None = None) -> Iterator[View]:
    """Show a run on a console, by default standard error.

    A terminal gets the panel; a file, a pipe, ``TERM=dumb`` and a user who sets ``NO_COLOR``
    get plain lines without a control character: one at most every `PLAIN_INTERVAL_S` and one
    whenever the phase changes.
    """
    console = console or Console(stderr=True, highlight=False)
    if not _has_panel(console):
        yield _PlainView(console)
        return
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        # Standard output may be a file that wants what is printed to it.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
        vertical_overflow="crop",
    )
    try:
        with suppress(*_BROKEN):
            live.start()
        yield _PanelView(console, live)
    finally:
        with suppress(*_BROKEN):
            live.stop()


def _has_panel(console: Console) -> bool:
    # What rich calls a terminal may be a file: FORCE_COLOR makes it one.
    is_terminal = getattr(console.file, "isatty", lambda: False)()
    return is_terminal and not console.is_dumb_terminal and not os.environ.get("NO_COLOR")


class _TerminalView(View):
    def step(self, name: str, number: int, planned: int) -> None:
        of_all = f" ({number} of {planned})" if planned else ""
        self.note(f"step {name}{of_all}")


class _PlainView(_TerminalView):
    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: str | None = None
        self._shown_s = 0.0
        self._broken = False

    def update(self, progress: Progress) -> None:
        since_s = progress.elapsed_s - self._shown_s
        if progress.phase == self._phase and 0 <= since_s < PLAIN_INTERVAL_S:
            return
        self._phase, self._shown_s = progress.phase, progress.elapsed_s
        self._write(plain_line(progress))

    def note(self, text: str) -> None:
        self._write(plain(text))

    def _write(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._console.file.write(f"{line}\n")
            self._console.file.flush()
        except _BROKEN:
            self._broken = True


class _PanelView(_TerminalView):
    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._history: deque[float] = deque(maxlen=_HISTORY_MAX)
        self._width = console.width
        self._line_widths: list[int] = []
        self._broken = False

    def update(self, progress: Progress) -> None:
        if self._broken:
            return
        self._history.append(progress.ops_per_s)
        width = self._console.width
        lines = panel_lines(progress, self._history, width)[: max(1, self._console.height - 1)]
        try:
            if width != self._width:
                self._take_back_wrapped(width)
            self._live.update(Text("\n").join(lines), refresh=True)
        except _BROKEN:
            self._broken = True
        self._width = width
        self._line_widths = [line.cell_len for line in lines]

    def note(self, text: str) -> None:
        if self._broken:
            return
        try:
            self._console.print(Text(plain(text)))
        except _BROKEN:
            self._broken = True

    def _take_back_wrapped(self, width: int) -> None:
        """Clear the rows that a narrower terminal made of the panel's lines beyond their number.

        Live goes up by as many rows as there were lines; those that the terminal wrapped take
        more.
        """
        extra = reflowed_rows(self._line_widths, width) - len(self._line_widths)
        for _ in range(max(0, extra)):
            self._console.control(
                Control((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
            )
