"""scripts/bench --only peer-check: a peer through the harness, and a bare script of the same."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench.errors import MeasurementError
from bench.peer_check import adapter_in_child, bare_figures, batches_of


def test_the_script_has_the_operations_of_the_workload() -> None:
    """Lot by lot, one operation of each agent: ten of stores, five retrieved, three searched."""
    batches = list(batches_of(agents=3, rounds=2))
    assert [kind for kind, _ in batches] == 2 * (10 * ["store"] + 5 * ["retrieve"] + 3 * ["search"])
    assert all(len({agent for agent, _, _ in lot}) == len(lot) == 3 for _, lot in batches)


def test_the_bare_script_measures_what_it_is_given(tmp_path: Path) -> None:
    """It finds what it stored, and tells CPU, throughput and the median of an operation."""
    file = tmp_path / "operations"
    file.write_bytes(msgspec.msgpack.encode(list(batches_of(agents=4, rounds=3))))
    figures = bare_figures(file)
    assert set(figures) == {"ops_s", "cpu_us", "service_us"}
    assert all(value > 0 for value in figures.values())
    assert adapter_in_child(str(file))["cpu_us"] > 0


def test_a_script_that_finds_nothing_is_a_failed_measurement(tmp_path: Path) -> None:
    """Figures of a script that did not do the work are not compared."""
    file = tmp_path / "operations"
    lots = [lot for lot in batches_of(agents=2, rounds=1) if lot[0] == "store"]
    file.write_bytes(msgspec.msgpack.encode(lots))
    with pytest.raises(MeasurementError, match="bare script"):
        bare_figures(file)
