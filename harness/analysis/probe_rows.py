"""Which rows of a volume's run are of one kind of probe (`harness.analysis.memory_scaling`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.time_blocks import Keep
from harness.rundir_reader import FileMetadata, RunReader

__all__ = ["probe_of", "probe_rows"]

_PATH = re.compile(r"(?:service\.(?P<service>\w+)|(?P<response>\w+)_latency_ms)\.(?P<at>\w+)")


def probe_of(path: str) -> tuple[str, str]:
    """Give the kind of probe that a volume's figure is of, and the figure's name in its rows.

    ``search_latency_ms.p50`` is ``all.p50_ms`` of the searches. The kind is empty for a figure
    that is of no probe.
    """
    matched = _PATH.fullmatch(path)
    if matched is None:
        return "", path
    at = "mean_ms" if matched["at"] == "avg" else f"{matched['at']}_ms"
    if matched["service"]:
        return matched["service"], f"service.all.{at}"
    return matched["response"], f"all.{at}"


def probe_rows(reader: RunReader, probe: str) -> Keep:
    """Tell the rows of a kind of probe: searches across tiers have cohorts of their own."""
    volume = reader.run.get("volume")
    numbers = volume.get("cross_tier") if isinstance(volume, Mapping) else None
    across = list(numbers.values()) if isinstance(numbers, Mapping) else []

    def keep(metadata: FileMetadata, table: pa.Table) -> npt.NDArray[np.bool_]:
        if (metadata.cohort in across) != (probe == "cross_tier"):
            return np.zeros(table.num_rows, np.bool_)
        if probe == "cross_tier":
            return np.ones(table.num_rows, np.bool_)
        same = pc.equal(table["op"].cast(pa.string()), probe)
        return np.asarray(same.to_numpy(), np.bool_)

    return keep
