"""scripts/bench peers: what is compared, what must be reached, and the Markdown that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import command, peers
from bench.errors import MeasurementError
from bench.figures import Verdict, figure_of
from bench.peers import OURS, PeerSizes, figure_specs, peers_here
from bench.peers_table import peer_tables
from bench.session import Session

from tests.report.made_benches import targets_summary

SIZES = PeerSizes(targets="usearch,sqlite-vec")


@pytest.fixture
def summary() -> dict[str, Any]:
    """Ours are twice and eight times as fast as the two others, of which one syncs."""
    made = targets_summary()
    first, second, third = made["targets"].values()
    fast = json.loads(json.dumps(first))
    for figures in fast["counts"].values():
        figures["operations_per_second"] *= 2
    for figures in fast["volumes"].values():
        for name in ("store", "retrieve", "search"):
            figures[f"{name}_latency_ms"]["p50"] /= 2
    second["capabilities"] = ["batch"]
    named = ("memory_core", first), ("embedded", fast), ("usearch", second), ("sqlite-vec", third)
    made["targets"] = dict(named)
    return made


def measured(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch, folder: Path, **failing: bool
) -> tuple[Session, list[str]]:
    """A session that measured a comparison of that summary, and what the harness was asked."""
    asked: list[str] = []

    def run(arguments: list[str], folder: Path, time_max_s: float) -> Path:
        assert time_max_s > 3600
        asked.extend(arguments)
        (folder / "bench").mkdir()
        if summary:
            (folder / "bench" / "summary.json").write_text(json.dumps(summary))
        if failing:
            raise MeasurementError("a peer did not start")
        return folder / "bench"

    monkeypatch.setattr(peers, "run_bench", run)
    session = Session({"peers": peers.peers}, SIZES, folder, lambda _: None)
    session.measure(1)
    return session, asked


def test_what_is_compared_has_the_standard_settings(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Ours and the peers, one agent and 500, three times each."""
    session, asked = measured(summary, monkeypatch, tmp_path)
    given = dict(zip(asked[1::2], asked[2::2], strict=True))
    assert asked[0] == "targets"
    assert given["--targets"] == "memory_core,embedded,usearch,sqlite-vec"
    assert (given["--counts"], given["--repeats"]) == ("1,500", "3")
    assert session.problems == []


def test_ours_is_held_against_the_best_peer(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The best of all, and the best of those that have a store on disk when they acknowledge it."""
    session, _ = measured(summary, monkeypatch, tmp_path)
    figures = [figure_of(spec, session.repeats) for spec in figure_specs(SIZES)]
    found = {figure.spec.title: figure for figure in figures}
    throughput = "memory_core, 500 agents, over the best peer "
    search = "a search of the fastest peer {}, over embedded's"
    assert found[f"{throughput}of all"].median == pytest.approx(2)
    assert found[f"{throughput}that syncs"].median == pytest.approx(4)
    assert found[search.format("of all")].median == pytest.approx(4)
    assert found[search.format("that syncs")].median == pytest.approx(8)
    assert {figure.verdict for figure in figures} == {Verdict.MET, Verdict.NONE}


def test_a_peer_that_is_ahead_is_a_goal_that_was_missed(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """And said, not left out."""
    summary["targets"]["usearch"]["counts"]["500"]["operations_per_second"] *= 100
    session, _ = measured(summary, monkeypatch, tmp_path)
    figures = [figure_of(spec, session.repeats) for spec in figure_specs(SIZES)]
    missed = [figure.spec.title for figure in figures if figure.verdict is Verdict.MISSED]
    assert missed == ["memory_core, 500 agents, over the best peer of all"]


def test_a_peer_that_failed_leaves_the_others(
    summary: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What has a summary is told; a comparison without one is a problem."""
    session, _ = measured(summary, monkeypatch, tmp_path, failing=True)
    assert session.problems == []
    session, _ = measured({}, monkeypatch, tmp_path, failing=True)
    assert "a peer did not start" in session.problems[0]


def test_the_markdown_has_every_target_with_what_it_is(summary: dict[str, Any]):
    """Two tables of whole rows: figures, then version, durability and settings."""
    summary["targets"]["sqlite-vec"]["durability"] = "Synced | always."
    lines = list(peer_tables(summary))
    figures, facts = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert [line.split("|")[1].strip() for line in figures[2:]] == [
        *("`embedded`", "`memory_core`", "`usearch`", "`sqlite-vec`"),
    ]
    assert "| 500 agents, op/s | 100 agents, op/s | 1 agent, op/s | store |" in figures[0]
    for table in (figures, facts):
        widths = {line.replace("\\|", "").count("|") for line in table}
        assert len(widths) == 1
    assert any("Synced \\| always." in line and "mode wal, threads 2" in line for line in facts)
    usearch = next(line for line in figures if "`usearch`" in line)
    assert usearch.endswith("| no | 1 of 2 |")


def test_peers_that_are_two_things_are_compared_as_both():
    """Ours, and what is no store, are not among them."""
    here = peers_here()
    assert not {*OURS, "noop", "threads"} & set(here)
    assert ("chroma" in here) == ("chroma:server=true" in here)


def test_the_command_says_what_it_takes():
    """Which sizes it has, and that it takes minutes."""
    program = Path(command.__file__).parent
    done = subprocess.run(
        [sys.executable, program, "peers", "--help"], check=True, capture_output=True, text=True
    )
    assert "two minutes for each" in " ".join(done.stdout.split())
    assert "--targets TEXT" in done.stdout
