"""What the tests of probing share: a prober on a store in this process, and its control."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.benchmarks.prober import Prober
from harness.control import CohortReport
from harness.plan import RunPlan
from harness.rundir import RunDirectory
from harness.sinks import LocalSink
from harness.targets.driven import Placement
from harness.targets.store_folder import store_connection


class _Remote:
    def __init__(self, method: Callable[[bytes], Awaitable[bool]]) -> None:
        self.remote = method


class Control:
    """The control actor as a prober sees it; says stop after so many reports.

    Attributes:
        last: the newest report.
    """

    last: CohortReport

    def __init__(self, stop_after: int | None = None) -> None:
        self.reports = 0
        self.stop_after = stop_after
        self.report = _Remote(self._report)

    async def _report(self, packed: bytes) -> bool:
        self.reports += 1
        self.last = msgspec.msgpack.decode(packed, type=CohortReport)
        return self.stop_after is None or self.reports < self.stop_after


class Probing:
    """A prober on an event loop of the test's own, and the run directory of its step."""

    def __init__(self, folder: Path, prober: type[Prober] = Prober, **plan: Any) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self.loop = asyncio.new_event_loop()
        self.plan = RunPlan(**{"agents": 1, "target": "embedded", "durability": "os", **plan})
        self.directory = RunDirectory.create(folder / "step", "run")
        self.control = Control()
        self.prober = prober(self.plan.as_dict(), str(folder))
        placement = Placement(run_id="m", data_dir=folder / "data", shards=0, node_ids=[])
        connection = store_connection(placement)
        self.do("connect", connection, "n")
        self.do("begin", self.control, LocalSink(self.directory.path))

    def do(self, method: str, *arguments: Any) -> Any:
        """What a method of the prober gives, unpacked."""
        found = self.loop.run_until_complete(getattr(self.prober, method)(*arguments))
        return msgspec.msgpack.decode(found) if isinstance(found, bytes) else found

    def close(self) -> None:
        self.do("end")
        self.do("close")
        self.loop.close()


@pytest.fixture
def probing(tmp_path: Path) -> Any:
    """Makes probers, and closes them."""
    made: list[Probing] = []

    def make(name: str = "a", **plan: Any) -> Probing:
        made.append(Probing(tmp_path / name, **plan))
        return made[-1]

    yield make
    for one in made:
        if not one.loop.is_closed():
            one.close()
