"""What watching costs a run: five live pages and a Prometheus, against the same run unwatched.

Within a repeat the two take turns, plain, watched, watched, plain. The watchers are a process of
their own (`bench.watching_clients`), started before the run. What they use of the machine is not
the harness's: in earnest they are browsers and a Prometheus on other machines, and here they take
cores from a run that uses all of them. So the process says what CPU it used while the run was
measured, and the throughput is told as it is, and with that share of the machine given back:

    given back = watched / plain / (1 - CPU of the watchers / (cores * time))

What the kernel does to send is in the harness's share, what it does to receive in theirs. Where the
run leaves cores idle, the share of a machine is more than what the watchers took from it; with more
cores it goes towards nothing.

Throughput of two runs differs by more than watching costs, unless nothing else uses the machine.
What the driver's process, which serves the watchers, uses beside the plain run's is told as well:
a run that uses all cores can lose no more than that share of them.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path
from statistics import mean

from bench.child import answer_of, start_child
from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, number
from bench.harness_runs import run_harness
from bench.sizes import Sizes

__all__ = ["PAGES", "watching", "watching_specs"]

PAGES = 5
_WARMUP_S = 2
_START_AND_END_S = 120.0
_TURNS = ("plain", "watched", "watched", "plain")
_LEAST_SCRAPES = 0.5  # a second


def watching(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Throughput of both, their ratios, and what the watchers and the driver's process used.

    Raises:
        MeasurementError: a run failed, or the watchers saw less of it than there is to be seen.
    """
    found: dict[str, list[dict[str, float]]] = {"plain": [], "watched": []}
    arguments = ["--agents", f"{sizes.agents}", "--duration", f"{sizes.watching_s}"]
    arguments += ["--warmup", f"{_WARMUP_S}"]
    for kind in _TURNS:
        one = _watched(sizes, arguments, folder) if kind == "watched" else {}
        found[kind].append(one or dict(run_harness(arguments, folder).measured))
    plain, watched = (mean(one["throughput_ops_s"] for one in found[kind]) for kind in found)
    cores = os.cpu_count() or 1
    taken = mean(one["clients_cores"] for one in found["watched"])
    driver = {kind: mean(map(_driver_cores, runs)) for kind, runs in found.items()}
    return {
        "plain_ops_s": plain,
        "watched_ops_s": watched,
        "ratio": watched / plain,
        "ratio_given_back": watched / plain / (1 - taken / cores),
        "clients_cpu_percent": 100 * taken,
        "driver_added_cpu_percent": 100 * (driver["watched"] - driver["plain"]) / cores,
        "messages_a_page": mean(one["messages_min"] for one in found["watched"]),
        "scrapes": mean(one["scrapes"] for one in found["watched"]),
        "samples": mean(one["samples_max"] for one in found["watched"]),
    }


def _driver_cores(run: dict[str, float]) -> float:
    """What the driver's process used, in cores."""
    return run.get("cpu_us_driver", 0.0) * run["throughput_ops_s"] / 1e6


def _watched(sizes: Sizes, arguments: list[str], folder: Path) -> dict[str, float]:
    """The numbers of a run that is watched, and of its watchers."""
    web, metrics = _free_ports()
    clients = start_child(
        "watching_clients.watch",
        page=f"http://127.0.0.1:{web}/",
        metrics=f"http://127.0.0.1:{metrics}/metrics",
        pages=PAGES,
        bound_s=sizes.watching_s + _START_AND_END_S,
    )
    try:
        options = ["--web-port", f"{web}", "--metrics-port", f"{metrics}"]
        measured = run_harness([*arguments, *options], folder).measured
        seen = answer_of(clients, "watching_clients.watch", _START_AND_END_S)
    finally:
        clients.kill()
        clients.communicate()
    _check(seen, sizes.watching_s)
    return {**measured, **seen, "clients_cores": seen["cpu_s"] / seen["lasted_s"]}


def _check(seen: dict[str, float], measured_s: int) -> None:
    """A run that was not really watched says nothing. Raises MeasurementError."""
    if seen["points_min"] < measured_s / 2 or seen["reports"] < PAGES:
        raise MeasurementError(
            f"a page had {seen['points_min']:.0f} points of a run of {measured_s} s, and "
            f"{seen['reports']:.0f} of {PAGES} pages the report"
        )
    if seen["scrapes"] < _LEAST_SCRAPES * measured_s:
        raise MeasurementError(
            f"only {seen['scrapes']:.0f} scrapes in {measured_s} s were answered"
        )


def _free_ports() -> tuple[int, int]:
    """Two ports that were free a moment ago."""
    with closing(socket.socket()) as first, closing(socket.socket()) as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def watching_specs(sizes: Sizes) -> list[FigureSpec]:
    """The lines of the table."""
    what = f"{PAGES} live pages, metrics scraped every second; {sizes.agents:,} agents"
    lines = (
        (f"{what}: throughput against a plain run", "ratio", "ratio_given_back", Goal(least=0.98)),
        ("the same, with what the watchers take of this machine", "ratio", "ratio", None),
        ("CPU of the watchers", "% of a core", "clients_cpu_percent", None),
        (
            "CPU of the driver that serves them",
            "% of the machine",
            "driver_added_cpu_percent",
            None,
        ),
        ("plain", "operations/s", "plain_ops_s", None),
    )
    return [
        FigureSpec(
            row="watching", title=title, unit=unit, value=number("watching", name), goal=goal
        )
        for title, unit, name, goal in lines
    ]
