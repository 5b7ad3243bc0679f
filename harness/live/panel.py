"""A snapshot of a run laid out: as a panel of a few lines, and as one plain line.

Pure: from a `Progress` and a width to text. Lines of the panel are never longer than the width
and have no border, so that a terminal that becomes narrower has little to wrap.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from harness.live.progress import Progress
from harness.report import figures
from harness.schema import ROLES

__all__ = ["PANEL_WIDTH_MAX", "panel_lines", "plain_line", "reflowed_rows", "sparkline"]

PANEL_WIDTH_MAX = 79
_LABEL_WIDTH = 12
_BARS = "▁▂▃▄▅▆▇█"
_ROLE_ORDER = ("cohort", "shard", "raylet", "driver", "sampler", "gcs", "control")
_ROLE_WIDTH = 9


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the latest values as bars from zero to the largest of them.

    Args:
        values: of at least 0, oldest first.
        width: the most bars.
    """
    shown = list(values)[-width:] if width > 0 else []
    largest = max(shown, default=0.0)
    if largest <= 0:
        return _BARS[0] * len(shown)
    top = len(_BARS) - 1
    return "".join(_BARS[min(top, max(0, round(value / largest * top)))] for value in shown)


def panel_lines(now: Progress, history: Sequence[float], width: int) -> list[Text]:
    """Lay out a snapshot.

    Args:
        now: the snapshot.
        history: operations a second of the snapshots up to now, oldest first.
        width: of the terminal, in cells.
    """
    room = min(width - 1, PANEL_WIDTH_MAX)
    lines = [
        _title(now, room),
        _agents(now, room),
        _operations(now, history, room),
        _response(now, room),
        *_roles(now, room),
    ]
    for line in lines:
        line.truncate(room, overflow="ellipsis")
        line.rstrip()
    return lines


def plain_line(now: Progress) -> str:
    """Put a snapshot in one line without control characters or colour."""
    parts = [
        f"{figures.span(now.elapsed_s):>8}  {figures.plain(now.phase)}",
        f"agents {_of(now.agents_done, now.agents_total)}",
        f"operations {_of(now.operations_done, now.operations_total)}",
        f"{figures.rate(now.ops_per_s)}/s",
        f"p50 {figures.time(now.p50_ms)}, p99 {figures.time(now.p99_ms)}",
        f"failures {figures.count(now.failures)}",
    ]
    cpu = [
        f"{role} {figures.percent(now.cpu_percent_by_role[role])}"
        for role in _known_roles(now)[:2]
        if role in now.cpu_percent_by_role
    ]
    if now.node_cpu_percent is not None:
        cpu.append(f"machine {figures.percent(now.node_cpu_percent)}")
    if cpu:
        parts.append(f"CPU {' '.join(cpu)}")
    if now.eta_s is not None:
        parts.append(f"{figures.span(now.eta_s)} left")
    return "  ".join(parts)


def _of(done: int, total: int | None) -> str:
    return figures.count(done) if total is None else f"{figures.count(done)}/{figures.count(total)}"


def _label(text: str) -> Text:
    return Text(f" {text}".ljust(_LABEL_WIDTH), "dim")


def _title(now: Progress, room: int) -> Text:
    line = Text(f" {figures.plain(now.phase)}".ljust(_LABEL_WIDTH), "bold cyan")
    line.append(figures.span(now.elapsed_s), "bold")
    if now.eta_s is not None:
        left = f"about {figures.span(now.eta_s)} left"
        line.append(left.rjust(max(len(left) + 2, room - line.cell_len)))
    return line


def _agents(now: Progress, room: int) -> Text:
    at_work = max(0, now.agents_started - now.agents_done)
    words = f"  {figures.count(now.agents_done)} of {figures.count(now.agents_total)} done"
    if at_work:
        words += f", {figures.count(at_work)} at work"
    line = _label("agents")
    bar = max(6, min(44, room - _LABEL_WIDTH - len(words)))
    done = round(bar * min(1.0, now.agents_done / now.agents_total)) if now.agents_total else 0
    begun = round(bar * min(1.0, now.agents_started / now.agents_total)) if now.agents_total else 0
    line.append("━" * done, "green")
    line.append("━" * max(0, begun - done), "cyan")
    line.append("─" * (bar - max(begun, done)), "dim")
    line.append(words)
    return line


def _operations(now: Progress, history: Sequence[float], room: int) -> Text:
    line = _label("operations")
    line.append(f"{figures.rate(now.ops_per_s)}/s", "bold")
    total = now.operations_total
    done = figures.count(now.operations_done)
    words = f"  {done} done" if total is None else f"  {done} of {figures.count(total)}"
    bars = min(40, room - line.cell_len - len(words) - 2)
    if bars >= 8 and history:
        line.append(f"  {sparkline(history, bars)}", "cyan")
    line.append(words)
    return line


def _response(now: Progress, room: int) -> Text:
    failed = (f"  {figures.count(now.failures)} failed", "bold red")
    parts = [
        (f"p50 {figures.time(now.p50_ms)}", ""),
        (f"  p99 {figures.time(now.p99_ms)}", "bold"),
        failed if now.failures else ("  none failed", "green"),
        (f"  {figures.count(now.in_flight)} in flight", ""),
        (f"  {figures.count(now.retries)} retries", "dark_orange3") if now.retries else ("", ""),
    ]
    line = _label("response")
    for words, style in parts:
        if line.cell_len + len(words) <= room:
            line.append(words, style or None)
    return line


def _known_roles(now: Progress) -> list[str]:
    known = {*now.cpu_percent_by_role, *now.rss_bytes_by_role}
    order = [role for role in _ROLE_ORDER if role in known]
    return order + [role for role in ROLES if role in known and role not in order]


def _roles(now: Progress, room: int) -> list[Text]:
    """Three lines: roles, the CPU of each, the memory of each; as many roles as there is room."""
    machine = now.node_cpu_percent is not None
    places = max(0, (room - _LABEL_WIDTH) // _ROLE_WIDTH - machine)
    roles = _known_roles(now)[:places]
    if not roles and not machine:
        return []
    heads, cpu, memory = _label(""), _label("CPU"), _label("memory")
    for role in roles:
        heads.append(role.rjust(_ROLE_WIDTH), "dim")
        cpu.append(figures.percent(now.cpu_percent_by_role.get(role)).rjust(_ROLE_WIDTH))
        memory.append(figures.size(now.rss_bytes_by_role.get(role)).rjust(_ROLE_WIDTH))
    if machine:
        heads.append("machine".rjust(_ROLE_WIDTH), "dim")
        cpu.append(figures.percent(now.node_cpu_percent).rjust(_ROLE_WIDTH), "bold")
    return [heads, cpu, memory]


def reflowed_rows(widths: Sequence[int], width: int) -> int:
    """How many rows lines of some widths take in a terminal of another width."""
    return sum(max(1, -(-one // max(width, 1))) for one in widths)
