"""What the doctor says of Ray, and of the token that it asks for."""

from __future__ import annotations

import contextlib

import pytest

from harness.doctor import ray_reachable
from harness.doctor.ray_reachable import ray_checks
from harness.doctor.token_probe import TURNED_AWAY
from harness.errors import RunFailedError, UsageError
from harness.placement import Node
from harness.ray_session import RaySession

ADDRESS = "127.0.0.1:6379"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch):
    """Sets what answers at an address, without and with a token; counts who joins it."""
    joined: list[str] = []

    @contextlib.contextmanager
    def session(address: str):
        joined.append(address)
        node = Node(node_id="n", address="127.0.0.1", cpus=2.0, memory_bytes=2**30)
        yield RaySession(node_id="n", owned=False, nodes=[node, node])

    def give(without: int | None, with_token: int | None = 0, has_token: bool = True) -> list[str]:
        answers = {"disabled": without, "token": with_token}
        monkeypatch.setattr(ray_reachable, "check_address", lambda _: None)
        monkeypatch.setattr(ray_reachable, "ray_session", session)
        monkeypatch.setattr(ray_reachable, "has_token", lambda: has_token)
        monkeypatch.setattr(
            ray_reachable, "_probe", lambda _, settings: answers[settings["RAY_AUTH_MODE"]]
        )
        return joined

    return give


def verdicts(address: str = ADDRESS) -> dict[str, str]:
    return {one.name: one.verdict for one in ray_checks(address)}


def test_a_cluster_that_takes_our_token_is_well(cluster):
    """It turns away who has none."""
    cluster(TURNED_AWAY)
    assert verdicts() == {"Ray": "ok", "Ray's token": "ok"}
    assert "2 nodes, 4 cores" in next(iter(ray_checks(ADDRESS))).sentence


def test_a_cluster_that_asks_for_no_token_is_warned_of(cluster):
    """Whoever reaches it may run code on it."""
    cluster(0)
    assert verdicts() == {"Ray": "ok", "Ray's token": "warning"}


@pytest.mark.parametrize(("with_token", "has_token"), [(TURNED_AWAY, True), (0, False)])
def test_a_cluster_that_turns_us_away_fails_and_is_not_joined(cluster, with_token, has_token):
    """Joining it would take 20 s to fail; the remedy is the token."""
    joined = cluster(TURNED_AWAY, with_token, has_token)
    (found,) = ray_checks(ADDRESS)
    assert found.verdict == "failed"
    assert "auth_token" in (found.remedy or "")
    assert joined == []


def test_a_cluster_that_could_not_be_asked_is_joined_all_the_same(cluster):
    """That question is Ray's own affair, which a later release may change."""
    cluster(None)
    assert verdicts() == {"Ray": "ok", "Ray's token": "warning"}


def test_an_address_where_nobody_answers_fails_with_the_remedy_apart(monkeypatch):
    """What is wrong and what to do are two things."""

    def nobody(_: str) -> None:
        raise UsageError("--address", "nobody is there; start one")

    monkeypatch.setattr(ray_reachable, "check_address", nobody)
    (found,) = ray_checks(ADDRESS)
    assert (found.verdict, found.remedy) == ("failed", "start one")
    assert found.sentence == "The address: nobody is there."


def test_a_ray_of_our_own_that_is_open_is_warned_of(cluster, monkeypatch):
    """Only who turned its token off has it so."""
    cluster(0)
    assert verdicts("local") == {"Ray": "ok", "Ray's token": "ok"}
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert verdicts("local") == {"Ray": "ok", "Ray's token": "warning"}


def test_a_ray_of_our_own_that_does_not_start_fails(monkeypatch):
    """Of its token there is nothing to say then."""

    @contextlib.contextmanager
    def broken(_: str):
        raise RunFailedError("Ray did not start on this machine: no room")
        yield

    monkeypatch.setattr(ray_reachable, "ray_session", broken)
    (found,) = ray_checks("local")
    assert found.verdict == "failed"
    assert "no room" in found.sentence


@pytest.mark.slow
@pytest.mark.cluster
def test_a_real_cluster_is_asked_for_its_token(ray_here: RaySession, monkeypatch, tmp_path):
    """It takes the machine's own, and turns away a wrong one and none."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    address = ray_here.head_address
    assert ray_reachable._token_of_cluster(address).verdict == "ok"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    found = ray_reachable._token_of_cluster(address)
    assert "does not take this machine's" in found.sentence
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "this machine has none" in ray_reachable._token_of_cluster(address).sentence
