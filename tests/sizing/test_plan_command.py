"""``harness plan``: what it says, what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.commands.plan import parse_bytes, parse_time_s
from harness.errors import UsageError
from tests.sizing.made_evidence import RECORDED

SMALL = ("--agents", 20_000, "--memories-per-agent", 100, "--target-p99", "100ms")
ASKED = ("--agents", 1_000_000, "--memories-per-agent", 10_000, "--target-p99", "50ms")


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs ``harness plan`` in this process; gives exit code, output and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["harness", "plan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.slow
def test_a_million_agents_are_sized(plan):
    """Sizes, the range, the prediction, and all that it rests on, in 80 columns."""
    code, out, err = plan(*ASKED, "--from", RECORDED)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    for part in (
        "for 1,000,000 agents with 10,000 memories each and 1,000,000 operations/s",
        "memory nodes",
        "agent tasks",
        "Assumed",
        "--rate-per-agent sets it",
        "Extrapolated",
        "2,000 times the most of a run",
        "Not known",
        "each pays for a call",
    ):
        assert part in words, part
    assert "…" not in out


@pytest.mark.slow
def test_json_has_the_question_and_the_plan(plan):
    """Numbers as they are, consistent with each other."""
    code, out, _ = plan(*ASKED, "--rate-per-agent", 0.1, "--json", "--from", RECORDED)
    assert code == 0
    found = json.loads(out)
    planned = found["plan"]
    assert found["question"]["target_p99_s"] == pytest.approx(0.05)
    assert planned["rate_ops_s"] == pytest.approx(100_000)
    assert planned["p99_ms"]["low"] <= planned["p99_ms"]["estimate"] <= 50
    assert planned["shards"]["low"] <= planned["shards"]["estimate"] <= planned["shards"]["high"]
    assert planned["memory_nodes"]["count"] == max(planned["memory_nodes"]["by"].values())
    assert planned["processes"]["shard_busy_ratio"] <= 0.7
    assert planned["tried"][-1][0] == planned["processes"]["shards"]


@pytest.mark.slow
def test_what_was_read_can_be_kept(plan, tmp_path: Path):
    """The file gives the same plan as what it was kept of."""
    kept = tmp_path / "kept.json"
    first = plan(*SMALL, "--from", RECORDED, "--keep", kept)
    assert plan(*SMALL, "--from", kept) == first


@pytest.mark.slow
def test_a_smaller_rate_needs_less(plan):
    """Shards follow the rate, and memory does not."""
    sizes = []
    for rate in (0.01, 1):
        _, out, _ = plan(*SMALL, "--rate-per-agent", rate, "--json", "--from", RECORDED)
        sizes.append(json.loads(out)["plan"])
    assert sizes[0]["processes"]["shards"] < sizes[1]["processes"]["shards"]
    assert sizes[0]["memory_bytes"] == sizes[1]["memory_bytes"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (ASKED, "Missing option '--from'"),
        ((*ASKED, "--from", "nowhere"), "nowhere does not exist"),
        ((*ASKED[:4], "--target-p99", "50", "--from", RECORDED), "--target-p99: '50' is no time"),
        ((*ASKED[:4], "--target-p99", "0ms", "--from", RECORDED), "--target-p99: '0ms' is no time"),
        ((*ASKED[:4], "--target-p99", "1us", "--from", RECORDED), "below what a nearly idle shard"),
        ((*ASKED, "--rate-per-agent", 1e6, "--from", RECORDED), "at most 100,000 are simulated"),
        ((*ASKED, "--rate-per-agent", "nan", "--from", RECORDED), "--rate-per-agent: must be from"),
        ((*ASKED, "--core-speed", "0", "--from", RECORDED), "--core-speed: must be from 0.01"),
        ((*ASKED, "--node-memory", "much", "--from", RECORDED), "--node-memory: 'much' is no size"),
        ((*ASKED, "--keep", "/", "--from", RECORDED), "--keep: / cannot be written"),
    ],
)
def test_it_refuses_what_it_cannot_size(plan, monkeypatch, tmp_path: Path, arguments, part: str):
    """Exit code 2 and one line."""
    monkeypatch.chdir(tmp_path)
    code, out, err = plan(*arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_agents_that_hardly_ever_ask_are_sized(plan):
    """However long the simulated time is that some thousand operations take."""
    code, out, _ = plan(*ASKED, "--rate-per-agent", 1e-6, "--json", "--from", RECORDED)
    assert code == 0
    processes = json.loads(out)["plan"]["processes"]
    # what memories fill, and 25,000 agents in a task
    assert processes["shards"] == json.loads(out)["plan"]["memory_nodes"]["by"]["memory"]
    assert processes["cohorts"] == 40


def test_runs_without_volumes_are_refused(plan, tmp_path: Path):
    """Nobody knows what memories take."""
    document = json.loads(RECORDED.read_text())
    (tmp_path / "kept.json").write_text(json.dumps(document | {"memories": []}))
    code, _, err = plan(*ASKED, "--from", tmp_path / "kept.json")
    assert code == 2
    assert "has no directory of bench memory" in err


@pytest.mark.parametrize(
    ("text", "seconds"), [("50ms", 0.05), ("1.5s", 1.5), (" 20us", 2e-5), ("2min", 120.0)]
)
def test_times_are_read_with_their_unit(text: str, seconds: float):
    """In seconds."""
    assert parse_time_s(text, "--x") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("128GiB", 128 * 2**30), ("3750GB", 3.75e12), ("10Gbit", 1.25e9), ("1B", 1), ("2.5KiB", 2560)],
)
def test_sizes_are_read_with_their_unit(text: str, size: float):
    """In bytes."""
    assert parse_bytes(text, "--x") == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1", "1XB", "nan GB", "1e9GB", "0GB"])
def test_what_is_no_size_is_refused(text: str):
    """A number above 0 and a unit."""
    with pytest.raises(UsageError, match="is no size"):
        parse_bytes(text, "--x")
