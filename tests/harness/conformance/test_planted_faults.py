"""The check finds what is wrong with a store, names the point, and finds nothing else."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from harness.conformance import POINTS, Conformance, check_target
from tests.harness.conformance import planted
from tests.processes import below

_FAULTS = [
    pytest.param(kind, failed, id=f"{next(one for one in POINTS if one in failed)}-{kind.__name__}")
    for kind, failed in planted.FAULTS.items()
]


def checked(kind: type[planted.Faithful]) -> Conformance:
    return check_target(f"{planted.__name__}:{kind.__name__}", seed=1)


@pytest.mark.slow
@pytest.mark.fault
def test_a_store_that_keeps_what_it_should_passes_every_point():
    """No point fails, each says what was seen, and no process that stored is left."""
    found = checked(planted.Faithful)
    assert found.passed, found.failed
    assert [point.name for point in found.points] == list(POINTS)
    assert {point.state for point in found.points} == {"passed"}
    assert (found.version, found.durability) == ("1.0", "A line is with the operating system")
    assert below(os.getpid(), "harness.conformance.writing") == []


@pytest.mark.parametrize(("kind", "failed"), _FAULTS)
def test_a_fault_fails_its_point(kind: type[planted.Faithful], failed: set[str]):
    """A store with one fault fails the point about that, and those that need what it lacks."""
    found = checked(kind)
    assert {point.name for point in found.failed} == failed
    for point in found.points:
        assert re.fullmatch(r"\S.*(\.| \.\.\.)", point.sentence), point


def test_points_that_are_not_claimed_are_not_checked():
    """Filter, delete and durability are checked of a target that claims them only."""
    found = checked(planted.Modest)
    assert found.passed
    states = {point.name: point.state for point in found.points}
    assert {name for name, state in states.items() if state == "not claimed"} == {
        "filter",
        "delete",
        "durability",
    }


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            planted.EarlyAcknowledgement,
            r"Of [\d,]+ memories that were written before SIGKILL, [\d,]+ are not as was ack",
        ),
        (planted.DeletedReturns, r"Of .*: 'passing-.* is there, and was deleted\."),
        (planted.NeverReopened, r"The store could not be opened: .*: the store is open elsewhere"),
    ],
)
def test_what_does_not_survive_sigkill_fails_durability(kind: type[planted.Faithful], said: str):
    """A store that acknowledges too early, or cannot be opened again, fails that point alone."""
    [point] = checked(kind).failed
    assert point.name == "durability"
    assert re.match(said, point.sentence), point.sentence


def test_the_same_seed_checks_the_same(monkeypatch: pytest.MonkeyPatch):
    """What is stored follows from the seed, and without one it differs from check to check."""
    stored: list[bytes] = []
    store = planted.LoggedStore.store

    def note(self: planted.LoggedStore, memory: planted.Memory) -> None:
        if memory.agent_id == "reader":
            stored.append(memory.vector.tobytes())
        store(self, memory)

    monkeypatch.setattr(planted.LoggedStore, "store", note)
    for seed in (5, 5, None):
        assert seed in {check_target(f"{planted.__name__}:Modest", seed=seed).seed, None}
    first, second, third = np.array(stored).reshape(3, -1).tolist()
    assert first == second
    assert first != third
