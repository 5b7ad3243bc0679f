"""Quantiles of Student's t against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.analysis.student import normal_half_width, student_half_width


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 57, 199, 200, 201, 5000])
def test_half_width_of_student_is_scipys(degrees: int, confidence: float):
    """The half width of Student's t is scipy's, for few, many and very many degrees of freedom."""
    known = float(stats.t.ppf((1 + confidence) / 2, degrees))
    assert student_half_width(degrees, confidence) == pytest.approx(known, rel=1e-6)


def test_half_width_of_the_normal_is_scipys():
    """The half width of the normal distribution is scipy's."""
    assert normal_half_width(0.95) == pytest.approx(float(stats.norm.ppf(0.975)), rel=1e-12)


@pytest.mark.parametrize(("degrees", "confidence"), [(0, 0.95), (3, 0.0), (3, 1.0), (3, 95.0)])
def test_arguments_out_of_range_are_named(degrees: int, confidence: float):
    """No degree of freedom, or a confidence that is no probability, is refused by name."""
    with pytest.raises(ValueError, match=r"^(confidence|degrees_of_freedom): "):
        student_half_width(degrees, confidence)
