"""Pages of agents' ids against a sorted set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_core import agent_ids
from memory_core.agent_ids import AgentIds

ids = st.text("ab.\u00e4", min_size=1, max_size=3)
steps = st.lists(
    st.tuples(st.just("come"), st.lists(ids, max_size=6))
    | st.tuples(st.just("go"), ids)
    | st.tuples(st.just("all go"), st.none())
    | st.tuples(
        st.just("page"),
        st.tuples(st.integers(1, 5), st.none() | ids, st.none() | ids),
    ),
    max_size=30,
)


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_ids, "_FEW", 2)
    monkeypatch.setattr(agent_ids, "_SORTED_TOGETHER", 3)


@given(steps=steps)
def test_a_page_is_that_of_a_sorted_set(steps: list[tuple[str, object]]):
    """Whatever comes, goes and comes back, a page has each agent that is there once, in order."""
    agents: set[str] = set()
    ordered = AgentIds(agents)
    for what, given_ in [*steps, ("page", (100, None, None))]:
        if what == "come":
            for agent_id in given_:  # type: ignore[attr-defined]
                if agent_id not in agents:
                    agents.add(agent_id)
                    ordered.note(agent_id)
        elif what == "go":
            agents.discard(given_)  # type: ignore[arg-type]
        elif what == "all go":
            agents.clear()
        else:
            limit, after, prefix = given_  # type: ignore[misc]
            expected = sorted(
                one
                for one in agents
                if (after is None or one > after) and one.startswith(prefix or "")
            )
            assert ordered.page(limit, after=after, prefix=prefix) == expected[:limit]


def test_what_nobody_asks_for_is_not_kept():
    """Agents that come are noted only while pages are asked for, and forgotten after many."""
    agents = {"a"}
    ordered = AgentIds(agents)
    for number in range(10):
        agents.add(str(number))
        ordered.note(str(number))
    assert ordered._new == []
    assert ordered.page(2) == ["0", "1"]
    for number in range(100):
        agents.add(f"b{number}")
        ordered.note(f"b{number}")
    assert len(ordered._new) < 20
    assert ordered.page(1, prefix="b9", after="b97") == ["b98"]
