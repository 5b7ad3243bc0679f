"""The recorder: real simulations of Mesa, the same for the same seed, and clear refusals."""

import itertools
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.trace import ReplaySlice, load_trace

ROOT = Path(__file__).resolve().parent.parent
RECORDER = ROOT / "scripts" / "lib" / "record_trace.py"
RECORDED = ROOT / "tests" / "data" / "sugarscape.parquet"


def record(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RECORDER, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", **settings},
    )


def recorded(out: Path, model: str, *, seed: int, agents: int = 110, hash_seed: int = 0) -> Path:
    options = f"--model {model} --steps 4 --agents {agents} --seed {seed}"
    done = record(out, *shlex.split(options), PYTHONHASHSEED=str(hash_seed))
    assert done.returncode == 0, done.stderr
    return out


def leaves(value: Any) -> int:
    return sum(map(leaves, value.values())) if isinstance(value, dict) else 1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sugarscape", "wolf_sheep"])
def test_a_seed_gives_one_trace(tmp_path: Path, model: str):
    """The same seed gives the same bytes in every process, and another seed other states."""
    first = recorded(tmp_path / "1", model, seed=5, hash_seed=1).read_bytes()
    again = recorded(tmp_path / "2", model, seed=5, hash_seed=2).read_bytes()
    other = recorded(tmp_path / "3", model, seed=6)
    assert first == again
    states = pq.read_table(tmp_path / "1")["state"].to_pylist()
    assert states != pq.read_table(other)["state"].to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sugarscape", "wolf_sheep"])
def test_a_recording_is_a_trace_of_every_agent(tmp_path: Path, model: str):
    """A recording loads as a trace: each agent's steps in order, nested states, ids of its own."""
    trace = load_trace(recorded(tmp_path / "t.parquet", model, seed=5))
    part = ReplaySlice.from_bytes(trace.slice_for(range(trace.agents)))
    assert trace.agents >= 110
    assert max(part.state_count(number) for number in range(trace.agents)) == 5
    places = set()
    for number in range(trace.agents):
        ids = [state_id for state_id, _ in part.states_of(number)]
        first = int(str(ids[0]).rpartition("@")[2])
        assert ids == [f"{trace.agent_id(number)}@{first + n}" for n in range(len(ids))]
        for _, state in part.states_of(number):
            assert 8 <= leaves(state) <= 15
            places.add((state["position"]["x"], state["position"]["y"]))
    assert len(places) > 20


@pytest.mark.slow
def test_sugarscape_states_are_the_simulations_own(tmp_path: Path):
    """A trader's stock follows from its metabolism and harvest, as in the simulation's rules."""
    trace = load_trace(recorded(tmp_path / "t.parquet", "sugarscape", seed=5))
    part = ReplaySlice.from_bytes(trace.slice_for(range(trace.agents)))
    quiet = 0
    for number in range(trace.agents):
        states = [state for _, state in part.states_of(number)]
        for before, after in itertools.pairwise(states):
            assert after["metabolism"] == before["metabolism"]
            distance = sum(abs(after["position"][axis] - before["position"][axis]) for axis in "xy")
            assert distance <= after["vision"]
            if after["action"] != "trade":
                # Only the trader who proposes a trade records it, so the stock of some that
                # record none has changed hands all the same. Of most it has not: what they
                # gained is the harvest of one cell, which holds at most 4 of either good.
                harvest = {
                    good: after["stock"][good] - before["stock"][good] + after["metabolism"][good]
                    for good in ("sugar", "spice")
                }
                quiet += all(0 <= amount <= 4 for amount in harvest.values())
    assert quiet > trace.states / 2


def test_the_recorded_trace_says_how_it_was_made():
    """The command in the README of tests/data is the one that the recorded trace carries."""
    metadata = pq.read_schema(RECORDED).metadata
    command = "scripts/record_trace tests/data/sugarscape.parquet --model "
    readme = (RECORDED.parent / "README.md").read_text(encoding="utf-8")
    assert f"\n{command}{metadata[b'recorded'].decode()}\n" in readme
    assert f"Mesa {metadata[b'mesa'].decode()} " in readme


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{new}", "--steps", "0"], "--steps: must be at least 1, not 0"),
        (["{new}", "--agents", "-3"], "--agents: must be at least 1, not -3"),
        (["{new}", "--model", "ants"], "argument --model: invalid choice: 'ants'"),
        (["{new}", "--steps", "many"], "argument --steps: invalid int value"),
        (["{there}"], "exists; remove it or name another file"),
        (["{new}/in/it"], "is no folder; make it first"),
        ([], "required: OUT"),
    ],
)
def test_wrong_usage_is_refused(tmp_path: Path, arguments: list[str], words: str):
    """Wrong usage ends with exit code 2 and a sentence that names the option; nothing is made."""
    there = tmp_path / "there"
    there.write_text("kept")
    places = {"new": tmp_path / "new", "there": there}
    done = record(*(argument.format_map(places) for argument in arguments))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert there.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [there]


def test_a_missing_mesa_is_named_with_the_remedy(tmp_path: Path):
    """Without Mesa the recorder says which extra brings it, and leaves no file."""
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "mesa.py").write_text("raise ModuleNotFoundError(\"No module named 'mesa'\")")
    done = record(tmp_path / "out", PYTHONPATH=str(absent))
    assert done.returncode == 1
    assert "Mesa cannot be imported (No module named 'mesa')" in done.stderr
    assert "agent-memory-harness[dev]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_script_sets_up_the_dev_extra_and_passes_its_arguments(tmp_path: Path):
    """scripts/record_trace runs the recorder in the environment with the dev extra."""
    scripts = tmp_path / "scripts"
    (scripts / "lib").mkdir(parents=True)
    script = shutil.copy(ROOT / "scripts" / "record_trace", scripts)
    (scripts / "lib" / "env.sh").write_text(
        f"root='{tmp_path}'; venv='{tmp_path}'; ensure_env() {{ echo \"extra $*\"; }}\n"
    )
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    done = subprocess.run(
        [script, "out file", "--seed", "1"], check=False, capture_output=True, text=True, timeout=10
    )
    assert done.stdout.splitlines() == [
        "extra dev",
        f"{tmp_path}/scripts/lib/record_trace.py",
        "out file",
        "--seed",
        "1",
    ]
