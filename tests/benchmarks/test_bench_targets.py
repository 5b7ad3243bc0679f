"""``harness bench targets``: what it is told and refuses, and a small comparison as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.target_comparison import summarise_targets
from harness.commands.bench_targets import targets
from harness.errors import HarnessError, RunFailedError, UsageError
from harness.ray_session import RaySession
from tests.harness.driving import short_folder
from tests.shared_ray import command_here

LACKING = "tests.benchmarks.odd_targets:LackingTarget"


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def refused(*arguments: object, kind: type[HarnessError] = UsageError) -> str:
    with pytest.raises(kind) as caught:
        targets.main([str(one) for one in arguments], standalone_mode=False)
    return str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--targets", "noop,nope"),
        ("--targets", "noop:x=1"),
        ("--targets", ""),
        ("--counts", "0"),
        ("--counts", "1,1"),
        ("--repeats", 0),
        ("--volumes", "5"),
        ("--volumes", "100,x"),
        ("--probes", 0),
        ("--time-cap", 0),
        ("--dimension", 0),
        ("--threshold", "targets.noop.counts.3.nothing<1"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_starts(
    tmp_path: Path, option: str, value: object
):
    """Under its option (fewer memories than agents to hold them are too), and nothing is left."""
    out = tmp_path / "out"
    given = {"--targets": "noop", option: value, "--out": out, "--address": "local"}
    said = refused(*(part for pair in given.items() for part in pair))
    assert said.startswith("--volume-agents: " if value == "5" else f"{option}: ")
    assert not out.exists()


def test_a_comparison_of_nothing_that_is_installed_fails(tmp_path: Path):
    """It names the command that installs what is missing; with --strict one is enough."""
    out = tmp_path / "out"
    arguments = ("--out", out, "--address", "local")
    assert "no target" in refused("--targets", LACKING, *arguments, kind=RunFailedError)
    both = ("--targets", f"noop,{LACKING}", "--strict")
    assert "not every target" in refused(*both, *arguments, kind=RunFailedError)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_two_targets_are_compared(folder: Path, ray_here: RaySession):
    """Ours beside an adapter: throughput, operations, recall, what each is; no databases stay."""
    out = folder / "out"
    other = "tests.harness.targets.dict_stores:BatchTarget"
    done = command_here(
        *("bench", "targets", "--targets", f"embedded,{other},{LACKING}", "--counts", "3"),
        *("--repeats", "1", "--step-duration", "0.3", "--volumes", "200", "--probes", "20"),
        *("--volume-agents", "2", "--out", out),
        temp=folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    assert "which is not installed" in done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["targets"]) == ["embedded", other]
    for name, one in summary["targets"].items():
        _look_at(name, one)
    order = summary["comparison"]["throughput"]["3"]["order"]
    assert {one["target"] for one in order} == {"embedded", other}
    assert summary["comparison"]["throughput"]["3"]["beyond_spread"] is None
    assert {one["name"] for one in summary["verdicts"]} >= {
        *("throughput", "store_latency", "completion", "left_out", "durability", "recall"),
    }
    assert "<html" in (out / "report.html").read_text()
    assert not list(out.glob("**/data"))
    assert json.loads(json.dumps(summarise_targets(out))) == summary


def _look_at(name: str, one: dict[str, Any]) -> None:
    figures = one["counts"]["3"]
    assert figures["operations_per_second"] > 0
    assert figures["repeats"][0]["status"] == "complete"
    assert figures["repeats"][0]["failed"] == 0
    volume = one["volumes"]["200"]
    for operation in ("store", "retrieve", "search"):
        assert volume[f"{operation}_latency_ms"]["count"] == 20
        assert volume[f"{operation}_latency_ms"]["p50"] > 0
    assert (volume["missing"], volume["altered"], volume["failed"]) == (0, 0, 0)
    assert volume["recall"] == 1.0
    assert volume["load_rate_ops_s"] > 0
    assert volume["memory_usage_bytes"] > 10 * 2**20
    assert one["name"] == name
    assert one["durability"]
    assert ("durable" in one["capabilities"]) is (name == "embedded")
