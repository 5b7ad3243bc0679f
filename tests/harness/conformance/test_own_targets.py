"""Our own targets pass, but the one that keeps nothing; shards that lose what they have do not."""

from __future__ import annotations

import pytest

from harness.conformance import POINTS, check_target
from harness.ray_session import RaySession


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("name", ["embedded", "threads"])
def test_our_store_in_process_passes_every_point(name: str):
    """It claims every point, and keeps each."""
    found = check_target(name)
    assert found.passed, found.failed
    assert {point.state for point in found.points} == {"passed"}
    assert found.durability


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_our_store_through_ray_passes_every_point(ray_here: RaySession):
    """It does when its shards are killed, too."""
    found = check_target("memory_core", session=ray_here)
    assert found.passed, found.failed
    assert {point.state for point in found.points} == {"passed"}
    assert "SIGKILL of the store's own processes" in found.points[-1].sentence


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_noop_fails_all_that_it_claims(ray_here: RaySession):
    """It keeps nothing, and says so of filter, delete and durability only."""
    found = check_target("noop", session=ray_here)
    assert [point.name for point in found.failed] == list(POINTS)[:7]
    assert {point.state for point in found.points[7:]} == {"not claimed"}


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_shards_that_acknowledge_early_fail_durability(ray_here: RaySession):
    """Of what a shard acknowledged and did not write, its death takes the last."""
    found = check_target("tests.harness.planted:EarlyKeepingTarget", session=ray_here)
    assert [point.name for point in found.failed] == ["durability"]
    assert "are not as was acknowledged" in found.points[-1].sentence
