"""``harness simulate``: where the design breaks, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest

from harness import cli
from tests.sizing.made_evidence import RECORDED

LARGE = ("--agents", 10_000_000, "--shards", 10_000)


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs ``harness simulate`` in this process; gives exit code, output and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(
            sys, "argv", ["harness", "simulate", *map(str, arguments), "--from", str(RECORDED)]
        )
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_ten_million_agents_break_the_design(simulate):
    """Which limit first, at how many agents, and what would have to change, in 80 columns."""
    code, out, err = simulate(*LARGE)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    for part in (
        "limits are broken, the first (reports and files) at",
        "A batch has 1.00 operations",
        "Control: 100% busy",
        "What changes first",
        "leaves one message a node",
    ):
        assert part in words, part
    assert "…" not in out


def test_a_small_cluster_breaks_nothing(simulate):
    """And says so."""
    code, out, _ = simulate("--agents", 1_000, "--shards", 4)
    assert code == 0
    assert "nothing breaks that is known" in " ".join(out.split())


def test_json_has_every_limit(simulate):
    """With whether and where it breaks, and what was simulated."""
    code, out, _ = simulate(*LARGE, "--tasks", 6_000, "--json")
    assert code == 0
    document = json.loads(out)
    found = document["found"]
    assert document["trial"]["cohorts"] == found["scale"]["cohorts"] == 6_000
    assert found["limits"][0]["name"] == "reports and files"
    assert found["limits"][0]["broken"]
    assert found["limits"][0]["broken_at_agents"] < 1_000_000
    assert found["throughput_ops_s"] == pytest.approx(found["rate_ops_s"], rel=0.05)
    assert found["delays"]["report_interval_s"] > 1


def test_agents_dealt_out_by_their_shard_share_calls(simulate):
    """With few shards a task, batches are larger and shards less busy."""
    usual, dealt_out = (
        json.loads(simulate("--agents", 1_000_000, "--shards", 200, *more, "--json")[1])["found"]
        for more in ((), ("--shards-per-task", 1))
    )
    assert dealt_out["processes"]["batch_ops"] > 4 * usual["processes"]["batch_ops"]
    assert dealt_out["call_ratio"] < usual["call_ratio"]
    assert dealt_out["scale"]["cohorts"] < usual["scale"]["cohorts"]


def test_shards_that_are_too_few_are_called_so(simulate):
    """Operations that are not carried are no percentile to plan with."""
    _, out, _ = simulate("--agents", 1_000_000, "--shards", 8)
    assert "The shards cannot carry it" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--agents", 5), "Missing option '--shards'"),
        (("--agents", 0, "--shards", 1), "--agents: 0 is not in the range"),
        ((*LARGE, "--rate-per-agent", "nan"), "--rate-per-agent: must be from"),
        ((*LARGE, "--rate-per-agent", 1_000), "agent tasks, and at most 100,000 are simulated"),
        ((*LARGE, "--duration", 0), "--duration: must be above 0 s"),
    ],
)
def test_it_refuses_what_it_cannot_simulate(simulate, arguments, part: str):
    """Exit code 2 and one line."""
    code, out, err = simulate(*arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1
