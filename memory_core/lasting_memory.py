"""Memories that outlive whoever starts them: made, opened, shown and stopped by their name.

Their shards are detached actors, and so is their keeper (`memory_core.keeper`), on the head. Their
record is on every node (`memory_core.memory_record`), written before the first shard is made and
again when all are, so a making that was killed on the way is known as one, and gone on with.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from memory_core.config import MemoryConfig
from memory_core.directory import look_up, withdraw
from memory_core.errors import BadInputError, IncompatibleError, UnavailableError
from memory_core.keeper import Keeper
from memory_core.memory_record import MemoryRecord
from memory_core.node_survey import Survey, record_everywhere, survey
from memory_core.placement import make_shards
from memory_core.shard_calls import (
    NAMESPACE,
    end_actors,
    find_actor,
    first_line,
    own_error,
    running_names,
    shard_name,
)
from memory_core.shard_choice import known_memory
from memory_core.shard_folder import check_memory_name
from memory_core.shards import Shards, Starting, settings_of

__all__ = [
    "keeper_name",
    "make_memory",
    "no_such_memory",
    "notes_of",
    "open_memory",
    "stop_memory",
]

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
# What Ray gives to the head alone; a trace of it places an actor there.
_HEAD = "node:__internal_head__"


class KeeperActor:
    """The keeper of a lasting memory, in an actor."""

    def __init__(self, packed: bytes, config: MemoryConfig, root: str | None) -> None:
        record = msgspec.msgpack.decode(packed, type=MemoryRecord)
        shards = Shards(record, Starting(config=config, root=root, detached=True), {}, [])
        self._keeper = Keeper(shards)
        self._keeper.start()

    def opened(self) -> None:
        """Wait until each shard was started or named.

        Raises IncompatibleError when the configuration is not that of the stores.
        """
        self._keeper.looked.wait(_START_TIMEOUT_S)
        if isinstance(self._keeper.error, IncompatibleError):
            raise self._keeper.error


def make_memory(
    memory: str,
    shards: int,
    config: MemoryConfig,
    node_ids: Sequence[str],
    *,
    root: str | None = None,
) -> list[str]:
    """Make a memory that outlives this driver, and start it; what went wrong on the side.

    Args:
        memory: its name.
        shards: how many.
        config: of their stores, without a path.
        node_ids: the Ray node of each shard.
        root: the data root on every node; None is each node's own.

    Raises:
        BadInputError: there is one of that name.
        UnavailableError: a node did not answer whether it has one; or a shard did not start.
        MemoryCoreError: a shard could not make its store.
    """
    check_memory_name(memory)
    _require_not_running(memory)
    answers = survey(memory, root=root)
    if answers.silent:
        silent = ", ".join(answers.silent)
        problem = (
            f"whether there is a memory named {memory!r} is not known: {silent} did not answer"
        )
        raise UnavailableError(f"{problem}; try again")
    known = known_memory(memory, answers.found)
    if known is not None and known.made:
        problem = f"{memory!r} exists (on {', '.join(answers.hosts)}); open it, or name another"
        raise BadInputError("memory", problem)
    if known is not None and known.shards != shards:
        problem = f"must be {known.shards}, with which the making of {memory!r} was cut short"
        raise BadInputError("shards", problem)
    record = MemoryRecord(
        memory=memory,
        memory_id=secrets.token_hex(8) if known is None else known.memory_id,
        shards=shards,
        made=False,
        settings=settings_of(config),
    )
    if known is not None:
        _end_all(memory)  # what the making that was killed had started
    nodes = [_begun_on(record, shard, answers) or node_ids[shard] for shard in range(shards)]
    record_everywhere(record, root=root)
    starting = Starting(config=config, root=root, detached=True)
    started = make_shards(record, starting, nodes)
    problems = record_everywhere(started.record, root=root)
    _start_keeper(started.record, config, root)
    return problems


def open_memory(
    memory: str, config: MemoryConfig | None = None, *, root: str | None = None
) -> list[str]:
    """Start a memory that was made before; what went wrong on the side.

    Each shard is started where its folder is; those whose folder is on no node that is there are
    unavailable, until one is. A memory that runs is left as it is.

    Args:
        memory: its name.
        config: of its stores; by default with the settings that it was made with.
        root: the data root on every node; None is each node's own.

    Raises:
        BadInputError: no node has such a memory, or several have different ones of that name.
        MemoryCoreError: the configuration is not that of its stores.
    """
    check_memory_name(memory)
    if keeper_name(memory) in running_names():
        return []
    answers = survey(memory, root=root)
    record = known_memory(memory, answers.found)
    if record is None:
        raise no_such_memory(memory, answers)
    if not record.made:
        problem = f"the making of {memory!r} was cut short; make it again, which goes on with it"
        raise BadInputError("memory", problem)
    problems = record_everywhere(record, root=root)
    config = config or MemoryConfig(**record.settings)  # type: ignore[arg-type]
    _start_keeper(record, config, root)
    return [*notes_of(answers), *(one for one in problems if "did not answer" not in one)]


def stop_memory(memory: str) -> int:
    """Close the stores of a running memory and end its actors; how many shards there were.

    Raises:
        UnavailableError: no memory of that name runs.
    """
    was_kept = keeper_name(memory) in running_names()
    ended = _end_all(memory)
    if not ended and not was_kept:
        raise UnavailableError(f"no memory named {memory!r} is running")
    return ended


def keeper_name(memory: str) -> str:
    """The actor name of a memory's keeper."""
    return f"{memory}:keeper"


def no_such_memory(memory: str, answers: Survey) -> BadInputError:
    """The error of a name that no node has, as far as they answered."""
    notes = "".join(f"; {note}" for note in notes_of(answers))
    problem = f"there is none named {memory!r} on the nodes that are there{notes}"
    return BadInputError("memory", problem)


def notes_of(answers: Survey) -> list[str]:
    """What a survey could not see, in sentences."""
    return [
        *(f"{address} did not answer" for address in answers.silent),
        *(f"{node.host}: {node.problem}" for node in answers.found if node.problem),
    ]


def _start_keeper(record: MemoryRecord, config: MemoryConfig, root: str | None) -> None:
    """Start the keeper of a memory, and wait until it has started the shards.

    Raises:
        BadInputError: one runs.
        MemoryCoreError: a shard refuses the configuration.
    """
    actor = ray.remote(KeeperActor).options(
        name=keeper_name(record.memory),
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=0,
        resources={_HEAD: 0.001},
        max_restarts=-1,
        max_concurrency=4,
        enable_task_events=False,
    )
    _require_not_running(record.memory)
    keeper: Any = actor.remote(msgspec.msgpack.encode(record), config, root)
    try:
        ray.get(keeper.opened.remote(), timeout=2 * _START_TIMEOUT_S)
    except RayTaskError as error:
        stop_memory(record.memory)
        raise own_error(error, 0) from None
    except RayError as error:
        raise UnavailableError(
            f"the keeper of memory {record.memory!r} did not start: {first_line(error)}"
        ) from None


def _require_not_running(memory: str) -> None:
    if keeper_name(memory) in running_names():
        raise BadInputError("memory", f"{memory!r} is running; stop it, or name another")


def _begun_on(record: MemoryRecord, shard: int, answers: Survey) -> str | None:
    """The node on which the making of a shard was begun before."""
    for node in answers.found:
        for folder in node.folders:
            if (folder.marks.memory_id, folder.marks.shard) == (record.memory_id, shard):
                return node.node_id
    return None


def _shards_running(memory: str, running: set[str]) -> list[str]:
    """The names of a memory's shards that run."""
    entry = look_up(memory)
    if entry is not None:
        return [name for n in range(entry.shards) if (name := shard_name(memory, n)) in running]
    return [name for name in sorted(running) if name.startswith(shard_name(memory, 0)[:-1])]


def _end_all(memory: str) -> int:
    """End what runs of a memory, its stores closed; how many shards that were."""
    _end(keeper_name(memory))
    actors = [find_actor(name) for name in _shards_running(memory, running_names())]
    end_actors((actor for actor in actors if actor is not None), _STOP_TIMEOUT_S)
    withdraw(memory)
    return len(actors)


def _end(name: str) -> None:
    actor = find_actor(name)
    if actor is not None:
        ray.kill(actor)
