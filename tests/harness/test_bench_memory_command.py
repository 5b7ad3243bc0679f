"""``harness bench memory``: what it is told, and what it refuses before anything starts."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.benchmarks.bench_directory import BenchDirectory
from harness.benchmarks.memory_settings import MAX_VOLUME, MemorySettings
from harness.commands.bench_memory import memory, parse_volumes
from harness.errors import UsageError
from harness.plan import RunPlan


def refused(*arguments: object) -> str:
    with pytest.raises(UsageError) as caught:
        memory.main([str(one) for one in arguments], standalone_mode=False)
    return str(caught.value)


def begun(path: Path, **plan: Any) -> Path:
    """A benchmark that was killed after its first volume."""
    directory = BenchDirectory.create(path, "bench-memory")
    whole = RunPlan(**{"agents": 1, "address": "local", **plan})
    settings = MemorySettings(volumes=(100, 1_000))
    directory.describe(plan=whole.as_dict(), bench=settings.as_dict())
    step = directory.step("volume-100")
    step.write_summary({})
    step.update_status("complete")
    return path


def test_volumes_are_numbers_in_any_order():
    """They are measured from the smallest on."""
    assert parse_volumes("1000, 1e6,10_000") == (1_000, 1_000_000, 10_000)
    assert MemorySettings(volumes=(1_000, 10)).volumes == (10, 1_000)


@pytest.mark.parametrize("text", ["1000,1000", "10,1000,1e3", "1_000,1000"])
def test_a_volume_that_comes_twice_is_refused(text: str):
    """It is named, however it is written."""
    assert refused("--volumes", text) == "--volumes: names 1000 twice; name each volume once"


@pytest.mark.parametrize("text", ["", "x", "1000,", "1.5", "inf", "nan", "1;2"])
def test_what_is_no_volume_is_refused(text: str):
    """The option is named, and what was given."""
    assert refused("--volumes", text).startswith("--volumes: ")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--volumes", 0),
        ("--volumes", MAX_VOLUME + 1),
        ("--probes", 0),
        ("--searches", -1),
        ("--k", 0),
        ("--target", "threads"),
        ("--target", "no.such.module:Target"),
        ("--agents", 2_000),
        ("--agents", 0),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, option: str, value: object):
    """The option is named, and no directory is left."""
    out = tmp_path / "out"
    assert refused(option, value, "--out", out, "--address", "local").startswith(f"{option}: ")
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value", "was"),
    [
        ("--volumes", "100,2000", "[100, 1000]"),
        ("--probes", "5", "10000"),
        ("--seed", "2", "1"),
        ("--durability", "os", "fsync"),
    ],
)
def test_what_contradicts_the_beginning_is_refused(
    tmp_path: Path, option: str, value: str, was: str
):
    """A benchmark goes on as it was begun; what it has is not touched."""
    out = begun(tmp_path / "b")
    said = refused("--out", out, option, value, "--address", "local")
    assert said.startswith(f"{option}: was {was} when ")
    assert (out / "steps/volume-100/summary.json").is_file()


def test_a_threshold_is_of_a_volume_that_is_measured(tmp_path: Path):
    """Another's is refused before anything starts."""
    asked = ("--volumes", "100", "--out", tmp_path / "out", "--address", "local")
    said = refused("--threshold", "volumes.1000.search_latency_ms.p99<5", *asked)
    assert said.startswith("--threshold: ")
    assert not (tmp_path / "out").exists()


def test_a_target_that_a_file_names_is_not_loaded(tmp_path: Path):
    """A directory may come from anywhere: its target's place is loaded if it is named again."""
    out = begun(tmp_path / "b", target="antigravity:fly")
    assert refused("--out", out).startswith("--target: was antigravity:fly")


def test_a_directory_that_is_complete_or_of_something_else_is_refused(tmp_path: Path):
    """Each is named as what it is."""
    out = begun(tmp_path / "b")
    document = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**document, "status": "complete"}))
    assert "is complete" in refused("--out", out)
    (out / "run.json").write_text(json.dumps({**document, "command": "bench-agents"}))
    assert "is of bench-agents" in refused("--out", out)
    (out / "run.json").write_text("{")
    assert "not a JSON document" in refused("--out", out)


def test_two_commands_do_not_go_on_in_one_directory(tmp_path: Path):
    """The second is refused while the first is at work, and touches nothing."""
    out = begun(tmp_path / "b")
    BenchDirectory.reopen(out, "bench-memory").step("volume-1000")
    with (out / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another command is at work" in refused("--out", out)
    assert (out / "steps/volume-1000").is_dir()


def test_what_is_asked_first_does_not_load_ray():
    """Ray reads the environment when it is imported, which is set by the plan that is asked for."""
    words = "import sys, harness.benchmarks.memory_settings; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True, timeout=100)
