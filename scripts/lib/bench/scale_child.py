"""What the parts of a run cost that there is one of: the control actor, and Ray's GCS.

Each is CPU time of the process that there is one of, for one message, with some senders at once:
what a machine of more cores, or a quiet one, changes little. Rates are not told, since senders,
actor and Ray share the cores of this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness.control import CohortReady, CohortReport, Control, control_actor
from harness.operation_tally import OperationTally, kind_of

__all__ = ["control_messages", "lookups", "snapshots"]

_AT_ONCE = 16
_FILE_BYTES = 256 * 1024
# What a cohort of some hundred agents has seen in a quarter of a second, of three operations.
_TALLY = {
    kind_of(1, operation): OperationTally(
        [2_000, 0, 0, 0, 0, 0, 0], dict.fromkeys(range(100, 160), 33), *[10**9] * 5
    )
    for operation in range(3)
}


def control_messages(senders: int, reports: int, files: int) -> dict[str, float]:
    """CPU of the control actor for a cohort's report, and for a byte of a file."""
    with _Ray() as started, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ops").mkdir()
        ray = started.ray
        control = control_actor().options(max_concurrency=10_000).remote(folder)
        process = psutil.Process(ray.get(control.ping.remote()))
        send = ray.remote(num_cpus=0)(_send_reports)
        ray.get([send.remote(control, number, 50) for number in range(senders)])
        before, begun = _cpu_s(process), time.perf_counter()
        ray.get([send.remote(control, number, reports) for number in range(senders)])
        of_reports, took_s = _cpu_s(process) - before, time.perf_counter() - begun
        put = ray.remote(num_cpus=0)(_send_files)
        before = _cpu_s(process)
        ray.get([put.remote(control, number, files) for number in range(senders)])
        of_files = _cpu_s(process) - before
    return {
        "report_cpu_us": of_reports / (senders * reports) * 1e6,
        "report_wall_us": took_s / (senders * reports) * 1e6,
        "file_cpu_us_a_mib": of_files / (senders * files * _FILE_BYTES / 2**20) * 1e6,
    }


def snapshots(cohorts: int, repeats: int) -> dict[str, float]:
    """CPU of a snapshot for each cohort that it is of, the driver's part included."""
    return asyncio.run(_snapshots(cohorts, repeats))


def lookups(clients: int, names: int, actors: int) -> dict[str, float]:
    """CPU of the GCS for looking up a name, how long one takes, and what a connection takes."""
    with _Ray() as started:
        ray = started.ray
        kind = ray.remote(num_cpus=0)(_Idle)
        made = [kind.options(name=f"idle-{number}").remote() for number in range(actors)]
        ray.get([actor.answer.remote() for actor in made])
        look = ray.remote(num_cpus=0, max_calls=1)(_look_up)
        ray.get([look.remote(actors, 1) for _ in range(clients)])
        before = started.gcs_cpu_s()
        took_s = ray.get([look.remote(actors, names) for _ in range(clients)])
        of_gcs = started.gcs_cpu_s() - before
        reach = ray.remote(num_cpus=0, max_calls=1)(_reach)
        found = ray.get(reach.remote(actors))
    return {
        "lookup_gcs_cpu_us": of_gcs / (clients * names) * 1e6,
        "lookup_ms": sum(took_s) / (clients * names) * 1e3,
        **{f"connection_{name}": value for name, value in found.items()},
    }


class _Idle:
    def answer(self) -> int:
        return 1


class _Ray:
    """A Ray of our own, in a temporary folder."""

    def __enter__(self) -> _Ray:
        import ray

        # Ray's workers find this package where we do
        library, others = str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([library, *([others] if others else [])])
        self._folder = tempfile.mkdtemp(prefix="rs-", dir="/tmp")
        self.ray: Any = ray
        ray.init(
            address="local",
            _temp_dir=self._folder,
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100 * 2**20,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def gcs_cpu_s(self) -> float:
        """CPU time of the GCS of this Ray."""
        children = psutil.Process().children(recursive=True)
        return sum(_cpu_s(one) for one in children if one.name() == "gcs_server")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _send_reports(control: Any, cohort: int, count: int) -> None:
    import ray

    report = CohortReport(
        cohort=cohort,
        agents_started=500,
        agents_done=0,
        operations=5_000,
        failures=0,
        retries=0,
        tally=_TALLY,
    )
    data, waiting = msgspec.msgpack.encode(report), []
    for _ in range(count):
        if len(waiting) >= _AT_ONCE:
            ray.get(waiting.pop(0))
        waiting.append(control.report.remote(data))
    ray.get(waiting)


def _send_files(control: Any, cohort: int, count: int) -> None:
    import ray

    data = bytes(_FILE_BYTES)
    for number in range(count):
        ray.get(control.put.remote("write", f"ops/cohort-{cohort:05}-{number:06}.parquet", data))


async def _snapshots(cohorts: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        control = Control(folder)
        waiting = []
        for number in range(cohorts):
            me = CohortReady(number, 1_000_000 + number, "f" * 56)
            waiting.append(asyncio.create_task(control.ready(msgspec.msgpack.encode(me))))
            report = CohortReport(number, 500, 0, 5_000, 0, 0, _TALLY)
            await control.report(msgspec.msgpack.encode(report))
        await asyncio.sleep(0)
        before = time.process_time()
        for _ in range(repeats):
            data = await control.snapshot()
        took_s = time.process_time() - before
        await control.release()
        await asyncio.gather(*waiting)
    return {
        "snapshot_cpu_us_a_cohort": took_s / repeats / cohorts * 1e6,
        "snapshot_bytes_a_cohort": len(data) / cohorts,
    }


def _look_up(actors: int, names: int) -> float:
    import ray

    begun = time.perf_counter()
    for number in range(names):
        ray.get_actor(f"idle-{number % actors}")
    return time.perf_counter() - begun


def _reach(actors: int) -> dict[str, float]:
    """What the first call to an actor takes, and what it leaves in the process that makes it."""
    import ray

    first = ray.get_actor("idle-0")
    ray.get(first.answer.remote())  # what a process pays once for all
    process = psutil.Process()
    before = process.memory_full_info().uss, process.num_fds(), process.num_threads()
    begun, handles = time.perf_counter(), []
    for number in range(1, actors):
        handles.append(ray.get_actor(f"idle-{number}"))
        ray.get(handles[-1].answer.remote())
    took_s = time.perf_counter() - begun
    after = process.memory_full_info().uss, process.num_fds(), process.num_threads()
    more = [(now - then) / (actors - 1) for now, then in zip(after, before, strict=True)]
    return {
        "first_call_ms": took_s / (actors - 1) * 1e3,
        "uss_kib": more[0] / 1024,
        "files": more[1],
        "threads": more[2],
    }
