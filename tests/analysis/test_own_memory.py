"""Own memory: RSS less what is shared, whatever other processes do."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.own_memory import own_bytes, running_median

MIB = 2.0**20
T = np.arange(0.0, 100.0, 0.2)


def _uss(values, every=10):
    read = np.full(values.size, np.nan)
    read[::every] = values[::every]
    return read


def test_without_uss_it_is_rss():
    """Where USS was never read, RSS is all there is."""
    rss = np.array([5.0, np.nan, 7.0])
    assert own_bytes([0, 1, 2], rss, np.full(3, np.nan)) == pytest.approx(rss, nan_ok=True)


def test_it_is_uss_where_that_was_read_and_follows_rss_between():
    """Growth between two readings of USS is seen at every sample of RSS."""
    own = 50 * MIB + 3 * MIB * np.sin(T)
    found = own_bytes(T, own + 40 * MIB, _uss(own))
    assert found == pytest.approx(own, abs=1.0)


def test_other_processes_that_share_a_library_do_not_move_it():
    """When 15 MiB of USS go and come back while RSS stands still, own memory stands still."""
    own = np.full(T.size, 50 * MIB)
    seen = own - 15 * MIB * ((T > 30) & (T < 60))
    assert own_bytes(T, own + 40 * MIB, _uss(seen)) == pytest.approx(own, abs=MIB / 10)


def test_memory_that_the_process_itself_shares_is_not_its_own():
    """When RSS rises by 20 MiB that USS does not have, own memory does not rise."""
    own = np.full(T.size, 50 * MIB)
    mapped = 20 * MIB * (T > 50)
    found = own_bytes(T, own + 40 * MIB + mapped, _uss(own))
    away_from_the_step = np.abs(T - 50) > 3
    assert found[away_from_the_step] == pytest.approx(own[away_from_the_step], abs=MIB / 10)


def test_a_wild_reading_of_uss_does_no_harm():
    """One reading of USS far off changes own memory nowhere."""
    own = np.full(T.size, 50 * MIB)
    uss = _uss(own)
    uss[200] -= 30 * MIB
    assert own_bytes(T, own + 40 * MIB, uss) == pytest.approx(own, abs=1.0)


def test_a_running_median_keeps_edges_and_drops_single_values():
    """Of five neighbours two wild ones go; a step stays where it is; too few stay as they are."""
    values = np.array([1.0, 1, 9, 1, 1, 9, 9, 9, 9, 9])
    assert running_median(values, 3).tolist() == [1, 1, 1, 1, 1, 9, 9, 9, 9, 9]
    assert running_median(values[:2], 3).tolist() == [1, 1]
