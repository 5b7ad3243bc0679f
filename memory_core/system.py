"""`AgentMemorySystem`: the store's call-by-call face, for a program with agents in it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from memory_core.config import MemoryConfig
from memory_core.face import MemoryFace
from memory_core.hooks import Hooks
from memory_core.operations import Operation
from memory_core.results import Result
from memory_core.store import MemoryStore

__all__ = ["AgentMemorySystem"]


class AgentMemorySystem(MemoryFace):
    """An agent-memory store in this process. Thread-safe.

    It may be left without `close`: whatever was acknowledged is on the disk already. Without a
    ``path`` in the configuration the files lie in a private temporary folder, which goes when
    the system is closed, collected or the process ends.

    Args:
        config: by default ``MemoryConfig()``.

    Raises:
        LockedError, IncompatibleError, CorruptionError, BadInputError: see `MemoryStore`.
    """

    _instances: ClassVar[list[AgentMemorySystem]] = []
    _instances_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, config: MemoryConfig | None = None) -> None:
        self.config = config or MemoryConfig()
        folder = None
        path = self.config.path
        if path is None:
            folder = tempfile.mkdtemp(prefix="agent-memory-")
            path = folder
        try:
            self._store = MemoryStore(replace(self.config, path=os.fspath(path)))
        except BaseException:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._hooks = Hooks()
        self._finalizer = weakref.finalize(self, _leave, self._store, folder, os.getpid())

    @classmethod
    def get_instance(cls, config: MemoryConfig | None = None) -> AgentMemorySystem:
        """The system that is shared by all who ask with an equal configuration.

        One that was closed is opened anew.
        """
        config = config or MemoryConfig()
        with cls._instances_lock:
            cls._instances[:] = [one for one in cls._instances if not one.closed]
            for instance in cls._instances:
                if instance.config == config:
                    return instance
            instance = cls(config)
            cls._instances.append(instance)
            return instance

    def execute(self, batch: Sequence[Operation]) -> list[Result]:
        """Many operations at once, as `MemoryStore.execute`."""
        if not self._hooks.are_called:
            return self._store.execute(batch)
        try:
            operations = list(batch)
        except TypeError:
            return self._store.execute(batch)  # which says what is wrong with it
        if self._hooks.listen_to("demotion", "promotion"):
            results, moves = self._store.execute_watched(operations)
        else:
            results, moves = self._store.execute(operations), []
        self._hooks.tell(operations, results, moves)
        return results

    def backup(self, *, folder: str | os.PathLike[str]) -> str:
        """Make a backup in a new or empty folder, as `MemoryStore.backup`; the folder's path."""
        return self._store.backup(folder)

    @property
    def path(self) -> str:
        """The folder of the database."""
        return self._store.path

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Close the files, and remove them when the folder is a private one."""
        self._finalizer()

    def __enter__(self) -> AgentMemorySystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _execute_one(self, operation: Operation) -> Result:
        if self._hooks.are_called:
            return self.execute((operation,))[0]
        return self._store.execute((operation,))[0]


def _leave(store: MemoryStore, folder: str | None, owner_pid: int) -> None:
    if os.getpid() != owner_pid:  # a forked child, whose parent goes on with the files
        return
    try:
        store.close()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
