"""Waits until a process's own threads have nothing left to do: builds, flushes, compactions."""

from __future__ import annotations

import time

from bench.errors import MeasurementError

__all__ = ["wait_until_quiet"]

_LOOK_S = 0.05
_QUIET_S = 0.4
_QUIET_CPU_S = 0.02
_BOUND_S = 300.0


def wait_until_quiet(bound_s: float = _BOUND_S) -> float:
    """Wait until this process has used hardly any CPU for a while; when that while began.

    That is a time of ``time.perf_counter``, to be used as the end of what went on before.

    Raises:
        MeasurementError: it is still busy after ``bound_s``.
    """
    until = time.perf_counter() + bound_s
    began, used_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < _QUIET_S:
        time.sleep(_LOOK_S)
        if time.process_time() - used_s > _QUIET_CPU_S:
            if time.perf_counter() > until:
                raise MeasurementError(f"the store is still busy after {bound_s:g} s without calls")
            began, used_s = time.perf_counter(), time.process_time()
    return began
