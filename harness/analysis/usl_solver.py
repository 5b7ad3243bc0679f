"""Least squares of ln(serial + paid * N + pairs * N * (N - 1)) with coefficients never negative.

Many sets of targets are solved side by side, as the bootstrap of `harness.analysis.usl` needs
it. Coefficients are of shape ``(..., 3)`` in the order above; serial + paid is always above 0.
The method and its sources are in the head of that module.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["design_matrix", "fit_coefficients", "leverages"]

Floats = npt.NDArray[np.float64]

_MOST_STEPS = 30
_SHORTER_STEPS = (1.0, 0.5, 0.25, 0.0625)
_SETTLED_RATIO = 1e-12
# Fits whose residuals differ by less than this in all are one fit and its rounding errors.
_ROUNDING = 1e-12
# Sets of coefficients that may be above zero, fewest first. One of the first two always is.
_ACTIVE_SETS = ((0,), (1,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


def design_matrix(agents: Floats) -> Floats:
    """Give the columns 1, N and N * (N - 1), ``(n, 3)``, of counts ``(n,)``."""
    return np.stack([np.ones_like(agents), agents, agents * (agents - 1)], axis=1)


def leverages(design: Floats, coefficients: Floats) -> Floats:
    """Give the leverage ``(n,)`` of each point on its own fitted value."""
    slopes = design / (design @ coefficients)[:, None]
    basis = np.linalg.qr(slopes / np.linalg.norm(slopes, axis=0)).Q
    return np.asarray((basis**2).sum(axis=1))


def fit_coefficients(design: Floats, log_targets: Floats) -> Floats:
    """Fit each row of targets.

    Args:
        design: ``(n, 3)`` of `design_matrix`, with at least 3 different counts.
        log_targets: ``(m, n)``, finite: ln(N / X).

    Returns:
        Coefficients ``(m, 3)``, none negative.
    """
    middles = log_targets.mean(axis=1, keepdims=True)
    return np.asarray(_fit_centred(design, log_targets - middles) * np.exp(middles))


def _fit_centred(design: Floats, log_targets: Floats) -> Floats:
    # The first step takes the measured values for the fitted ones, so that it needs no start.
    found = _non_negative(design * np.exp(-log_targets)[:, :, None], np.ones_like(log_targets))
    lost = _loss(design, log_targets, found)
    open_rows = np.arange(log_targets.shape[0])
    for _ in range(_MOST_STEPS):
        targets, before = log_targets[open_rows], found[open_rows]
        fitted = before @ design.T
        wanted = _non_negative(
            design / fitted[:, :, None], targets - np.log(fitted) + np.ones_like(fitted)
        )
        best, best_lost = before.copy(), lost[open_rows].copy()
        for length in _SHORTER_STEPS:
            there = before + length * (wanted - before)
            there_lost = _loss(design, targets, there)
            better = there_lost < best_lost
            best[better], best_lost[better] = there[better], there_lost[better]
        gained = lost[open_rows] - best_lost
        found[open_rows], lost[open_rows] = best, best_lost
        open_rows = open_rows[gained > _SETTLED_RATIO * best_lost + _ROUNDING**2]
        if open_rows.size == 0:
            break
    return found


def _loss(design: Floats, log_targets: Floats, coefficients: Floats) -> Floats:
    # Where no set of coefficients solved a step, it leads to zero, where the loss is infinite.
    with np.errstate(divide="ignore"):
        residuals = log_targets - np.log(coefficients @ design.T)
    return np.asarray((residuals**2).sum(axis=1))


def _non_negative(columns: Floats, targets: Floats) -> Floats:
    """Solve ``columns (m, n, 3) @ x = targets (m, n)`` in least squares with x never negative."""
    scales = np.linalg.norm(columns, axis=1)
    scaled = columns / scales[:, None, :]
    best = np.zeros((targets.shape[0], columns.shape[2]))
    best_lost = np.full(targets.shape[0], np.inf)
    within_rounding = targets.shape[1] * _ROUNDING**2
    for active in map(list, _ACTIVE_SETS):
        basis, triangle = np.linalg.qr(scaled[:, :, active])
        projected = np.einsum("mnk,mn->mk", basis, targets)
        # A coefficient that the points do not tell from the others comes out huge or as no number
        # at all, and loses.
        triangle += np.finfo(np.float64).tiny * np.eye(len(active))
        with np.errstate(over="ignore", invalid="ignore"):
            solved = np.linalg.solve(triangle, projected[:, :, None])[:, :, 0]
            fitted = np.einsum("mnk,mk->mn", scaled[:, :, active], solved)
            lost = ((targets - fitted) ** 2).sum(axis=1)
        better = (lost < best_lost - within_rounding) & (solved > 0).all(axis=1)
        chosen = np.zeros_like(best)
        chosen[:, active] = solved
        best[better], best_lost[better] = chosen[better], lost[better]
    return np.asarray(best / scales)
