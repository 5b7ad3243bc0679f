"""scripts/bench scale at very small sizes: what is measured comes out with its goal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "scripts" / "lib" / "bench"


def measured(folder: Path, row: str, *sizes: str) -> dict[str, float | None]:
    """The medians of a row, by title."""
    done = subprocess.run(
        [sys.executable, BENCH, "scale", "--quick", "--only", row, *sizes, "--out", "out.json"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((folder / "out.json").read_text())
    return {one["title"]: one["median"] for one in document["figures"]}


@pytest.mark.slow
def test_a_snapshot_is_measured(tmp_path: Path):
    """What each cohort adds to it."""
    found = measured(tmp_path, "snapshots", "--cohorts", "200")
    assert 0 < found["CPU of a snapshot for each cohort"] < 1e4


@pytest.mark.slow
@pytest.mark.cluster
def test_messages_to_the_control_actor_are_measured(tmp_path: Path):
    """Each costs it something; a Ray of our own carries them."""
    found = measured(tmp_path, "control", "--senders", "1", "--reports", "200", "--files", "8")
    assert 0 < found["CPU of the control actor for a report"] < 1e6
    assert len(found) == 2
