"""A benchmark whose disk becomes full says where, keeps what it has, and tells how to go on."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.benchmarks import bench
from harness.commands.benchmarking import of_disk


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def carried_out(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(bench, "ray_session", full)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "argv", ["harness", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["agents", "memory", "resources"])
def test_the_directory_comes_last_and_one_sentence_says_what_is_full(
    monkeypatch, capsys, tmp_path: Path, command: str
):
    """Exit code 1; standard output ends with the directory, standard error says what to do."""
    out = tmp_path / "bench"
    assert carried_out(monkeypatch, command, "--out", str(out)) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(out)
    assert (out / "run.json").is_file()
    last = said.err.splitlines()[-1]
    assert last.startswith("harness: the disk of /")
    assert "is full (No space left on device): make room there" in last
    goes_on = f"the same command with --out {out} goes on"
    assert last.endswith(goes_on if command == "memory" else f"what was measured is in {out}")


def test_json_has_no_directory_on_standard_output(monkeypatch, capsys, tmp_path: Path):
    """With --json there is no summary to print, and so nothing."""
    assert carried_out(monkeypatch, "agents", "--json", "--out", str(tmp_path / "bench")) == 1
    assert capsys.readouterr().out == ""


def test_the_folder_of_a_file_that_is_named_is_the_full_one(tmp_path: Path):
    """Where the error names a file, it is the disk of its folder that is full."""
    error = OSError(errno.ENOSPC, "No space left on device", "/elsewhere/rows.parquet")
    assert str(of_disk(error, tmp_path)).startswith("the disk of /elsewhere is full")


def test_what_else_the_file_system_refuses_is_told_with_its_place(tmp_path: Path):
    """Another refusal than a full disk names its file, or the directory where it has none."""
    named = OSError(errno.EIO, "Input/output error", "/elsewhere/rows.parquet")
    assert str(of_disk(named, tmp_path)).startswith("/elsewhere/rows.parquet: Input/output error")
    assert str(of_disk(OSError("odd"), tmp_path)).startswith(f"{tmp_path}: odd")
