"""`harness bench agents` from beginning to end, at a small size."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.agent_scaling import summarise_agents
from harness.benchmarks.bench_directory import open_bench
from harness.ray_session import RaySession
from tests.conftest import Outcome
from tests.harness.driving import COMMAND, environment, poll, short_folder
from tests.shared_ray import command_here

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SMALL = (
    *("bench", "agents", "--counts", "3,1", "--repeats", "1"),
    *("--step-duration", "0.3", "--shards", "1"),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def test_our_store_and_threads_beside_it(folder: Path, ray_here: RaySession):
    """Two counts and their baseline: rows, durations in order, what limited each, and no store."""
    out = folder / "out"
    asked = ("--baseline", "threads", "--seed", "5", "--out", out)
    done = command_here(*SMALL, *asked, temp=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    assert "of ideal" in done.stdout
    found = open_bench(out)
    assert found.run["status"] == "complete"
    assert found.run["bench"]["counts"] == [1, 3]
    assert found.step_names() == ["agents-1-1", "threads-1-1", "agents-3-1", "threads-3-1"]
    summary = found.summary
    assert summary is not None
    for kind in ("counts", "threads"):
        for count in (1, 3):
            _look_at(summary[kind][str(count)], count)
    assert {one["agents"] for one in summary["scaling"]["points"]} == {1, 3}
    assert {one["verdict"] for one in summary["verdicts"]} == {"ok", "warning"}
    rows = [found.step(name).operations(["agent", "op"]) for name in found.step_names()]
    assert all(table.num_rows % 18 == 0 for table in rows)
    assert not list(out.glob("steps/*/data"))
    # what the command wrote follows from the files alone
    assert json.loads(json.dumps(summarise_agents(out))) == summary


def _look_at(figures: dict[str, Any], agents: int) -> None:
    order = [
        figures[f"{name}_duration_seconds"]
        for name in ("min_agent", "avg_agent", "max_agent", "total")
    ]
    assert order == sorted(order)
    assert order[0] > 0
    assert figures["throughput_agents_per_second"] == pytest.approx(agents / order[-1])
    assert figures["operations_per_second"] > 0
    assert figures["all"]["count"] >= agents * 18
    assert figures["limit"]["sentence"].endswith(".")
    assert figures["max_memory_bytes"] >= figures["avg_memory_bytes"] > 2**20
    assert figures["repeats"][0]["status"] == "complete"
    assert figures["repeats"][0]["rounds"] >= 1


def test_an_interrupt_sums_up_what_was_done(folder: Path):
    """The first Ctrl-C ends the step that goes on; exit code 130, and the rest is in the files."""
    out = folder / "out"
    arguments = [*SMALL, "--target", "noop", "--repeats", "50", "--out", out]
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        poll(lambda: list(out.glob("steps/agents-3-1/summary.json")), "a second step")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, (folder / "stderr").read_text()
    assert stdout.splitlines()[-1] == str(out)
    summary = json.loads((out / "summary.json").read_text())
    assert {"1", "3"} <= set(summary["counts"])
    assert summary["verdicts"][0]["verdict"] == "warning"
    assert "interrupted" in summary["verdicts"][0]["sentence"]
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--counts 1,x", "--counts: 'x' is no number of agents"),
        ("--counts 1,100000 --agents-per-task 1", "--agents-per-task: makes 100,000 tasks"),
        ("--repeats 0", "--repeats: must be from 1"),
        ("--target none", "--target: 'none' is unknown"),
        ("--target noop --baseline threads", "--baseline: is of our own store"),
        ("--baseline threads --counts 5000", "--counts: makes 5,000 threads"),
        ("--threshold counts.2.all.p50_ms<5", "--threshold: 'counts.2.all.p50_ms'"),
        ("--threshold threads.1.all.p50_ms<5", "--threshold: 'threads.1.all.p50_ms'"),
        ("--step-duration nan", "--step-duration: must be"),
    ],
)
def test_wrong_usage_is_one_sentence_and_makes_nothing(
    harness_here: Callable[..., Outcome], tmp_path: Path, arguments: str, words: str
):
    """It exits with 2 before anything starts, and leaves no directory."""
    out = tmp_path / "out"
    code, _, err = harness_here(*SMALL, "--out", out, *arguments.split())
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert not out.exists()
