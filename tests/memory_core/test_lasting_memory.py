"""Memories that outlive who starts them: `harness store start`, `show` and `stop` on real nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from memory_core import BadInputError, MemoryConfig, UnavailableError
from memory_core.lasting_memory import keeper_name, make_memory, open_memory, stop_memory
from memory_core.memory_record import MemoryRecord, write_record
from memory_core.memory_status import memory_status
from memory_core.node_survey import live_nodes
from memory_core.note_file import read_note
from memory_core.ray_memory import RayMemory
from memory_core.shard_calls import running_names
from tests.memory_core.nodes import Nodes, agent_of, cluster_of_nodes, reason, until

ray = pytest.importorskip("ray")
# on a machine that is busy with much else a cluster takes minutes
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.timeout(600),
]

IN_0, IN_1 = agent_of(0, 2), agent_of(1, 2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster with one node that stays, `two`, and one that the tests end, `one`."""
    with cluster_of_nodes() as found:
        found.start("two")
        yield found


def store(nodes: Nodes, *arguments: object) -> tuple[int, str, str]:
    """`harness store` in a process of its own: exit code, standard output, standard error."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from harness.cli import main; main()",
            "store",
            *map(str, arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
        env={
            **os.environ,
            "RAY_ADDRESS": nodes.address,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )
    return done.returncode, done.stdout, done.stderr


def test_a_memory_outlives_who_started_it_and_its_nodes(nodes: Nodes):
    """It is made once and found by its name; started with a node away, it waits for that node."""
    nodes.start("one")
    code, out, err = store(nodes, "start", "m", "--new", "--shards", 2, "--dimension", 8, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["runs"], made["is_kept"], made["generation"]) == (True, True, 1)
    paths = [shard["path"] for shard in made["shards"]]
    assert {Path(path).parents[1] for path in paths} == {nodes.root("one"), nodes.root("two")}
    gone = next(n for n, path in enumerate(paths) if str(nodes.root("one")) in path)
    agent, other = (IN_0, IN_1) if gone == 0 else (IN_1, IN_0)
    with RayMemory("m") as memory:
        for name in (agent, other):
            memory.store_agent_state(agent_id=name, state_id="s", state_data={"a": name})
    with pytest.raises(BadInputError, match="'m' is running; stop it"):
        make_memory("m", 2, MemoryConfig(dimension=8), [nodes.id("one")] * 2)
    assert open_memory("m") == []
    assert stop_memory("m") == 2
    assert not [name for name in running_names() if name.startswith("m:")]
    with pytest.raises(UnavailableError, match="no memory named 'm' is running"):
        RayMemory("m")
    nodes.kill("one")
    until(lambda: len(live_nodes()) == 2, "the node to be known as dead")
    with pytest.raises(BadInputError, match="'m' exists"):
        make_memory("m", 2, MemoryConfig(dimension=8), [nodes.id("two")] * 2)
    expected = f"shard {gone} of memory 'm' is unavailable: its folder is on host "
    code, out, err = store(nodes, "start", "m")
    assert (code, expected in out) == (1, True), err
    with RayMemory("m", deadline_s=2) as memory:
        assert memory.retrieve_state(agent_id=other, state_id="s") == {"a": other}
        assert expected in reason(memory, agent)
        nodes.start("one")
        until(lambda: not reason(memory, agent), "the shard to come back")
        assert memory.retrieve_state(agent_id=agent, state_id="s") == {"a": agent}
    code, out, err = store(nodes, "stop", "m")
    assert (code, out) == (0, "m is stopped (2 shards).\n"), err


def begun(root: Path) -> MemoryRecord | None:
    return read_note(str(root / "cut" / "memory.json"), MemoryRecord)


def test_a_making_that_was_cut_short_is_gone_on_with(nodes: Nodes, monkeypatch: pytest.MonkeyPatch):
    """It is not opened as if it were whole, and made again it has what was made already."""
    only = [nodes.id("two")] * 2
    config = MemoryConfig(dimension=8)

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("memory_core.lasting_memory._start_keeper", killed)
        patched.setattr("memory_core.lasting_memory.record_everywhere", once_then(killed))
        with pytest.raises(KeyboardInterrupt):
            make_memory("cut", 2, config, only)
    record = begun(nodes.root("two"))
    assert record is not None
    assert not record.made
    with pytest.raises(BadInputError, match="was cut short; make it again"):
        open_memory("cut")
    with pytest.raises(BadInputError, match="must be 2, with which the making of 'cut'"):
        make_memory("cut", 1, config, only[:1])
    assert make_memory("cut", 2, config, only) == []
    try:
        made = begun(nodes.root("two"))
        assert made is not None
        assert (made.made, made.memory_id) == (True, record.memory_id)
        status = memory_status("cut")
        assert [one.serves for one in status.shards] == [True, True]
        # a node that comes back after a restore elsewhere has folders of before
        stop_memory("cut")
        write_record(msgspec.structs.replace(made, generation=2), root=str(nodes.root("two")))
        assert open_memory("cut") == []
        away = memory_status("cut").shards[0].reason
        assert "is of an earlier generation (1, the memory is at 2)" in str(away)
    finally:
        stop_memory("cut")
    assert keeper_name("cut") not in running_names()


def once_then(other: Any) -> Any:
    """`record_everywhere` the first time, and something else from then on."""
    from memory_core.node_survey import record_everywhere

    calls: list[Any] = []

    def called(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        return (record_everywhere if len(calls) == 1 else other)(*arguments, **named)

    return called


def test_what_is_not_there_is_wrong_usage(nodes: Nodes):
    """A name that nobody has is refused, and nothing is made of it."""
    with pytest.raises(BadInputError, match="there is none named 'unknown'"):
        open_memory("unknown")
    code, _, err = store(nodes, "show", "unknown")
    assert code == 2
    assert "NAME: there is none named 'unknown' on the nodes that are there" in err
    with pytest.raises(UnavailableError, match="no memory named 'unknown' is running"):
        stop_memory("unknown")
