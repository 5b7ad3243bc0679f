"""A target's store for the length of a check: prepared, opened as agents do, killed, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.conformance.asking import Asker
from harness.errors import HarnessError, RunFailedError
from harness.plan import RunPlan
from harness.targets import load_target
from harness.targets.driven import DrivenTarget, Placement, Prepared

__all__ = ["CheckedStore", "Described", "first_line", "needs_ray", "opened_store"]

_SHARDS = 2
_CLOSE_TIMEOUT_S = 15.0
_INTERRUPTED_TIMEOUT_S = 1.0


def first_line(error: BaseException) -> str:
    """An exception as a sentence has it: what it says, after its class where that is not ours."""
    said = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, HarnessError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class Described(msgspec.Struct):
    """What a target tells of its store, for ``run.json``."""

    version: str = ""
    durability: str = ""
    capabilities: list[str] = []


@dataclass
class CheckedStore:
    """A store that is prepared.

    Attributes:
        spec: the target's name and options.
        plan: what targets want to know.
        placement: where it is.
        target: in this process.
        prepared: what `prepare` gave.
    """

    spec: str
    plan: RunPlan
    placement: Placement
    target: DrivenTarget = field(init=False)
    prepared: Prepared = field(init=False)

    @property
    def restarts(self) -> bool:
        """Whether it is actors, which Ray starts again by itself."""
        return needs_ray(self.target)

    def prepare(self, *, resumed: bool = False) -> None:
        """Start the store. Raises UsageError and RunFailedError as targets do."""
        target = load_target(self.spec)
        placement = Placement(
            run_id=self.placement.run_id,
            data_dir=self.placement.data_dir,
            shards=self.placement.shards,
            node_ids=self.placement.node_ids,
            resumed=resumed,
        )
        try:
            self.prepared = target.prepare(self.plan, placement)
        except BaseException:
            target.destroy()
            raise
        self.target = target

    @asynccontextmanager
    async def session(self, cohort: int = 0) -> AsyncIterator[Asker]:
        """Open the store as a cohort does. Raises RunFailedError."""
        try:
            session = await self.target.connect(self.plan, self.prepared.connection, cohort)
        except HarnessError:
            raise
        except Exception as error:
            raise RunFailedError(f"{self.spec} could not be opened: {first_line(error)}") from error
        timeout_s = _CLOSE_TIMEOUT_S
        try:
            yield Asker(session)
        except asyncio.CancelledError:
            timeout_s = _INTERRUPTED_TIMEOUT_S
            raise
        finally:
            # of a store that was killed, or does not answer, nothing is expected any more
            with contextlib.suppress(Exception):
                await asyncio.wait_for(session.close(), timeout_s)

    def processes(self) -> list[int]:
        """The processes that work for the store now."""
        found = self.target.processes() or self.prepared.processes
        return [process.pid for process in found]

    def kill(self) -> int:
        """SIGKILL the processes of the store that there are now; how many."""
        killed = 0
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    @property
    def described(self) -> Described:
        """What the target tells of its store."""
        return msgspec.convert(self.prepared.topology, Described)

    def destroy(self) -> None:
        """End what was started."""
        self.target.destroy()


@contextmanager
def opened_store(
    spec: str, plan: RunPlan, run_id: str, folder: Path, node_id: str
) -> Iterator[CheckedStore]:
    """A store that is ended with the block; `folder`, which is there, is whose who called."""
    placement = Placement(
        run_id=run_id, data_dir=folder, shards=_SHARDS, node_ids=[node_id] * _SHARDS
    )
    store = CheckedStore(spec, plan, placement)
    store.prepare()
    try:
        yield store
    finally:
        store.destroy()


def needs_ray(target: DrivenTarget) -> bool:
    """Whether a target's store is actors; what has no shards, an adapter starts by itself."""
    return bool(getattr(target, "has_shards", not target.in_process))
