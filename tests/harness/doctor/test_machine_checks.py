"""What the doctor says of a machine, of a container on it, and of its clock."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from harness.doctor import clock, machine
from harness.doctor.clock import check_clock, clock_sources, read_cost_ns
from harness.doctor.machine import (
    check_cores,
    check_disk,
    check_memory,
    check_open_files,
    check_shared_memory,
    cpu_quota,
    memory_left_bytes,
    needed_memory_bytes,
)

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    """Sets how much is free on every file system, and of which type each is."""

    def give(free_bytes: float, kind: str = "ext4") -> None:
        usage = Usage(0, 0, int(free_bytes))
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
        monkeypatch.setattr(machine, "filesystem_type", lambda _: kind)

    return give


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("arguments", "verdict", "part"),
    [
        ((8, 8, None, 0.5), "ok", "8 cores, load 0.5"),
        ((8, 8, None, None), "ok", "8 cores."),
        ((8, 8, 8.0, 0.0), "ok", "8 cores"),
        ((8, 2, None, 0.0), "warning", "of which this process may use 2"),
        ((8, 8, 1.5, 0.0), "warning", "of which this process may use 1.5"),
        ((1, 1, None, 0.0), "warning", "1 core: agents and store take turns"),
        ((2, 2, None, 1.4), "warning", "1.4 processes wanted to run"),
    ],
)
def test_cores_are_those_that_a_run_really_has(arguments, verdict, part):
    """Affinity, the container's quota and other work take from the machine's cores."""
    found = check_cores(*arguments)
    assert found.verdict == verdict
    assert part in found.sentence
    assert (found.remedy is None) == (verdict == "ok")


@pytest.mark.parametrize(
    ("soft", "hard", "verdict", "remedy"),
    [
        (20_000, 20_000, "ok", None),
        (float("inf"), float("inf"), "ok", None),
        (1024, 524_288, "warning", "ulimit -n 65536"),
        (1024, 1024, "warning", "raise the hard limit"),
        (256, 10_240, "failed", "ulimit -n 65536"),
    ],
)
def test_a_low_limit_on_open_files_has_a_remedy(soft, hard, verdict, remedy):
    """What the user may raise alone is told apart from what takes an administrator."""
    found = check_open_files(soft, hard)
    assert found.verdict == verdict
    assert (found.remedy or "").startswith(remedy or "")


def test_memory_is_enough_when_a_default_run_fits_twice():
    """What a run's processes need grows with the cores, for there is a shard on each."""
    needed = needed_memory_bytes(2)
    assert needed_memory_bytes(8) > needed
    verdicts = [check_memory(needed * times, 2).verdict for times in (0.9, 1.1, 2.1)]
    assert verdicts == ["failed", "warning", "ok"]


@pytest.mark.parametrize(
    ("free_bytes", "kind", "verdict"),
    [
        (50 * GIB, "ext4", "ok"),
        (2 * GIB, "ext4", "warning"),
        (GIB / 10, "ext4", "failed"),
        (50 * GIB, "tmpfs", "warning"),
    ],
)
def test_the_disk_is_the_one_that_runs_go_to(free, tmp_path, free_bytes, kind, verdict):
    """A folder that is not there yet counts as the nearest one above it."""
    free(free_bytes, kind)
    found = check_disk(tmp_path / "not" / "there")
    assert found.verdict == verdict
    assert str(tmp_path) in found.sentence


def test_a_place_that_is_no_folder_fails(tmp_path):
    """Runs could not be written there at all."""
    (tmp_path / "file").touch()
    assert check_disk(tmp_path / "file" / "runs").verdict == "failed"


def test_a_disk_of_an_unknown_kind_is_measured_all_the_same(free, monkeypatch, tmp_path):
    """Without /proc nobody knows what is mounted where."""
    free(50 * GIB)

    def unknown(_: Path) -> str:
        raise FileNotFoundError("/proc/self/mounts")

    monkeypatch.setattr(machine, "filesystem_type", unknown)
    assert check_disk(tmp_path).verdict == "ok"


def test_little_shared_memory_is_warned_of(free, tmp_path):
    """A container has 64 MiB of it unless it is told otherwise."""
    free(64 * 2**20)
    found = check_shared_memory(tmp_path)
    assert found.verdict == "warning"
    assert "--shm-size" in (found.remedy or "")
    free(GIB)
    assert check_shared_memory(tmp_path).verdict == "ok"


def test_missing_shared_memory_is_warned_of(tmp_path):
    """It is no traceback."""
    assert check_shared_memory(tmp_path / "none").verdict == "warning"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": ""}, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
    ],
)
def test_a_containers_cores_are_read_of_both_kinds_of_control_groups(tmp_path, files, cores):
    """No file, no quota; nonsense is no quota either."""
    for name, text in files.items():
        write(tmp_path, f"sys/fs/cgroup/{name}", text)
    assert cpu_quota(tmp_path) == cores


def test_a_containers_memory_bounds_the_machines(monkeypatch, tmp_path):
    """What is left within the bound counts, unless the machine itself has less."""
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 8 * GIB)
    assert memory_left_bytes(tmp_path) == 8 * GIB
    write(tmp_path, "sys/fs/cgroup/memory.max", "max")
    write(tmp_path, "sys/fs/cgroup/memory.current", str(GIB))
    assert memory_left_bytes(tmp_path) == 8 * GIB
    write(tmp_path, "sys/fs/cgroup/memory.max", str(3 * GIB))
    assert memory_left_bytes(tmp_path) == 2 * GIB
    write(tmp_path, "sys/fs/cgroup/memory.max", str(2**63 - 4096))
    assert memory_left_bytes(tmp_path) == 8 * GIB


def test_a_clock_that_is_dear_to_read_is_warned_of():
    """With the command that chooses a better one, where there is one."""
    assert check_clock("tsc", ["tsc"], 60.0).verdict == "ok"
    assert check_clock(None, [], 60.0).verdict == "ok"
    dear = check_clock("hpet", ["hpet", "tsc"], 1500.0)
    assert dear.verdict == "warning"
    assert (dear.remedy or "").startswith("echo tsc > ")
    assert "another machine" in (check_clock("hpet", ["hpet"], 1500.0).remedy or "")


def test_the_clock_source_is_the_kernels(tmp_path):
    """Where the system does not say, nothing is known, and nothing breaks."""
    assert clock_sources(tmp_path) == (None, [])
    folder = "sys/devices/system/clocksource/clocksource0"
    write(tmp_path, f"{folder}/current_clocksource", "tsc\n")
    write(tmp_path, f"{folder}/available_clocksource", "tsc hpet \n")
    assert clock_sources(tmp_path) == ("tsc", ["tsc", "hpet"])


def test_reading_the_clock_costs_something(monkeypatch):
    """It is the least of some tries, so that a pause in one does not count."""
    assert 0 < read_cost_ns() < 1e6
    monkeypatch.setattr(clock, "_READS", 10)
    assert read_cost_ns() > 0
