"""``harness run``: agents drive a store as a plan says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.concluding import conclude, discard
from harness.commands.judging import Judge
from harness.commands.measuring import stop_on_signals
from harness.commands.options import (
    BACKUP_OPTIONS,
    FAULT_OPTIONS,
    OUTPUT_OPTIONS,
    PLAN_OPTIONS,
    THRESHOLD_OPTIONS,
    plan_of,
    with_options,
)
from harness.commands.watching import watched
from harness.errors import HarnessError, UsageError
from harness.plan import RunPlan

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.runner import Outcome

__all__ = ["run"]


@click.command()
@with_options(PLAN_OPTIONS)
@with_options(FAULT_OPTIONS)
@with_options(BACKUP_OPTIONS)
@with_options(THRESHOLD_OPTIONS)
@with_options(OUTPUT_OPTIONS)
def run(
    plan_file: Path | None,
    out: Path | None,
    as_json: bool,
    thresholds: tuple[str, ...],
    junit: Path | None,
    **options: Any,
) -> int:
    """Let concurrent agents drive a store, and say how that went."""
    judge = Judge.asked(thresholds, junit)
    plan = plan_of(plan_file, options)
    judge.check(recorded=plan.record)
    return _measure(plan, judge, out, as_json)


def _measure(plan: RunPlan, judge: Judge, out: Path | None, as_json: bool) -> int:
    from harness.live.terminal import live_view
    from harness.live.view import Views
    from harness.ray_session import set_environment
    from harness.report.terminal import render_summary
    from harness.rundir import RunDirectory, check_out
    from harness.rundir_reader import open_run

    set_environment(plan.address)  # Ray reads it when it is imported
    from harness.runner import StopRequest, prepare
    from harness.runner import run as carry_out

    if out is not None:
        check_out(out)
    out_existed = out is not None and out.exists()
    prepared = prepare(plan)
    directory = RunDirectory.create(out, "run")
    stop = StopRequest()

    def render(outcome: Outcome) -> Iterator[RenderableType]:
        yield render_summary(outcome.summary, open_run(directory.path).run)

    try:
        with watched("run", directory.path) as watching:
            with stop_on_signals(stop), live_view() as terminal:
                outcome = carry_out(prepared, directory, Views([terminal, watching]), stop)
            code = conclude(directory, outcome, judge, watching, render, as_json=as_json)
    except UsageError:  # nothing was measured: leave things as they were
        discard(directory.path, existed=out_existed)
        raise
    except (HarnessError, KeyboardInterrupt) as error:
        judge.tell_failure(directory.path, str(error) or "The run was interrupted.")
        if not as_json:
            click.echo(directory.path)
        raise
    return code
