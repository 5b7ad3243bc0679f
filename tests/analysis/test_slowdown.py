"""The verdict of whether a store slows down as it fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.analysis.degradation import fit_degradation
from harness.analysis.slowdown import slowdown_verdict


def curve(name: str, volumes: Sequence[int], service_ms: Sequence[float | None]) -> dict[str, Any]:
    """The fit of medians, and the points, as a summary has them."""
    known = [(volume, ms) for volume, ms in zip(volumes, service_ms, strict=True) if ms is not None]
    fitted = fit_degradation([one for one, _ in known], [ms for _, ms in known], operation=name)
    points = [
        {"memories": volume, "service_p50_ms": ms, "response_p50_ms": None}
        for volume, ms in zip(volumes, service_ms, strict=True)
    ]
    return {name: {**fitted.summary(), "points": points}}


def judged(
    volumes: Sequence[int], service_ms: Sequence[float | None], name: str = "search"
) -> tuple[str, str]:
    one = slowdown_verdict("mine", curve(name, volumes, service_ms))
    assert one["name"] == "degradation"
    return one["verdict"], one["sentence"]


@pytest.mark.parametrize(
    ("volumes", "service_ms"),
    [
        ((200, 20_000), (0.2, 1.0)),
        ((200, 2_000, 20_000), (0.2, 0.22, 1.0)),
        ((200, 2_000, 6_000, 20_000), (0.2, 1.4, 0.3, 1.0)),
    ],
)
def test_a_fit_that_cannot_tell_leaves_the_factor_alone(
    volumes: tuple[int, ...], service_ms: tuple[float, ...]
):
    """5 times as long is a warning that says so, though the exponent's estimate is below 0.5."""
    exponent = fit_degradation(volumes, service_ms).exponent
    assert exponent["estimate"] is not None
    assert exponent["estimate"] < 0.5
    assert judged(volumes, service_ms) == (
        "warning",
        "Searches took 5.0 times as long at 20,000 memories as at 200 (median service time); "
        f"{len(volumes)} volumes do not tell by what law time grows.",
    )


def test_growth_that_is_proven_is_claimed():
    """With all of the interval above 0 it slows down, by so much, and as the fit says."""
    volumes = (1_000, 10_000, 100_000, 1_000_000)
    verdict, sentence = judged(volumes, [0.02, 0.11, 0.55, 3.1])
    assert verdict == "warning"
    assert sentence.startswith(
        "mine slows down with volume, searches most: searches took 155 times as long at "
        "1,000,000 memories as at 1,000 (median service time). Search time grows as memories^0.7"
    )


def test_an_interval_below_the_limit_is_ok_however_long_the_way():
    """4.0 times as long over a thousand times the memories is proven to be less than the root."""
    volumes = (1_000, 10_000, 100_000, 1_000_000)
    verdict, sentence = judged(volumes, [0.02, 0.032, 0.05, 0.08])
    assert verdict == "ok"
    assert "slows down by less than the square root of the volume" in sentence
    assert "searches took 4.0 times as long at 1,000,000 memories as at 1,000 " in sentence


def test_a_bend_into_steep_growth_is_no_ok():
    """One line over all volumes may be flat enough where the last of them are not."""
    volumes = np.array([10**power for power in range(2, 9)])
    service_ms = 0.02 * np.where(volumes > 10**6, (volumes / 10**6) ** 0.9, 1.0)
    found = fit_degradation(volumes, service_ms)
    assert found.exponent_after is not None
    verdict, sentence = judged(volumes.tolist(), service_ms.tolist())
    assert verdict == "warning"
    assert "63.1 times as long" in sentence
    assert sentence.endswith("from there on it goes as ^0.90 (0.90 to 0.90).")


def test_a_bend_that_is_not_proven_is_told_as_the_fit_has_it():
    """Parts of four runs may show a bend: its sentence says how sure that is."""
    volumes, service_ms = (1_000, 10_000, 100_000, 1_000_000), (1.0, 1.0, 1.0, 20.0)
    parts = np.outer(service_ms, (0.98, 0.99, 1.0, 1.01, 1.02)).ravel()
    fits = curve("search", volumes, service_ms)
    fits["search"] |= fit_degradation(np.repeat(volumes, 5), parts, operation="search").summary()
    assert fits["search"]["bend_at"] is not None
    one = slowdown_verdict("mine", fits)
    assert one["verdict"] == "warning"
    assert one["sentence"].startswith("Searches took 20.0 times as long at 1,000,000 memories as ")
    assert one["sentence"].endswith("does not say how sure that is.")


@pytest.mark.parametrize(
    ("volumes", "service_ms", "said"),
    [
        ((200, 20_000), (1.0, 2.8), "did not slow down much: at worst, searches took 2.8 times as"),
        ((200, 300), (1.0, 1.4), "did not slow down much: at worst, searches took 1.4 times as"),
        ((200, 20_000), (1.0, 1.04), "did not slow down: no operation took over 5% longer"),
        ((200, 2_000, 20_000), (1.0, 1.0, 0.5), "did not slow down: no operation took over 5%"),
    ],
)
def test_a_small_factor_is_ok_with_what_was_measured(
    volumes: tuple[int, ...], service_ms: tuple[float, ...], said: str
):
    """It is said in figures, and never as a power of nothing."""
    verdict, sentence = judged(volumes, service_ms)
    assert verdict == "ok"
    assert said in sentence
    assert "memories^" not in sentence


def test_a_factor_that_keeps_step_with_few_memories_is_not_small():
    """Twice as long with twice the memories is a warning, though less than 3 times."""
    verdict, sentence = judged((1_000, 2_000), (1.0, 2.0))
    assert verdict == "warning"
    assert "took 2.0 times as long at 2,000 memories as at 1,000" in sentence


def test_the_worst_operation_is_judged():
    """An operation that is proven harmless does not hide one of which nothing is known."""
    volumes = (1_000, 10_000, 100_000, 1_000_000)
    fits = curve("store", volumes, [0.02, 0.032, 0.05, 0.08])
    fits |= curve("cross_tier", volumes, [0.1, 1.0, 0.1, 0.35])
    one = slowdown_verdict("mine", fits)
    assert one["verdict"] == "warning"
    assert one["sentence"].startswith("Cross-tier searches took 3.5 times as long at 1,000,000 ")


@pytest.mark.parametrize("service_ms", [(1.0,), (1.0, None), (0.0, 1.0)])
def test_one_time_says_nothing_of_growth(service_ms: tuple[float | None, ...]):
    """A volume whose time is not known is none, and one volume is no growth."""
    volumes = (200, 20_000)[: len(service_ms)]
    assert judged(volumes, service_ms) == (
        "ok",
        "How time grows with the volume takes two volumes with a median time to tell.",
    )
