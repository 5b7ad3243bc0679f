"""Checking a target: its store is opened, asked point by point, and killed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import uvloop

from harness.conformance.asking import BrokenError
from harness.conformance.at_once import concurrency
from harness.conformance.deleting import delete
from harness.conformance.durability import survive_kills
from harness.conformance.ground import Check, Ground
from harness.conformance.keeping import (
    isolation,
    missing_ids,
    overwrite,
    read_your_writes,
    unicode_text,
)
from harness.conformance.opened import CheckedStore, first_line, needs_ray, opened_store
from harness.conformance.result import Conformance, Point
from harness.conformance.searching import filtered, k_and_order
from harness.errors import HarnessError
from harness.plan import RunPlan
from harness.ray_session import LOCAL, RaySession, ray_session
from harness.targets import load_target

__all__ = ["check_target"]

_CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "read_your_writes": read_your_writes,
        "overwrite": overwrite,
        "isolation": isolation,
        "k_and_order": k_and_order,
        "missing_ids": missing_ids,
        "unicode": unicode_text,
        "concurrency": concurrency,
        "filter": filtered,
        "delete": delete,
    }
)
# What a target has to say that it can, by point.
_CLAIMS = {"filter": "filter", "delete": "delete", "durability": "durable"}
_NOT_CLAIMED = {
    "filter": "the target does not say that its searches take conditions",
    "delete": "the target does not say that memories can be deleted",
    "durability": "the target does not say that it survives SIGKILL",
}
_POINT_TIMEOUT_S = 60.0
_DEADLINE_S = 30.0
_SENTENCE_MAX = 300


def check_target(
    spec: str,
    *,
    durability: str = "fsync",
    dimension: int = 64,
    seed: int | None = None,
    session: RaySession | None = None,
    seen: Callable[[Point], None] | None = None,
) -> Conformance:
    """Check every point that a target claims; takes seconds.

    Not from within a running event loop. Files are in a temporary folder, which goes with it, as
    everything does that was started.

    Args:
        spec: the target, as ``--target`` names it, with its options.
        durability: what the store is asked for, ``fsync`` or ``os``.
        dimension: of the vectors, at least 8.
        seed: what is stored, and when what is killed, follow from it; None draws one.
        session: a connection to Ray, for a target that needs it; None makes one for such a target.
        seen: is called with each point when it has been checked.

    Raises:
        UsageError: there is no such target, it is not installed, or an option of it is wrong.
        RunFailedError: the store did not start, or could not be opened.
    """
    begun_s = time.monotonic()
    seed = secrets.randbits(32) if seed is None else seed
    plan = RunPlan(
        agents=1,
        target=spec,
        dimension=dimension,
        durability=durability,
        deadline_s=_DEADLINE_S,
    )
    points = _Points(seen)
    with contextlib.ExitStack() as stack:
        node_id = ""
        if needs_ray(load_target(spec)):
            ray = session or stack.enter_context(ray_session(LOCAL))
            node_id = ray.node_id
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-check-")))
        name = f"check-{secrets.token_hex(4)}"
        with opened_store(spec, plan, name, folder, node_id) as store:
            described = store.described
            uvloop.run(_behaviour(store, seed, points))
            if _CLAIMS["durability"] in described.capabilities:
                points.add(_durability(store, seed))
            else:
                points.add(_not_claimed("durability"))
    return Conformance(
        target=spec,
        version=described.version,
        durability=described.durability,
        seed=seed,
        duration_s=time.monotonic() - begun_s,
        points=points.found,
    )


class _Points:
    """What was found, which is shown as it comes."""

    def __init__(self, seen: Callable[[Point], None] | None) -> None:
        self.found: list[Point] = []
        self._seen = seen

    def add(self, point: Point) -> None:
        self.found.append(point)
        if self._seen is not None:
            self._seen(point)


async def _behaviour(store: CheckedStore, seed: int, points: _Points) -> None:
    """All points but durability, with one session."""
    claims = set(store.described.capabilities)
    is_shared = "shared" in claims or not store.target.in_process
    async with store.session() as asker:
        for place, (name, check) in enumerate(_CHECKS.items()):
            if name in _CLAIMS and _CLAIMS[name] not in claims:
                points.add(_not_claimed(name))
                continue
            ground = Ground(
                asker=asker,
                random=np.random.default_rng([seed, place]),
                dimension=store.plan.dimension,
                agents_are_threads=store.target.agents_are_threads,
                second=store.session if is_shared else None,
            )
            points.add(await _checked(name, check, ground))


async def _checked(name: str, check: Check, ground: Ground) -> Point:
    try:
        sentence = await asyncio.wait_for(check(ground), _POINT_TIMEOUT_S)
    except BrokenError as error:
        return _failed(name, str(error))
    except TimeoutError:
        return _failed(name, f"it was not answered within {_POINT_TIMEOUT_S:g} s")
    except Exception as error:  # noqa: BLE001 - a session is somebody else's code
        return _failed(name, f"the session raised {first_line(error)}")
    return Point(name=name, state="passed", sentence=_written(sentence))


def _durability(store: CheckedStore, seed: int) -> Point:
    try:
        sentence = survive_kills(store, seed)
    except BrokenError as error:
        return _failed("durability", str(error))
    except HarnessError as error:
        return _failed("durability", f"after SIGKILL: {error}")
    except Exception as error:  # noqa: BLE001 - as above
        return _failed("durability", f"after SIGKILL the target raised {first_line(error)}")
    return Point(name="durability", state="passed", sentence=_written(sentence))


def _failed(name: str, sentence: str) -> Point:
    return Point(name=name, state="failed", sentence=_written(sentence))


def _not_claimed(name: str) -> Point:
    return Point(name=name, state="not claimed", sentence=_written(_NOT_CLAIMED[name]))


def _written(sentence: str) -> str:
    """A sentence on one line, of a bounded length, from a capital to a full stop."""
    line = " ".join(sentence.split()).rstrip(".")
    if len(line) > _SENTENCE_MAX:
        line = f"{line[:_SENTENCE_MAX].rstrip('.')} ..."
    return f"{line[:1].upper()}{line[1:]}" + ("" if line.endswith("...") else ".")
