"""Rounds of agents, in cases worked by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harness.analysis.rounds import (
    COLUMNS,
    ROUND_FIGURES,
    AgentRows,
    find_rounds,
    read_agent_rows,
)

S = 1_000_000_000


def rows_of(agents: dict[int, list[tuple[float, float]]]) -> AgentRows:
    """Rows from (begin, end) in seconds by agent, in an order that has nothing to do with time."""
    spans = [(agent, *span) for agent, own in agents.items() for span in own]
    np.random.default_rng(1).shuffle(spans)
    columns = np.array(spans).reshape(-1, 3)
    return AgentRows(
        agent=columns[:, 0].astype(np.int32),
        begin_ns=(columns[:, 1] * S).astype(np.int64),
        end_ns=(columns[:, 2] * S).astype(np.int64),
    )


def test_a_round_runs_from_its_first_operation_to_its_last():
    """The total is that of the slowest, however much earlier another one began."""
    rows = rows_of({0: [(0, 1), (1, 3)], 1: [(1, 4), (4, 6)]})
    figures = find_rounds(rows, 2, 2).figures()
    assert figures["total_s"] == 5.0  # of agent 1; from 0 to 6 one of them was at it
    assert (figures["min_s"], figures["avg_s"], figures["max_s"]) == (3.0, 4.0, 5.0)
    assert figures["std_s"] == 1.0
    assert figures["p95_s"] == pytest.approx(4.9)


def test_a_round_that_was_cut_is_no_round():
    """Operations beyond an agent's last whole round are left out."""
    rows = rows_of({0: [(0, 1), (1, 2), (2, 50)]})
    rounds = find_rounds(rows, 1, 2)
    assert rounds.count == 1
    assert rounds.figures()["total_s"] == 2.0


def test_only_rounds_that_all_agents_finished_count():
    """A third round of the fastest is left out where the others did two."""
    whole = [(at, at + 1) for at in range(6)]
    rounds = find_rounds(rows_of({0: whole, 1: whole[:4], 2: whole[:5]}), 3, 2)
    assert rounds.count == 2
    assert rounds.begin_ns.shape == (3, 2)


@pytest.mark.parametrize("there", [{}, {0: [(0, 1), (1, 2)]}, {0: [(0, 1)], 1: [(0, 1), (1, 2)]}])
def test_without_a_round_of_every_agent_there_are_no_durations(there):
    """An agent that is missing, or that finished none, leaves every figure unknown."""
    rounds = find_rounds(rows_of(there), 2, 2)
    assert rounds.count == 0
    assert rounds.figures() == dict.fromkeys(ROUND_FIGURES)


def test_a_figure_is_its_median_over_rounds():
    """One slow round of three moves none of the figures."""
    rows = rows_of({0: [(0, 1), (1, 11), (11, 13)]})
    figures = find_rounds(rows, 1, 1).figures()
    for name in ("total_s", "avg_s", "min_s", "max_s", "p95_s"):
        assert figures[name] == 2.0
    assert figures["std_s"] == 0.0


def test_how_long_agents_go_on_says_nothing_of_a_round():
    """A faster agent is ever further ahead; the total is the same after 3 rounds and after 300."""
    for rounds in (3, 300):
        spans = {
            agent: [(at * length, (at + 1) * length) for at in range(rounds)]
            for agent, length in ((0, 1.0), (1, 1.1))
        }
        figures = find_rounds(rows_of(spans), 2, 1).figures()
        assert figures["total_s"] == pytest.approx(1.1)


def test_figures_keep_their_order_whatever_the_agents_do():
    """The least is not above the average, nor that above the most, nor that above the total."""
    chance = np.random.default_rng(7)
    for agents in (1, 2, 30):
        spans = {}
        for agent in range(agents):
            ends = np.cumsum(chance.exponential(1.0, 41))
            spans[agent] = list(pairwise(ends))
        figures = find_rounds(rows_of(spans), agents, 4).figures()
        order = [figures[name] for name in ("min_s", "avg_s", "max_s", "total_s")]
        assert order == sorted(order)
        assert figures["min_s"] <= figures["p95_s"] <= figures["max_s"]


def test_rows_of_several_cohorts_lie_on_one_time_line(tables):
    """A cohort that started a second later has its rows a second later; warm-up is left out."""
    row = {"agent": 0, "scheduled_ns": 5, "service_ns": 2}
    files = [
        tables.file([row, row | {"phase": "warmup"}]),
        tables.file([row | {"agent": 1}], cohort=1, start_wall_ns=tables.wall_ns + S),
    ]
    rows = read_agent_rows((metadata, table.select(COLUMNS)) for metadata, table in files)
    assert rows.agent.tolist() == [0, 1]
    assert (rows.begin_ns - tables.wall_ns).tolist() == [5, S + 5]
    assert (rows.end_ns - rows.begin_ns).tolist() == [2, 2]


def test_no_files_make_no_rows():
    """A run that was killed at once has no agent's rows."""
    assert read_agent_rows([]).agent.size == 0


def test_a_round_of_no_operations_is_refused():
    """Rows cannot be divided into it."""
    with pytest.raises(ValueError, match="operations"):
        find_rounds(rows_of({}), 1, 0)
