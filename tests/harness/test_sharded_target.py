"""Targets whose store is shards: what the plan says of the store reaches it, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import RunFailedError, UsageError
from harness.plan import RunPlan
from harness.targets import sharded
from harness.targets.driven import Placement
from harness.targets.memory_core import MemoryCoreTarget
from memory_core import BadInputError, MemoryConfig, MemoryCoreError


def refusal(
    monkeypatch: pytest.MonkeyPatch, folder: Path, raised: MemoryCoreError, **options: Any
) -> tuple[Exception, MemoryConfig]:
    """What preparing raises when the shards do not start, and the configuration they were given."""
    given: list[MemoryConfig] = []

    def start(_: str, __: int, config: MemoryConfig, **___: object) -> None:
        given.append(config)
        raise raised

    monkeypatch.setattr(sharded, "start_shards", start)
    placement = Placement(run_id="r", data_dir=folder, shards=1, node_ids=["n"])
    with pytest.raises((UsageError, RunFailedError)) as caught:
        MemoryCoreTarget().prepare(RunPlan(**options), placement)
    return caught.value, given[0]


def test_the_stores_options_reach_its_shards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Dimension, durability and the limit on memory are those of the plan."""
    error, config = refusal(
        monkeypatch,
        tmp_path,
        MemoryCoreError("no"),
        dimension=16,
        durability="os",
        memory_limit_bytes=70_000_000,
    )
    assert isinstance(error, RunFailedError)
    assert (config.dimension, config.durability) == (16, "os")
    assert config.memory_limit_bytes == 70_000_000


def test_what_the_store_refuses_of_the_plan_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A field of the plan's is named as its option; another's is a store that did not start."""
    refused = BadInputError("memory_limit_bytes", "must be at least 35,651,584")
    error, _ = refusal(monkeypatch, tmp_path, refused, memory_limit_bytes=1_000)
    assert isinstance(error, UsageError)
    assert str(error) == "--memory-limit: must be at least 35,651,584"
    error, _ = refusal(monkeypatch, tmp_path, BadInputError("path", "is taken"))
    assert isinstance(error, RunFailedError)
