"""The target ``redis``, against real servers: Debian's, and one that has vector sets.

``HARNESS_VECTOR_SETS_SERVER`` names the program of a Redis 8; without it the tests of vector sets
are skipped. Without ``redis-server`` all are, unless ``HARNESS_REDIS_TESTS`` is ``required``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.redis import RedisOptions, RedisTarget
from harness.targets.adapters.redis_server import RedisServer
from harness.targets.adapters.redis_store import RedisStore
from harness.targets.adapters.redis_vectors import filter_expression
from harness.targets.base import Hit, Memory, Query, Ready, Setup
from memory_core.errors import BadInputError, DeadlineError, UnavailableError

redis = pytest.importorskip("redis")

DIMENSION = 16
REQUIRED = os.environ.get("HARNESS_REDIS_TESTS") == "required"
PROGRAMS = {
    "client": "redis-server",
    "sets": os.environ.get("HARNESS_VECTOR_SETS_SERVER", ""),
}


def options(way: str, **changes: str) -> RedisOptions:
    """Options for a server that searches that way; the test is skipped where there is none."""
    program = PROGRAMS[way]
    if not shutil.which(program) and not (REQUIRED and way == "client"):
        pytest.skip(f"no Redis server for vectors={way}")
    return msgspec.structs.replace(RedisOptions(server=program, vectors=way), **changes)


def setup_in(folder: Path, durability: str = "fsync", deadline_s: float = 120.0) -> Setup:
    """A setup with a folder of that path."""
    folder.mkdir(exist_ok=True, parents=True)
    return Setup(
        run_id="a-run",
        folder=folder,
        dimension=DIMENSION,
        durability=durability,
        deadline_s=deadline_s,
    )


class Opened:
    """A target that is prepared, and a store of it."""

    def __init__(self, chosen: RedisOptions, setup: Setup) -> None:
        self.target = RedisTarget(chosen)
        self.ready: Ready = self.target.prepare(setup)
        try:
            self.store: RedisStore = self.target.open(setup, self.ready.connection)
        except BaseException:
            self.target.destroy()
            raise

    def close(self) -> None:
        """Close the store and end the server."""
        self.store.close()
        self.target.destroy()


@pytest.fixture(scope="module", params=["client", "sets"])
def serving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """A store of either way; tests use agents of their own."""
    opened = Opened(options(request.param), setup_in(tmp_path_factory.mktemp("redis")))
    yield opened
    opened.close()


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens stores that are closed after the test."""
    opened: list[Opened] = []

    def open_one(chosen: RedisOptions, setup: Setup | None = None) -> Opened:
        opened.append(Opened(chosen, setup or setup_in(tmp_path / "store")))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def vector(seed: int) -> np.ndarray:
    """A vector of length 1."""
    drawn = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


def memory(agent_id: str, state_id: str, seed: int, **state: object) -> Memory:
    """A memory whose vector is that of the seed."""
    payload = msgspec.msgpack.encode({"seed": seed, **state})
    return Memory(agent_id, state_id, payload, vector(seed))


def kept(store: RedisStore, agent_id: str, state_id: str) -> bytes | None:
    """A payload."""
    [payload] = store.retrieve_many([(agent_id, state_id)])
    return payload


def search(store: RedisStore, agent_id: str, seed: int, k: int, **where: object) -> list[Hit]:
    """A search with the vector of the seed."""
    [hits] = store.search_many([Query(agent_id, vector(seed), k, where or None)])
    return hits


def test_what_was_stored_is_retrieved_in_the_order_of_the_keys(serving: Opened) -> None:
    """Retrieving gives each key's payload, byte for byte, and None for what is not there."""
    first, second = memory("order", "one", 1), memory("order", "two", 2)
    serving.store.store_many([first, second])
    keys = [("order", "two"), ("order", "none"), ("nobody", "one"), ("order", "one")]
    assert serving.store.retrieve_many(keys) == [second.payload, None, None, first.payload]


def test_storing_again_replaces_payload_and_vector(serving: Opened) -> None:
    """The same id stored again is one memory, with the new payload and the new vector."""
    serving.store.store_many([memory("again", "it", 1), memory("again", "other", 5)])
    serving.store.store_many([memory("again", "it", 2)])
    hits = search(serving.store, "again", 2, k=10)
    assert [hit.state_id for hit in hits] == ["it", "other"]
    assert hits[0].score > 0.99
    assert hits[0].payload == memory("again", "it", 2).payload == kept(serving.store, "again", "it")


def test_agents_are_apart_in_one_batch(serving: Opened) -> None:
    """Searches of two agents in one batch find each agent's own, and nothing of one without any."""
    serving.store.store_many([memory(agent, f"{agent}-own", 3) for agent in ("left", "right")])
    queries = [Query(agent, vector(3), 5) for agent in ("right", "nobody", "left")]
    found = [[hit.state_id for hit in hits] for hits in serving.store.search_many(queries)]
    assert found == [["right-own"], [], ["left-own"]]


def test_search_is_by_cosine_best_first(serving: Opened) -> None:
    """The best are found, in order, with their cosines: exact at the client, nearly so in sets."""
    serving.store.store_many([memory("cosine", f"m{seed}", seed) for seed in range(100)])
    exact = sorted(
        ((float(vector(seed) @ vector(777)), f"m{seed}") for seed in range(100)), reverse=True
    )[:10]
    hits = search(serving.store, "cosine", 777, k=10)
    off = 1e-5 if serving.ready.connection["vectors"] == "client" else 0.05
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in exact], abs=off)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    found = {hit.state_id for hit in hits}
    assert len(found & {state_id for _, state_id in exact}) >= 8
    if serving.ready.connection["vectors"] == "client":
        assert [hit.state_id for hit in hits] == [state_id for _, state_id in exact]


def test_more_searches_than_one_round_trip_carries_keep_their_order(serving: Opened) -> None:
    """Each of a hundred searches of one batch has the answer to its own query."""
    serving.store.store_many([memory("many", f"m{seed}", seed) for seed in range(100)])
    queries = [Query("many", vector(seed), 1) for seed in range(100)]
    best = [hit.state_id for [hit] in serving.store.search_many(queries)]
    assert best == [f"m{seed}" for seed in range(100)]


def test_ids_are_any_text(serving: Opened) -> None:
    """Ids with colons, spaces, quotes, emoji and patterns are taken as they are."""
    names = ["Ünïcode 🧠", "a:b", "*", "[x]", "new\nline", "'\""]
    for name in names:
        serving.store.store_many([memory(f"agent {name}", name, 1)])
    for name in names:
        assert [hit.state_id for hit in search(serving.store, f"agent {name}", 1, k=5)] == [name]
        assert kept(serving.store, f"agent {name}", name) == memory("", "", 1).payload


def test_a_filter_chooses_before_the_k(serving: Opened) -> None:
    """All conditions hold for what is found, though others are nearer, and k of them are found."""
    kinds = ["an 'odd' one" if n % 10 == 0 else "even" for n in range(60)]
    serving.store.store_many(
        [memory("filter", f"m{n}", n, kind=kinds[n], n=n % 2, deep={"x": 1}) for n in range(60)]
    )
    hits = search(serving.store, "filter", 1, k=6, kind="an 'odd' one", n=0)
    assert {hit.state_id for hit in hits} == {"m0", "m10", "m20", "m30", "m40", "m50"}
    assert search(serving.store, "filter", 1, k=6, kind="an 'odd' one", n=1) == []
    assert search(serving.store, "filter", 1, k=6, missing=True) == []
    assert len(search(serving.store, "filter", 1, k=6)) == 6


@pytest.mark.parametrize(
    ("where", "expression"),
    [
        ({"name": "it's"}, '.name == "it\'s"'),
        ({"alive": True, "energy": 1e-7}, ".alive == 1 and .energy == 0.0000001"),
        ({"step": -3}, ".step == -3"),
    ],
)
def test_conditions_are_said_in_the_servers_words(
    where: dict[str, str | float], expression: str
) -> None:
    """Booleans are numbers there, and numbers have no exponents."""
    assert filter_expression(where) == expression


@pytest.mark.parametrize("where", [{"naïve": 1}, {"a b": 1}, {"text": "'\""}, {"text": "a\\"}])
def test_a_condition_that_cannot_be_said_is_bad_input(where: dict[str, str | int]) -> None:
    """Names and texts for which the server's language has no words are refused, not mangled."""
    with pytest.raises(BadInputError, match="no way to write"):
        filter_expression(where)


def test_deleting_forgets_payload_and_vector(serving: Opened) -> None:
    """A deleted memory is neither retrieved nor found, and deleting says whether there was one."""
    serving.store.store_many([memory("delete", "it", 1), memory("delete", "other", 2)])
    assert serving.store.delete("delete", "it")
    assert not serving.store.delete("delete", "it")
    assert not serving.store.delete("nobody", "it")
    assert kept(serving.store, "delete", "it") is None
    assert [hit.state_id for hit in search(serving.store, "delete", 1, k=5)] == ["other"]


@pytest.mark.fault
@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize("way", ["client", "sets"])
def test_what_was_acknowledged_survives_a_killed_server(
    way: str, durability: str, opening: Callable[..., Opened], tmp_path: Path
) -> None:
    """After SIGKILL of the server another one in the same folder has all that was acknowledged."""
    setup = setup_in(tmp_path / "store", durability)
    before = opening(options(way), setup)
    assert before.target.capabilities.durable
    for batch in range(5):
        before.store.store_many([memory("kill", f"{batch}-{n}", n) for n in range(20)])
    before.store.delete("kill", "0-0")
    before.store.store_many([memory("kill", f"{batch}-3", 100) for batch in range(5)])
    os.kill(before.ready.processes[0].pid, signal.SIGKILL)
    before.target.destroy()
    after = opening(options(way), setup)
    keys = [("kill", f"{batch}-{n}") for batch in range(5) for n in range(20)]
    payloads = after.store.retrieve_many(keys)
    assert payloads[0] is None
    seeds = [100 if n % 20 == 3 else n % 20 for n in range(100)]
    assert payloads[1:] == [memory("", "", seed).payload for seed in seeds[1:]]
    for seed, place in ((7, 7), (100, 3)):
        hits = search(after.store, "kill", seed, k=5)
        assert {hit.state_id for hit in hits} == {f"{batch}-{place}" for batch in range(5)}
    assert after.store.statistics()["memories"] == 99


@pytest.mark.parametrize(
    ("durability", "appendfsync"), [("fsync", "appendfsync always"), ("os", "appendfsync no")]
)
def test_the_report_says_when_a_store_is_on_disk(
    durability: str, appendfsync: str, opening: Callable[..., Opened], tmp_path: Path
) -> None:
    """The server syncs as the run asks, and its sentence, version and settings say so."""
    opened = opening(options("client"), setup_in(tmp_path / "store", durability))
    assert appendfsync in opened.ready.durability
    assert opened.ready.settings["appendonly"] == "yes"
    assert opened.ready.version.startswith("Redis ")


def test_errors_of_a_server_that_is_gone_are_unavailable(opening: Callable[..., Opened]) -> None:
    """A call to a server that was killed fails with an error that means unavailable."""
    opened = opening(options("client"))
    os.kill(opened.ready.processes[0].pid, signal.SIGKILL)
    opened.target.destroy()
    with pytest.raises(redis.ConnectionError) as raised:
        kept(opened.store, "an agent", "a state")
    assert type(opened.store.failure(raised.value)) is UnavailableError


def test_a_server_that_does_not_answer_is_a_deadline(
    opening: Callable[..., Opened], tmp_path: Path
) -> None:
    """A call that takes longer than the deadline fails with an error that means so."""
    opened = opening(options("client"), setup_in(tmp_path / "store", deadline_s=0.5))
    with redis.Redis(unix_socket_path=opened.ready.connection["socket"]) as other:
        other.client_pause(3_600_000)
        with pytest.raises(redis.TimeoutError) as raised:
            kept(opened.store, "an agent", "a state")
    assert type(opened.store.failure(raised.value)) is DeadlineError


def test_vector_sets_are_refused_where_the_server_has_none(opening: Callable[..., Opened]) -> None:
    """The refusal names the version, what would do and how to get it; auto compares itself."""
    if shutil.which("redis-server") and b"v=7" not in subprocess.check_output(
        ["redis-server", "--version"]
    ):
        pytest.skip("this redis-server may have vector sets")
    with pytest.raises(UsageError, match=r"vectors=sets needs .* Redis 8 or newer.*vectors=client"):
        opening(options("client", vectors="sets"))
    assert opening(options("client", vectors="auto")).ready.settings["vectors"] == "client"


def test_vector_sets_are_taken_where_the_server_has_them(opening: Callable[..., Opened]) -> None:
    """With auto, a server that has vector sets searches them."""
    assert opening(options("sets", vectors="auto")).ready.settings["vectors"] == "sets"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Without a server to start, the error says what to install or which option to use."""
    target = RedisTarget(RedisOptions(server="no-such-redis-server"))
    with pytest.raises(UsageError, match=r"no program 'no-such-redis-server'.*redis:url="):
        target.prepare(setup_in(tmp_path))


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Files that the server cannot read are an error that quotes its log, and nothing is left."""
    chosen = options("client")
    folder = tmp_path / "store" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(RunFailedError, match=r"redis-server ended: .*manifest"):
        RedisTarget(chosen).prepare(setup_in(tmp_path / "store"))


def test_a_folder_whose_path_is_too_long_for_a_socket_will_do(
    opening: Callable[..., Opened], tmp_path: Path
) -> None:
    """The socket is elsewhere then, and removed with the server."""
    opened = opening(options("client"), setup_in(tmp_path / ("long" * 30)))
    opened.store.store_many([memory("long", "it", 1)])
    assert kept(opened.store, "long", "it") is not None
    socket = Path(opened.ready.connection["socket"])
    opened.target.destroy()
    assert not socket.parent.exists()


def test_agents_on_another_machine_are_told_of_urls(
    opening: Callable[..., Opened], tmp_path: Path
) -> None:
    """Where the server's socket is not, opening fails with a sentence that names the remedy."""
    opened = opening(options("client"))
    elsewhere = {**opened.ready.connection, "socket": str(tmp_path / "none.sock")}
    with pytest.raises(RunFailedError, match="redis:url="):
        opened.target.open(setup_in(tmp_path / "store"), elsewhere)


@pytest.fixture
def another(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that is not the target's, with a key in it."""
    (tmp_path / "another").mkdir()
    server = RedisServer(options("client").server, tmp_path / "another", "fsync")
    server.wait_until_it_serves()
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.set("memories:payloads:theirs", "stays")
    yield server
    server.stop()


def test_a_server_at_a_url_keeps_what_is_not_ours(
    another: RedisServer, opening: Callable[..., Opened]
) -> None:
    """A run there uses keys of its own, claims no durability, and removes them at its end."""
    opened = opening(RedisOptions(url=f"unix://{another.socket}"))
    opened.store.store_many([memory("guest", f"m{n}", n) for n in range(3)])
    assert opened.store.statistics()["memories"] == 3
    assert not opened.target.capabilities.durable
    assert "appendfsync always" in opened.ready.durability
    assert not opened.ready.processes
    opened.target.destroy()
    with redis.Redis(unix_socket_path=str(another.socket)) as client:
        assert client.keys("*") == [b"memories:payloads:theirs"]


def test_the_password_of_a_url_comes_from_the_environment(
    another: RedisServer,
    opening: Callable[..., Opened],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without REDIS_PASSWORD such a server refuses us, which is said; with it, it serves."""
    with redis.Redis(unix_socket_path=str(another.socket)) as client:
        client.config_set("requirepass", "a secret")
        with pytest.raises(RunFailedError, match="cannot be used"):
            opening(RedisOptions(url=f"unix://{another.socket}"))
        monkeypatch.setenv("REDIS_PASSWORD", "a secret")
        opened = opening(RedisOptions(url=f"unix://{another.socket}"))
        assert "a secret" not in str(opened.ready.settings)
        assert kept(opened.store, "nobody", "none") is None


@pytest.mark.parametrize("url", ["redis://user:secret@host:6379", "redis://host?password=secret"])
def test_a_password_in_a_url_is_refused(url: str, tmp_path: Path) -> None:
    """The error names the variable, and does not repeat the password."""
    with pytest.raises(UsageError, match="REDIS_PASSWORD") as raised:
        RedisTarget(RedisOptions(url=url)).prepare(setup_in(tmp_path))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:none"])
def test_a_url_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    """The error quotes it."""
    with pytest.raises(UsageError, match="is wrong"):
        RedisTarget(RedisOptions(url=url)).prepare(setup_in(tmp_path))
