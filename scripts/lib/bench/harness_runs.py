"""Measurements that are runs of the harness, each in a process of its own.

Run directories go as soon as their summary has been read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError
from bench.figures import Measured
from bench.memory_watch import MemoryWatch

__all__ = ["HarnessRun", "run_bench", "run_harness", "run_script"]

RUN_S_MAX = 900.0
_STOP_S_MAX = 60.0
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class HarnessRun:
    """What a run gave: the numbers the figures need, and its whole summary."""

    arguments: list[str]
    measured: Measured
    summary: dict[str, Any]


def run_harness(arguments: list[str], folder: Path, *, watch_memory: bool = False) -> HarnessRun:
    """``harness run`` with arguments, its run directory in ``folder``.

    Raises:
        MeasurementError: it failed, or operations of it did.
    """
    program = Path(sys.executable).with_name("harness")
    return _run([str(program), "run", "--json"], arguments, folder, watch_memory)


def run_bench(arguments: list[str], folder: Path, time_max_s: float = RUN_S_MAX) -> Path:
    """``harness bench`` with arguments; its directory, in ``folder``.

    Raises:
        MeasurementError: it failed.
    """
    program, out = Path(sys.executable).with_name("harness"), folder / "bench"
    command = [str(program), "bench", *arguments, "--out", str(out)]
    _wait_for(command, folder / "bench.log", folder, watch_memory=False, time_max_s=time_max_s)
    return out


def run_script(arguments: list[str], folder: Path) -> HarnessRun:
    """``scripts/run`` with arguments; ``elapsed_s`` is from its start to its end."""
    return _run([str(_ROOT / "scripts" / "run")], arguments, folder, watch_memory=False)


def _run(command: list[str], arguments: list[str], folder: Path, watch_memory: bool) -> HarnessRun:
    out = folder / "run"
    log = folder / "run.log"
    shutil.rmtree(out, ignore_errors=True)
    try:
        begun = time.perf_counter()
        watch = _wait_for([*command, *arguments, "--out", str(out)], log, folder, watch_memory)
        elapsed_s = time.perf_counter() - begun
        summary = json.loads((out / "summary.json").read_text("utf-8"))
        run = json.loads((out / "run.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MeasurementError(f"the run left no summary ({error})") from error
    finally:
        shutil.rmtree(out, ignore_errors=True)
    if summary["failed"]:
        raise MeasurementError(f"{summary['failed']:,} operations of the run failed")
    measured = _numbers(summary, run) | {"elapsed_s": elapsed_s}
    if watch is not None:
        measured["pss_peak_bytes"] = float(watch.peak_bytes)
        measured["pss_peak_processes"] = float(watch.peak_processes)
        measured["pss_samples"] = float(watch.samples)
        measured["pss_watch_cpu_s"] = watch.cpu_s
    return HarnessRun(arguments, measured, summary)


def _wait_for(
    command: list[str],
    log: Path,
    folder: Path,
    watch_memory: bool,
    time_max_s: float = RUN_S_MAX,
) -> MemoryWatch | None:
    """Run a command to its end, in a session of its own, which this process alone can end."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        watch = MemoryWatch(process.pid) if watch_memory else None
        try:
            with watch or contextlib.nullcontext():
                code = process.wait(time_max_s)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                problem = f"the run was ended after {time_max_s:.0f} s"
                raise MeasurementError(problem) from error
            raise
    if code:
        lines = log.read_text("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        raise MeasurementError(f"the run ended with exit code {code}: {last.strip()}")
    return watch


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a run end as on Ctrl-C, which takes everything it started with it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _numbers(summary: dict[str, Any], run: dict[str, Any]) -> dict[str, float]:
    """What the figures need of a run.

    ``cohort_ops_s`` is by the cohorts' own clock, from the start to the last answer, the same
    whether rows were recorded or not; ``throughput_ops_s`` is the summary's.
    """
    lived_s = max((cohort["lived_s"] for cohort in run["cohorts"]), default=0.0)
    numbers = {
        "throughput_ops_s": summary["throughput_ops_s"],
        "cohort_ops_s": summary["operations"] / lived_s if lived_s else None,
        "in_flight_max": summary["agents"]["in_flight_max"],
    }
    # None where the run was too short for a sample
    numbers["sampler_cpu_percent"] = summary["resources"]["sampler"]["process_cpu_percent_max"]
    cpu = summary["cpu_us_per_operation"]
    numbers |= {f"cpu_us_{role}": value for role, value in cpu.items()}
    return {name: float(value) for name, value in numbers.items() if value is not None}
