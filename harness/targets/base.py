"""The target protocol: what an adapter offers so that the harness can drive its store.

A target lives in two places. In the driver, `Target.prepare` starts what has to be started and
`Target.destroy` ends it. In each process that runs agents, `Target.open` gives an `OpenStore`,
whose methods do an agent's operations. They are plain functions, which the harness calls on threads
of its own, or ``async def``, which it awaits on its event loop; all of a store's are of one sort.
What a store is good at, it declares (`Capabilities`), and what it declares, ``harness targets
check`` holds it to.

A class of this kind is named on the command line by the place where it is, ``--target
package.module:Class``, or by the name under which its package has it in the entry point group
``harness.targets``; options follow, ``--target chroma:server=true``. Its module is imported when
the target is used: it should import its store's library no sooner than in `Target.prepare` and
`Target.open`, so that ``harness targets`` lists what is not installed.

Memories are compared by the cosine of their vectors, which have unit length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from memory_core.errors import MemoryCoreError
from memory_core.results import Record

__all__ = [
    "Capabilities",
    "Hit",
    "Memory",
    "NoOptions",
    "OpenStore",
    "Query",
    "Ready",
    "Scalar",
    "ServerProcess",
    "Setup",
    "Target",
]

Scalar = str | int | float | bool


class Memory(msgspec.Struct, frozen=True, gc=False):
    """A memory to store, under (agent_id, state_id), in place of what was there.

    ``payload`` is the state, packed (MessagePack): what a retrieval and a hit give back, byte for
    byte or as equal values. ``vector`` has the shape (dimension,), float32, and length 1.
    """

    agent_id: str
    state_id: str
    payload: bytes
    vector: npt.NDArray[np.float32]

    @property
    def state(self) -> dict[str, Any]:
        """The state as a mapping, for a store that takes no bytes (unpacked at each access)."""
        return Record(self.payload, "").state

    @property
    def attributes(self) -> dict[str, Scalar]:
        """The scalars at the top of the state, which `Query.where` asks for.

        Without numbers beyond 64 bits, which no query asks for.
        """
        return {
            name: value
            for name, value in self.state.items()
            if isinstance(value, str | float | bool)
            or (isinstance(value, int) and -(2**63) <= value < 2**63)
        }


class Query(msgspec.Struct, frozen=True, gc=False):
    """A search for the ``k`` memories of an agent that are most similar to ``vector``.

    ``where``, which only a store with the capability ``filter`` is given, names attributes and the
    values that they must have, all of them, before the ``k`` are chosen.
    """

    agent_id: str
    vector: npt.NDArray[np.float32]
    k: int
    where: Mapping[str, Scalar] | None = None


class Hit(NamedTuple):
    """What a search found; ``score`` is the cosine similarity, in [-1, 1]."""

    state_id: str
    score: float
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a store can do, and how it wants to be called.

    Attributes:
        batch: those of ``store``, ``retrieve`` and ``search`` that have a ``..._many`` method,
            which alone is called then, with what waits, of many agents: one operation or thousands.
        filter: searches take `Query.where`.
        delete: memories can be deleted.
        durable: a store that was acknowledged survives SIGKILL of the process that called it,
            and of the store's own.
        server: it works in processes of its own, which are reached over a network or socket.
        shared: all processes of agents open one store; otherwise each has one of its own, with the
            memories of its own agents.
        calls_at_once: how many calls of one process may be in progress at one moment: threads for
            plain methods, awaited calls for asynchronous ones.
    """

    batch: frozenset[str] = frozenset()
    filter: bool = False
    delete: bool = False
    durable: bool = False
    server: bool = False
    shared: bool = False
    calls_at_once: int = 1


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a target is given to work with.

    Attributes:
        run_id: unique; names what is made in a place that others use, too (a database of a server).
        folder: for the store's files, on the disk of the node that asks; it exists. It is empty
            unless the store was there before and was killed, in which case it is gone on with. A
            store that is not shared is opened in a folder of each process's own; `Target.prepare`
            has one to try things in then, which is gone when it returns.
        dimension: of the vectors.
        durability: ``"fsync"``: what is acknowledged is on disk; ``"os"``: the operating system has
            it.
        deadline_s: how long a call may take before nobody waits for it any more.
    """

    run_id: str
    folder: Path
    dimension: int
    durability: str
    deadline_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A process that was started for the store, which is watched as it works.

    Attributes:
        pid: on the driver's machine.
        name: what it is, in a word.
    """

    pid: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A store that is ready to be opened.

    Attributes:
        connection: what `Target.open` needs to know, of plain values; passwords may be among them,
            for it is written nowhere.
        processes: what was started for it.
        version: of the store's library or server, as reports show it.
        durability: a sentence: what an acknowledgement means with these settings.
        settings: of the store, those that bear on its speed or answers, as reports show them.
    """

    connection: Mapping[str, Any] = field(default_factory=dict)
    processes: Sequence[ServerProcess] = ()
    version: str = ""
    durability: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)


class OpenStore:
    """One process's way to the store.

    An operation has its single method, or its ``..._many`` if `Capabilities.batch` names it. The
    methods are all plain or all ``async def`` (but `failure`). Plain ones are called from threads
    of the harness's, as many at once as `Capabilities.calls_at_once` says; with one, it is the
    thread that opened the store, always. An agent issues its operations one after another.
    """

    def store(self, memory: Memory) -> Awaitable[None] | None:
        """Keep a memory; when this returns it is acknowledged."""
        raise NotImplementedError

    def retrieve(self, agent_id: str, state_id: str) -> Awaitable[bytes | None] | bytes | None:
        """The payload of a memory; None when there is none."""
        raise NotImplementedError

    def search(self, query: Query) -> Awaitable[Sequence[Hit]] | Sequence[Hit]:
        """The most similar memories of the agent, best first; none for an agent without any."""
        raise NotImplementedError

    def delete(self, agent_id: str, state_id: str) -> Awaitable[bool] | bool:
        """Forget a memory; whether there was one."""
        raise NotImplementedError

    def store_many(self, memories: Sequence[Memory]) -> Awaitable[None] | None:
        """Keep memories, of any agents; no two of them are the same."""
        raise NotImplementedError

    def retrieve_many(
        self, keys: Sequence[tuple[str, str]]
    ) -> Awaitable[Sequence[bytes | None]] | Sequence[bytes | None]:
        """The payloads of (agent_id, state_id) pairs, in their order."""
        raise NotImplementedError

    def search_many(
        self, queries: Sequence[Query]
    ) -> Awaitable[Sequence[Sequence[Hit]]] | Sequence[Sequence[Hit]]:
        """What each search found, in their order."""
        raise NotImplementedError

    def flush(self) -> Awaitable[None] | None:
        """Bring what is waiting to where it stays (an index that is built later, a buffer)."""
        return None

    def statistics(self) -> Awaitable[Mapping[str, Scalar]] | Mapping[str, Scalar]:
        """What the store tells of itself, such as ``memories`` and ``index``."""
        return {}

    def close(self) -> Awaitable[None] | None:
        """Let go of the store."""
        return None

    def failure(self, error: Exception) -> MemoryCoreError | None:
        """What an exception of the store's library means, as an error of `memory_core.errors`.

        None for what has no meaning of its own: it counts as ``error``. TimeoutError,
        ConnectionError and a full disk are known without this.
        """
        del error
        return None


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target without options."""


OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class Target(ABC, Generic[OptionsT]):
    """A kind of store.

    Attributes:
        name: in a word.
        description: in a line.
        capabilities: of the store; options may change them, so that an instance has its own.
        options_type: a frozen struct of the options, each with a default; its docstring tells what
            they mean.
        asynchronous: whether the methods of the store that it opens are ``async def``; it is opened
            on the event loop then, and otherwise on the thread that calls them.
        modules: what must be importable for it to work, outermost names only.
        extra: of this package, that installs them; None for a plug-in.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    options_type: ClassVar[type[msgspec.Struct]] = NoOptions
    modules: ClassVar[Sequence[str]] = ()
    extra: ClassVar[str | None] = None
    asynchronous: bool = False
    capabilities: Capabilities = Capabilities()

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def prepare(self, setup: Setup) -> Ready:
        """In the driver: start what is needed and wait until it serves.

        Raises:
            harness.errors.UsageError: an option is wrong.
            harness.errors.RunFailedError: the store did not start.
        """
        del setup
        return Ready()

    @abstractmethod
    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        """In each process of agents: open the store; plain, also for asynchronous methods."""

    def destroy(self) -> None:
        """In the driver: end what was started. Safe to call at any moment, and twice.

        Files in the folder of `Setup` are removed by the harness.
        """
