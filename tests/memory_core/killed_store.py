"""A process to be killed: it stores, moves, deletes and backs up, and says what it did.

Started as ``python -m tests.memory_core.killed_store PLAN``, PLAN being JSON. What it writes to
its standard output are the notes of `tests.memory_core.promises.Ledger`, one a line, an ``ask``
before each batch and a ``done`` after it. It goes on until it is killed; with ``kill_at`` it kills
itself at that many things that it asked of the file system from Python.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Collection
from typing import Any

from memory_core import Failure, MemoryConfig, MemoryStore
from memory_core.repairing import repair
from tests.memory_core.promises import operation_of

_FILE_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"})
_writing = threading.Lock()


def say(*note: Any) -> None:
    """Write a note, whole."""
    data = json.dumps(note).encode() + b"\n"
    with _writing:
        while data:
            data = data[os.write(1, data) :]


def work(store: MemoryStore, plan: dict[str, Any], worker: int) -> None:
    """Execute batches of the worker's own agents for ever."""
    chance = random.Random(plan["seed"] * 100 + worker)
    agents = [f"{name}{worker}" for name in plan["agents"]]
    versions = itertools.count(plan["version"] + worker, plan["workers"])
    while True:
        batch: list[Any] = []
        for _ in range(chance.randint(*plan["batch"])):
            agent, state_id = chance.choice(agents), f"s{chance.randrange(plan['ids'])}"
            if chance.random() < plan["deletes"]:
                batch.append(["delete", agent, state_id])
            else:
                batch.append(["store", agent, state_id, next(versions)])
        if chance.random() < plan["clears"]:
            batch.append(["clear", chance.choice(agents)])
        if chance.random() < plan["moves"]:
            to, share = chance.choice(["im", "ltm"]), chance.random() * 100
            place = chance.randrange(len(batch) + 1)
            batch.insert(place, ["move", to, share, chance.choice([*agents, None])])
        say("ask", worker, batch)
        if 0 <= plan["lies_after"] < max([one[3] for one in batch if one[0] == "store"], default=0):
            say("done", worker)  # before it is true
            os.kill(os.getpid(), signal.SIGKILL)
        results = store.execute([operation_of(note) for note in batch])
        failed = [result for result in results if isinstance(result, Failure)]
        if failed:
            raise SystemExit(f"a batch failed: {failed}")
        say("done", worker)


def back_up(store: MemoryStore, plan: dict[str, Any]) -> None:
    """Make backups for ever."""
    for number in itertools.count(plan["version"]):
        say("backup", number)
        store.backup(f"{plan['backups']}/{number}")
        say("backed up", number)


def kill_at(count: int, folder: str, events: Collection[str] = _FILE_EVENTS) -> None:
    """Be killed at the nth thing, of some kinds, that Python asks of the files below a folder."""
    seen = itertools.count(1)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in events and folder in str(arguments[0]) and next(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def main(plan: dict[str, Any]) -> None:
    """Do what the plan says."""
    for place, value in plan["patches"].items():
        module, name = place.rsplit(".", 1)
        setattr(importlib.import_module(module), name, value)
    if plan["repairs"]:
        kill_at(plan["kill_at"], plan["repairs"], plan["kill_on"] or _FILE_EVENTS)
        repair(plan["repairs"])
        say("repaired")
        return
    store = MemoryStore(MemoryConfig(**plan["settings"]))
    if plan["kill_at"]:
        kill_at(plan["kill_at"], plan["backups"] or f"{plan['settings']['path']}/indexes")
    threads = [
        threading.Thread(target=work, args=(store, plan, worker))
        for worker in range(plan["workers"])
    ]
    if plan["backups"]:
        threads.append(threading.Thread(target=back_up, args=(store, plan)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
