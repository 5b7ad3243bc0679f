"""Checking the conformance of targets that are compared, before their steps.

A target that works without Ray is checked in a process of its own: its library is loaded there,
and may crash there. One whose store is actors is checked on the Ray that the steps share.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from harness.benchmarks.bench import Bench
from harness.conformance import check_target
from harness.errors import HarnessError
from harness.plan import RunPlan
from harness.targets import load_target

__all__ = ["check_targets"]

CHECK_S = 300.0
_POLL_S = 0.1
_END_S = 30.0
_COMMAND = "import sys; from harness.cli import main; sys.exit(main())"


def check_targets(bench: Bench, targets: Sequence[str], plan: RunPlan) -> None:
    """Check targets, and write what was found into ``conformance`` of ``run.json``, by target.

    One that could not be checked has a ``problem`` there, and no points.

    Args:
        bench: under way.
        targets: as they are named.
        plan: says the durability, the dimension and the seed.

    Raises:
        BenchInterrupted: the end was asked for.
    """
    found: dict[str, Any] = {}
    for target in targets:
        bench.check_stop()
        bench.view.note(f"check {target}")
        driven = load_target(target)
        try:
            if getattr(driven, "has_shards", not driven.in_process):
                found[target] = _on_ray(bench, target, plan)
            else:
                found[target] = _in_process(bench, target, plan)
        except (HarnessError, ValueError, OSError) as error:
            found[target] = {"problem": f"It could not be checked: {error}", "points": []}
        bench.directory.describe(conformance=found)


def _on_ray(bench: Bench, target: str, plan: RunPlan) -> dict[str, Any]:
    checked = check_target(
        target,
        durability=plan.durability,
        dimension=plan.dimension,
        seed=plan.seed,
        session=bench.session,
    )
    return checked.as_dict()


def _in_process(bench: Bench, target: str, plan: RunPlan) -> dict[str, Any]:
    """What `harness targets check` says in a process of its own, which ends with this one.

    Raises:
        ValueError: it said nothing that can be read.
    """
    options = {"--durability": plan.durability, "--dimension": plan.dimension, "--seed": plan.seed}
    words = [str(part) for pair in options.items() for part in pair]
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "targets", "check", target, *words, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, problem = _ended(bench, process)
    finally:
        if process.poll() is None:
            _end(process)
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        lines = [line for line in problem.splitlines() if line.strip()]
        ended = f"it ended with {process.returncode}"
        told = lines[-1].strip().removeprefix("harness: ") if lines else ended
        raise ValueError(told) from None
    return found


def _ended(bench: Bench, process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a check has said on standard output and on standard error, once it has ended."""
    until_s = time.monotonic() + CHECK_S
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_POLL_S)
        bench.check_stop()
        if time.monotonic() > until_s:
            raise ValueError(f"it took longer than {CHECK_S:g} s")


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end as on Ctrl-C, which takes with it what it started."""
    process.terminate()
    try:
        process.communicate(timeout=_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
