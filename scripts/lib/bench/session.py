"""Makes the measurements, repeat after repeat, so that what is compared interleaves.

A measurement that fails is noted and leaves a gap; the others go on.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError
from bench.figures import Measured
from bench.harness_runs import HarnessRun
from memory_core import MemoryCoreError

__all__ = ["Session"]


@dataclass
class Session:
    """The measurements of one call of the command.

    Args:
        measures: by name, in the order of a repeat.
        sizes: how much each does.
        folder: for databases and run directories, which go as soon as they can.
        say: takes a line of progress.

    Attributes:
        repeats: the numbers so far, by repeat and measurement.
        raw: everything so far, a mapping for each measurement that was made.
        problems: a sentence for each that could not be.
    """

    measures: Mapping[str, Callable[[Any, Path], HarnessRun | Measured]]
    sizes: Any
    folder: Path
    say: Callable[[str], None]
    repeats: list[dict[str, Measured]] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def measure(self, repeats: int) -> None:
        """Make every measurement ``repeats`` times, every second time in the other direction."""
        for number in range(repeats):
            self.repeats.append({})
            for name in _order(list(self.measures), number):
                self._measure_one(name, f"repeat {number + 1} of {repeats}: {name}")

    def _measure_one(self, name: str, label: str) -> None:
        begun = time.perf_counter()
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        try:
            result = self.measures[name](self.sizes, folder)
        except (MeasurementError, MemoryCoreError, OSError) as error:
            self.problems.append(f"{label}: {error}")
            self.say(f"{label}: FAILED: {error}")
            return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        entry: dict[str, Any] = {"repeat": len(self.repeats) - 1, "measurement": name}
        if isinstance(result, HarnessRun):
            entry |= {"arguments": result.arguments, "summary": result.summary}
            result = result.measured
        self.repeats[-1][name] = result
        self.raw.append(entry | {"measured": dict(result)})
        self.say(f"{label}: {_told(result)}  [{time.perf_counter() - begun:.1f} s]")


def _order(names: Sequence[str], repeat: int) -> list[str]:
    return list(reversed(names)) if repeat % 2 else list(names)


def _told(measured: Measured) -> str:
    """The rates of a measurement, shortly."""
    rates = {name: value for name, value in measured.items() if name.endswith("_ops_s")}
    if "throughput_ops_s" in rates:
        return f"{rates['throughput_ops_s']:,.0f} operations/s"
    if rates:
        return ", ".join(
            f"{name.removesuffix('_ops_s')} {rate:,.0f}/s" for name, rate in rates.items()
        )
    return ", ".join(f"{name} {value:,.3g}" for name, value in measured.items())
