"""scripts/bench faces: every store is measured by every call that it has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import faces
from bench.errors import MeasurementError
from bench.figures import figure_of

SIZES = faces.FaceSizes(items=40, namespaces=4, calls=6)


@pytest.mark.slow
def test_every_store_is_measured(tmp_path: Path):
    """A time for each call of each store, from which every line of the table follows."""
    assert faces.skipped_rows() == {}
    measured = faces.faces(SIZES, tmp_path)
    assert len(measured) == 5 * 4 - 1
    assert all(time_us > 0 for time_us in measured.values())
    figures = [figure_of(spec, [{"faces": measured}]) for spec in faces.figure_specs(SIZES)]
    assert all(figure.median is not None for figure in figures)
    assert {figure.spec.row for figure in figures if figure.spec.goal} == set(faces.ROWS)


def test_a_call_that_finds_nothing_is_no_measurement():
    """A store that answers quickly because it finds nothing is told of, and not timed."""
    with pytest.raises(MeasurementError, match="nothing was found of item 0"):
        list(faces._timed(lambda _: [], range(3)))
    assert len(list(faces._timed(lambda _: None, range(3)))) == 3
