"""Targets are checked before they are compared, wherever their library may crash."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.benchmarks.bench import Bench
from harness.benchmarks.target_checks import check_targets
from harness.plan import RunPlan

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_library_that_crashes_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch):
    """It has a problem in the place of points, as has one that says why; the other is checked."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    described: dict[str, Any] = {}
    bench = SimpleNamespace(
        check_stop=lambda: None,
        view=SimpleNamespace(note=lambda _: None),
        directory=SimpleNamespace(describe=described.update),
    )
    crashing = "tests.benchmarks.odd_targets:CrashingTarget"
    whole = "tests.harness.targets.dict_stores:PlainTarget"
    closed = "tests.harness.targets.bad_stores:OpenFails"
    check_targets(cast(Bench, bench), [crashing, closed, whole], RunPlan(seed=3))
    found = described["conformance"]
    assert "could not be checked: it ended with 7" in found[crashing]["problem"]
    assert found[crashing]["points"] == []
    words = f"It could not be checked: {closed}: the store could not be opened: ValueError"
    assert found[closed]["problem"].startswith(words)
    states = {one["name"]: one["state"] for one in found[whole]["points"]}
    assert states["read_your_writes"] == "passed"
    assert states["durability"] == "not claimed"
