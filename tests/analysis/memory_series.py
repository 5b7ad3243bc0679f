"""Memory of a warm process as it really looks, with or without a leak on top.

Modelled on runs of 90 to 600 s (`harness run`, 10 to 40 agents, 10 to 1,500 operations/s): tens of
MiB of warm-up in the first seconds, then growth like a logarithm; memtables that fill and are
flushed; allocators that keep what they once had; arrays that double, some 1.9 KB of shard for each
stored memory; USS that moves by up to 15 MiB when other processes come and go; and samples that
are missing, quantised, wrong or late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIB = 2.0**20
MIB_PER_MINUTE = MIB / 60
KINDS = (
    "plain",
    "sawtooth",
    "fast sawtooth",
    "high water",
    "steps",
    "storing",
    "storing sawtooth",
    "storing steps",
)
INTERVAL_S = 0.2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MemorySeries:
    """Samples of one process, ``(n,)`` each: NaN where one is missing or was not read."""

    times_s: Floats
    rss_bytes: Floats
    uss_bytes: Floats
    stored_bytes: Floats


def memory_series(
    seed: int,
    *,
    kind: str | None = None,
    duration_s: float = 600.0,
    leak_bytes_s: float = 0.0,
    leak_piece_bytes: float = 0.0,
    leak_per_store_bytes: float = 0.0,
    stores_s: float | None = None,
) -> MemorySeries:
    """One process for a time; its kind is the seed's turn in KINDS unless it is given.

    A leak is steady, or in pieces of ``leak_piece_bytes``; ``leak_per_store_bytes`` are lost with
    each stored memory. ``stores_s`` is the rate at which a process that stores does so.
    """
    rng = np.random.default_rng(seed)
    kind = kind or KINDS[seed % len(KINDS)]
    n = int(duration_s / INTERVAL_S)
    t = np.sort(np.arange(n) * INTERVAL_S + rng.normal(0, 0.01, n))
    own_mib = _warm_up(rng, t) + _waver(rng, n)
    if "sawtooth" in kind:
        own_mib += _sawtooth(rng, t, fast=kind.startswith("fast"))
    if kind == "high water":
        own_mib += np.maximum.accumulate(rng.gamma(2, 4, n)) * 0.5
    if "steps" in kind:
        for _ in range(rng.integers(1, 3)):
            own_mib += rng.uniform(1, 6) * (t > rng.uniform(0.1, 0.93) * duration_s)
    stored = np.zeros(n)
    if "storing" in kind:
        rate = float(rng.choice([1.7, 3.4])) if stores_s is None else stores_s
        count = np.cumsum(rng.poisson(rate * INTERVAL_S, n)).astype(np.float64)
        grown_mib, stored = _storing(rng, count)
        own_mib += grown_mib + leak_per_store_bytes * count / MIB
    leaked = leak_bytes_s * t
    if leak_piece_bytes:
        leaked = np.floor(leaked / leak_piece_bytes) * leak_piece_bytes
    rss, uss = _sampled(rng, t, own_mib + leaked / MIB)
    return MemorySeries(t, rss, uss, stored)


def _warm_up(rng: np.random.Generator, t: Floats) -> Floats:
    levelling = rng.uniform(5, 60) * (1 - np.exp(-t / rng.uniform(4, 25)))
    return rng.uniform(40, 200) + levelling + rng.uniform(0, 1.5) * np.log1p(t / 30)


def _waver(rng: np.random.Generator, n: int) -> Floats:
    """First-order autoregressive, with a memory of 20 s."""
    rho = np.exp(-INTERVAL_S / 20)
    waver = rng.normal(size=n)
    for place in range(1, n):
        waver[place] = rho * waver[place - 1] + np.sqrt(1 - rho**2) * waver[place]
    return waver * rng.uniform(0.02, 0.2)


def _sawtooth(rng: np.random.Generator, t: Floats, *, fast: bool) -> Floats:
    """Memtables of 16 to 64 MiB; each leaves a little when it is flushed, and none is the same."""
    period_s = rng.uniform(15, 30) if fast else rng.uniform(25, 80)
    height_mib = rng.uniform(16, 64)
    filled = np.zeros(t.size)
    begin_s = -rng.uniform(0, period_s)
    while begin_s < t[-1]:
        length_s, height = period_s * rng.uniform(0.8, 1.2), height_mib * rng.uniform(0.8, 1.2)
        inside = (t >= begin_s) & (t < begin_s + length_s)
        filled[inside] = rng.uniform(0, 1.5) + height * (t[inside] - begin_s) / length_s
        begin_s += length_s
    return filled


def _storing(rng: np.random.Generator, count: Floats) -> tuple[Floats, Floats]:
    """What stored memories hold, partly in arrays that grow in steps, and what is expected."""
    held = rng.uniform(1_500, 3_000)
    expected = held * rng.uniform(0.75, 1.3)
    last = max(count[-1], 1.0)
    in_steps = last * np.floor(8 * count / last + rng.uniform(0, 1)) / 8
    return held * (0.6 * count + 0.4 * in_steps) / MIB, expected * count


def _sampled(rng: np.random.Generator, t: Floats, own_mib: Floats) -> tuple[Floats, Floats]:
    n = t.size
    shared_mib = rng.uniform(20, 80) + np.minimum(1, t / 100) * rng.uniform(0, 2)
    strangers_mib = np.zeros(n)
    for _ in range(rng.integers(0, 4)):
        begin_s = rng.uniform(0, t[-1])
        strangers_mib[(t > begin_s) & (t < begin_s + rng.uniform(5, 150))] = rng.uniform(1, 16)
    uss = own_mib - strangers_mib + rng.normal(0, 0.02, n)
    quantum = rng.choice([4_096, 132 * 1024, MIB / 2]) / MIB
    noisy = own_mib + shared_mib + rng.normal(0, rng.uniform(0.01, 0.3), n)
    rss = np.round(noisy / quantum) * quantum
    wild = rng.random(n) < 0.01
    rss[wild] += rng.choice([-1, 1], wild.sum()) * rng.uniform(5, 50, wild.sum())
    gap_s = rng.uniform(0, t[-1])
    missing = (t > gap_s) & (t < gap_s + rng.uniform(0, 20))
    rss[missing | (rng.random(n) < 0.02)] = np.nan
    read = np.arange(n) % int(rng.choice([10, 20])) == 0
    uss[~read | missing | (rng.random(n) < 0.05)] = np.nan
    return rss * MIB, uss * MIB
