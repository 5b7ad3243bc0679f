"""``harness capacity``: what it refuses, what it leaves, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.benchmarks import bench
from harness.ray_session import RaySession
from tests.harness.driving import COMMAND, environment, poll, short_folder
from tests.shared_ray import command_here

SLO = ["--slo", "p99_ms<50"]
SMALL = ["--target", "noop", "--shards", "1", "--warmup", "0.1", "--step-duration", "0.5"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "Missing option '--slo'"),
        (["--slo", "p98_ms<50"], "--slo: 'p98_ms': a summary has no such figure"),
        (["--slo", "p99_ms"], "--slo: 'p99_ms' compares nothing"),
        ([*SLO, "--slo", "p99_ms<5%"], "--slo: a per cent sign means nothing for all.p99_ms"),
        ([*SLO, "--search", "memory"], "--search: 'memory'"),
        ([*SLO, "--max", "0"], "--max: must be from 1 to 1,000,000,000, not 0"),
        ([*SLO, "--max", "nan"], "--max: must be from 1"),
        ([*SLO, "--max", "10.5"], "--max: must be a whole number of agents, not 10.5"),
        ([*SLO, "--start", "20", "--max", "10"], "--start: is 20, above the --max of 10"),
        ([*SLO, "--max", "10000000", "--agents-per-task", "1"], "--agents-per-task: makes"),
        ([*SLO, "--tolerance", "little"], "--tolerance: 'little' is none; give 10% or 0.1"),
        ([*SLO, "--tolerance", "0"], "--tolerance: must be above 0 and at most 100%"),
        ([*SLO, "--repeats", "0"], "--repeats: "),
        ([*SLO, "--max-trials", "0"], "--max-trials: "),
        ([*SLO, "--step-duration", "0"], "--step-duration: must be above 0"),
        ([*SLO, "--duration", "5"], "No such option '--duration'"),
        ([*SLO, "--rounds", "5"], "No such option '--rounds'"),
        ([*SLO, "--agents", "5"], "--agents: is what is searched for; give --start and --max"),
        ([*SLO, "--search", "rate", "--rate", "5"], "--rate: is what is searched for"),
        ([*SLO, "--search", "rate", "--think-time", "1"], "--think-time: contradicts --rate"),
        ([*SLO, "--arrival", "poisson"], "--arrival: is of the open loop; give --rate too"),
        (
            [*SLO, "--search", "rate", "--arrival", "poisson", "--target", "nowhere"],
            "--target: 'nowhere' is unknown",
        ),
        ([*SLO, "--plan", "plan.toml"], "--plan: has record off, which leaves nothing"),
        ([*SLO, "--target", "nowhere"], "--target: 'nowhere' is unknown"),
    ],
)
def test_it_refuses_what_makes_no_search(monkeypatch, capsys, tmp_path: Path, arguments, part):
    """Exit code 2 and one line, before anything starts; nothing is left behind."""

    def started(address: str) -> None:
        raise AssertionError(f"Ray was started or joined ({address})")

    monkeypatch.setattr(bench, "ray_session", started)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "plan.toml").write_text("record = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "capacity", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2, said
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert part in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


@pytest.mark.slow
@pytest.mark.cluster
def test_a_search_leaves_a_bench_directory_with_a_run_for_each_step(ray_here: RaySession):
    """End to end, up to a maximum that the no-op target carries."""
    with short_folder() as folder:
        out = folder / "out"
        options = ["--slo", "p50_ms<10_000", "--start", "1", "--max", "2", "--repeats", "1"]
        done = command_here("capacity", *options, *SMALL, "--out", out, temp=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(out)
        assert "is kept up to 2 agents, the most that was tried" in " ".join(done.stdout.split())
        run = json.loads((out / "run.json").read_text())
        assert (run["command"], run["status"]) == ("capacity", "complete")
        summary = json.loads((out / "summary.json").read_text())
        found = summary["capacity"]
        assert (found["ended"], found["low"], found["low_trials"]) == ("max", 2, 1)
        steps = [step["path"] for step in run["steps"]]
        assert steps[0] == "steps/agents-1-1"
        assert all((out / step / "summary.json").is_file() for step in steps)


@pytest.mark.slow
@pytest.mark.cluster
def test_an_objective_that_nothing_keeps_exits_with_3(ray_here: RaySession):
    """As a threshold that is breached: the open loop's least rate breaks it."""
    with short_folder() as folder:
        options = [
            "--slo",
            "throughput_ops_s>1e9",
            "--search",
            "rate",
            "--start",
            "1",
            "--max-trials",
            "2",
        ]
        done = command_here("capacity", *options, *SMALL, "--agents", "2", "--json", temp=folder)
        assert done.returncode == 3, done.stderr
        assert json.loads(done.stdout)["capacity"]["ended"] == "never"


@pytest.mark.slow
@pytest.mark.cluster
def test_an_interrupted_search_sums_up_what_it_knows():
    """Ctrl-C after the first trial: exit code 130, a summary, and the directory's name."""
    with short_folder() as folder:
        out = folder / "out"
        options = ["--slo", "p50_ms<10_000", "--start", "1", "--out", out, *SMALL]
        process = subprocess.Popen(
            [COMMAND, "capacity", *map(str, options)],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

        def has_a_trial() -> bool:
            assert process.poll() is None
            run = out / "run.json"
            return run.is_file() and bool(json.loads(run.read_text()).get("trials"))

        try:
            poll(has_a_trial, "a trial came to its end")
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 130
        assert stdout.splitlines()[-1] == str(out)
        summary = json.loads((out / "summary.json").read_text())
        assert summary["capacity"]["low"] >= 1
        assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
