"""The point about deletion."""

from __future__ import annotations

from harness.conformance.asking import RefusedError, names, require
from harness.conformance.ground import Ground

__all__ = ["delete"]


async def delete(ground: Ground) -> str:
    """What was deleted is neither read nor found, and nothing else is touched."""
    asker, agent, neighbour = ground.asker, "forgetter", "neighbour"
    ids = [f"old-{number}" for number in range(6)]
    vectors = ground.vectors(len(ids))
    for number, (state_id, vector) in enumerate(zip(ids, vectors, strict=True)):
        for owner in (agent, neighbour):
            await asker.store(owner, state_id, {"number": number, "owner": owner}, vector)
    gone, kept = ids[::2], ids[1::2]
    for state_id in gone:
        count = await asker.delete(agent, state_id)
        require(count == 1, f"the deletion of {state_id!r} told of {count} memories, not of 1")
    require(
        await asker.delete(agent, gone[0]) == 0,
        f"the deletion of {gone[0]!r}, which was deleted before, told of a memory",
    )
    for number, state_id in enumerate(ids):
        if state_id in gone:
            await _expect_gone(ground, agent, state_id)
        for owner in (agent, neighbour) if state_id in kept else (neighbour,):
            await asker.expect(owner, state_id, {"number": number, "owner": owner})
        hits = await asker.search(agent, vectors[number], len(ids))
        found = [hit.state_id for hit in hits if hit.state_id in gone]
        require(not found, f"a search finds {names(found)}, which was deleted")
    again = {"number": 99, "owner": agent}
    await asker.store(agent, gone[0], again, vectors[0])
    await asker.expect(agent, gone[0], again)
    await asker.expect_nearest(agent, gone[0], again, vectors[0])
    return f"{len(gone)} deleted memories are neither read nor found; others are as they were"


async def _expect_gone(ground: Ground, agent: str, state_id: str) -> None:
    try:
        found = await ground.asker.retrieve(agent, state_id)
    except RefusedError:  # it is gone; `missing_ids` says that it should be no error
        return
    is_there = found is not None and found.get("owner") == agent
    require(not is_there, f"{state_id!r} was deleted and can be read")
