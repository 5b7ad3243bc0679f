"""Quantiles of Student's t distribution, for intervals of few samples.

The probability within plus and minus t is a finite sum for whole degrees of freedom (Abramowitz
and Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4), which is solved for
its angle by bisection. Beyond 200 degrees of freedom it is Fisher's expansion about the normal
quantile (26.7.5), whose error there is under 1e-6.
"""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["normal_half_width", "student_half_width"]

_SUMMED_DEGREES = 200
_BISECTIONS = 60


def normal_half_width(confidence: float) -> float:
    """Give the z for which a standard normal lies within plus and minus z.

    Args:
        confidence: the probability, within (0, 1).

    Raises:
        ValueError: the confidence is outside that range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence} is not within (0, 1)")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def student_half_width(degrees_of_freedom: int, confidence: float = 0.95) -> float:
    """Give the t for which Student's variable lies within plus and minus t.

    Args:
        degrees_of_freedom: 1 or more.
        confidence: the probability, within (0, 1).

    Raises:
        ValueError: an argument is outside its range.
    """
    z = normal_half_width(confidence)
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees_of_freedom: {degrees_of_freedom} is less than 1")
    if degrees_of_freedom > _SUMMED_DEGREES:
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + first / degrees_of_freedom + second / degrees_of_freedom**2
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _probability_within(middle, degrees_of_freedom) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees_of_freedom) * math.tan((low + high) / 2)


def _probability_within(angle: float, degrees_of_freedom: int) -> float:
    """P(|T| <= t) where t is the root of the degrees of freedom times the angle's tangent."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees_of_freedom % 2 == 1
    if degrees_of_freedom == 1:
        return 2 * angle / math.pi
    term = total = cosine if odd else 1.0
    for step in range(3 if odd else 2, degrees_of_freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
