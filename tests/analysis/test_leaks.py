"""Leaks are found, and what a warm store does besides is none: on seeded series of its shape."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from harness.analysis.leaks import SPAN_MIN_S, leak_verdict
from harness.analysis.own_memory import own_bytes
from tests.analysis.memory_series import KINDS, MIB, MIB_PER_MINUTE, memory_series


def _finding(seed, **how):
    series = memory_series(seed, **how)
    own = own_bytes(series.times_s, series.rss_bytes, series.uss_bytes)
    return leak_verdict(series.times_s, own, stored_bytes=series.stored_bytes)


def _verdicts(seeds, **how):
    return Counter(_finding(seed, **how)["verdict"] for seed in seeds)


@pytest.mark.slow
def test_a_hundred_leak_free_series_raise_no_alarm():
    """Of 100 warm processes none is called leaking, and at least 85 are cleared."""
    found = _verdicts(range(100))
    assert found["leak"] == 0
    assert found["no leak"] >= 85


@pytest.mark.slow
def test_19_of_20_leaks_of_a_mebibyte_a_minute_are_found_in_ten_minutes():
    """On top of the same shapes, 60 leaks: each 20 of them miss one at most, and clear none."""
    for first in (0, 20, 40):
        found = _verdicts(range(first, first + 20), leak_bytes_s=MIB_PER_MINUTE)
        assert found["leak"] >= 19
        assert found["no leak"] == 0


@pytest.mark.slow
def test_leaks_in_pieces_are_found_as_well():
    """What is lost a mebibyte at a time, once a minute, is not taken for single steps."""
    found = _verdicts(range(40), leak_bytes_s=MIB_PER_MINUTE, leak_piece_bytes=MIB)
    assert found["leak"] >= 32
    assert found["no leak"] <= 2


@pytest.mark.parametrize("stores_s", [2, 20, 200])
def test_a_leak_with_each_store_is_found_at_any_rate(stores_s):
    """10 KiB lost with each store are found whether memory grows by 1 or by 100 MiB a minute."""
    how = {"stores_s": float(stores_s), "leak_per_store_bytes": 10 * 1024.0, "kind": "storing"}
    assert _verdicts(range(5), **how)["leak"] == 5


@pytest.mark.parametrize("stores_s", [5, 20, 200])
def test_a_store_that_grows_because_memories_are_stored_does_not_leak(stores_s):
    """Growth that stored memories explain is no leak, however fast they are stored."""
    for kind in ("storing", "storing steps", "storing sawtooth"):
        assert not _verdicts(range(4), stores_s=float(stores_s), kind=kind)["leak"]


def test_what_stored_memories_may_hide_is_said():
    """Where stores are so many that a leak could hide in them, there is too little data."""
    finding = _finding(3, kind="storing", stores_s=200.0, leak_bytes_s=MIB_PER_MINUTE)
    assert finding["verdict"] == "too little data"
    assert "stored" in finding["sentence"]
    assert finding["explained_bytes_s"] > 100_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("duration_s", [200.0, 300.0])
def test_short_series_raise_no_alarm(kind, duration_s):
    """Where warm-up is much of the series it is still told from a leak."""
    assert not _verdicts(range(100, 105), kind=kind, duration_s=duration_s)["leak"]


def test_a_series_that_is_too_short_says_so():
    """Below the least span the verdict is that, with how much there was and how much it takes."""
    finding = _finding(0, duration_s=100.0)
    assert finding["verdict"] == "too little data"
    assert f"it takes {SPAN_MIN_S:.0f} s" in finding["sentence"]
    assert finding["slope_bytes_s"] == {"estimate": None, "low": None, "high": None}


@pytest.mark.parametrize("samples", [0, 1, 30])
def test_too_few_samples_are_no_verdict(samples):
    """An empty series, one sample, or a sample every 20 s are too little."""
    finding = leak_verdict(np.arange(samples) * 20.0, np.full(samples, MIB))
    assert finding["verdict"] == "too little data"


def test_missing_samples_throughout_are_no_verdict():
    """A process whose memory could never be read is not judged."""
    finding = leak_verdict(np.arange(600.0), np.full(600, np.nan))
    assert (finding["verdict"], finding["trend"]) == ("too little data", [])


def test_few_cycles_are_too_little_and_the_remedy_is_named():
    """Memory that filled and fell twice hides what stays: so much longer a run would tell."""
    t = np.arange(0.0, 600.0, 0.5)
    finding = leak_verdict(t, 100 * MIB + 40 * MIB * ((t % 210) / 210))
    assert finding["verdict"] == "too little data"
    assert "up and down" in finding["sentence"]
    assert "measure about" in finding["sentence"]


def test_growth_that_slows_down_is_warm_up():
    """Growth like a logarithm, by tens of MiB, is never called a leak."""
    t = np.arange(0.0, 600.0, 0.2)
    noise = np.random.default_rng(1).normal(0, 0.1, t.size)
    for size in (4, 8, 20):
        finding = leak_verdict(t, MIB * (100 + size * np.log1p(t / 20) + noise))
        assert finding["verdict"] != "leak"


def test_given_warm_up_is_left_out():
    """Growth by 4 MiB a minute in a given warm-up of 200 s is none of a flat process's."""
    t = np.arange(0.0, 600.0, 0.2)
    noise = np.random.default_rng(1).normal(0, 0.1, t.size)
    own = MIB * (100 + np.minimum(t, 200) * 4 / 60 + noise)
    finding = leak_verdict(t, own, warmup_s=200.0)
    assert finding["verdict"] == "no leak"
    assert finding["warmup_s"] > 200
    assert finding["trend"][0]["t_s"] >= 200


def test_the_slope_is_the_leak_and_the_sentence_has_the_figures():
    """A plain leak of 2 MiB a minute is estimated to within 5%, in JSON as it stands."""
    t = np.arange(0.0, 600.0, 0.2)
    noise = np.random.default_rng(1).normal(0, 0.1, t.size)
    finding = leak_verdict(t, MIB * (100 + t * 2 / 60 + noise))
    assert finding["verdict"] == "leak"
    slope = finding["slope_bytes_s"]
    assert slope["estimate"] == pytest.approx(2 * MIB_PER_MINUTE, rel=0.05)
    assert slope["low"] <= 2 * MIB_PER_MINUTE <= slope["high"]
    assert "2.00 MiB/min" in finding["sentence"]
    assert json.loads(json.dumps(finding, allow_nan=False)) == finding
    assert len(finding["trend"]) <= 120


def test_memory_that_shrinks_does_not_leak():
    """A falling process is cleared, and its sentence says that it shrank."""
    t = np.arange(0.0, 600.0, 0.2)
    finding = leak_verdict(t, MIB * (200 - t / 60))
    assert finding["verdict"] == "no leak"
    assert "shrank" in finding["sentence"]
