"""Calls of Ray actors that take as long as they take: waited for while the actors are alive.

How long a checkpoint's upload lasts nobody can say beforehand, so a bound on it would be wrong
sooner or later. Instead each actor at work is asked now and then whether it is there, and one
that has not answered that for `SILENT_S` has failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from memory_core.errors import UnavailableError
from memory_core.shard_calls import first_line, own_error

__all__ = ["SILENT_S", "collect"]

SILENT_S = 60.0
_LOOK_S = 5.0
_Key = TypeVar("_Key", bound=Hashable)


def collect(
    working: dict[Any, _Key], alive: Callable[[_Key], Any], title: Callable[[_Key], str]
) -> dict[_Key, Any]:
    """Wait for calls; what each gave.

    Args:
        working: calls, each with what it is of; those that have ended are taken out.
        alive: asks an actor whether it is there; a call.
        title: what a problem's sentence begins with.

    Raises:
        UnavailableError: one failed, says why; ``working`` has those that still go on.
    """
    results: dict[_Key, Any] = {}
    asked: dict[_Key, tuple[Any, float]] = {}
    while working:
        problems: list[str] = []
        done, _ = ray.wait(list(working), timeout=_LOOK_S)
        for call in done:
            key = working.pop(call)
            try:
                results[key] = ray.get(call)
            except RayError as error:
                problems.append(f"{title(key)}: {_reason(error)}")
        for call, key in list(working.items()):
            question, since_s = asked.get(key, (None, 0.0))
            if question is None or ray.wait([question], timeout=0)[0]:
                asked[key] = (alive(key), time.monotonic())
            elif time.monotonic() - since_s > SILENT_S:
                del working[call]
                problems.append(f"{title(key)} did not answer for {SILENT_S:.0f} s")
        if problems:
            raise UnavailableError("; ".join(sorted(problems)))
    return results


def _reason(error: RayError) -> str:
    if isinstance(error, RayTaskError):
        return str(own_error(error, 0)).removeprefix("shard 0 failed: ")
    if isinstance(error, RayActorError):
        return "its process ended"
    return first_line(error)
