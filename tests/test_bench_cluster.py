"""scripts/bench cluster: what it runs is what harness run takes, and what it reads is judged."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import cluster
from bench.errors import MeasurementError
from bench.figures import figure_of

from harness.commands.run import run

SIZES = cluster.ClusterSizes()


@pytest.mark.parametrize(
    "arguments", [cluster._standard, cluster._killed, cluster._timed, cluster._backed_up]
)
def test_the_runs_have_options_that_the_command_has(arguments: Callable[..., list[str]]):
    """Every measurement's arguments are parsed without a complaint, and name two shards or one."""
    with run.make_context("run", arguments(SIZES)) as context:
        assert context.params["shards"] in (1, 2)
        assert context.params["agents"] >= 50


def test_a_shard_that_never_came_back_is_no_figure():
    """Without a time to recover there is a problem that quotes what happened."""
    summary = {"faults": [{"recovery_s": None, "sentence": "it stayed away"}]}
    with pytest.raises(MeasurementError, match="it stayed away"):
        cluster._recovery_s(summary)
    summary["faults"][0]["recovery_s"] = 1.5
    assert cluster._recovery_s(summary) == 1.5


def test_ratios_are_of_one_repeat():
    """Each figure follows from a repeat's numbers, and is judged by its goal."""
    numbers = {"throughput_ops_s": 50.0, "recovery_s": 6.0, "plain_ops_s": 10.0}
    repeat = {"one": {"throughput_ops_s": 100.0}, "several": {**numbers, "backups_ops_s": 9.0}}
    figures = {
        spec.row: figure_of(spec, [repeat]) for spec in cluster.figure_specs(cluster.ClusterSizes())
    }
    assert {row: figure.median for row, figure in figures.items()} == {
        "hosts": 0.5,
        "killed-shard": 6.0,
        "backups": 0.9,
    }
    assert [figure.verdict.value for figure in figures.values()] == ["MISSED", "MISSED", "met"]
