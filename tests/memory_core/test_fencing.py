"""Two processes never serve one shard's folder, whatever Ray believes of the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from memory_core import MemoryConfig
from memory_core.keeper import Keeper
from memory_core.note_file import read_note
from memory_core.placement import open_shards, start_shards
from memory_core.ray_memory import RayMemory
from memory_core.shard_folder import Marks, ShardClaim
from tests.memory_core.nodes import agent_of, reason, until

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.usefixtures("ray_here"),
    pytest.mark.timeout(300),
]

# What a shard's process is to the folder: it opens it, writes, and answers when it is asked again.
STALE = """
    import sys
    import msgspec
    from memory_core import Done, MemoryConfig, Store
    from memory_core.shard import ShardActor
    from memory_core.shard_folder import ShardClaim
    from memory_core.wire import Batch, decode_reply, encode_batch
    claim = msgspec.json.decode(sys.argv[1], type=ShardClaim)
    config = MemoryConfig(dimension=8)
    shard = ShardActor(claim.memory, claim.shard, claim.shards, config, claim)
    for line in sys.stdin:
        store = Store.of(sys.argv[2], line.strip(), {"by": "the old one"})
        reply = decode_reply(shard.execute(encode_batch(Batch("", 0, [store]))))
        print(reply.results == [Done()], flush=True)
"""


@contextmanager
def stale_process(claim: ShardClaim, agent: str) -> Iterator[subprocess.Popen[str]]:
    """A process that serves a shard and that Ray knows nothing of, as after a node was given up."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STALE), msgspec.json.encode(claim), agent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stores(process: subprocess.Popen[str], state_id: str) -> bool:
    """Whether it acknowledges a write."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{state_id}\n")
    process.stdin.flush()
    return process.stdout.readline() == "True\n"


def test_a_shard_waits_while_its_process_of_before_has_the_folder(tmp_path: Path):
    """While the old process is there, stopped or not, the new one is unavailable; then it serves.

    What the old one acknowledged meanwhile is there: it had the folder for itself.
    """
    config = MemoryConfig(path=tmp_path / "data", dimension=8)
    start_shards("fenced", 2, config).stop()
    marks = read_note(str(tmp_path / "data" / "shard-0.json"), Marks)
    assert marks is not None
    claim = ShardClaim(
        memory="fenced",
        memory_id=marks.memory_id,
        shard=0,
        shards=2,
        path=str(tmp_path / "data"),
    )
    agent, other = agent_of(0, 2), agent_of(1, 2)
    held = "another process has this database open"
    with stale_process(claim, agent) as old:
        assert stores(old, "before")
        old.send_signal(signal.SIGSTOP)
        shards = open_shards("fenced", config)
        keeper = Keeper(shards, interval_s=0.2)
        keeper.start()
        try:
            assert list(shards.unavailable) == [0]
            assert held in shards.unavailable[0]
            with RayMemory("fenced", deadline_s=1) as memory:
                memory.store_agent_state(agent_id=other, state_id="s", state_data={})
                until(lambda: held in reason(memory, agent), "the shard to wait")
                old.send_signal(signal.SIGCONT)
                assert stores(old, "meanwhile")
                until(lambda: held in reason(memory, agent), "the shard to wait")
                old.kill()
                until(lambda: not reason(memory, agent), "the shard to serve")
                for state_id in ("before", "meanwhile"):
                    found = memory.retrieve_state(agent_id=agent, state_id=state_id)
                    assert found == {"by": "the old one"}
            until(lambda: not shards.unavailable, "the keeper to see it")
        finally:
            keeper.stop()
            shards.stop()
